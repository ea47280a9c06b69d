"""Files of evaluation items: what a line of each kind becomes, and what is said of one that cannot be used.

A file is read before anything is graded, line by line; where lines cannot be used, it says which, and nothing was
changed by then: an evaluation or a turn goes on from here once the file is mended.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop.errors import InputError
from samloop.evaluate import ifeval
from samloop.evaluate.ifeval import checks_of
from samloop.evaluate.own import check_fault
from samloop.example import ROLES
from samloop.files import readable

Item = dict[str, Any]

PACKAGED: Final = Path(ifeval.__file__).parent / "packaged"
"""The folder of the packaged items."""

MAX_FILE_BYTES: Final = 64 * 2**20
"""The largest file of items that is read, unpacked."""

CODE_REQUEST: Final = (
    "Complete this Python function. Answer with the whole function in one code block.\n\n```python\n{prompt}```"
)
CONTEXT_REQUEST: Final = (
    "{context}\n\nAnswer the question by this text alone; if it does not hold the answer, say so.\n\n{question}"
)


# --- what a line becomes -----------------------------------------------------------------------------------------


def code_item(line: Mapping[str, Any], number: int) -> Item:
    """A problem in HumanEval's format as an item of the suite `code`."""
    prompt, test, name = _text(line, "prompt"), _text(line, "test"), _text(line, "entry_point")
    if not name.isidentifier():
        raise ValueError(f"expected 'entry_point' to name a function, got {name!r}")
    return {
        "id": str(line.get("task_id") or f"code/{number}"),
        "messages": [{"role": "user", "content": CODE_REQUEST.format(prompt=prompt)}],
        "prompt": prompt,
        "entry_point": name,
        "test": test,
        "answer": f"{prompt}{line['canonical_solution']}" if line.get("canonical_solution") else None,
    }


def instruction_item(line: Mapping[str, Any], number: int) -> Item:
    """A prompt in IFEval's format as an item of the suite `instructions`; "unknown" names what we do not know."""
    ids, given = line.get("instruction_id_list"), line.get("kwargs")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise ValueError(f"expected 'instruction_id_list' to be a list of ids, got {_shown(ids)}")
    if not isinstance(given, list) or len(given) != len(ids) or not all(isinstance(one, dict) for one in given):
        raise ValueError(f"expected 'kwargs' to be {len(ids)} objects, one per instruction, got {_shown(given)}")
    arguments = [{key: value for key, value in one.items() if value is not None} for one in given]
    checks = [(name, checks_of(name, with_)) for name, with_ in zip(ids, arguments, strict=True)]
    return {
        "id": f"ifeval/{line.get('key', number)}",
        "messages": [{"role": "user", "content": _text(line, "prompt")}],
        "instructions": [{"id": name, "checks": found} for name, found in checks],
        "unknown": [name for name, found in checks if found is None],
    }


def own_item(line: Mapping[str, Any], number: int, file: str) -> Item:
    """A line of a user's suite as an item of the suite `own`."""
    if strange := sorted(set(line) - {"id", "prompt", "messages", "checks", "expected"}):
        raise ValueError(f"expected id, prompt or messages, checks and expected, got '{strange[0]}'")
    checks = line.get("checks")
    if not isinstance(checks, list) or not checks:
        raise ValueError(f"expected 'checks' to be a list of checks, got {_shown(checks)}")
    if wrong := next(filter(None, map(check_fault, checks)), ""):
        raise ValueError(wrong)
    return {
        "id": f"{file}/{line.get('id', number)}",
        "file": file,
        "messages": _messages(line),
        "checks": checks,
        "answer": line.get("expected"),
    }


def context_item(line: Mapping[str, Any], number: int) -> Item:
    """A question to a context as an item of the suite `hallucination`; "answer" null: the context holds none."""
    context, question, answer = _text(line, "context"), _text(line, "question"), line.get("answer")
    if "answer" not in line or not isinstance(answer, str | None) or answer == "":
        raise ValueError(f"expected 'answer' to be text, or null where there is none, got {_shown(answer)}")
    name = f"hallucination/{line.get('id', number)}"
    return {
        "id": name,
        "messages": [{"role": "user", "content": CONTEXT_REQUEST.format(context=context, question=question)}],
        "context": context,
        "answerable": answer is not None,
        "answer": answer,
        # Two questions to one context succeed and fail together.
        "group_key": xxhash.xxh3_64_hexdigest(context.encode()),
    }


def _messages(line: Mapping[str, Any]) -> list[dict[str, str]]:
    if ("prompt" in line) == ("messages" in line):
        raise ValueError(
            "expected one of 'prompt' and 'messages', got " + ("both" if "prompt" in line else "neither")
        )
    if "prompt" in line:
        return [{"role": "user", "content": _text(line, "prompt")}]
    turns = line["messages"]
    if not isinstance(turns, list) or not turns:
        raise ValueError(f"expected 'messages' to be a list of turns, got {_shown(turns)}")
    for turn in turns:
        if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
            raise ValueError(f'expected a turn as {{"role", "content"}}, got {_shown(turn)}')
    if turns[-1]["role"] != "user":
        raise ValueError(f"expected the last turn to be the user's, got one of '{turns[-1]['role']}'")
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _text(line: Mapping[str, Any], key: str) -> str:
    value = line.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected '{key}' to be text, got {_shown(value) if key in line else 'none'}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


# --- files -------------------------------------------------------------------------------------------------------


def read_file(path: Path, become: Callable[[Mapping[str, Any], int], Item]) -> list[Item]:
    """The items in a JSONL file, plain or .gz; empty lines are passed over.

    Args:
        become: makes an item of a line's object and its number; a ValueError says "expected …, got …".

    Raises:
        InputError: the file cannot be read, holds no item or one id twice, or has lines that are no items; nothing of
            it is used then.
    """
    where, items, faults = readable(str(path)), [], []
    for number, line in enumerate(_content(path, where).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            plain = orjson.loads(line)
            if not isinstance(plain, dict):
                raise ValueError(f"expected a JSON object, got {_shown(plain)}")
            items.append(become(plain, number))
        except orjson.JSONDecodeError as error:
            faults.append((number, f"expected JSON, got something else ({error.msg} at column {error.colno})"))
        except ValueError as error:
            faults.append((number, str(error)))
    if faults:
        number, what = faults[0]
        others = f" ({len(faults) - 1} more lines have faults)" if len(faults) > 1 else ""
        raise InputError(
            f"{what} on line {number} of {where}{others}; mend the line or take it out, then go on: nothing was "
            "graded or changed"
        )
    ids = [item["id"] for item in items]
    if twice := next((name for name in ids if ids.count(name) > 1), None) if len(set(ids)) < len(ids) else None:
        raise InputError(f"expected each line of {where} to have an id of its own, got '{twice}' twice; rename one")
    if not items:
        raise InputError(f"expected items in {where}, got an empty file; fill it or take it out of the recipe")
    return items


def _content(path: Path, where: str) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or "it is no whole .gz file"
        raise InputError(f"the items {where} that the recipe names cannot be read: {why}; mend the path") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"expected at most {MAX_FILE_BYTES:,} bytes of items, got more in {where}; split the file")
    return data
