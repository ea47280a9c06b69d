"""How fast git histories are read, and whether memory grows with them.

    python benchmarks/collect_git.py REPOSITORY [NAME]

Reads the repository, then one with the same commits several times over (made here with git fast-import),
each in a process of its own. Prints commits per second, the peak memory of samloop and of its largest git child.
The aim is 500 commits/s with diffs, and memory that does not grow with the history.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = 4


def measure(path: str) -> dict[str, float]:
    """One reading of a repository, in this process."""
    from samloop.example import Example
    from samloop.protocols import Mark
    from samloop.sources.git_commits import read

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    commits = examples = characters = 0
    started = time.perf_counter()
    for record in read(path, None):
        if isinstance(record, Mark):
            continue
        commits += 1
        if isinstance(record, Example):
            examples += 1
            characters += len(record.input_text) + len(record.output_text)
    seconds = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu_seconds": sum(usage.ru_utime + usage.ru_stime for usage in used),
        "commits": commits,
        "examples": examples,
        "characters": characters,
        "seconds": seconds,
        "start_mb": before / 1024,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "git_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def repeated(path: str, folder: Path) -> Path:
    """A bare repository whose history is that of `path` `TIMES` times, each standing on the last."""
    target = folder / "repeated.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(target)], check=True)
    objects = git(path, "rev-parse", "--absolute-git-dir").decode().strip() + "/objects"
    (target / "objects/info/alternates").write_text(objects + "\n")  # the trees stay where they are
    lines = [
        line.split() for line in git(path, "rev-list", "--topo-order", "--reverse", "--parents", "HEAD").splitlines()
    ]
    raw = {commit: git(path, "cat-file", "commit", commit.decode()) for commit, *_ in lines}
    stream, mark = [], 0
    for turn in range(TIMES):
        marks: dict[bytes, int] = {}
        for commit, *parents in lines:
            head, _, message = raw[commit].partition(b"\n\n")
            people = [
                line
                for line in head.split(b"\n")
                if re.match(rb"(?:author|committer) [^<]+ <[^<>]+> \d+ [+-]\d{4}$", line)
            ]
            before = [marks[parent] for parent in parents] or ([mark] if turn else [])
            mark += 1
            marks[commit] = mark
            stream += [b"commit refs/heads/main", b"mark :%d" % mark]
            stream += people if len(people) == 2 else [b"committer A <a@example.org> 1600000000 +0000"]
            stream += [b"data %d" % len(message), message]
            stream += [b"%s :%d" % (b"merge" if n else b"from", known) for n, known in enumerate(before)]
            stream += [b'M 040000 %s ""' % head.split()[1], b""]
    subprocess.run(["git", "fast-import", "--quiet"], cwd=target, input=b"\n".join(stream), check=True)
    return target


def git(path: str, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", path, *arguments], capture_output=True, check=True).stdout


def main() -> None:
    if sys.argv[1] == "--one":
        print(json.dumps(measure(sys.argv[2])))
        return
    path, name = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else Path(sys.argv[1]).name
    version = git(".", "--version").decode().strip()
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {version}"
    )
    print(f"repository: {name}\n")
    print("| history | commits | examples | seconds | CPU seconds | commits/s | peak MB, samloop | peak MB, git |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for label, place in (("1x", path), (f"{TIMES}x", str(repeated(path, Path(folder))))):
            runs = []
            for _ in range(3):
                done = subprocess.run(
                    [sys.executable, __file__, "--one", place], capture_output=True, text=True, check=True
                )
                runs.append(json.loads(done.stdout))
            best = min(runs, key=lambda run: run["seconds"])
            print(
                f"| {label} | {best['commits']:.0f} | {best['examples']:.0f} "
                f"| {best['seconds']:.2f} | {best['cpu_seconds']:.2f} "
                f"| {best['commits'] / best['seconds']:.0f} | {best['peak_mb']:.1f} | {best['git_mb']:.1f} |"
            )
    print(f"\nload average of the machine: {os.getloadavg()[0]:.1f}; CPU seconds: samloop and git together")
    print("best of three runs each, every run in a process of its own")


if __name__ == "__main__":
    main()
