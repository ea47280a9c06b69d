"""OpenAssistant's message trees: the best-ranked replies as conversations, the ranks as preferences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samloop.example import Message
from samloop.sources.conversation import conversation, without_farewell
from samloop.sources.drafts import Draft, Json, Unfit, kind_of, optional_text, text_of

DEEPEST = 200
"""Turns after which a tree is no conversation but a defect."""


def parse_tree(record: Json) -> list[Draft]:
    """One example per way through the tree along the best replies, and one preference per ranked set of replies.

    Replies that reviewers turned down, or that were deleted, are left out with all below them.
    """
    root = record["prompt"]
    if not isinstance(root, dict):
        raise Unfit("wrong type", f"expected 'prompt' to be the root message, got {kind_of(root)}")
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
    best, worst = replies[0], replies[-1]
    answered: list[Message] = [*asked, {"role": "assistant", "content": text_of(best.get("text"), "text")}]
    deeper = [draft for child in _standing(best, "prompter") for draft in _walk(child, answered)]
    if any(draft.format != "dpo" for draft in deeper):
        yield from deeper
    else:
        for draft in conversation(without_farewell(answered)):
            yield _told(draft, best)
    if _rank(best) < _rank(worst) and isinstance(worst.get("rank"), int):
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
        and not reply.get("deleted")
        and reply.get("review_result") is not False
        and isinstance(reply.get("text"), str)
        and reply["text"].strip()
    ]


def _rank(reply: Json) -> int:
    rank = reply.get("rank")
    return rank if isinstance(rank, int) else 1_000
