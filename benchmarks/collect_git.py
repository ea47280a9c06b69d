"""How fast git histories are read, and whether memory grows with them.

    python benchmarks/collect_git.py [REPOSITORY [NAME]]

Reads the repository, one with the same commits several times over, and one of 100,000 small commits (both made here
with git fast-import), each in a process of its own. Prints commits per second, the peak memory of samloop and of its
largest git child.
The aim is 500 commits/s with diffs, and memory that does not grow with the history.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, machine, median, publish, table

TIMES = 4
ROUNDS = 3
MADE_COMMITS = 100_000


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
        if isinstance(record, Example):
            examples += 1
            commits += record.metadata["category"] == "commit_message"
            characters += len(record.input_text) + len(record.output_text)
        else:
            commits += 1
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


def made(folder: Path) -> Path:
    """A bare repository of `MADE_COMMITS` commits that change a line or two in one of a hundred files."""
    target = folder / "made.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(target)], check=True)
    importing = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=target, stdin=subprocess.PIPE)
    assert importing.stdin is not None
    for number in range(MADE_COMMITS):
        message = f"Let pump {number % 97} wait {number} seconds for valve {number % 89}"
        text = "".join(f"pump_{line} = {number * line}\n" for line in (1, 2)) + "valve = 0\n" * 20
        importing.stdin.write(
            f"commit refs/heads/main\ncommitter A <a@example.org> {1_400_000_000 + number} +0000\n"
            f"data {len(message)}\n{message}\n"
            f"M 100644 inline part_{number % 100}.py\ndata {len(text)}\n{text}\n".encode()
        )
    importing.stdin.close()
    if importing.wait():
        raise SystemExit("git fast-import failed")
    return target


def git(path: str, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", path, *arguments], capture_output=True, check=True).stdout


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
        return
    path = sys.argv[1] if len(sys.argv) > 1 else str(ROOT)
    name = sys.argv[2] if len(sys.argv) > 2 else Path(path).resolve().name
    rows = [("history", "commits", "examples", "s", "processor s", "commits/s", "peak MB, samloop", "peak MB, git")]
    with tempfile.TemporaryDirectory() as folder:
        places = (
            ("1x", path, ROUNDS),
            (f"{TIMES}x", str(repeated(path, Path(folder))), ROUNDS),
            (f"made, {MADE_COMMITS:,}", str(made(Path(folder))), 1),
        )
        for label, place, rounds in places:
            runs = [json.loads(one(place)) for _ in range(rounds)]
            middle = {key: median([run[key] for run in runs]) for key in runs[0]}
            speed = f"{middle['commits'] / middle['seconds']:,.0f}"
            figures = [f"{middle[key]:,.0f}" for key in ("commits", "examples")]
            figures += [f"{middle[key]:.2f}" for key in ("seconds", "cpu_seconds")]
            rows.append((label, *figures, speed, *(f"{middle[key]:.1f}" for key in ("peak_mb", "git_mb"))))
    text = (
        f"{machine()}, {git('.', '--version').decode().strip()}\n"
        f"repository: {name}; medians of {ROUNDS} runs (the made history: one), each in a process of its own\n"
        f"processor seconds of samloop and git together; load average at the end {os.getloadavg()[0]:.1f}\n\n"
        f"{table(rows)}"
    )
    if len(sys.argv) > 1:
        publish("collect_git", text)
    else:
        print(text + "\n\nThis history is short; name a repository to measure one worth it.")


def one(place: str) -> str:
    """The figures of one reading, made in a process of its own."""
    command = [sys.executable, __file__, "--one", place]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
