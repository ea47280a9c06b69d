"""Which format a record has, and the examples in it.

`FORMATS` is the table: to add a format, write a parser (record in, drafts out, `Unfit` for what cannot be one) and
name the keys it is known by. Detection looks at a record's keys alone and is done once per set of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from samloop.example import Example
from samloop.protocols import Reject
from samloop.sources import formats_oasst, formats_pairs, formats_preference
from samloop.sources.conversation import conversation, messages_of, tools_prompt, without_farewell
from samloop.sources.drafts import Draft, Json, Unfit, kind_of, name_of, optional_text
from samloop.sources.origin import CARRIED, Origin, is_ours
from samloop.sources.variables import fill

Keys = frozenset[str]
Parser = Callable[[Json], Sequence[Draft]]


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """A format: `find` gives the parser for records with these keys, or None; `keys` are what the parser consumes."""

    name: str
    find: Callable[[Keys], Parser | None]
    keys: Keys = frozenset()
    foreign: str | None = None


def _parse_messages(record: Json) -> list[Draft]:
    key = "messages" if "messages" in record else "conversations" if "conversations" in record else "conversation"
    system = optional_text(record.get("system") or record.get("system_prompt"), "system")
    system = tools_prompt(system, record.get("tools") or record.get("functions"))
    context = record.get("context")
    messages = messages_of(record[key], key)
    if not is_ours(record):
        messages = without_farewell(messages)
    return conversation(messages, system=system, context="" if context == "" else context)


def _parse_turns(record: Json) -> list[Draft]:
    """UltraChat: a list in which question and answer take turns."""
    data = record["data"]
    if not isinstance(data, list) or not all(isinstance(turn, str) for turn in data):
        raise Unfit("wrong type", f"expected 'data' to be a list of texts in turns, got {kind_of(data)}")
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(data)]
    return conversation(without_farewell(turns))  # type: ignore[arg-type]


def _turn_away(reason: str, detail: str) -> Parser:
    def parse(_: Json) -> list[Draft]:
        raise Unfit(reason, detail)

    return parse


def _when(parser: Parser, *alternatives: Sequence[str]) -> Callable[[Keys], Parser | None]:
    """The parser for records that have all keys of one of `alternatives`."""
    wanted = [frozenset(keys) for keys in alternatives]
    return lambda found: parser if any(found >= keys for keys in wanted) else None


def _foreign(name: str, source: str, *alternatives: Sequence[str]) -> RecordFormat:
    turned_away = _turn_away("belongs to another source", f"this is {name}; the source '{source}' reads it")
    return RecordFormat(name, _when(turned_away, *alternatives), foreign=source)


def _benchmark(name: str, *keys: str) -> RecordFormat:
    detail = f"{name} measures a model; training on it would make the measure worthless"
    return RecordFormat(name, _when(_turn_away("evaluation item", detail), keys))


def _outputs(keys: Keys) -> Parser | None:
    pair = formats_preference.output_keys(keys)
    return formats_preference.outputs_parser(*pair) if pair else None


def _pair(keys: Keys) -> Parser | None:
    found = formats_pairs.pair_keys(keys)
    return formats_pairs.pair_parser(*found) if found else None


def _code(keys: Keys) -> Parser | None:
    found = formats_pairs.code_keys(keys)
    return formats_pairs.code_parser(*found) if found else None


def _thumb(keys: Keys) -> Parser | None:
    judged = "kto_tag" in keys or ("label" in keys and bool(keys & {"completion", "messages", "conversations"}))
    return formats_preference.parse_kto if judged else None


def _plain(keys: Keys) -> Parser | None:
    return formats_pairs.parse_text if "text" in keys and not keys & {"label", "labels"} else None


_SYSTEM: Final = frozenset({"system", "system_prompt", "history", "context", "tools", "functions"})

FORMATS: Final[tuple[RecordFormat, ...]] = (
    _foreign("a ChatGPT export", "chatgpt", ("mapping", "title"), ("mapping", "current_node")),
    _foreign("a Claude.ai export", "claude-ai", ("chat_messages",)),
    _foreign("a Claude Code session", "claude-code", ("sessionId",), ("leafUuid",), ("parentUuid",)),
    _benchmark("HumanEval", "prompt", "canonical_solution", "test"),
    _benchmark("IFEval", "prompt", "instruction_id_list", "kwargs"),
    _benchmark("MT-Bench", "question_id", "turns"),
    RecordFormat(
        "OpenAssistant tree",
        _when(formats_oasst.parse_tree, ("message_tree_id", "prompt")),
        frozenset({"message_tree_id", "prompt", "tree_state"}),
    ),
    RecordFormat(
        "OpenAssistant message",
        _when(
            _turn_away("single message of a tree", "expected whole trees (the *_trees.jsonl of the same release)"),
            ("message_id", "parent_id", "text", "role"),
        ),
    ),
    RecordFormat(
        "preference",
        _when(formats_preference.parse_preference, ("chosen", "rejected")),
        frozenset({*formats_preference.PROMPT, "chosen", "rejected", "reason"}) | _SYSTEM,
    ),
    RecordFormat(
        "KTO",
        _thumb,
        frozenset({"prompt", "instruction", "input", "completion", "response", "output", "label", "kto_tag"})
        | {"messages"}
        | frozenset({"conversations"})
        | _SYSTEM,
    ),
    RecordFormat(
        "two outputs",
        _outputs,
        frozenset({*formats_preference.VERDICTS, *formats_preference.ANNOTATORS, *formats_preference.PROMPT})
        | frozenset(key for pair in formats_preference.OUTPUTS for key in pair)
        | _SYSTEM,
    ),
    RecordFormat(
        "conversation",
        _when(_parse_messages, ("messages",), ("conversations",), ("conversation",)),
        # Sets that tell a conversation often tell its question and answer once more beside it.
        frozenset({"messages", "conversations", "conversation", *formats_pairs.ASKED, *formats_pairs.ANSWERED})
        | _SYSTEM,
    ),
    RecordFormat("UltraChat", _when(_parse_turns, ("data",)), frozenset({"data"})),
    RecordFormat(
        "self-instruct",
        _when(formats_pairs.parse_instances, ("instruction", "instances")),
        frozenset({"instruction", "instances"}),
    ),
    RecordFormat(
        "code with docstring",
        _code,
        frozenset({*formats_pairs.CODE, *formats_pairs.DOCSTRING, "code_tokens", "docstring_tokens"})
        | frozenset({"func_code_tokens", "func_documentation_tokens"}),
    ),
    RecordFormat(
        "pair", _pair, frozenset({*formats_pairs.ASKED, *formats_pairs.ANSWERED, *formats_pairs.CONTEXT}) | _SYSTEM
    ),
    RecordFormat("text", _plain, frozenset({"text", "context"})),
)


def format_of(keys: Keys) -> tuple[RecordFormat, Parser] | None:
    """The first format of the table that knows records with these keys, and its parser."""
    for known in FORMATS:
        parser = known.find(keys)
        if parser is not None:
            return known, parser
    return None


_FOR_WANT_OF_A_VALUE: Final = frozenset({"missing field", "empty text", "wrong type", "unknown format"})


@dataclass(slots=True)
class _Shape:
    """What is decided once per set of keys."""

    parse: Parser | None
    extras: tuple[str, ...]
    carried: bool
    renamed: dict[str, str] | None = None


@dataclass(slots=True)
class RecordReader:
    """Records of one file in, examples out; `variables` are those its texts hold, `values` what to put for them."""

    origin: Origin
    variables: Collection[str] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    _shapes: dict[tuple[str, ...], _Shape] = field(default_factory=dict)

    def read(self, record: Any, number: int) -> list[Example]:
        """The examples in `record`, the `number`-th of its file.

        Raises:
            Unfit: it has none.
        """
        if type(record) is not dict:
            raise Unfit("not an object", f"expected a JSON object, got {kind_of(record)}")
        keys = tuple(record)
        shape = self._shapes.get(keys) or self._shape(keys)
        if shape.renamed is not None:
            record = {shape.renamed.get(key, key): value for key, value in record.items()}
        if shape.parse is None:
            return self._without_nothing(record, number, _unknown(keys))
        try:
            drafts = shape.parse(record)
            if self.variables:
                fill(drafts, self.variables, self.values)
        except Unfit as unfit:
            return self._without_nothing(record, number, unfit)
        return self.origin.examples(drafts, record, number, shape.extras, shape.carried)

    def reject(self, unfit: Unfit, number: int | None) -> Reject:
        """The reject for the `number`-th record, or for the whole file."""
        return Reject(self.origin.location, unfit.reason, unfit.detail, line=number)

    def _without_nothing(self, record: dict[str, Any], number: int, unfit: Unfit) -> list[Example]:
        """A table gives every record all columns: where some are empty, those that are not decide on the format."""
        filled = {key: value for key, value in record.items() if value is not None and value != ""}
        if unfit.reason not in _FOR_WANT_OF_A_VALUE or not filled or len(filled) == len(record):
            raise unfit
        found, before = format_of(frozenset(filled)), format_of(frozenset(record))
        if found is None or (before is not None and before[0] is found[0]):
            raise unfit
        return self.read(filled, number)

    def _shape(self, keys: tuple[str, ...]) -> _Shape:
        found, renamed, known = format_of(frozenset(keys)), None, frozenset(keys)
        if found is None:
            renamed = {key: key.strip().lower().replace(" ", "_") for key in keys}
            known = frozenset(renamed.values())
            found = format_of(known)
            if found is None or len(known) != len(keys):
                found = renamed = None
        consumed = (found[0].keys if found else frozenset()) | CARRIED
        extras = tuple(sorted(known - consumed))
        shape = _Shape(found[1] if found else None, extras, bool(known & CARRIED), renamed)
        if len(self._shapes) < 1_000:
            self._shapes[keys] = shape
        return shape


def _unknown(keys: tuple[str, ...]) -> Unfit:
    shown = ", ".join(name_of(key) for key in keys[:8]) or "none"
    return Unfit(
        "unknown format", f"expected the keys of a known format, got {shown}{', …' if len(keys) > 8 else ''}"
    )
