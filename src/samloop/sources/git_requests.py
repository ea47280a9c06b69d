"""What a person would ask about a change, in words: for its message, or for the reason behind it."""

from __future__ import annotations

import re
from typing import Final

from samloop.example import normalise
from samloop.sources.git_diff import Diff
from samloop.sources.git_hunks import overview, telling_hunks

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
_WHY: Final = (
    "A commit to {repo} says “{subject}”. Why was this change made?",
    "Explain the reason for this change to {repo}, committed as “{subject}”.",
    "I'm reading the history of {repo} and came across “{subject}”. What is the reasoning behind it?",
    "Why does {repo} need this change? Its commit is called “{subject}”.",
    "What is the motivation for “{subject}” in {repo}? Here is the change.",
)


def message_request(change: str, commit: str, *, repository: str, wanted: str, body: bool) -> str:
    """A request for the commit message of a change.

    Whether a body is wanted, and in which style, is said: the change alone does not tell, and an answer that cannot
    be known from its question teaches guessing.

    Args:
        change: as `in_short` shows it.
        commit: its hash, by which the wording is chosen.
        wanted: the style, in words.
        body: whether the message goes on below its subject.
    """
    asked = _one_of(_LONG if body else _SHORT, commit).format(repo=repository)
    return f"{asked}{wanted}\n\n{change}"


def reason_request(change: str, commit: str, *, repository: str, subject: str) -> str:
    """A request for the reason of a change, by a reader who knows the subject of its message."""
    asked = _one_of(_WHY, commit).format(repo=repository, subject=subject.rstrip("."))
    return f"{asked}\n\n{change}"


def in_short(diff: Diff, room: int) -> str:
    """A change as a person would show it: its files, and the hunks that tell most in a block of their own.

    Args:
        room: characters for hunks.
    """
    hunks = telling_hunks(diff, room)
    if not hunks:
        return normalise(overview(diff))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", hunks)), default=0))
    return normalise(f"{overview(diff)}\n\n{fence}diff\n{hunks}\n{fence}")


def _one_of(forms: tuple[str, ...], commit: str) -> str:
    return forms[int(commit[:8], 16) % len(forms)]
