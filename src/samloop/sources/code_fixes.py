"""Error → fix: commits that mend a bug in one function, as the function before and after, with what the author says.

Only such commits are looked at that speak of a bug and change one function of one file of code (its tests and
documents may change beside it): then the function and the message are all that one has to see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from samloop.errors import SourceError
from samloop.protocols import Mark, Record, Reject
from samloop.sources.code_answers import File
from samloop.sources.code_files import left_out, normalised, parts_between_nul, read_blob
from samloop.sources.code_languages import language_of_path
from samloop.sources.code_notes import unwrapped
from samloop.sources.code_pieces import Code, Piece
from samloop.sources.code_questions import Asked, mended
from samloop.sources.git_attributes import Attributes, attributes_at
from samloop.sources.git_messages import clean
from samloop.sources.git_program import Repository
from samloop.sources.git_worth import is_bot, turned_away
from samloop.sources.paths import part_of

PORTION_COMMITS: Final = 128
MAX_FILES: Final = 12
"""A commit that touches more files is no small fix."""

MAX_WHY_CHARACTERS: Final = 800

_SPEAKS_OF_A_BUG: Final = (
    "fix|bug|crash|regress|wrong|incorrect|broken|prevent|avoid|handle|leak|race|panic|overflow|hang"
)
_BUG: Final = re.compile(
    r"\b(?:fix(?:e[sd])?|bug(?:s|gy)?|crash(?:e[sd]|ing)?|regress\w*|wrong(?:ly)?|incorrect(?:ly)?|broken|leak(?:s|ing)?"
    r"|race|panic(?:s|king)?|overflows?|hangs?|off[- ]by[- ]one|infinite|deadlocks?"
    r"|(?:prevent|avoid|handle)s?\b.*\b(?:error|exception|crash|fail|null|none|nil|undefined|empty|missing|zero|invalid)\w*)\b",
    re.IGNORECASE,
)
_NO_BUG: Final = re.compile(
    r"\b(?:typos?|spelling|grammar|lint(?:er|ing)?|format(?:ting)?|whitespace|indent(?:ation)?|style|comments?|doc(?:s|strings?"
    r"|umentation)?|readme|changelog|tests?|specs?|examples?|ci|build|warnings?|flake8?|pylint|mypy|ruff|clippy|rustfmt|eslint|prettier|black"
    r"|isort|links?|urls?|deps|dependenc\w+|version|release|copyright|licen[cs]e|imports?|todo|fix-?me|translations?|typing"
    r"|type hints?|help(?: text)?|wording|annotations?|sonar|codeql|pre-commit|merge|conflicts?|nits?|review)\b",
    re.IGNORECASE,
)


# What only the author can say, or what stands elsewhere: a model that learnt to write it would make it up.
_OF_THE_AUTHOR: Final = re.compile(
    r"\b(?:I|I['’]m|I['’]ve|my|me)\b|#\d+|https?://|\n {4}|\n\t|^\s*[-*] ", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class _Commit:
    id: str
    author: str
    address: str
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class _Change:
    before: str
    after: str
    status: str
    path: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A mended bug, ready to become an example. `data` is the file as the commit left it."""

    asked: Asked
    commit: str
    path: str
    name: str
    context: str | None
    language: str
    seconds: float
    data: bytes


class Fixes:
    """The mended bugs of one repository."""

    def __init__(self, repository: Repository, max_characters: int, record: Callable[[Fix], Record]) -> None:
        self.repository, self.max_characters, self._finished = repository, max_characters, record
        self._attributes = Attributes()

    def records(self, since: Mapping[str, Any] | None, mark: Callable[[dict[str, Any]], Mark]) -> Iterator[Record]:
        """What the commits since the last time yield, with a mark after each portion of them."""
        head = self.repository.commit("HEAD")
        if head is None:
            return
        self._attributes = attributes_at(self.repository, head)
        base = done = None
        if since and isinstance(since.get("head"), str) and self.repository.is_ancestor(since["head"], head):
            base = since["head"]
        if since and since.get("to") == head and since.get("base") == base:
            done = since.get("last")
        waiting = self._commits(head, base)
        if done is not None:
            waiting = self._after(waiting, str(done)) or self._commits(head, base)
        while portion := list(islice(waiting, PORTION_COMMITS)):
            yield from self._portion(portion)
            yield mark({"head": base, "base": base, "to": head, "last": portion[-1].id})
        yield mark({"head": head})

    @staticmethod
    def _after(commits: Iterator[_Commit], last: str) -> Iterator[_Commit] | None:
        """What comes after the commit `last`; None where it does not come."""
        for commit in commits:
            if commit.id == last:
                return commits
        return None

    def _commits(self, head: str, base: str | None) -> Iterator[_Commit]:
        command = [
            "rev-list", "--topo-order", "--reverse", "--no-merges", "--no-commit-header", "-E", "-i",
            f"--grep={_SPEAKS_OF_A_BUG}", "--format=tformat:%H%n%an%n%ae%n%at%n%B%x00", head,
        ]  # fmt: skip
        if base is not None:
            command.append(f"^{base}")
        with self.repository.stream(*command) as out:
            for part in parts_between_nul(out):
                lines = part.decode("utf-8", "replace").removeprefix("\n").split("\n", 4)
                if len(lines) == 5:
                    commit, author, address, seconds, message = lines
                    known = float(seconds) if seconds.isdigit() else 0.0
                    yield _Commit(commit, author, address, min(known, 4102444800.0), message)

    def _portion(self, commits: Sequence[_Commit]) -> Iterator[Record]:
        wanted = {commit.id: commit for commit in commits if self._mends(commit)}
        changes = self._changes(list(wanted))
        chosen: list[tuple[_Commit, _Change]] = []
        for commit in wanted.values():
            found = self._one_file(changes[commit.id]) if commit.id in changes else "changes cannot be read"
            if isinstance(found, str):
                yield self._reject(commit, found)
            else:
                chosen.append((commit, found))
        blobs = self._blobs([blob for _, change in chosen for blob in (change.before, change.after)])
        for commit, change in chosen:
            yield self._record(commit, change, blobs.get(change.before), blobs.get(change.after))

    def _mends(self, commit: _Commit) -> bool:
        message = clean(commit.message)
        subject = message.partition("\n")[0]
        plain = re.sub(r"^[a-z]+(?:\(([^)]*)\))?!?:\s*", "", subject)
        speaks = subject.lower().startswith("fix") or _BUG.search(plain) is not None
        return (
            speaks
            and not _NO_BUG.search(subject)
            and len(plain.split()) >= 3
            and turned_away(message, commit.message) is None
            and not is_bot(commit.author, commit.address)
        )

    def _changes(self, commits: list[str]) -> dict[str, list[_Change]]:
        """The files that each commit changed; a commit whose trees are missing or broken is not among them."""
        try:
            return self._listed(commits)
        except SourceError:
            half = len(commits) // 2
            return {**self._changes(commits[:half]), **self._changes(commits[half:])} if half else {}

    def _listed(self, commits: list[str]) -> dict[str, list[_Change]]:
        found: dict[str, list[_Change]] = {}
        current: list[_Change] = []
        command = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--always")
        with self.repository.stream(*command, lines=commits) as out:
            parts = parts_between_nul(out)
            for part in parts:
                if not part.startswith(b":"):
                    # git ends the line of a commit's hash with a line feed, or a NUL, depending on its version.
                    current = found.setdefault(part.split(b"\n")[0].decode("ascii", "replace"), [])
                    part = part.partition(b"\n")[2]
                if part.startswith(b":"):
                    _, _, before, after, status = part.decode("ascii", "replace").split()
                    path = next(parts, b"").decode("utf-8", "backslashreplace")
                    if len(current) <= MAX_FILES:
                        current.append(_Change(before, after, status, path))
        return found

    def _one_file(self, changes: list[_Change]) -> _Change | str:
        """The one file of code that a commit changed, or why it is left out."""
        if len(changes) > MAX_FILES:
            return "fix changes too many files"
        code = [
            change
            for change in changes
            if language_of_path(change.path)
            and part_of(change.path) == "code"
            and not self._attributes.leave_out(change.path)
        ]
        if not code:
            return "fix changes no code"
        if len(code) > 1:
            return "fix changes several files"
        return code[0] if code[0].status == "M" else "fix adds or removes a file"

    def _blobs(self, blobs: list[str]) -> dict[str, bytes]:
        found = {}
        try:
            with self.repository.stream("cat-file", "--batch", lines=blobs) as out:
                for blob in blobs:
                    if (data := read_blob(out)) is not None:
                        found[blob] = data
        except (SourceError, EOFError):
            pass  # git ended at a broken object: this one and those after it cannot be read
        return found

    def _record(self, commit: _Commit, change: _Change, before: bytes | None, after: bytes | None) -> Record:
        if before is None or after is None:
            return self._reject(commit, "file cannot be read")
        if reason := left_out(change.path, before) or left_out(change.path, after):
            return self._reject(commit, reason)
        language = language_of_path(change.path)
        assert language is not None  # noqa: S101
        old = File(language, normalised(before), self.max_characters)
        new = File(language, normalised(after), self.max_characters)
        found = _one_function(old.code, new.code)
        if isinstance(found, str):
            return self._reject(commit, found)
        subject, mended_subject = old.subject(found[0]), new.subject(found[1])
        if max(len(subject.code), len(mended_subject.code)) > self.max_characters:
            return self._reject(commit, "function is too long")
        problem, _, why = clean(commit.message).partition("\n\n")
        problem = re.sub(r"^[a-z]+(?:\([^)]*\))?!?:\s*", "", problem)
        why = _explanation(why.strip(), commit.message)
        asked: Asked = mended(subject, mended_subject.code, problem, why)
        return self._finished(
            Fix(
                asked=asked,
                commit=commit.id,
                path=change.path,
                name=found[1].qualified,
                context=old.place(found[0]),
                language=language.name,
                seconds=commit.seconds,
                data=after,
            )
        )

    def _reject(self, commit: _Commit, reason: str) -> Reject:
        return Reject(self.repository.location, reason, id=commit.id)


def _explanation(why: str, message: str) -> str:
    """What a message explains beyond its subject; "" where only its author could say it, or parts are gone."""
    written = {line.strip() for line in message.splitlines()}
    whole = all(line.strip() in written for line in why.splitlines())
    if len(why) > MAX_WHY_CHARACTERS or not whole or _OF_THE_AUTHOR.search(why):
        return ""
    return unwrapped(why)


def _one_function(old: Code, new: Code) -> tuple[Piece, Piece] | str:
    """The one function that differs between two versions of a file, or why there is none to learn from."""
    before, after = _by_name(old), _by_name(new)
    if before.keys() != after.keys():
        return "fix adds or removes a function"
    changed = [name for name in before if old.of(before[name]) != new.of(after[name])]
    if not changed:
        return "fix changes no function"
    if len(changed) > 1:
        return "fix changes several functions"
    one, other = before[changed[0]], after[changed[0]]
    if one.broken or other.broken:
        return "function cannot be parsed"
    mark = old.language.line_comment
    if _plain(old.bare(one), mark) == _plain(new.bare(other), mark):
        return "fix changes no code"
    return one, other


def _by_name(code: Code) -> dict[tuple[str, int], Piece]:
    found: dict[tuple[str, int], Piece] = {}
    counts: dict[str, int] = {}
    for piece in code.pieces:
        at = counts[piece.qualified] = counts.get(piece.qualified, 0) + 1
        found[piece.qualified, at] = piece
    return found


def _plain(code: str, mark: str) -> str:
    """Code without comments and blanks: what is left when two versions differ in neither."""
    lines = [line for line in code.split("\n") if not line.strip().startswith((mark, "/*", "*"))]
    return re.sub(r"\s+", "", "".join(lines))
