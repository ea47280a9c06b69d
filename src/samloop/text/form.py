"""The form in which a person writes examples: plain text in sections, one after the other, for an editor or a file.

    --- asked ---
    What is a pipe?

    --- answer ---
    What connects the output of one program to the input of the next.

A line that looks like a heading and is none gets a backslash in front: ``\\--- answer ---``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from samloop.errors import InputError
from samloop.example import Example, Message, normalise

NEXT: Final = "next example"
HELP: Final = "help"

FIELDS: Final = {
    "system": "system_prompt",
    "context": "context",
    "asked": "input_text",
    "answer": "output_text",
    "worse answer": "rejected_output",
    "because": "preference_reason",
    "licence": "licence",
    "language": "language",
}
"""Sections that hold a field of the example, in the order in which they are written."""

TURNS: Final = {
    "earlier user": "user",
    "earlier assistant": "assistant",
    "earlier tool": "tool",
    "earlier system": "system",
}
"""Sections that hold an earlier turn; they may stand several times."""

HEADINGS: Final = (*FIELDS, *TURNS, NEXT, HELP)

TEXT: Final = """\
What stands under this line is left out. Write what is asked under "asked" and
what should be answered under "answer". A section may be left empty; with a
"worse answer" the example is a preference. To stop, leave everything empty.
More sections: context, licence, language; "earlier user" and "earlier
assistant" for the turns before. "--- next example ---" begins another one.
"""

_HEADING = re.compile(r"^--- ([a-z]+(?: [a-z]+)?) ---[ \t]*$")
_ESCAPED = re.compile(r"^\\+--- [a-z]+(?: [a-z]+)? ---[ \t]*$")
_HEADING_BYTES = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*--- (?:" + b"|".join(name.encode() for name in HEADINGS) + rb") ---[ \t]*\r?$",
    re.MULTILINE,
)


@dataclass(slots=True)
class Form:
    """One filled form: the texts of its sections, and the earlier turns."""

    sections: dict[str, str] = field(default_factory=dict)
    turns: list[Message] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing was written into it."""
        return not self.turns and not any(self.sections.values())


def is_form(head: bytes) -> bool:
    """Whether a file that begins so is written in this form."""
    return _HEADING_BYTES.match(head) is not None


def parse(text: str) -> list[Form]:
    """The filled forms in `text`; empty ones are left out.

    Raises:
        InputError: a section is misspelt or stands twice, or text stands before the first one; the message names the
            line and never the text.
    """
    forms, form = [], Form()
    name, lines = "", list[str]()

    def close() -> None:
        _put(form, name, "\n".join(lines).strip("\n"), number)
        lines.clear()

    number = 0
    for number, line in enumerate(normalise(text).split("\n"), 1):
        heading = _HEADING.match(line)
        if heading is None or not _known(heading[1], number):
            lines.append(line[1:] if _ESCAPED.match(line) else line)
            continue
        close()
        name = heading[1]
        if name == NEXT:
            forms.append(form)
            form, name = Form(), ""
    close()
    return [form for form in (*forms, form) if not form.empty]


def _known(name: str, number: int) -> bool:
    if name in HEADINGS:
        return True
    near = difflib.get_close_matches(name, HEADINGS, n=1, cutoff=0.75)
    if near:
        raise InputError(
            f"line {number}: there is no section '{name}'; did you mean '{near[0]}'? Where it is text, put a "
            "backslash in front"
        )
    return False


def _put(form: Form, name: str, text: str, number: int) -> None:
    if name == HELP or not text.strip():
        return
    if not name:
        raise InputError(f"expected a section such as '--- asked ---' before line {number}, got text; add it")
    if name in TURNS:
        form.turns.append({"role": TURNS[name], "content": text})  # type: ignore[typeddict-item]
    elif name in form.sections:
        raise InputError(
            f"the section '{name}' that ends before line {number} stands twice in one example; put "
            f"'--- {NEXT} ---' between two"
        )
    else:
        form.sections[name] = text


def render(form: Form, *, help: bool = True, also: Iterable[str] = ("asked", "answer", "worse answer")) -> str:
    """`form` as text to edit, with the sections `also` even where they are empty."""
    parts = []
    roles = {role: name for name, role in TURNS.items()}
    for name in FIELDS:
        if name == "asked":
            parts += [_section(roles[turn["role"]], turn["content"]) for turn in form.turns]
        if name in also or form.sections.get(name):
            parts.append(_section(name, form.sections.get(name, "")))
    return "\n".join([*parts, _section(HELP, TEXT.rstrip())] if help else parts)


def _section(name: str, text: str) -> str:
    lines = [f"\\{line}" if _HEADING.match(line) or _ESCAPED.match(line) else line for line in text.split("\n")]
    return f"--- {name} ---\n" + "\n".join(lines) + "\n"


def form_of(example: Example) -> Form:
    """`example` as a filled form."""
    sections = {name: getattr(example, attribute) or "" for name, attribute in FIELDS.items()}
    return Form(sections, [dict(turn) for turn in example.conversation_history])  # type: ignore[misc]


def applied(form: Form, example: Example) -> Example:
    """`example` with what the form says; an empty section empties the field.

    Raises:
        InputError: nothing is asked or answered, or a reason stands without a worse answer.
    """
    for name in ("asked", "answer"):
        if not form.sections.get(name):
            raise InputError(f"expected text in the section '{name}', found none; write it, or empty the whole form")
    values: dict[str, Any] = {attribute: form.sections.get(name) or None for name, attribute in FIELDS.items()}
    if values["preference_reason"] and not values["rejected_output"]:
        raise InputError("expected a 'worse answer' beside 'because', found none; write it, or empty 'because'")
    values["conversation_history"] = tuple(form.turns)
    values["format"] = _format(values, example)
    return replace(example, **values)


def _format(values: Mapping[str, Any], example: Example) -> str:
    """The format stays what it was, unless a worse answer or earlier turns came or went."""
    if values["rejected_output"]:
        return "dpo"
    turns = values["conversation_history"]
    if example.format == "dpo" or bool(turns) != bool(example.conversation_history):
        return "multi_turn" if turns else "instruction"
    return example.format


def record_of(form: Form) -> dict[str, Any]:
    """The form as a record in the usual formats, for readers of data files."""
    told = form.sections
    asked, answer = told.get("asked", ""), told.get("answer", "")
    system: list[dict[str, Any]] = [{"role": "system", "content": told["system"]}] if "system" in told else []
    messages: list[Any] = [*system, *form.turns, {"role": "user", "content": asked}]
    record: dict[str, Any]
    if "worse answer" in told:
        record = {"prompt": messages if len(messages) > 1 else asked, "chosen": answer}
        record |= {"rejected": told["worse answer"], "reason": told.get("because")}
        record["context"] = told.get("context")
    elif form.turns:
        record = {"messages": [*messages, {"role": "assistant", "content": answer}], "context": told.get("context")}
    else:
        record = {"instruction": asked, "input": told.get("context", ""), "output": answer}
        record |= {"system": told["system"]} if system else {}
    for name in ("licence", "language"):
        if name in told:
            record[name] = told[name]
    return {key: value for key, value in record.items() if value is not None}
