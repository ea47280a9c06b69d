"""Whether a licence is among those that a person admits, for plain SPDX ids and for expressions of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

UNKNOWN: Final = "unknown"
"""Stands for "none known" where licences are listed."""

MOST_BRACKETS: Final = 32
"""An expression with more opening brackets is none that a person wrote."""

_TOKEN = re.compile(r"[()]|[^\s()]+")
_NONCOMMERCIAL = re.compile(r"(?:^|[-_ ])(?:nc|non-?commercial)(?:[-_. ]|$)")
_OPERATORS: Final = frozenset({"and", "or", "with", "(", ")"})


def admitted_among(stored: Iterable[str], admitted: Collection[str]) -> list[str]:
    """Those of the licences `stored` that `admits` lets in."""
    return [licence for licence in stored if admits(licence, admitted)]


def commercial(licence: str) -> bool:
    """Whether `licence`, an SPDX id or expression, leaves a way to use the text commercially.

    Those of Creative Commons and PolyForm say so in their names. Nothing is held against a name that does not.
    """
    whole = licence.casefold()
    names = {name for name in _TOKEN.findall(whole) if name not in _OPERATORS}
    free = {name for name in names if not _NONCOMMERCIAL.search(name)}
    return free == names or admits(whole, free)


def admits(licence: str, admitted: Collection[str]) -> bool:
    """Whether `admitted` covers `licence`, an SPDX id or expression (SPDX 2.3, annex D; case does not count).

    "A OR B" needs one of the two, "A AND B" both; AND binds closer than OR, and brackets closer still. "A WITH E"
    needs itself or A, since an exception only ever allows more. What is no expression has to be listed as it stands.
    """
    wanted = {name.casefold() for name in admitted}
    whole = licence.casefold()
    if whole in wanted:
        return True
    if whole.count("(") > MOST_BRACKETS:
        return False
    tokens = _TOKEN.findall(whole)[::-1]
    try:
        return _either(tokens, wanted) and not tokens
    except (IndexError, ValueError):
        return False


def _either(tokens: list[str], wanted: Collection[str]) -> bool:
    """Take "A OR B OR …" off the end of `tokens`, which stand in reverse."""
    found = _both(tokens, wanted)
    while tokens and tokens[-1] == "or":
        tokens.pop()
        found |= _both(tokens, wanted)
    return found


def _both(tokens: list[str], wanted: Collection[str]) -> bool:
    found = _one(tokens, wanted)
    while tokens and tokens[-1] == "and":
        tokens.pop()
        found &= _one(tokens, wanted)
    return found


def _one(tokens: list[str], wanted: Collection[str]) -> bool:
    name = tokens.pop()
    if name == "(":
        found = _either(tokens, wanted)
        if tokens.pop() != ")":
            raise ValueError
        return found
    if name in _OPERATORS:
        raise ValueError
    if tokens and tokens[-1] == "with":
        tokens.pop()
        exception = tokens.pop()
        return name in wanted or f"{name} with {exception}" in wanted
    return name in wanted
