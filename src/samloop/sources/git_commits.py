"""Examples from a git history: what changed → the message its author wrote.

The walk is oldest first, in reversed topological order, so that everything a commit builds on comes before it and
each prefix of the walk is a history of its own. A `Mark` names the walk's head, how many of its commits are done and
a digest of their hashes; the next call walks to the same head, checks the digest and goes on behind it. Where that
is no longer possible (a rewritten history) all is read again, and what was known already is dropped by its id.

Memory: commits pass in portions of `PORTION_COMMITS`, and of each diff a bounded part is kept, so that it does not
grow with the history. (git itself holds the commit graph while it sorts, about 150 bytes a commit.)
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import xxhash

from samloop.errors import SourceError
from samloop.example import Example, normalise
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources.git_diff import MAX_FILES, Diff, overview, read_diffs, telling_hunks
from samloop.sources.git_messages import clean, is_bot, style_of, turned_away
from samloop.sources.git_program import Repository, find
from samloop.sources.paths import language_of

SOURCE: Final = "git_commits"
PORTION_COMMITS: Final = 256
MAX_COMMIT_BYTES: Final = 256 * 1024
"""A commit object, which is its message, of more than this is turned away unread."""

_EARLIEST: Final = 315532800.0  # 1980: earlier author dates come from broken clocks and converters
_LATEST: Final = 4102444800.0  # 2100
_DAY: Final = 86400.0

_SHORT: Final = (
    "Write a one-line commit message for this change to {repo}.",
    "Summarise this change to {repo} as the subject line of a commit.",
    "I'm about to commit this in {repo}. What should the message be? One line is enough.",
    "Give me a commit subject for the following diff ({repo}).",
    "What is a good one-line commit message for these changes to {repo}?",
    "Here is my diff for {repo}. Suggest a short commit message.",
)
_LONG: Final = (
    "Write a commit message for this change to {repo}: a subject line, then a body that explains it.",
    "I'm about to commit this in {repo}. Write the full message, subject and body.",
    "Give me a commit message with an explanation in its body for the following diff ({repo}).",
    "Describe this change to {repo} as a commit message, with details below the subject.",
    "Here is my diff for {repo}. Write a detailed commit message for it.",
)
_STYLES: Final = {
    "conventional": " Follow Conventional Commits.",
    "component": " Begin the subject with the part that changes, as in 'part: what'.",
    "plain": "",
}


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit object says of itself. `author` is a hash of the address, dates are Unix seconds."""

    id: str
    parents: int
    author: str
    bot: bool
    created_at: float
    message: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One walk: the commits reachable from `head` and not from `base`, of which `done` were read before."""

    head: str
    base: str | None
    done: int = 0
    digest: str = ""


@source(SOURCE, needs_location=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    max_diff_characters: int = 1200,
    branch: str = "HEAD",
    name: str | None = None,
) -> Iterator[Record]:
    """Yield an example for each commit that teaches something, a Reject for each that does not.

    Args:
        location: a work tree or any folder in one (the whole repository is read, as git does), or a bare repository.
        since: the value of the last Mark, or None.
        max_diff_characters: room for hunks in the input. The default lets overview, hunks and message fit into the
            512 tokens of the smallest preset, at about three characters of code a token.
        branch: what to walk back from.
        name: what to call the repository; by default the last part of its origin's address, else its folder's name.

    Raises:
        SourceError: no repository, no commits, no such branch, git is missing or does not trust the owner.
    """
    repository = find(location, name=name)
    head = _head(repository, branch)
    reader = _Reader(
        repository,
        identity=f"{repository.name}@{repository.root(head)[:12]}",
        licence=repository.licence(head),
        max_diff_characters=max_diff_characters,
    )
    for leg in _legs(repository, head, since):
        yield from _walk(repository, leg, reader)
    yield Mark({"head": head})


def _head(repository: Repository, branch: str) -> str:
    head = None if branch.startswith("-") else repository.commit(branch)
    if head is not None:
        return head
    if not repository.output("for-each-ref", "--count=1"):
        raise SourceError(f"the repository at {repository.location} has no commits; commit something first")
    raise SourceError(
        f"the repository at {repository.location} has no commit called '{branch}'; name a branch that exists"
    )


def _legs(repository: Repository, head: str, since: Mapping[str, Any] | None) -> list[Leg]:
    """The walks that lead from `since` to `head`; one over everything where `since` does not lead there."""
    known = since.get("head") if since else None
    if since is None or not isinstance(known, str) or not repository.is_ancestor(known, head):
        return [Leg(head, None)]
    legs = []
    if "done" in since:
        half = Leg(known, since.get("base"), int(since["done"]), str(since["digest"]))
        if half.base is not None and not repository.is_ancestor(half.base, known):
            return [Leg(head, None)]
        legs.append(half)
    if known != head:
        legs.append(Leg(head, known))
    return legs


def _walk(repository: Repository, leg: Leg, reader: _Reader) -> Iterator[Record]:
    command = ["rev-list", "--topo-order", "--reverse", "--parents", leg.head]
    if leg.base is not None:
        command.append(f"^{leg.base}")
    digest, done = xxhash.xxh3_128(), 0
    with repository.stream(*command) as out:
        for line in islice(out, leg.done):
            digest.update(line.split()[0])
            done += 1
        if digest.hexdigest() != leg.digest and leg.done:
            leg = Leg(leg.head, leg.base)  # another git sorted otherwise: start this walk again
            yield from _walk(repository, leg, reader)
            return
        while lines := list(islice(out, PORTION_COMMITS)):
            parents = {}
            for line in lines:
                commit, *before = line.decode().split()
                digest.update(commit.encode())
                parents[commit] = len(before)
            yield from reader.portion(parents)
            done += len(lines)
            yield Mark({"head": leg.head, "base": leg.base, "done": done, "digest": digest.hexdigest()})


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns portions of commits into records."""

    repository: Repository
    identity: str
    licence: str | None
    max_diff_characters: int

    def portion(self, parents: Mapping[str, int]) -> Iterator[Record]:
        """The records of some commits, in order.

        Args:
            parents: how many parents each has for git, which is fewer than the commit says at a shallow clone's end.
        """
        records: dict[str, Reject | None] = {}
        good: dict[str, Commit] = {}
        for found in self._commits(list(parents)):
            if isinstance(found, Reject):
                records[str(found.id)] = found
                continue
            reason = _turned_away(found, parents[found.id])
            records[found.id] = self._reject(found.id, reason) if reason else None
            if reason is None:
                good[found.id] = found
        diffs = self._diffs(list(good))
        for commit, reject in records.items():
            yield reject if reject is not None else self._record(good[commit], next(diffs))

    def _reject(self, commit: str, reason: str, detail: str = "") -> Reject:
        return Reject(self.repository.location, reason, detail, id=commit)

    def _commits(self, ids: list[str]) -> Iterator[Commit | Reject]:
        with self.repository.stream("cat-file", "--batch", lines=ids) as out:
            for commit in ids:
                head = out.readline().split()
                if len(head) != 3:
                    yield self._reject(commit, "commit cannot be read")
                    continue
                size = int(head[2])
                if size > MAX_COMMIT_BYTES:
                    _skip(out, size + 1)
                    yield self._reject(commit, "message is too long", f"{size} bytes")
                    continue
                yield parse_commit(commit, out.read(size))
                out.read(1)

    def _diffs(self, ids: list[str]) -> Iterator[Diff | None]:
        """The diffs of some commits; None for one whose objects are missing or broken."""
        while ids:
            header = secrets.token_hex(16)
            command = (
                "diff-tree", "--stdin", "--always", "--root", "-r", "-p", "-U2", "--inter-hunk-context=0",
                "--find-renames", "-l200", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short",
                "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/", f"--format=tformat:{header}%H",
            )  # fmt: skip
            held: Diff | None = None
            done = 0
            try:
                with self.repository.stream(*command, lines=ids) as out:
                    for diff in read_diffs(out, header.encode()):
                        if held is not None:
                            yield held
                            done += 1
                        held = diff
                yield held
                return
            except SourceError:
                # git stopped at this commit or, where it had not begun to print, at the next one.
                if len(ids) == 1:
                    yield None
                    return
                yield from self._diffs(ids[done : done + 1])
                ids = ids[done + 1 :]

    def _record(self, commit: Commit, diff: Diff | None) -> Example | Reject:
        if diff is None:
            return self._reject(commit.id, "changes cannot be read")
        if not diff.files:
            return self._reject(commit.id, "changes nothing")
        if diff.files > MAX_FILES:
            return self._reject(commit.id, "changes too many files", f"{diff.files} files")
        lead = diff.lead()
        if lead is None:
            return self._reject(commit.id, "changes only lock, generated or binary files")
        message = normalise(clean(commit.message))
        style = style_of(message)
        return Example(
            source=SOURCE,
            format="instruction",
            input_text=self._request(commit, diff, message),
            output_text=message,
            metadata={
                "repository": self.repository.name,
                "files": diff.files,
                "insertions": diff.insertions,
                "deletions": diff.deletions,
                "author": commit.author,
                "style": style,
            },
            created_at=commit.created_at,
            updated_at=commit.created_at,
            source_id=commit.id,
            group_key=f"git:{self.identity}:{lead.path}",
            licence=self.licence,
            language=_language(diff),
        )

    def _request(self, commit: Commit, diff: Diff, message: str) -> str:
        """What a person would ask, with what they would show.

        Whether a body is wanted, and in which style, is said: the change alone does not tell, and an answer that
        cannot be known from its question teaches guessing.
        """
        forms = _LONG if "\n" in message else _SHORT
        asked = forms[int(commit.id[:8], 16) % len(forms)].format(repo=self.repository.name)
        shown = [asked + _STYLES[style_of(message)], overview(diff)]
        hunks = telling_hunks(diff, self.max_diff_characters)
        if hunks:
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", hunks)), default=0))
            shown.append(f"{fence}diff\n{hunks}\n{fence}")
        return normalise("\n\n".join(shown))


def _turned_away(commit: Commit, parents: int) -> str | None:
    """Why a commit is not worth its diff, or None."""
    if commit.parents > 1:
        return "is a merge"
    if commit.bot:
        return "is by a bot"
    if parents < commit.parents:
        return "its parent is missing (shallow clone)"
    return turned_away(clean(commit.message), commit.message)


_PERSON: Final = re.compile(rb"^(.*?)\s*<([^>]*)>\s*(-?\d{1,15})?")


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
    name = _decoded(person, encoding)
    mail = address.decode("utf-8", "replace").strip().lower()
    return Commit(
        id=commit,
        parents=parents,
        author=hashlib.sha256(f"samloop author {mail}".encode()).hexdigest()[:16],
        bot=is_bot(name, mail),
        created_at=_date(authored, committed),
        message=_decoded(body, encoding),
    )


def _person(value: bytes) -> tuple[bytes, bytes, float | None]:
    found = _PERSON.match(value)
    if not found:
        return value, b"", None
    return found[1], found[2], None if found[3] is None else float(found[3])


def _date(authored: float | None, committed: float | None) -> float:
    """The author's date, or the committer's where that one cannot be: before 1980, or a day after the commit."""
    sane = [date for date in (authored, committed) if date is not None and _EARLIEST <= date <= _LATEST]
    if not sane:
        return 0.0
    if len(sane) == 2 and sane[0] > sane[1] + _DAY:
        return sane[1]
    return sane[0]


def _decoded(data: bytes, encoding: str) -> str:
    """Text in UTF-8 where it is, else in the encoding the commit names, else with what is broken replaced."""
    for name in ("utf-8", encoding):
        try:
            return data.decode(name)
        except (LookupError, ValueError):
            continue
    return data.decode("utf-8", "replace")


def _language(diff: Diff) -> str | None:
    counts: Counter[str] = Counter()
    for change in diff.changes:
        language = language_of(change.path)
        if language and change.part != "noise":
            counts[language] += change.lines + 1
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _skip(out: Any, count: int) -> None:
    while count > 0 and (data := out.read(min(count, 1 << 16))):
        count -= len(data)
