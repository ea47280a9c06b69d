"""The licence that a source file states at its top: a tag, the whole text, or the sentence that people put there."""

from __future__ import annotations

import re
from typing import Final

from samloop.sources.licences import licence_of

HEAD_BYTES: Final = 3_072

# Comments and docstrings before the first line of code; what stands further down may speak of any licence.
_TOP: Final = re.compile(
    rb"(?:\s*(?:#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z)|[rR]?\"{3}.*?(?:\"{3}|\Z)|[rR]?'{3}.*?(?:'{3}|\Z)|<!--.*?(?:-->|\Z)))+",
    re.DOTALL,
)
_MAYBE: Final = re.compile(rb"licen[cs]e|permission", re.IGNORECASE)
_MARKS: Final = re.compile(r"(?m)^[ \t]*(?:#+|//+|\*+|/\*+|--)")
_GNU: Final = re.compile(r"gnu (lesser |library |affero )?general public license", re.IGNORECASE)
_VERSION: Final = re.compile(r"version (\d(?:\.\d)?)", re.IGNORECASE)
_FAMILY: Final = {"": "GPL", "lesser": "LGPL", "library": "LGPL", "affero": "AGPL"}
_SENTENCES: Final = (
    ("Apache-2.0", re.compile(r"apache license,? version 2\.0|apache[- ]2\.0 licen[cs]e", re.IGNORECASE)),
    ("MPL-2.0", re.compile(r"mozilla public license,? (?:v\.|version) ?2\.0", re.IGNORECASE)),
    ("MIT", re.compile(r"\bmit[- ](?:style )?licen[cs]e\b|licen[cs]ed under (?:the )?mit\b", re.IGNORECASE)),
    ("BSD-3-Clause", re.compile(r"\bbsd[- ](?:style|3[- ]clause) licen[cs]e", re.IGNORECASE)),
    ("BSD-2-Clause", re.compile(r"\bbsd[- ]2[- ]clause licen[cs]e", re.IGNORECASE)),
    ("ISC", re.compile(r"\bisc licen[cs]e\b", re.IGNORECASE)),
)


def own_licence(data: bytes) -> str | None:
    """The SPDX id of what a file says of its licence in its first comments; None where it says nothing of it."""
    found = _TOP.match(data[:HEAD_BYTES])
    head = found[0] if found else b""
    if not _MAYBE.search(head):
        return None
    text = " ".join(_MARKS.sub(" ", head.decode("utf-8", "replace")).split())
    if licence := licence_of(text):
        return licence
    if gnu := _GNU.search(text):
        version = _VERSION.search(text)
        if version:
            number = version[1] if "." in version[1] else f"{version[1]}.0"
            later = "or-later" if "later version" in text.lower() else "only"
            return f"{_FAMILY[(gnu[1] or '').strip().lower()]}-{number}-{later}"
    return next((name for name, pattern in _SENTENCES if pattern.search(text)), None)
