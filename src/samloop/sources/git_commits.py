"""Examples from a git history: what changed → the message its author wrote.

The walk is oldest first, in reversed topological order, so that everything a commit builds on comes before it and
each prefix of the walk is a history of its own. A `Mark` names the walk's head, how many of its commits are done and
a digest of their hashes; the next call walks to the same head, checks the digest and goes on behind it. Where that
is no longer possible (a rewritten history) all is read again, and what was known already is dropped by its id.

Memory: commits pass in portions of `PORTION_COMMITS`, and of each diff a bounded part is kept, so that it does not
grow with the history. (git itself holds the commit graph while it sorts, about 150 bytes a commit.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import islice
from typing import Any, Final

import xxhash

from samloop.errors import SourceError
from samloop.example import Example, normalise
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources.git_attributes import Attributes, attributes_at
from samloop.sources.git_diff import MAX_FILES, Diff, commits_without, diffs_of, leave_out
from samloop.sources.git_messages import clean
from samloop.sources.git_objects import Commit, author_group, co_authors, identified, read_commits
from samloop.sources.git_program import Repository, find
from samloop.sources.git_reasons import explanation
from samloop.sources.git_requests import in_short, message_request, reason_request
from samloop.sources.git_style import SAMPLED, Convention, convention_of, in_words, style_of
from samloop.sources.git_worth import says_nothing, turned_away
from samloop.sources.paths import language_of

SOURCE: Final = "git_commits"
PORTION_COMMITS: Final = 256
MAX_COMMIT_BYTES: Final = 256 * 1024
"""A commit object, which is its message, of more than this is turned away unread."""

_REFETCH: Final = "run git fetch --refetch --no-filter there, and collect again"
_MOSTLY: Final = 0.7
"""Where the reasons are more of a message than this, its subject alone is asked for beside them: subject and body
given the change are the subject given the change and the body given both, and the same words are learnt once."""


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
    absent = repository.absent(head)
    lacks = f"{repository.cut_off()} {'some files' if absent else ''}".strip()
    if since is not None and since.get("lacks", "") != lacks:
        since = None  # what was missing then may be there now, anywhere in the history
    if legs := _legs(repository, head, since):
        reader = _Reader(
            repository,
            absent=absent,
            lacks=lacks,
            identity=f"{repository.name}@{repository.root(head)[:12]}",
            licence=repository.licence(head),
            convention=convention_of(_sampled_subjects(repository, head)),
            max_diff_characters=max_diff_characters,
            attributes=attributes_at(repository, head),
        )
        for leg in legs:
            yield from _walk(repository, leg, reader)
    yield Mark({"head": head, "lacks": lacks})


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


def _sampled_subjects(repository: Repository, head: str) -> list[str]:
    """Subjects of commits from the whole history, cleaned.

    Those with the smallest hashes: a drawing that a growing history changes little, and never for the commits that
    were in it already.
    """
    with repository.stream("rev-list", "--no-merges", head) as out:
        chosen = nsmallest(SAMPLED, (line.strip() for line in out))
    subjects = []
    for found in read_commits(repository, [commit.decode() for commit in chosen]):
        if isinstance(found, Commit):
            message = clean(found.message)
            if not _turned_away(found, found.parents, message):
                subjects.append(message.partition("\n")[0])
    return subjects


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
            reached = {"head": leg.head, "base": leg.base, "done": done, "digest": digest.hexdigest()}
            yield Mark({**reached, "lacks": reader.lacks})


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns portions of commits into records.

    Attributes:
        absent: hashes of the files that a partial clone is without.
        lacks: what the clone is without, in a few characters.
    """

    repository: Repository
    absent: frozenset[bytes]
    lacks: str
    identity: str
    licence: str | None
    convention: Convention
    max_diff_characters: int
    attributes: Attributes

    def portion(self, parents: Mapping[str, int]) -> Iterator[Record]:
        """The records of some commits, in order.

        Args:
            parents: how many parents each has for git, which is fewer than the commit says at a shallow clone's end.
        """
        found: list[Reject | tuple[Commit, str]] = []
        for commit in read_commits(self.repository, list(parents)):
            if isinstance(commit, Reject):
                found.append(commit)
                continue
            message = clean(commit.message)
            reason = _turned_away(commit, parents[commit.id], message)
            found.append(self._reject(commit.id, reason) if reason else (commit, message))
        wanted = [one[0].id for one in found if not isinstance(one, Reject)]
        missing = commits_without(self.repository, wanted, self.absent) if self.absent else frozenset()
        diffs = diffs_of(self.repository, [commit for commit in wanted if commit not in missing])
        for one in found:
            if isinstance(one, Reject):
                yield one
            elif one[0].id in missing:
                yield self._reject(one[0].id, "its files are missing (partial clone)", _REFETCH)
            else:
                yield from self._records(*one, next(diffs))

    def _reject(self, commit: str, reason: str, detail: str = "") -> Reject:
        return Reject(self.repository.location, reason, detail, id=commit)

    def _records(self, commit: Commit, message: str, diff: Diff | None) -> Iterator[Example | Reject]:
        """The example for a commit's message and, where its body gives reasons, one for them."""
        if diff is not None:
            leave_out(diff, self.attributes.leave_out)
        lead = diff.lead() if diff is not None else None
        if diff is None or lead is None or diff.files > MAX_FILES:
            yield self._reject(commit.id, *_unfit(diff))
            return
        subject, _, body = normalise(message).partition("\n\n")
        reasons = None if says_nothing(subject) else explanation(body)
        if reasons is not None and len(reasons) > _MOSTLY * len(message):
            body = ""
        style = style_of(subject, self.convention)
        change = in_short(diff, self.max_diff_characters)
        example = Example(
            source=SOURCE,
            format="instruction",
            input_text=message_request(
                change,
                commit.id,
                repository=self.repository.name,
                wanted=in_words(style, self.convention),
                body=bool(body),
            ),
            output_text=f"{subject}\n\n{body}" if body else subject,
            metadata={
                "category": "commit_message",
                "repository": self.repository.name,
                "files": diff.files,
                "insertions": diff.insertions,
                "deletions": diff.deletions,
                "author": author_group(self.identity, commit.address),
                "people": identified([commit.address, *co_authors(commit.message)]),
                "style": style.shape,
            },
            created_at=commit.created_at,
            updated_at=commit.created_at,
            source_id=commit.id,
            group_key=f"git:{self.identity}:{lead.path}",
            licence=self.licence,
            language=_language(diff),
        )
        yield example
        if reasons is not None:
            yield replace(
                example,
                input_text=reason_request(change, commit.id, repository=self.repository.name, subject=subject),
                output_text=reasons,
                metadata={**example.metadata, "category": "commit_reason"},
                source_id=f"{commit.id}/why",
            )


def _unfit(diff: Diff | None) -> tuple[str, str]:
    """Why no example is made of a change, and what was measured."""
    if diff is None:
        return "changes cannot be read", ""
    if not diff.files:
        return "changes nothing", ""
    if diff.files > MAX_FILES:
        return "changes too many files", f"{diff.files} files"
    return "changes only lock, generated or binary files", ""


def _turned_away(commit: Commit, parents: int, message: str) -> str | None:
    """Why a commit is not worth its diff, or None."""
    if commit.parents > 1:
        return "is a merge"
    if commit.bot:
        return "is by a bot"
    if parents < commit.parents:
        return "its parent is missing (shallow clone)"
    return turned_away(message, commit.message)


def _language(diff: Diff) -> str | None:
    counts: Counter[str] = Counter()
    for change in diff.changes:
        language = language_of(change.path)
        if language and change.part != "noise":
            counts[language] += change.lines + 1
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None
