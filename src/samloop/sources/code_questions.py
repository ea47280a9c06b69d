"""What a developer would ask, and what the code answers.

Which wording a question gets is decided by a hash of the code it is about, so that the same code is always asked
about in the same way.
"""

from __future__ import annotations

import re
import textwrap
import zlib
from dataclasses import dataclass
from typing import Final

from samloop.sources.code_languages import Language
from samloop.sources.code_notes import prose_of, unwrapped

MADE_FOR: Final = ("/**", "///", '"', "'", 'r"', 'R"', 'u"', "r'", "R'", "u'")
"""How a comment begins that is made to describe what follows; other comments may speak of anything."""

_WRITE: Final = (
    "Write a {title} {what} `{name}`.\n\n{note}\n\nIts signature:\n\n{signature}",
    "I need a {title} {what} with this signature:\n\n{signature}\n\nWhat it should do: {lower}",
    "How would you implement `{name}` in {title}? Here is what it has to do:\n\n{note}\n\n{signature}",
    "Please implement this {title} {what}.\n\n{signature}\n\n{note}",
    "Can you write the {what} `{name}` for me?\n\n{signature}\n\nDescription: {note}",
    "Implement `{name}` in {title}:\n\n{signature}\n\n{note}",
    "{note}\n\nWrite that as a {title} {what} with the signature below.\n\n{signature}",
)
_COMPLETE: Final = (
    "Complete this {title} {what}:\n\n{stub}",
    "The body of this {what} is still missing. Fill it in.\n\n{stub}",
    "Here are the signature and the {noun} of `{name}`. Write the implementation.\n\n{stub}",
    "Finish the following {title} code:\n\n{stub}",
    "I have only written the {noun} so far. Can you add the code?\n\n{stub}",
    "What could the body of `{name}` look like?\n\n{stub}",
)
_EXPLAIN: Final = (
    "What does this {title} {what} do?\n\n{code}",
    "What is `{name}` for?\n\n{code}",
    "I'm reading this code. In short, what does `{name}` do?\n\n{code}",
    "Summarise this {what}:\n\n{code}",
    "Can you tell me what the following {title} {what} is good for?\n\n{code}",
    "Explain briefly what happens here.\n\n{code}",
)
_DOCUMENT: Final = (
    "Write the {noun} for this {what}.\n\n{code}",
    "Document this {title} {what}.\n\n{code}",
    "This {what} has no {noun} yet. What should it say?\n\n{code}",
    "Please add the missing {noun} to `{name}`:\n\n{code}",
    "How would you document `{name}`? Give me the {noun} only.\n\n{code}",
)
_SCRIPT: Final = (
    "Write a {title} script that does the following:\n\n{note}",
    "I need a {title} script. {note}",
    "Can you write me a shell script for this?\n\n{note}",
)
_EXPLAIN_SCRIPT: Final = (
    "What does this script do?\n\n{code}",
    "I found this {title} script. What is it for?\n\n{code}",
)
_TEST: Final = (
    "Write a {framework} test for this {what}.\n\n{code}",
    "How can I test `{name}`? Show me one {framework} test.\n\n{code}",
    "Give me a {framework} test called `{test}` for the following code:\n\n{code}",
    "I want to be sure that `{name}` works. Write a test with {framework}.\n\n{code}",
    "Add a test case (`{test}`, {framework}) for this {title} {what}:\n\n{code}",
)
_PASS: Final = (
    "Write the {title} {what} `{name}` so that this test passes:\n\n{test_code}\n\nSignature:\n\n{signature}",
    "Here is a test. Implement `{name}` accordingly.\n\n{test_code}\n\n{signature}",
    "I wrote the test first. Now I need the code of `{name}`:\n\n{test_code}\n\nIt begins like this:\n\n{signature}",
)
_FIX: Final = (
    "{problem}\n\nThis is the {what} in question. How do I mend it?\n\n{code}",
    "There is a bug in `{name}`: {quoted}\n\n{code}\n\nShow me the corrected {what}.",
    "Correct this {title} {what}. The problem: {quoted}\n\n{code}",
    "The following {what} is not right yet: {quoted} What should it look like?\n\n{code}",
)
_FIX_TOLD: Final = (
    "{told} in this {title} {what}:\n\n{code}",
    "{told}. The {what} is this one:\n\n{code}",
    "Can you {lower}?\n\n{code}",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer; `kind` says which of the ways of asking it is."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A function as text, ready to be asked about.

    Attributes:
        what: what people call it: "function", "method", "computed property", "script".
        code: without its docstring or the comment before it.
        note, raw: its description, and how it is written in the file.
        indent: of its body, for a docstring.
    """

    language: Language
    fence: str
    name: str
    what: str
    signature: str
    code: str
    note: str = ""
    raw: str = ""
    indent: str = "    "

    @property
    def noun(self) -> str:
        """What people call its description."""
        made_for = not self.raw or self.language.line_comment == "#" or self.raw.startswith(MADE_FOR)
        return self.language.note if made_for else "comment"

    @property
    def seed(self) -> int:
        return zlib.crc32(f"{self.name}\x1f{self.code}".encode("utf-8", "replace"))


def fenced(code: str, label: str) -> str:
    """`code` in a fence that nothing in it closes."""
    longest = max(map(len, re.findall("`+", code)), default=0) if "```" in code else 0
    fence = "`" * max(3, 1 + longest)
    return f"{fence}{label}\n{code}\n{fence}"


def _fill(forms: tuple[str, ...], subject: Subject, turn: int = 0, **more: str) -> str:
    form = forms[(subject.seed // 7 + turn) % len(forms)]
    values = {
        "title": subject.language.title,
        "noun": subject.noun,
        "what": subject.what,
        "name": subject.name,
        "code": fenced(subject.code, subject.fence),
        "signature": fenced(subject.signature, subject.fence),
        "note": subject.note,
    }
    if more.get("framework") == "XCTest":
        form = form.replace("a {framework}", "an {framework}")
    return re.sub(r"\{(\w+)\}", lambda found: {**values, **more}[found[1]], form)


def write(subject: Subject) -> Asked:
    """Description and signature → function: asked for in prose, or given as the beginning to go on from."""
    answer = fenced(subject.code, subject.fence)
    if subject.what == "script":
        return Asked("write", _fill(_SCRIPT, subject), answer)
    if subject.seed % 2:
        return Asked("complete", _fill(_COMPLETE, subject, stub=fenced(_stub(subject), subject.fence)), answer)
    note = _told(subject.note) if prose_of(subject.note) else f"It should behave like this:\n\n{subject.note}"
    lower = note[0].lower() + note[1:] if re.match(r"[A-Z][a-z]+ ", note) else note
    return Asked("write", _fill(_WRITE, subject, note=note, lower=lower), answer)


def _stub(subject: Subject) -> str:
    if subject.language.docstring:
        return f"{subject.signature}\n{textwrap.indent(subject.raw, subject.indent)}"
    opening = " {" if subject.code[len(subject.signature) :].lstrip().startswith("{") else ""
    return f"{subject.raw}\n{subject.signature}{opening}"


def describe(subject: Subject) -> Asked | None:
    """Function → what its author says of it; None where that is not enough to be an answer."""
    prose = prose_of(subject.note)
    if not prose:
        return None
    whole = prose == subject.note.strip()
    if subject.what == "script":
        return Asked("explain", _fill(_EXPLAIN_SCRIPT, subject), _told(prose)) if len(prose.split()) >= 8 else None
    if (subject.seed // 2) % 2 or not whole:
        if len(subject.note) < 40:
            return None
        raw = subject.raw
        return Asked("document", _fill(_DOCUMENT, subject, 1), fenced(raw, subject.fence))
    if len(prose.split()) < 8:
        return None
    return Asked("explain", _fill(_EXPLAIN, subject, 2), _told(prose))


def test_of(subject: Subject, test: Subject, framework: str) -> Asked:
    """Function → a test of it."""
    question = _fill(_TEST, subject, 3, framework=framework, test=test.name)
    return Asked("test", question, fenced(test.code, test.fence))


def passing(subject: Subject, test: Subject) -> Asked:
    """A test → the function that it tests."""
    question = _fill(_PASS, subject, 4, test_code=fenced(test.code, test.fence))
    return Asked("pass", question, fenced(subject.code, subject.fence))


_IMPERATIVE: Final = re.compile(
    r"^(?:fix|handle|prevent|avoid|correct|make|ensure|use|don't|do not|stop|allow|repair) ", re.I
)


_TOLD_AFTER: Final = re.compile(r"^(Fix|Handle|Prevent|Avoid|Correct|Repair)(?:e?[sd]|ing) ", re.IGNORECASE)


def _asked_for(subject: str) -> str:
    """A subject that tells what was done, as what is to be done: "Fixed …" → "Fix …"."""
    plain = _TOLD_AFTER.sub(lambda found: f"{found[1].capitalize()} ", subject)
    return re.sub(r"^Fix for ", "Fix ", plain, flags=re.IGNORECASE)


def mended(subject: Subject, after: str, problem: str, why: str) -> Asked:
    """A function with a bug and what is wrong with it → the mended function.

    Args:
        after: the mended code.
        problem: the subject of the commit that mended it.
        why: the rest of its message, "" where it has none.
    """
    plain = _asked_for(problem.rstrip(".").strip())
    plain = plain[:1].upper() + plain[1:]
    if _IMPERATIVE.match(plain):
        question = _fill(_FIX_TOLD, subject, 5, told=plain, lower=plain[0].lower() + plain[1:])
    else:
        question = _fill(_FIX, subject, 5, problem=_closed(plain), quoted=_closed(plain))
    answer = fenced(after, subject.fence)
    return Asked("fix", question, f"{answer}\n\n{why}" if why else answer)


def _told(note: str) -> str:
    """A description as one says it: lines of prose joined, and closed where it is prose to its end."""
    note = note[:1].upper() + note[1:] if re.match(r"[a-z]+ ", note) else note
    return _closed(unwrapped(note)) if prose_of(note) == note.strip() else unwrapped(note)


def _closed(text: str) -> str:
    """`text` with a full stop at its end, where it ends with a word."""
    return text + "." if text[-1:].isalnum() or text[-1:] in ")`'\"" else text
