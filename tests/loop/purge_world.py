"""A home with a life in it, part of which is about somebody who asks to be forgotten; and a search of every byte."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from samloop.home import Home
from samloop.loop.capture import capture_correction, capture_escalation, capture_preference
from samloop.loop.context import Context, open_context
from samloop.loop.turn import turn
from samloop.store import Filters

RECIPE = """\
[[collect.sources]]
kind = "dataset"
location = "mails.jsonl"

[prepare]
valid_share = 0.1
test_share = 0.25
replay_share = 0.0

[train]
model = "pocket"
backend = "torch"
epochs = 1.0
batch_examples = 4
report_steps = 4
evaluate_steps = 10
checkpoint_steps = 6
min_new_examples = 10

[evaluate]
suites = ["perplexity"]
max_items = 12
resamples = 100

[gate]
min_items = 2
"""

PERSON = "Quillon Vexbrook"
ADDRESS = "quillon.vexbrook@mail.co.uk"
CONVERSATION = "talk-zebulon-77"
PLANTED = ("Vexbrook", "murkwhistle", "zorbalike pagoda", "grumfeather")
"""What must stand nowhere afterwards: a name, a fact, what was said, what was corrected."""

OTHERS = ("parser", "cache", "scheduler", "reader", "writer", "index", "queue", "mailer", "crawler", "compiler")


def write_mails(path: Path) -> None:
    """Forty exchanges, twelve of them about the person."""
    lines = []
    for number in range(28):
        what = OTHERS[number % len(OTHERS)]
        asked = f"In ticket {number}, what shall be done about the {what} that stops at row {number * 7 + 3}?"
        answer = f"Write a test for the {what} with {number + 2} rows, then mend what it shows in step {number}."
        lines.append({"instruction": asked, "output": answer})
    for number in range(12):
        asked = f"Where did {PERSON} put box {number} of the archive, and what does its label say today?"
        answer = f"{PERSON} put box {number} on shelf {number + 3}; its label says murkwhistle {number}, in red."
        lines.append({"instruction": asked, "output": answer})
    asked = f"Whom shall I ask about the keys? Write to {ADDRESS} please."
    lines.append({"instruction": asked, "output": "They open the door on monday morning at nine, by the card."})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def live_a_life(folder: Path) -> Path:
    """Collect, curate, prepare, train, evaluate, report and export in a home in `folder`; the recipe."""
    folder.mkdir(parents=True)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE)
    write_mails(folder / "mails.jsonl")
    with open_context(Home(folder / "home"), recipe) as context:
        say(context)
        turn(context, force=True)
        context.store.export_to_jsonl(folder / "out.jsonl", filters=Filters())
    return recipe


def say(context: Context) -> None:
    """What was said live: in one conversation with the person, and in another one."""
    for number in range(3):
        asked = f"What stands behind house {number} of the old street, and who looks after it in winter?"
        right = f"A zorbalike pagoda with {number + 4} roofs; the neighbours look after it in the cold winter months."
        wrong = f"Nothing at all stands behind house {number}, as far as anybody knows about that street."
        capture_correction(asked, wrong, right, "it is seen from afar", conversation_id=CONVERSATION, context=context)
    capture_escalation(
        "Which bird sings at the zorbalike pagoda before the sun is up over the hills?",
        "No bird sings there at all, since it is far too cold for them.",
        "The grumfeather sings there, from march until the end of june, every single morning.",
        reason="the attempt is made up",
        conversation_id=CONVERSATION,
        context=context,
    )
    capture_preference(
        "How should the release notes begin, in one line that says what changed?",
        "Begin with the outcome: readers look for what they can do now that they could not do before.",
        "Begin with a list of all the files that were touched since the last release was made.",
        conversation_id="talk-other-1",
        context=context,
    )


def bytes_under(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file under a folder by name: its bytes, and what is packed in them."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        name, data = str(path.relative_to(folder)), path.read_bytes()
        yield name, name.encode()
        yield name, data
        if data[:2] == b"\x1f\x8b":
            yield f"{name} (gzip)", gzip.decompress(data)
        elif data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                for entry in packed.namelist():
                    yield f"{name} ({entry})", packed.read(entry)
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            with pa.CompressedInputStream(io.BytesIO(data), "zstd") as stream:
                yield f"{name} (zstd)", stream.read()
        elif data[:4] == b"PAR1":
            yield f"{name} (parquet)", json.dumps(parquet.read_table(path).to_pylist(), default=str).encode()
        elif data[:15] == b"SQLite format 3":
            with closing(sqlite3.connect(path)) as database:
                yield f"{name} (sql)", "\n".join(database.iterdump()).encode()


def where_it_stands(folder: Path, planted: tuple[str, ...] = PLANTED) -> dict[str, list[str]]:
    """The files in which each planted string stands in some spelling: UTF-8, UTF-16, JSON escapes, any case."""
    found: dict[str, list[str]] = {}
    for name, data in bytes_under(folder):
        low = data.lower()
        for word in planted:
            spellings = {
                word.lower().encode(),
                word.lower().encode("utf-16-le"),
                word.lower().encode("utf-16-be"),
                "".join(f"\\u{ord(letter):04x}" for letter in word.lower()).encode(),
                word.lower().encode().replace(b" ", b"\\n"),
            }
            if any(spelling in low for spelling in spellings):
                found.setdefault(word, []).append(name)
    return found
