"""How fast code is read: bytes of source a second, and memory, for the code that is on every machine.

    python benchmarks/collect_code.py [FOLDER …]

Reads Python's standard library by default, each time in a process of its own: whole (in that process only, and with
as many beside it as the machine has processors), again when nothing has changed, and all that from a bare repository;
and, for comparison, what the parser takes alone. Bytes are those of the files that are read, whatever comes of them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import machine, median, publish, table

ROUNDS = 3


def measure(path: str, state: str, workers: str) -> dict[str, float]:
    """One reading of a place, in this process; what is to be known the next time goes to the file `state`."""
    from samloop.example import Example
    from samloop.protocols import Mark
    from samloop.sources.code_patterns import read

    file = Path(state)
    since = json.loads(file.read_text()) if file.exists() else None
    counts: Counter[str] = Counter()
    last = None
    started = time.perf_counter()
    for record in read(path, since, workers=int(workers)):
        counts["examples" if isinstance(record, Example) else "others"] += 1
        if isinstance(record, Mark):
            last = record
    seconds = time.perf_counter() - started
    if last is not None:
        file.write_text(json.dumps(last.value))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": seconds,
        "cpu_seconds": sum(usage.ru_utime + usage.ru_stime for usage in used),
        "examples": counts["examples"],
        "mark_kb": file.stat().st_size / 1024,
        "peak_mb": max(usage.ru_maxrss for usage in used) / 1024,
    }


def parser_alone(path: Path) -> float:
    """Processor seconds that tree-sitter takes for the same files, and nothing else: the baseline."""
    from samloop.sources.code_files import Entry, language_of, open_tree
    from samloop.sources.code_languages import parser_of

    tree, _ = open_tree(str(path))
    entries = [entry for entry in tree.entries() if isinstance(entry, Entry)]
    files = [
        (language_of(entry.path, data), data) for entry, data in tree.contents(entries) if isinstance(data, bytes)
    ]
    started = time.process_time()
    for language, data in files:
        if language is not None:
            parser_of(language.grammar).parse(data)
    return time.process_time() - started


def size_of(path: Path) -> tuple[int, int]:
    """How many files are read and their bytes: those in a known language, outside the folders that are left out."""
    from samloop.sources.code_files import Entry, open_tree

    tree, _ = open_tree(str(path))
    found = [entry for entry in tree.entries() if isinstance(entry, Entry)]
    return len(found), sum(int(entry.stamp.split(":")[0]) for entry in found)


def bare(path: Path, folder: Path) -> Path:
    """A bare repository with the files of `path` as its only commit."""
    work = folder / "work.git"
    environment = {**os.environ, "GIT_DIR": str(work), "GIT_WORK_TREE": str(path)}
    for command in (
        ["git", "init", "-q", "--bare", str(work)],
        ["git", "-c", "core.bare=false", "add", "-A", "."],
        [
            "git",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
            "-c",
            "core.bare=false",
            "commit",
            "-qm",
            "all",
        ],
    ):
        subprocess.run(
            command, check=True, env=environment if "add" in command or "commit" in command else None, cwd=path
        )
    return work


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:])))
        return
    if sys.argv[1:2] == ["--parser"]:
        print(parser_alone(Path(sys.argv[2])))
        return
    processors = len(os.sched_getaffinity(0))
    named = [Path(name) for name in sys.argv[1:]]
    places = named or [Path(sysconfig.get_path("stdlib"))]
    rows = [
        (
            "place",
            "files",
            "MB",
            "examples",
            "processes",
            "s",
            "processor s",
            "MB/s",
            "MB/s of one processor",
            "peak MB",
            "mark kB",
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        for place in places:
            files, size = size_of(place)
            alone = []
            for how, path in ((place.name, place), (f"{place.name}, bare repository", bare(place, Path(folder)))):
                first, beside, again = [], [], []
                for turn in range(ROUNDS):
                    state = str(Path(folder, f"{place.name}-{how[-3:]}-{turn}.json"))
                    alone.append(baseline(place))
                    first.append(one(path, state, 0))
                    again.append(one(path, state, 0))
                    beside.append(one(path, f"{state}-beside", processors))
                whole = (how, first, "1"), (how, beside, f"1 + {processors}")
                for label, runs, processes in (*whole, ("  again, nothing changed", again, "1")):
                    middle = {key: median([run[key] for run in runs]) for key in runs[0]}
                    seconds, cpu = middle["seconds"], middle["cpu_seconds"]
                    rates = [f"{size / 1e6 / value:.1f}" for value in (seconds, cpu)]
                    rows.append(
                        (label, f"{files:,}", f"{size / 1e6:.1f}", f"{middle['examples']:,.0f}", processes,
                         f"{seconds:.2f}", f"{cpu:.2f}", *rates, f"{middle['peak_mb']:.0f}",
                         f"{middle['mark_kb']:.0f}")
                    )  # fmt: skip
            seconds = median(alone)
            blank = ("",) * 2
            rows.append(
                ("  the parser alone", f"{files:,}", f"{size / 1e6:.1f}", "", "1", "", f"{seconds:.2f}", "",
                 f"{size / 1e6 / seconds:.1f}", *blank)
            )  # fmt: skip
            subprocess.run(["rm", "-rf", str(Path(folder, "work.git"))], check=True)
    packages = ("tree-sitter", "tree-sitter-python", "tree-sitter-javascript")
    text = (
        f"{machine(*packages)}\n"
        f"medians of {ROUNDS} runs, each in a process of its own; processor seconds with git's, start included\n"
        f"load average at the end {os.getloadavg()[0]:.1f}\n\n{table(rows)}"
    )
    publish("collect_code", text)


def baseline(place: Path) -> float:
    """`parser_alone`, in a process of its own."""
    command = [sys.executable, __file__, "--parser", str(place)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def one(place: Path, state: str, workers: int) -> dict[str, float]:
    """The figures of one reading, made in a process of its own."""
    command = [sys.executable, __file__, "--one", str(place), state, str(workers)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


if __name__ == "__main__":
    main()
