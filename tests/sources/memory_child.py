"""Reads one source at two locations, one after the other, and prints the peak of memory after each, in bytes.

Of a source that reads live rows, a location is a home.

python memory_child.py KIND OPTIONS SMALL LARGE
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import ExitStack
from pathlib import Path

from samloop import plugins
from samloop.home import Home
from samloop.store import Store, database


def peak_bytes() -> int:
    """The most memory this process ever held.

    Linux tells it per program in /proc; what getrusage tells there includes the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(kind: str, options: str, *locations: str) -> None:
    read = plugins.load("sources", kind)
    for location in locations:
        records = 0
        given = json.loads(options)
        with ExitStack() as stack:
            if "rows" in read.given and Path(location, "samloop.db").exists():
                database.CACHE_KIB = 512  # SQLite's own pages, which are bounded, would hide what the source holds
                given["rows"] = stack.enter_context(Store.open(Home(Path(location)))).rows_of
                location = ""
            for _ in read(location, None, **given):
                records += 1
        print(records, peak_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
