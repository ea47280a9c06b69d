"""Parsers of records that hold a judgement: chosen and rejected, two outputs with a label, KTO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from samloop.example import Message, input_hash
from samloop.sources.conversation import conversation, messages_of
from samloop.sources.drafts import Draft, Json, Unfit, answer_of, kind_of, name_of, optional_text, text_of
from samloop.sources.formats_text import spoken

PROMPT: Final = ("prompt", "instruction", "question", "query", "input", "conversations", "messages")
OUTPUTS: Final = (
    ("output_1", "output_2"),
    ("response1", "response2"),
    ("response_1", "response_2"),
    ("response_a", "response_b"),
    ("answer_1", "answer_2"),
    ("human_ref_A", "human_ref_B"),
    ("conversation_a", "conversation_b"),
)
SCORE_KEYS: Final = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen-rating", "rejected-rating"),
    ("chosen_rating", "rejected_rating"),
)
VERDICTS: Final = ("label", "preference", "winner", "labels")
ANNOTATORS: Final = ("annotator1", "annotator2", "annotator3")
_FIRST: Final = frozenset({1, "1", "a", "A", "model_a", "output_1", "response_a", "response1"})
_SECOND: Final = frozenset({2, "2", "b", "B", "model_b", "output_2", "response_b", "response2"})

_KEPT: Final = frozenset({True, "1", "true", "True", "good", "desirable"})
_TURNED_DOWN: Final = frozenset({False, -1, "0", "false", "False", "bad", "undesirable"})


def parse_preference(record: Json) -> list[Draft]:
    """Chosen and rejected, as text or as messages, with the prompt beside them or as their common beginning."""
    chosen, before = _answer(record.get("chosen"), "chosen")
    rejected, before_rejected = _answer(record.get("rejected"), "rejected")
    asked = _asked(record) or before
    if not asked:
        raise Unfit("missing field", "expected 'prompt', or chosen and rejected as whole conversations")
    if before and before_rejected and before != before_rejected:
        raise Unfit("two prompts", "expected chosen and rejected to answer the same conversation")
    draft = _judged(record, asked, chosen, rejected)
    draft.preference_reason = optional_text(record.get("reason"), "reason")
    draft.metadata = _scores(record)
    return [draft]


def _scores(record: Json) -> dict[str, Any]:
    """The scores of both answers where the set has them, as the metadata keys that curation knows."""
    for chosen, rejected in SCORE_KEYS:
        scores = (record.get(chosen), record.get(rejected))
        if all(isinstance(score, (int, float)) and not isinstance(score, bool) for score in scores):
            return dict(zip(("chosen_score", "rejected_score"), scores, strict=True))
    return {}


def _asked(record: Json) -> list[Message]:
    key = next((key for key in PROMPT if record.get(key)), None)
    if key is None or (key == "messages" and record.get("chosen") and not isinstance(record["chosen"], str)):
        return []
    value = record[key]
    system = optional_text(record.get("system") or record.get("system_prompt"), "system")
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    if isinstance(value, list):
        return [*messages, *messages_of(value, key)]
    text = text_of(value, key)
    if text.startswith("\n\nHuman:"):
        turns = spoken(text)
        return [*messages, *turns] if turns else messages
    return [*messages, {"role": "user", "content": text}]


def _answer(value: Any, key: str) -> tuple[str, list[Message]]:
    """The answer in `value`, and the turns before it where it is a whole conversation."""
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, str) and value.lstrip().startswith("Human:") and "\n\nAssistant:" in value:
        turns = spoken(value)
    elif isinstance(value, list):
        turns = messages_of(value, key)
    else:
        return answer_of(value, key), []
    if not turns or turns[-1]["role"] != "assistant":
        raise Unfit("no answer", f"expected '{key}' to end with an assistant turn")
    return answer_of(turns[-1]["content"], key), turns[:-1]


def _judged(record: Json, asked: Sequence[Message], chosen: str, rejected: str) -> Draft:
    """A preference for `chosen`; all judgements of one prompt stay on one side of a split."""
    while asked and asked[-1]["role"] == "assistant":
        asked = asked[:-1]
    draft = conversation([*asked, {"role": "assistant", "content": chosen}])[-1]
    draft.format, draft.rejected, draft.part = "dpo", rejected, None
    draft.context = _context(record)
    draft.group = _group(draft)
    return draft


def _context(record: Json) -> str | None:
    """What stands beside the prompt; ``input`` is the prompt itself where there is no other."""
    beside = record.get("context") or (record.get("input") if "instruction" in record else None)
    return optional_text(beside, "context")


def _group(draft: Draft) -> str:
    asked = f"{draft.context}\n\n{draft.input_text}" if draft.context else draft.input_text
    return f"prompt:{input_hash(draft.history, asked)[:24]}"


def output_keys(keys: frozenset[str]) -> tuple[str, str] | None:
    """The keys of two outputs that a verdict among `keys` judges."""
    if not any(key in keys for key in (*VERDICTS, *ANNOTATORS)):
        return None
    return next((pair for pair in OUTPUTS if keys.issuperset(pair)), None)


def outputs_parser(first_key: str, second_key: str) -> Callable[[Json], list[Draft]]:
    """A parser of two outputs with a label, or with several annotators' labels (the majority counts)."""

    def parse(record: Json) -> list[Draft]:
        first, before = _answer(record.get(first_key), first_key)
        second, before_second = _answer(record.get(second_key), second_key)
        verdict, votes = _verdict(record)
        if _roles(before, "user") != _roles(before_second, "user") or len(before) > 2:
            # Beyond the first question each conversation went its own way: the verdict is on the whole of both.
            raise Unfit("two conversations", "expected two answers to one question, got two conversations")
        asked = _asked(record) or before
        if not asked and isinstance(history := record.get("history"), str):
            asked = [{"role": "user", "content": text_of(history, "history")}]
        if not asked:
            raise Unfit("missing field", "expected 'instruction' or 'input' beside the two outputs, got none")
        chosen, rejected = (first, second) if verdict == 1 else (second, first)
        draft = _judged(record, asked, chosen, rejected)
        if votes:
            draft.metadata = {"votes": votes}
        return [draft]

    return parse


def _verdict(record: Json) -> tuple[int, str | None]:
    key = next((key for key in VERDICTS if record.get(key) is not None), None)
    if key is not None:
        return _side(record[key], key), None
    labels = [record[name] for name in ANNOTATORS if record.get(name) is not None]
    sides = [int(label) for label in labels if str(label) in ("0", "1", "2")]
    if not labels or len(sides) != len(labels):
        raise Unfit("unknown label", "expected each annotator to say 0, 1 or 2")
    (winner, count), *_ = Counter(sides).most_common()
    if winner == 0 or count * 2 <= len(sides):
        raise Unfit("no preference", "the annotators prefer neither output")
    return winner, f"{count} of {len(sides)}"


def _roles(messages: Sequence[Message], role: str) -> list[str]:
    return [message["content"] for message in messages if message["role"] == role]


def _side(label: Any, key: str) -> int:
    if key == "labels" and label in (0, 1) and not isinstance(label, bool):  # SHP: 1 says that A is preferred
        return 2 - int(label)
    if not isinstance(label, (list, dict)):
        if label in _FIRST and label is not True:
            return 1
        if label in _SECOND:
            return 2
    if label in (0, "tie", "tie (bothbad)") and not isinstance(label, bool):
        raise Unfit("no preference", "the label prefers neither output")
    raise Unfit("unknown label", f"expected '{key}' to be 1 or 2, got {name_of(label)}")


def parse_kto(record: Json) -> list[Draft]:
    """One answer with a thumb: up is an example, down has nothing to teach by itself."""
    label = record.get("label", record.get("kto_tag"))
    if isinstance(label, (list, dict)) or label not in _KEPT | _TURNED_DOWN:
        raise Unfit("unknown label", f"expected 'label' to be true or false, got {kind_of(label)}")
    asked = record.get("prompt", record.get("instruction"))
    answer = next((record[name] for name in ("completion", "response", "output") if record.get(name)), None)
    key = next((key for key in ("messages", "conversations") if key in record), None)
    if key is not None:
        messages = messages_of(record[key], key)
    else:
        messages = messages_of(asked, "prompt") if isinstance(asked, list) else _asked(record)
        last, _ = _answer(answer, "completion")
        messages = [*messages, {"role": "assistant", "content": last}]
    drafts = conversation(messages)
    if label in _TURNED_DOWN:
        raise Unfit("negative without its pair", "a rejected answer teaches only beside a chosen one")
    for draft in drafts:
        draft.context = draft.context or (_context(record) if key is None else None)
        draft.group = draft.group or _group(draft)
        if key is None and draft.format == "chat":
            draft.format = "instruction"
    return drafts
