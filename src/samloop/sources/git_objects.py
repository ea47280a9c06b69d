"""Commit objects: what one says of itself, and who wrote it.

Nobody's address may be stored, yet all that a person wrote must be found again when they ask for it to be forgotten.
So an example carries its author twice: as a short tag, by which examples of one author can be told apart from those
of another and not more, and as the address itself, in its metadata, where redaction takes it out and keeps its keyed
hash (`samloop.text.identifiers`). An address that redaction would not take out whole is left out here.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Final

from samloop.protocols import Reject
from samloop.sources.git_program import Repository
from samloop.sources.git_worth import is_bot
from samloop.text.patterns import PLACEHOLDER, Placeholders, Redactor

MAX_COMMIT_BYTES: Final = 256 * 1024
"""A commit object, which is its message, of more than this is turned away unread."""

_EARLIEST: Final = 315532800.0  # 1980: earlier author dates come from broken clocks and converters
_DAY: Final = 86400.0

AUTHOR_DIGITS: Final = 6
"""24 bits tell the authors of one repository apart, and are shared by too many addresses to lead back to one."""

MAX_ADDRESS_CHARACTERS: Final = 254
"""RFC 5321; a longer one is none."""

_PERSON: Final = re.compile(rb"^(.*?)\s*<([^>]*)>\s*(-?\d{1,15})?")
_CO_AUTHOR: Final = re.compile(
    r"^[ \t]*co-?authored[ -]by[ \t]*:[^<\n]{0,200}<([^<>\n]{1,200})>", re.IGNORECASE | re.MULTILINE
)
_MAX_CO_AUTHORS: Final = 20


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit object says of itself. `address` is the author's, in lower case; dates are Unix seconds."""

    id: str
    parents: int
    address: str
    bot: bool
    created_at: float
    message: str


def parse_commit(commit: str, data: bytes) -> Commit:
    """A commit object, whatever it holds: missing dates, wrong encodings and broken headers are lived with."""
    head, _, body = data.partition(b"\n\n")
    fields: dict[bytes, bytes] = {}
    parents = 0
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        parents += key == b"parent"
        fields.setdefault(key, value)
    encoding = fields.get(b"encoding", b"utf-8").decode("ascii", "replace")
    person, address, authored = _person(fields.get(b"author", b""))
    _, _, committed = _person(fields.get(b"committer", b""))
    mail = address.decode("utf-8", "replace").strip().lower()
    return Commit(
        id=commit,
        parents=parents,
        address=mail,
        bot=is_bot(_decoded(person, encoding), mail),
        created_at=_date(authored, committed, time.time()),
        message=_decoded(body, encoding),
    )


def read_commits(repository: Repository, ids: Sequence[str]) -> Iterator[Commit | Reject]:
    """The commits named by `ids`, in order."""
    with repository.stream("cat-file", "--batch", lines=ids) as out:
        for commit in ids:
            head = out.readline().split()
            if len(head) != 3:
                yield Reject(repository.location, "commit cannot be read", id=commit)
                continue
            size = int(head[2])
            if size > MAX_COMMIT_BYTES:
                _skip(out, size + 1)
                yield Reject(repository.location, "message is too long", f"{size} bytes", id=commit)
                continue
            yield parse_commit(commit, out.read(size))
            out.read(1)


def author_group(identity: str, address: str) -> str:
    """A tag that the examples of one author in one repository share."""
    return hashlib.sha256(f"samloop author {identity} {address}".encode()).hexdigest()[:AUTHOR_DIGITS]


def co_authors(message: str) -> list[str]:
    """The addresses that a message names as authors too, in lower case."""
    if "uthored" not in message:
        return []
    return [address.strip().lower() for address in _CO_AUTHOR.findall(message)[:_MAX_CO_AUTHORS]]


def identified(addresses: Iterable[str]) -> list[str]:
    """Those of `addresses` that redaction takes out whole, each once."""
    return [address for address in dict.fromkeys(addresses) if _is_redacted(address)]


_REDACTOR: Final = Redactor()


@lru_cache(maxsize=4096)
def _is_redacted(address: str) -> bool:
    if len(address) > MAX_ADDRESS_CHARACTERS:
        return False
    return bool(PLACEHOLDER.fullmatch(_REDACTOR.redact(address, Placeholders())))


def _person(value: bytes) -> tuple[bytes, bytes, float | None]:
    found = _PERSON.match(value)
    if not found:
        return value, b"", None
    return found[1], found[2], None if found[3] is None else float(found[3])


def _date(authored: float | None, committed: float | None, now: float) -> float:
    """The author's date, or the committer's where that one cannot be: before 1980, or a day after the commit.

    A date in the future, from a clock that was ahead, becomes `now`: what was read has been written.
    """
    sane = [date for date in (authored, committed) if date is not None and _EARLIEST <= date <= now + _DAY]
    if not sane:
        ahead = any(date is not None and date > now for date in (authored, committed))
        return now if ahead else 0.0
    if len(sane) == 2 and sane[0] > sane[1] + _DAY:
        return sane[1]
    return min(sane[0], now)


def _decoded(data: bytes, encoding: str) -> str:
    """Text in UTF-8 where it is, else in the encoding the commit names, else with what is broken replaced."""
    for name in ("utf-8", encoding):
        try:
            return data.decode(name)
        except (LookupError, ValueError):
            continue
    return data.decode("utf-8", "replace")


def _skip(out: IO[bytes], count: int) -> None:
    while count > 0 and (data := out.read(min(count, 1 << 16))):
        count -= len(data)
