"""The shapes that rooms and plug-ins share: what a source, a rule, a backend, a suite and a teacher look like.

Plain data and protocols, and what stands in where a plug-in lacks a newer method. Two rooms on one floor that speak
of the same thing find its shape here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, runtime_checkable

from samloop.example import Example, Message
from samloop.teacher.answer import Answer as Answer  # a teacher's room lies below, and others' plug-ins name it here

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from samloop.text.tokens import Tokenizer

F = TypeVar("F", bound=Callable[..., Any])

# --- sources -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that a source read and turned away, with the reason a person can act on.

    `detail` never holds the record's text, only what was measured.
    """

    location: str
    reason: str
    detail: str = ""
    line: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A watermark: all that came before it is complete.

    It is stored in the same transaction as the examples before it and handed back as `since` next time. `value` is
    plain JSON and means something to its source alone.
    """

    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An answer that turned out not to be one to learn: stored examples that give it to this question are rejected.

    Only what was taken in without a person's review is withdrawn, and preferences never: there it may be the worse
    answer. It is no record of its own, so that it is not counted as read.

    Attributes:
        reason: one phrase that a person reads.
        history: the turns before the question, where they are known.
        group_key: of the conversation, where that is known: then the turns before need not be.
    """

    input_text: str
    output_text: str
    reason: str
    history: tuple[Message, ...] = ()
    group_key: str | None = None


Record = Example | Reject | Mark | Withdrawal


SHALL_LOOK: Final = "a person shall look: "
"""What the reason of an example begins with that a source wants to be seen by a person first: accepted by the rules,
it waits in review. A source sets `Example.state` to "review" and this reason; it can set nothing better."""


class RowReader(Protocol):
    """Reads what was captured live, for the sources that ask for ``rows``.

    Rows of the table "captures" or "feedback" whose "number" lies above `after`, in the order of their numbers, each
    a plain mapping by column; "messages" and "metadata" as plain data. All texts are redacted.
    """

    def __call__(self, table: str, after: int = 0) -> Iterator[Mapping[str, Any]]: ...


class Source(Protocol):
    """Yields the examples found at `location` that came after `since`.

    A source is a generator function, marked with `source(name)`. Keyword-only parameters are its options in the
    recipe, but for those in `given`, which the loop hands in. It holds no state: what it needs to go on, it yields as
    a `Mark`.

    Raises:
        SourceError: the location cannot be read as this kind of source; nothing was yielded.
    """

    source_name: str

    def __call__(self, location: str, since: Mapping[str, Any] | None, **options: Any) -> Iterator[Record]: ...


def source(
    name: str,
    *,
    needs_location: bool = False,
    in_parts: bool = False,
    yields: tuple[str, ...] = (),
    given: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Mark a generator function as the source called `name` (the value of `Example.source` it yields).

    Args:
        needs_location: it reads nothing without one, so that a call without is refused before it starts.
        in_parts: the report counts per file or table: what stands under ``dataset`` in the metadata of examples, and
            what follows the location in that of rejects.
        yields: other sources in whose names it speaks, because it brings their examples from elsewhere.
        given: keyword-only parameters that the loop hands in, and that no recipe can set: "rows", a `RowReader`;
            "ask", the recipe's `Teacher` where the source's option `ask_teacher` is set, None where it names none.
    """

    def mark(function: F) -> F:
        function.source_name = name  # type: ignore[attr-defined]
        function.needs_location = needs_location  # type: ignore[attr-defined]
        function.in_parts, function.yields = in_parts, yields  # type: ignore[attr-defined]
        function.given = given  # type: ignore[attr-defined]
        return function

    return mark


# --- rules -------------------------------------------------------------------------------------------------------

Outcome = Literal["flag", "reject"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found in a batch of n examples.

    Attributes:
        hit: boolean array of length n, without nulls: where the rule fired.
        measure: float64 array of length n: what was measured, in the unit the rule's docstring names.
    """

    hit: pa.BooleanArray
    measure: pa.DoubleArray


class Rule(Protocol):
    """A named check on a batch of examples: Arrow arrays in, Arrow arrays out.

    Keyword-only parameters are its options in the recipe, e.g. a threshold.
    """

    rule_name: str
    outcome: Outcome
    reason: str
    doubt: bool

    def __call__(self, batch: pa.RecordBatch, **options: Any) -> Finding: ...


def rule(name: str, *, outcome: Outcome, reason: str, doubt: bool = False) -> Callable[[F], F]:
    """Mark a function as the rule called `name`.

    Args:
        name: the rule's name in flags, logs and the recipe.
        outcome: what a hit means: the example is flagged, or rejected.
        reason: one phrase that a person reads, e.g. "input is empty".
        doubt: a hit sends the example to review instead of lowering its score alone.
    """

    def mark(function: F) -> F:
        function.rule_name, function.outcome = name, outcome  # type: ignore[attr-defined]
        function.reason, function.doubt = reason, doubt  # type: ignore[attr-defined]
        return function

    return mark


# --- training backends -------------------------------------------------------------------------------------------


@runtime_checkable
class Model(Protocol):
    """A loaded base model that can answer with, or without, an adapter.

    Adapters named at loading share one copy of the base weights; `use` switches between them in milliseconds.
    """

    tokenizer: Tokenizer

    def use(self, adapter: str | None) -> None:
        """Answer with the adapter of that name from now on; None is the bare base."""

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Log-probability, in nats, of each token given those before it.

        Args:
            sequences: token ids; each of length ≥ 1, any lengths.

        Returns:
            one float32 array per sequence, of its length minus one: entry t belongs to token t + 1.
        """

    def generate(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[int]:
        """Token ids one by one, until the end-of-turn token (not yielded) or `max_new_tokens`."""


@runtime_checkable
class BatchedModel(Model, Protocol):
    """A model that answers many prompts at once, and scores answers alone.

    One that lacks this is asked in the ways of `Model`; see `generate_many` and `logprobs_of` below.
    """

    def logprobs_of(self, sequences: Sequence[Sequence[int]], wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `logprobs`, for some tokens alone: the output head, dear with a large vocabulary, runs for these only.

        Args:
            wanted: for each sequence bool of its length, True on the tokens that count; the first never does.

        Returns:
            one float32 array per sequence, of as many values as tokens count, in their order.
        """

    def generate_many(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[list[int]]:
        """For each prompt, in their order, the tokens that `generate` yields for it at temperature 0.

        Arithmetic in batches rounds differently: two tokens that are equally likely up to rounding may change places.
        """


def logprobs_of(model: Model, sequences: Sequence[Sequence[int]], wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Log-probabilities of the wanted tokens, and of no others where the model knows how."""
    if isinstance(model, BatchedModel):
        return model.logprobs_of(sequences, wanted)
    return [found[chosen[1:]] for found, chosen in zip(model.logprobs(sequences), wanted, strict=True)]


def generate_many(model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[list[int]]:
    """The likeliest answer to each prompt, in batches where the model knows how."""
    if isinstance(model, BatchedModel):
        return model.generate_many(prompts, max_new_tokens=max_new_tokens)
    return [list(model.generate(prompt, max_new_tokens=max_new_tokens)) for prompt in prompts]


# --- evaluation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One measure of one model on a list of items: a ratio of sums, kept per item for pairwise comparison.

    The value is Σ numerators / Σ denominators, and its exponential where `exponential` (perplexity: nats over
    tokens). A plain mean has ones as denominators. Items with the same entry in `groups` (one conversation, one
    wording) are not independent: intervals resample them together. Empty: each item is a group of its own.
    `said` is what the model answered to each item, where the suite read it, for people who look at the worst.
    """

    suite: str
    name: str
    unit: str
    better: Literal["higher", "lower"]
    ids: tuple[str, ...]
    numerators: tuple[float, ...]
    denominators: tuple[float, ...]
    groups: tuple[str, ...] = ()
    exponential: bool = False
    said: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """The value over all items; NaN where there is none."""
        total = sum(self.denominators)
        if not total:
            return math.nan
        ratio = sum(self.numerators) / total
        return math.exp(min(ratio, 700.0)) if self.exponential else ratio

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Score:
        """The inverse of `to_dict`."""
        values = dict(plain)
        for name in ("numerators", "denominators"):
            values[name] = tuple(math.nan if value is None else value for value in values[name])
        for name in ("ids", "groups", "said"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its two-sided bootstrap confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two models on the same items: the paired difference, signed so that positive means the challenger is better.

    `groups` counts what is independent among the items, and `error` is the gain's standard error over them.
    `worse_chance` is how likely so good a result were if the challenger were no better: the larger, the more doubt;
    1 where a figure is not finite.
    """

    suite: str
    name: str
    unit: str
    better: Literal["higher", "lower"]
    items: int
    groups: int
    champion: Interval
    challenger: Interval
    gain: Interval
    worse_chance: float
    error: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Comparison:
        """The inverse of `to_dict`."""
        values = dict(plain)
        for name in ("champion", "challenger", "gain"):
            values[name] = Interval(**{k: math.nan if v is None else v for k, v in values[name].items()})
        values["error"] = math.nan if values.get("error") is None else values["error"]
        return cls(**values)


class Suite(Protocol):
    """Grades a model on items (plain JSON objects, each with an "id"); one or more scores per suite."""

    suite_name: str

    def __call__(self, model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]: ...


def suite(name: str, *, answers: bool = False) -> Callable[[F], F]:
    """Mark a function as the evaluation suite called `name`.

    Args:
        answers: it has items answered in full, which takes long: it gets at most ``evaluate.max_answers``.
    """

    def mark(function: F) -> F:
        function.suite_name, function.answers = name, answers  # type: ignore[attr-defined]
        return function

    return mark


# --- teachers ----------------------------------------------------------------------------------------------------


class Teacher(Protocol):
    """A stronger model: messages in, one answer out. One with a parameter `settings` gets the recipe's [teacher]."""

    def __call__(self, messages: Sequence[Message]) -> Answer: ...


# --- child processes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRef:
    """An adapter on disk and the name to use it by.

    `quantise` is how the base it was trained on was held, and has to be held for it: ``none``, or a backend's form.
    """

    name: str
    path: Path
    quantise: str = "none"
