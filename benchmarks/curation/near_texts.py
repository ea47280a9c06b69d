"""Real texts for the benchmarks of near-duplicates: what lies on every machine, and the data beside the project."""

from __future__ import annotations

import gzip
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import orjson

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
if not SHARED.exists():  # a worktree lies one folder deeper
    SHARED = ROOT.parent.parent / "shared" / "data"

_BEGINS = re.compile(r"^(?= {0,4}(?:async def|def|class) )", re.MULTILINE)
SMALLEST, LARGEST = 200, 20_000


def pairs() -> Iterator[tuple[str, str, str]]:
    """(set, prompt, answer) of the instruction sets beside the project."""
    for path in sorted((SHARED / "instruct" / "t0").glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                record = orjson.loads(line)
                yield path.name.split(".")[0], record["prompt"], record["completion"].replace("<|endoftext|>", "")
    codegen = SHARED / "instruct" / "gpteacher_codegen.json"
    for record in orjson.loads(codegen.read_bytes()) if codegen.exists() else []:
        prompt = f"{record['instruction']}\n{record['input']}".strip()
        yield "gpteacher", prompt, record.get("output") or record.get("response") or ""


def functions() -> Iterator[str]:
    """Functions and classes of the standard library and of what is installed beside it, as they are written."""
    for name in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_path(name)).rglob("*.py")):
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            for part in _BEGINS.split(text):
                if SMALLEST <= len(part) <= LARGEST:
                    yield part


def documents() -> Iterator[str]:
    """Paragraphs of Debian's and the project's documentation, about a thousand characters at a time."""
    folders = [Path("/usr/share/doc"), Path("/usr/share/perl"), SHARED / "docs"]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or path.suffix not in {"", ".gz", ".txt", ".md", ".pod", ".pm"}:
                continue
            try:
                raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            except (OSError, EOFError):
                continue
            part = ""
            for paragraph in raw.decode("utf-8", "replace").split("\n\n"):
                part += paragraph + "\n\n"
                if len(part) > 1000:
                    if len(part) <= LARGEST:
                        yield part
                    part = ""


def real_texts(count: int, seed: int = 0) -> list[str]:
    """`count` real texts, drawn from all of the above; fewer where the machine has fewer."""
    found = [f"{prompt}\n{answer}" for _, prompt, answer in pairs()]
    found += documents()
    found += functions()
    random.Random(seed).shuffle(found)
    return found[:count]
