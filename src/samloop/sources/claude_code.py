"""Claude Code sessions as a source: the JSON lines below ~/.claude/projects, sub-agents included.

A session file is read anew when it has grown, and only what came since is told. A last line that is still being
written is left for the next time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from samloop.errors import SourceError
from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources import containers, files
from samloop.sources.chats import Teller
from samloop.sources.conversation import WINDOW_CHARACTERS
from samloop.sources.drafts import Unfit, name_of
from samloop.sources.session_lines import BOOKKEEPING, Session

TOOL_CHARACTERS: Final = 2_000
"""Of a tool's result: the beginning and the end of a file or of a program's output say enough for what follows."""

MARK_BYTES: Final = 2**22
"""A killed import reads at most about this much again, or the session at hand."""

_SESSION = re.compile(rb'"(?:sessionId|parentUuid|leafUuid|isSidechain)"\s*:')


@dataclass(frozen=True, slots=True)
class _Options:
    """What the caller asked for."""

    thinking: bool
    tool_characters: int
    subagents: bool
    window_characters: int
    licence: str | None
    max_line_bytes: int


@source("claude_code", needs_location=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    thinking: bool = False,
    tool_characters: int = TOOL_CHARACTERS,
    subagents: bool = True,
    window_characters: int = WINDOW_CHARACTERS,
    licence: str | None = None,
    max_line_bytes: int = 64 * 2**20,
) -> Iterator[Record]:
    """What was said since the last time in the Claude Code sessions at `location`.

    Args:
        location: ~/.claude/projects, the folder of one project, or one session's file.
        since: the last mark: per file its size and time, and where its conversations ended.
        thinking: keep what the model thought, as ``<think>`` before the answer.
        tool_characters: longer results of tools lose their middle.
        subagents: tell the conversations of sub-agents as well.
        window_characters: longer conversations are told exchange by exchange, each with the earlier ones that fit.
        licence: SPDX id of the examples.
        max_line_bytes: longer lines are turned away without being held in memory.

    Raises:
        SourceError: nothing there is a session; nothing was yielded.
    """
    folder, paths = files.find(location)
    state: dict[str, Any] = dict((since or {}).get("files", {}))
    alone = len(paths) == 1 and Path(location).expanduser() == paths[0]
    jobs: list[tuple[Path, str, dict[str, int]]] = []
    turned_away: list[Reject] = []
    for path in paths:
        if path.suffix != ".jsonl" and not alone:
            continue
        name = readable(path.relative_to(folder).as_posix())
        try:
            status = path.stat()
            stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            if name in state and stamp.items() <= state[name].items():
                continue
            if status.st_size and not _looks_like_session(path):
                raise Unfit("not a session", "expected JSON lines with a 'sessionId', found none at its beginning")
            jobs.append((path, name, stamp))
        except Unfit as unfit:
            if alone:
                raise SourceError(f"expected a Claude Code session, got {readable(path)}: {unfit.detail}") from None
            turned_away.append(Reject(readable(path), unfit.reason, unfit.detail))
            state[name] = {**stamp, "lines": 0, "ends": ""}
        except OSError as error:
            if alone:
                raise SourceError(
                    f"{readable(path)} cannot be read ({error.strerror}); check its permissions"
                ) from error
            turned_away.append(Reject(readable(path), "cannot be read", str(error.strerror)))
    if not jobs and not since:
        raise SourceError(
            f"expected Claude Code sessions (*.jsonl) in {readable(location)}, found none; name another place"
        )
    options = _Options(thinking, tool_characters, subagents, window_characters, licence, max_line_bytes)
    return _read(jobs, turned_away, state, options, readable(location))


def _looks_like_session(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(files.HEAD_BYTES)
    return bool(_SESSION.search(head)) or b'"type":"file-history-snapshot"' in head


def _read(
    jobs: list[tuple[Path, str, dict[str, int]]],
    turned_away: list[Reject],
    state: dict[str, Any],
    options: _Options,
    location: str,
) -> Iterator[Record]:
    yield from turned_away
    kinds: Counter[str] = Counter()
    unmarked = 0
    for path, name, stamp in jobs:
        yield from _file(path, name, stamp, state, options, kinds)
        unmarked += stamp["size"]
        if unmarked >= MARK_BYTES:
            yield Mark({"files": dict(state)})
            unmarked = 0
    for kind, number in kinds.most_common():
        if kind in BOOKKEEPING:
            yield Reject(location, "lines that are no messages", f"{number} of kind '{kind}'")
        else:
            yield Reject(location, "unknown kind of line", f"{number} of kind {name_of(kind)}")
    yield Mark({"files": dict(state)})


def _file(
    path: Path, name: str, stamp: Mapping[str, int], state: dict[str, Any], options: _Options, kinds: Counter[str]
) -> Iterator[Example | Reject]:
    """What is new in one file; `state` and `kinds` are kept up to date."""
    before = state.get(name) or {"lines": 0, "ends": ""}
    if stamp["size"] < before.get("size", 0):
        before = {**before, "lines": 0}  # written anew
    where = readable(path)
    session = Session(path.stem, options.thinking, options.tool_characters, told=before["lines"])
    lines = 0
    try:
        for number, line, whole in _lines(path, options.max_line_bytes):
            lines = number if whole else lines
            try:
                if isinstance(line, Unfit):
                    raise line
                if line and not line.isspace():
                    session.add(containers.parse(line), number)
            except Unfit as unfit:
                if whole and number > before["lines"]:
                    yield Reject(where, unfit.reason, unfit.detail, line=number)
    except OSError as error:
        yield Reject(where, "cannot be read", str(error.strerror))
        return
    kinds.update(+session.kinds)
    written_at = stamp["mtime_ns"] / 1e9
    teller = Teller("claude_code", where, written_at, options.window_characters, options.licence, regenerates=False)
    told = frozenset(before["ends"].split(",")) if before["ends"] else frozenset()
    ends: list[str] = []
    for talk in session.conversations():
        if "agent" in talk.facts and not options.subagents:
            continue
        ends += yield from teller.tell(talk, told)
    state[name] = {**stamp, "lines": lines, "ends": ",".join(ends)}


def _lines(path: Path, max_line_bytes: int) -> Iterator[tuple[int, Any, bool]]:
    """Number, bytes, and whether the line has its end: one without is still being written."""
    with path.open("rb") as file:
        for block in containers.line_blocks(file, max_line_bytes=max_line_bytes):
            for number, line in block.records:
                yield number, line, number <= block.number
