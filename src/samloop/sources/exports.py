"""Exports of chat services: JSON files that hold conversations, one by one or many, plain or in a ZIP archive.

A conversation is read, told and forgotten, so that memory is bounded by the longest one. The mark remembers every
conversation by a digest: when it was changed last, and the turns it ended with. A newer export of the same account in
the same folder adds what is new.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from samloop.errors import SourceError
from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject
from samloop.sources import archives, containers, files
from samloop.sources.chats import Conversation, Teller, digest
from samloop.sources.drafts import Unfit
from samloop.sources.unpack import open_bytes

MARK_BYTES: Final = 2**20
"""A killed import reads at most about this much again, or sixteen times what the mark itself takes."""

_STATE_BYTES: Final = 48
"""What a mark takes for each conversation, about."""

JSON_SUFFIXES: Final = (".json", ".jsonl")


@dataclass(frozen=True, slots=True)
class Shape:
    """What one service's export looks like.

    Attributes:
        source, kind: the name of the source, and that of the command.
        title: what a message calls it.
        keys: JSON keys of which one stands in each conversation.
        foreign: keys of other exports, with the kind that reads them.
        beside: names of JSON files that an export holds beside its conversations, with what they are.
        read: a conversation's record as one; raises Unfit.
    """

    source: str
    kind: str
    title: str
    keys: tuple[str, ...]
    foreign: Mapping[str, str]
    beside: Mapping[str, str]
    read: Callable[[Mapping[str, Any]], Conversation]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the caller asked for."""

    max_line_bytes: int
    window_characters: int
    licence: str | None


@dataclass(slots=True)
class _State:
    """What the mark holds.

    Attributes:
        files: per file its stamp, and the place in it that was reached.
        told: per conversation (a digest of its id) when it was changed last, and the turns it ended with.
    """

    files: dict[str, Any]
    told: dict[str, str]
    unmarked: int = 0

    def due(self) -> bool:
        """Whether so much was read that it should be marked."""
        return self.unmarked >= max(MARK_BYTES, 16 * _STATE_BYTES * len(self.told))

    def mark(self) -> Mark:
        """A mark of now."""
        self.unmarked = 0
        return Mark({"files": dict(self.files), "told": dict(self.told)})


@dataclass(frozen=True, slots=True)
class _Stream:
    """A JSON file on its own or in an archive.

    Attributes:
        name: what examples call it; of a member, with its archive.
        where: what messages call it.
        number: its place in the archive.
        open: opens it anew.
    """

    name: str
    where: str
    number: int
    open: Callable[[], BinaryIO]


def read(location: str, since: Mapping[str, Any] | None, shape: Shape, limits: Limits) -> Iterator[Record]:
    """The conversations at `location` that were not read before.

    Raises:
        SourceError: nothing there is such an export; nothing was yielded.
    """
    folder, paths = files.find(location)
    before = since or {}
    state = _State(dict(before.get("files", {})), dict(before.get("told", {})))
    alone = len(paths) == 1 and Path(location).expanduser() == paths[0]
    jobs: list[_File] = []
    turned_away: list[Reject] = []
    for path in paths:
        name = readable(path.relative_to(folder).as_posix())
        try:
            status = path.stat()
            stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            known = state.files.get(name)
            if known and known["done"] and stamp.items() <= known.items():
                continue
            file = _File(path, name, stamp, shape, limits, known if known and stamp.items() <= known.items() else {})
            file.look()
            jobs.append(file)
        except Unfit as unfit:
            if alone:
                raise SourceError(f"expected {shape.title}, got {readable(path)}: {unfit.detail}") from None
            if path.suffix.lower() in (*JSON_SUFFIXES, ".zip"):
                turned_away.append(Reject(readable(path), unfit.reason, unfit.detail))
                state.files[name] = {**stamp, "done": True}
        except OSError as error:
            if alone:
                raise SourceError(
                    f"{readable(path)} cannot be read ({error.strerror}); check its permissions"
                ) from error
            turned_away.append(Reject(readable(path), "cannot be read", str(error.strerror)))
    if not jobs and not before:
        why = f" ({turned_away[0].location}: {turned_away[0].detail})" if turned_away else ""
        raise SourceError(f"expected {shape.title} in {readable(location)}, found none{why}; name another place")
    return _read(jobs, turned_away, state)


def _read(jobs: list[_File], turned_away: list[Reject], state: _State) -> Iterator[Record]:
    yield from turned_away
    for job in jobs:
        yield from job.records(state)
        state.files[job.name] = {**job.stamp, "done": True}
        if state.due():
            yield state.mark()
    yield state.mark()


@dataclass(slots=True)
class _File:
    """One file of an export, plain or an archive.

    Attributes:
        reached: where reading goes on: the member ("stream") and the conversation in it ("at").
    """

    path: Path
    name: str
    stamp: Mapping[str, int]
    shape: Shape
    limits: Limits
    reached: Mapping[str, Any]
    archive: bool = False
    _rejects: list[Reject] = field(default_factory=list)

    def look(self) -> None:
        """Tell what it is.

        Raises:
            Unfit: it holds no conversations of this shape.
            OSError: it cannot be read.
        """
        self.archive = archives.is_archive(self.path)
        if self.archive:
            try:
                with archives.open_archive(self.path) as archive:
                    names = [info.filename for info, _ in archives.members(archive)]
            except archives.DAMAGE:
                raise Unfit(
                    "damaged archive", "it begins like a ZIP archive and cannot be read; fetch it again"
                ) from None
            if not any(name.lower().endswith(JSON_SUFFIXES) for name in names):
                raise Unfit("not conversations", "the archive holds no JSON file; name the one the service sent")
        else:
            with open_bytes(self.path, None) as file:
                self._refuse_foreign(file.read(files.HEAD_BYTES), self.path.name)

    def records(self, state: _State) -> Iterator[Record]:
        """What is new in the file; `state` is kept up to date."""
        if not self.archive:
            stream = _Stream(self.name, readable(self.path), 0, lambda: open_bytes(self.path, None))
            yield from self._stream(stream, state)
            return
        try:
            yield from self._members(state)
        except Unfit as unfit:
            yield Reject(readable(self.path), unfit.reason, unfit.detail)
        except archives.DAMAGE:
            yield Reject(readable(self.path), "damaged archive", "what came before the damage is in; fetch it again")

    def _members(self, state: _State) -> Iterator[Record]:
        budget, others = archives.Budget.of(self.path), Counter[str]()
        first = int(self.reached.get("stream", 0))
        where = readable(self.path)
        with archives.open_archive(self.path) as archive:
            for number, (info, refused) in enumerate(archives.members(archive)):
                name = readable(info.filename)
                if number < first:
                    continue
                if refused:
                    yield Reject(f"{where}: {name}", refused.reason, refused.detail)
                elif not name.lower().endswith(JSON_SUFFIXES):
                    others[PurePosixPath(name).suffix.lower() or "no ending"] += 1
                else:

                    def unpack(info: Any = info) -> BinaryIO:
                        return archives.Member(archive, info, budget)  # type: ignore[return-value]  # all that is read

                    yield from self._stream(_Stream(f"{self.name}/{name}", f"{where}: {name}", number, unpack), state)
        if others:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items())[:12])
            yield Reject(where, "attachments are left out", f"{kinds}; conversations name what they showed")

    def _stream(self, stream: _Stream, state: _State) -> Iterator[Record]:
        teller = Teller(
            self.shape.source,
            stream.where,
            self.stamp["mtime_ns"] / 1e9,
            self.limits.window_characters,
            self.limits.licence,
        )
        skip = int(self.reached.get("at", 0)) if stream.number == self.reached.get("stream") else 0
        try:
            with stream.open() as file:
                head = file.read(files.HEAD_BYTES)
                self._refuse_foreign(head, stream.name)
                for block in self._blocks(_Rewound(head, file), head, skip):
                    for number, element in block.records:
                        yield from self._conversation(teller, element, number, state)
                    state.files[self.name] = {**self.stamp, "done": False, "stream": stream.number, "at": block.at}
                    if state.due():
                        yield state.mark()
        except Unfit as unfit:
            if unfit.reason == "unpacks to too much":
                raise  # no other member is opened either: one line for the archive
            yield Reject(stream.where, unfit.reason, unfit.detail)
        except archives.DAMAGE:
            yield Reject(stream.where, "truncated file", "the file ends early or is damaged; what came before is in")

    def _blocks(self, file: Any, head: bytes, skip: int) -> Iterator[containers.Block]:
        array = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
        return containers.element_blocks(
            file, array=array, single=False, max_line_bytes=self.limits.max_line_bytes, skip=skip
        )

    def _conversation(self, teller: Teller, element: Any, number: int, state: _State) -> Iterator[Example | Reject]:
        try:
            if isinstance(element, Unfit):
                raise element
            state.unmarked += len(element)
            record = containers.parse(element)
            if not isinstance(record, dict):
                raise Unfit("not an object", "expected a conversation to be a JSON object")
            talk = self.shape.read(record)
        except Unfit as unfit:
            yield Reject(teller.location, unfit.reason, unfit.detail, line=number)
            return
        key = digest(talk.id)
        before, ends = state.told.get(key), ""
        if before is not None:
            changed, _, ends = before.partition(":")
            if talk.updated_at and talk.updated_at <= float(changed):
                return  # the same, or an older export beside a newer one
        now = yield from teller.tell(talk, frozenset(ends.split(",")) if ends else frozenset())
        state.told[key] = f"{talk.updated_at!r}:{','.join(now)}"

    def _refuse_foreign(self, head: bytes, name: str) -> None:
        """Refuse what holds no conversations of this shape, by the keys in its first bytes."""
        plain = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if plain[:1] not in (b"[", b"{"):
            raise Unfit("not JSON", "it does not begin like JSON; name the file the service sent")
        if _has_key(plain, self.shape.keys) or not plain.strip(b"[] \r\n\t"):
            return
        base = PurePosixPath(name).name.lower()
        for pattern, what in self.shape.beside.items():
            if re.fullmatch(pattern, base):
                raise Unfit("not conversations", f"it holds {what}")
        for key, kind in self.shape.foreign.items():
            if _has_key(plain, (key,)):
                raise Unfit("belongs to another source", f"collect it as '{kind}'")
        wanted = " or ".join(f"'{key}'" for key in self.shape.keys)
        raise Unfit("not conversations", f"expected objects with {wanted}, found none at its beginning")


def _has_key(head: bytes, keys: tuple[str, ...]) -> bool:
    return any(re.search(rb'"%s"\s*:' % key.encode(), head) for key in keys)


class _Rewound(io.RawIOBase):
    """A stream with its first bytes, which were read, in front again."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head.removeprefix(b"\xef\xbb\xbf"), file

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes."""
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._file.read(size)
