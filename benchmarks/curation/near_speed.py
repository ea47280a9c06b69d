"""How fast a near-duplicate pass is, beside datatrove's MinHash and text-dedup, on the same real texts.

Each reads the same JSONL file and writes the texts that stay: word 3-shingles, 21 bands of 6 rows, a new process
each, wall-clock time of the whole process. samloop also strips templates and compares every pair exactly before it
removes anything; the peers remove by the sketch alone. Tried with datatrove 0.10.1 and text-dedup 0.4.0, each in an
environment of its own:

    python -m venv peers/datatrove
    peers/datatrove/bin/pip install 'datatrove[processing,io]==0.10.1' orjson spacy
    python -m venv peers/textdedup
    peers/textdedup/bin/pip install 'text-dedup==0.4.0'
    python benchmarks/curation/near_speed.py --peers peers [--texts 130000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from near_texts import real_texts

from common import machine, median, seconds, table

RESULTS = Path(__file__).parent / "results" / "near_speed.txt"

SAMLOOP = """
import sys, orjson
from samloop.curate.near.texts import KEPT, near_duplicates
lines = open(sys.argv[1], "rb").read().splitlines()
best = near_duplicates([orjson.loads(line)["text"] for line in lines])
with open(sys.argv[2] + ".jsonl", "wb") as out:
    out.writelines(line + b"\\n" for line, other in zip(lines, best.tolist()) if other == KEPT)
"""

DATATROVE = """
import sys
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig
import os
if __name__ == "__main__":
    source, out = sys.argv[1:]
    config = MinhashConfig(n_grams=3, num_buckets=21, hashes_per_bucket=6, hash_config=HashConfig(precision=64))
    folder = os.path.dirname(source) + "/parts"
    read = lambda: JsonlReader(folder)
    def run(steps, tasks):
        LocalPipelineExecutor(steps, tasks=tasks, workers=min(tasks, 2), logging_dir=None).run()
    run([read(), MinhashDedupSignature(out + "/signatures", config=config)], 2)
    run([MinhashDedupBuckets(out + "/signatures", out + "/buckets", config=config)], 21)
    run([MinhashDedupCluster(out + "/buckets", out + "/remove", config=config)], 1)
    run([read(), MinhashDedupFilter(out + "/remove"), JsonlWriter(out + "/kept", compression=None)], 2)
"""

TEXT_DEDUP = (
    "-m text_dedup.minhash --path json --split train --column text --ngram 3 --num_perm 126 --b 21 --r 6 "
    "--threshold 0.8 --min_length 0 --hash_func xxh3 --hash_bits 32 --num_proc 2"
).split()


def kept(folder: Path, out: Path) -> int | None:
    """How many texts were written, where that can be counted."""
    files = [*out.rglob("kept/*.jsonl"), *folder.glob(f"{out.name}.jsonl")]
    return sum(file.read_bytes().count(b"\n") for file in files) or None


def commands(peers: Path, source: Path, folder: Path) -> dict[str, list[str]]:
    """The command of each competitor that is there; `OUT` stands for the place it writes to."""
    found = {"samloop": [sys.executable, "-c", SAMLOOP, str(source), "OUT"]}
    script = folder / "datatrove_peer.py"
    script.write_text(DATATROVE)
    for name, rest in (
        ("datatrove", [str(script), str(source), "OUT"]),
        ("text-dedup", [*TEXT_DEDUP, "--data_files", str(source), "--cache_dir", "OUT.cache", "--output", "OUT"]),
    ):
        python = peers / name.replace("-", "") / "bin" / "python"
        if python.exists():
            found[name] = [str(python), *rest]
    return found


def measure(command: list[str], folder: Path) -> tuple[float, int | None]:
    """Seconds of one run, and how many texts stayed."""
    out = folder / "out"
    for left in folder.glob("out*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    arguments = [part.replace("OUT", str(out)) if part.startswith("OUT") else part for part in command]
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HF_HOME": str(folder / "out.home")}
    took = seconds(arguments, env=environment, cwd=folder)  # datatrove leaves a folder of logs where it stands
    return took, kept(folder, out)


def version(python: str, package: str) -> str:
    """The version of a peer, as its own environment tells it."""
    code = f"import importlib.metadata as m; print(m.version('{package}'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, default=Path(os.environ.get("SAMLOOP_PEERS", "peers")))
    parser.add_argument("--texts", type=int, default=130_000)
    parser.add_argument("--rounds", type=int, default=3, help="runs of samloop before each peer; one more follows it")
    options = parser.parse_args()
    texts = real_texts(options.texts)
    characters = sum(map(len, texts))
    with tempfile.TemporaryDirectory(prefix="near-speed-") as name:
        folder = Path(name)
        source = folder / "texts.jsonl"
        lines = [orjson.dumps({"id": str(at), "text": text}) + b"\n" for at, text in enumerate(texts)]
        source.write_bytes(b"".join(lines))
        (folder / "parts").mkdir()  # datatrove shares work by file
        for part in range(2):
            (folder / "parts" / f"{part}.jsonl").write_bytes(b"".join(lines[part::2]))
        competitors = commands(options.peers.absolute(), source, folder)
        measured: dict[str, list[tuple[float, int | None]]] = {name: [] for name in competitors}
        for peer in [name for name in competitors if name != "samloop"] or ["samloop"]:
            for _ in range(options.rounds):
                measured["samloop"].append(measure(competitors["samloop"], folder))
            if peer != "samloop":
                measured[peer].append(measure(competitors[peer], folder))
            measured["samloop"].append(measure(competitors["samloop"], folder))
    ours = median([took for took, _ in measured["samloop"]])
    rows: list[tuple[object, ...]] = [("", "seconds", "texts/s", "MB/s", "times ours", "removed", "runs")]
    for name in ("samloop", "datatrove", "text-dedup"):
        if name not in measured:
            rows.append((f"{name} (not there, see the head of this script)", *("-",) * 6))
            continue
        took, stay = median([took for took, _ in measured[name]]), measured[name][0][1]
        label = name if name == "samloop" else f"{name} {version(competitors[name][0], name)}"
        gone = "-" if stay is None else len(texts) - stay
        rates = f"{len(texts) / took:,.0f}", f"{characters / took / 1e6:.1f}"
        rows.append((label, f"{took:.1f}", *rates, f"{took / ours:.1f}", gone, len(measured[name])))
    load = os.getloadavg()[1]
    text = "\n".join(
        [
            machine("samloop", "numpy"),
            f"{len(texts):,} real texts, {characters / 1e6:.0f} MB; load over five minutes {load:.1f}; medians",
            "",
            table(rows),
        ]
    )
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
