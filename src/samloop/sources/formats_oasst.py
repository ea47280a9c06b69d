"""OpenAssistant's message trees: the best-ranked replies as conversations, the ranks as preferences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from samloop.example import Message
from samloop.sources.conversation import conversation, without_farewell
from samloop.sources.drafts import Draft, Json, Unfit, kind_of, optional_text, text_of

DEEPEST = 200
"""Turns after which a tree is no conversation but a defect."""

_ABORTED: Final = frozenset({"aborted_low_grade", "halted_by_moderator"})
"""States of a tree that moderators ended."""


def parse_tree(record: Json) -> list[Draft]:
    """One example per way through the tree along the best replies, and one preference per ranked set of replies.

    Messages that were deleted, that reviewers turned down or never saw, are left out with all below them.
    """
    root = record["prompt"]
    if not isinstance(root, dict):
        raise Unfit("wrong type", f"expected 'prompt' to be the root message, got {kind_of(root)}")
    if record.get("tree_state") in _ABORTED or not _stands(root):
        raise Unfit("turned down by reviewers", "expected a tree whose question reviewers let stand")
    drafts = list(_walk(root, []))
    if not drafts:
        raise Unfit("no answer", "expected a reply to the prompt, found none that reviewers let stand")
    group = f"tree:{record['message_tree_id']}"
    for draft in drafts:
        draft.group = group
    return drafts


def _walk(node: Json, before: list[Message]) -> Iterator[Draft]:
    """All drafts at and below the user message `node`, which follows on `before`."""
    if len(before) > DEEPEST:
        raise Unfit("nested too deeply", f"expected at most {DEEPEST} turns in a conversation")
    asked: list[Message] = [*before, {"role": "user", "content": text_of(node.get("text"), "text")}]
    replies = sorted(_standing(node, "assistant"), key=_rank)
    if not replies:
        return
    best = replies[0]
    worst = next((reply for reply in reversed(replies) if _is_ranked(reply)), best)
    answered: list[Message] = [*asked, {"role": "assistant", "content": text_of(best.get("text"), "text")}]
    deeper = [draft for child in _standing(best, "prompter") for draft in _walk(child, answered)]
    if any(draft.format != "dpo" for draft in deeper):
        yield from deeper
    else:
        for draft in conversation(without_farewell(answered)):
            yield _told(draft, best)
    # A pair in two languages would teach the language and not the answer.
    languages = {best.get("lang"), worst.get("lang")} - {None}
    if _rank(best) < _rank(worst) and len(languages) < 2:
        draft = conversation(answered)[-1]
        draft.format, draft.rejected = "dpo", text_of(worst.get("text"), "text")
        yield _told(draft, best, "preferred")


def _told(draft: Draft, reply: Json, note: str | None = None) -> Draft:
    name = str(reply.get("message_id") or "")
    draft.part = "/".join(part for part in (name, note, draft.part) if part) or None
    draft.language = optional_text(reply.get("lang"), "lang")
    draft.metadata = {key: reply[key] for key in ("model_name", "synthetic") if reply.get(key)}
    return draft


def _standing(node: Json, role: str) -> list[dict[str, Any]]:
    replies = node.get("replies") or []
    if not isinstance(replies, list):
        raise Unfit("wrong type", f"expected 'replies' to be a list, got {kind_of(replies)}")
    return [
        reply
        for reply in replies
        if isinstance(reply, dict)
        and reply.get("role") == role
        and _stands(reply)
        and isinstance(reply.get("text"), str)
        and reply["text"].strip()
    ]


def _stands(message: Json) -> bool:
    """Not deleted, and approved by reviewers where the release says what they decided."""
    return not message.get("deleted") and message.get("review_result", True) is True


def _is_ranked(reply: Json) -> bool:
    return type(reply.get("rank")) is int


def _rank(reply: Json) -> float:
    return reply["rank"] if _is_ranked(reply) else math.inf
