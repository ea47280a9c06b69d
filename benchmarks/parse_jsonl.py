"""How fast the datasets source reads: examples per second and MB per second, before any rule sees them.

    python benchmarks/parse_jsonl.py [EXAMPLES]

Writes files of generated examples of 1,200 characters to a temporary folder and reads each with `read` (detection,
parsing, Example), beside orjson alone on the same lines as the floor. One process; processor time, best of five.
"""

from __future__ import annotations

import gzip
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

import orjson

from samloop.example import Example
from samloop.sources.datasets import read

LETTERS = 'etaoin shrdlu etaoin cmfwyp vbgkqj xz etaoin shrdlu,.\n"'


def record(noise: random.Random, n: int, form: str) -> dict:
    question, answer = (
        f"Question {n}: " + "".join(noise.choices(LETTERS, k=290)),
        "".join(noise.choices(LETTERS, k=900)),
    )
    if form == "alpaca":
        return {"instruction": question, "input": "", "output": answer}
    if form == "messages":
        return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    if form == "sharegpt":
        return {
            "id": f"c{n}",
            "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}],
        }
    return {"prompt": question, "chosen": answer[:450], "rejected": answer[450:]}


def best(function, times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def consume(path: Path, expected: int) -> None:
    count = sum(isinstance(item, Example) for item in read(str(path), None))
    assert count == expected, (path, count)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    print(f"{platform.machine()}, Python {platform.python_version()}, orjson {orjson.__version__}; {count} examples")
    print(f"{'file':<24}{'examples/s':>12}{'MB/s':>8}{'µs each':>9}{'orjson µs':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for form in ("alpaca", "messages", "sharegpt", "preference"):
            noise = random.Random(7)
            lines = [orjson.dumps(record(noise, n, form)) for n in range(count)]
            floor = best(lambda lines=lines: [orjson.loads(line) for line in lines]) / count * 1e6
            data = b"\n".join(lines) + b"\n"
            files = {"jsonl": data}
            if form == "alpaca":
                files |= {"json": b"[" + b",\n".join(lines) + b"]", "jsonl.gz": gzip.compress(data, 1)}
            for suffix, content in files.items():
                path = Path(folder, f"{form}.{suffix}")
                path.write_bytes(content)
                seconds = best(lambda path=path: consume(path, count))
                print(
                    f"{path.name:<24}{count / seconds:>12,.0f}{len(data) / seconds / 1e6:>8.0f}"
                    f"{seconds / count * 1e6:>9.1f}{floor:>11.1f}"
                )


if __name__ == "__main__":
    main()
