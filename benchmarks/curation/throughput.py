"""Whole curation into Parquet, megabytes per second on this machine's cores, beside others over the same file.

- `samloop curate` as a user calls it: start, read, redact, rules, score, exact and near-duplicates, shards, report;
  and the same without near-duplicates, to see what they cost.
- the same curator as a batch function on Daft's native runner (one process per core), read and written by Daft,
  without duplicates, resumption and report: what another engine would make of the same rules.
- Data-Juicer with its nearest operators (it has no counterpart for roles, secrets, refusals, doubts or a score).
- the floor: one process that parses each line with orjson and hashes it with xxhash.

    python benchmarks/curation/throughput.py [--megabytes 100] [--rounds 3] [--data-juicer PYTHON]

Data-Juicer lives in an environment of its own:
    python -m venv peers/dj && peers/dj/bin/pip install py-data-juicer==1.6.1 aiohttp
    … --data-juicer peers/dj/bin/python
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from generated import write_lines

from common import SAMLOOP, alternate, machine, median, publish, seconds, table

OPERATORS = """\
project_name: throughput
dataset_path: {source}
export_path: {out}/out.parquet
np: {cores}
text_keys: text
use_cache: false
open_tracer: false
process:
  - whitespace_normalization_mapper:
  - fix_unicode_mapper:
  - clean_email_mapper:
  - clean_ip_mapper:
  - text_length_filter: {{min_len: 20, max_len: 32000}}
  - character_repetition_filter: {{rep_len: 10, min_ratio: 0.0, max_ratio: 0.5}}
  - document_deduplicator: {{lowercase: false}}
  - document_minhash_deduplicator:
      {{tokenization: space, window_size: 3, jaccard_threshold: 0.8, num_permutations: 126, num_bands: 21,
       num_rows_per_band: 6}}
"""

FLOOR = """
import sys, orjson, xxhash
for line in open(sys.argv[1], "rb"):
    xxhash.xxh3_128_digest(orjson.loads(line)["output"].encode())
"""

DAFT = """
import sys, daft
from daft import DataType, col
from samloop.curate.engine import Curator
from samloop.settings import Curate
from samloop.sources.containers import Block
from samloop.sources.datasets import records_of
from samloop.sources.formats import RecordReader
from samloop.sources.origin import Origin
NAMES = ("id", "input_text", "output_text", "metadata", "domain", "quality_tier", "state", "reason", "flags")
TYPE = DataType.struct({name: DataType.string() for name in NAMES} | {"quality_score": DataType.float64()})
@daft.cls(use_process=True, max_concurrency=int(sys.argv[3]))
class Judge:
    def __init__(self):
        self.curator = Curator(Curate())
    @daft.method.batch(return_dtype=TYPE, batch_size=2048)
    def judge(self, lines):
        reader = RecordReader(Origin("datasets", "in", "in"))
        texts = [line.encode() for line in lines.to_pylist()]
        examples = list(records_of(reader, Block(list(enumerate(texts, 1)), 0, 0)))
        return [{name: row[name] for name in (*NAMES, "quality_score")} for row in self.curator.curate(examples).rows]
frame = daft.read_text(sys.argv[1]).into_partitions(8)
judged = frame.select(Judge().judge(col(frame.column_names[0])).alias("row")).select(col("row").unnest())
judged.write_parquet(sys.argv[2])
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-juicer", type=Path, default=os.environ.get("SAMLOOP_BENCH_DATA_JUICER"))
    options = parser.parse_args()
    os.environ["DO_NOT_TRACK"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.jsonl"
        records = write_lines(source, options.megabytes)
        candidates = our_candidates(folder, source)
        if options.data_juicer:
            candidates["Data-Juicer 1.6.1"] = data_juicer(folder, source, Path(options.data_juicer))
        processor: dict[str, list[float]] = {name: [] for name in candidates}
        found = alternate({n: _counted(run, processor[n]) for n, run in candidates.items()}, options.rounds)
    size, own = options.megabytes, median(found["samloop curate"])
    rows: list[list[object]] = [["", "seconds", "MB/s", "times samloop's", "processor s", "times samloop's"]]
    own_processor = median(processor["samloop curate"])
    for name, taken in found.items():
        wall, used = median(taken), median(processor[name])
        cells = (
            f"{wall:.1f}",
            f"{size / wall:.1f}",
            f"{wall / own:.2f}",
            f"{used:.1f}",
            f"{used / own_processor:.2f}",
        )
        rows.append([name, *cells])
    if not options.data_juicer:
        rows.append(["Data-Juicer: absent, see the head of this script", "", "", "", "", ""])
    if importlib.util.find_spec("daft") is None:
        rows.append(["Daft: absent (pip install daft)", "", "", "", "", ""])
    load = f"load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    head = machine("pyarrow", "orjson", "xxhash")
    head += f"\n{size:.0f} MB, {records:,} examples; medians of {options.rounds}; {load}"
    publish("throughput", f"{head}\n\n{table(rows)}", folder=Path(__file__).parent / "results")


def _counted(run: Callable[[], float], processor: list[float]) -> Callable[[], float]:
    """`run`, with the processor seconds of its processes put into `processor`: other load moves them little."""

    def counted() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return wall

    return counted


def our_candidates(folder: Path, source: Path) -> dict[str, Callable[[], float]]:
    """samloop, the floor, and Daft where it is installed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def samloop(**environment: str) -> float:
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        command = [*SAMLOOP, "--home", str(folder / "home"), "curate", str(source), "--out", str(out)]
        return seconds(command, env={**os.environ, **environment})

    def daft() -> float:
        out = folder / "daft"
        shutil.rmtree(out, ignore_errors=True)
        return seconds([sys.executable, "-c", DAFT, str(source), str(out), str(cores)])

    candidates = {"samloop curate": samloop}
    candidates["samloop curate without near-duplicates"] = lambda: samloop(SAMLOOP_CURATE__NEAR__ENABLED="false")
    candidates["floor: orjson + xxhash, one process"] = lambda: seconds([sys.executable, "-c", FLOOR, str(source)])
    if importlib.util.find_spec("daft"):
        candidates["the same curator on Daft's native runner"] = daft
    return candidates


def data_juicer(folder: Path, source: Path, python: Path) -> Callable[[], float]:
    """A run of Data-Juicer on the same texts, question and answer in one field as it wants them."""
    texts = folder / "texts.jsonl"
    with source.open("rb") as lines, texts.open("wb") as out:
        for line in lines:
            one = orjson.loads(line)
            out.write(orjson.dumps({"text": f"{one['instruction']}\n{one['output']}"}) + b"\n")
    settings = folder / "data-juicer.yaml"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    settings.write_text(OPERATORS.format(source=texts, out=folder / "dj", cores=cores))

    def run() -> float:
        shutil.rmtree(folder / "dj", ignore_errors=True)
        started = time.perf_counter()
        command = [str(python.parent / "dj-process"), "--config", str(settings)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        if done.returncode or not list((folder / "dj").rglob("*.parquet")):
            raise SystemExit(f"Data-Juicer failed: {json.dumps(done.stderr[-500:])}")
        return time.perf_counter() - started

    return run


if __name__ == "__main__":
    main()
