"""The suite `own`: a user's questions, each with checks that its answer has to pass.

Checks are those of `samloop.evaluate.checks`, and two that take more than the answer's text: ``python`` runs a test
in the sandbox, ``choice`` asks the model which of some labels it finds likeliest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from samloop.evaluate.answers import answer_texts
from samloop.evaluate.checks import fault, holds, options_fault
from samloop.evaluate.code import programs
from samloop.evaluate.items import label_nats, score_of
from samloop.evaluate.sandbox import check_sandbox
from samloop.evaluate.trials import Trial, run_trials
from samloop.protocols import Model, Score, suite

MAX_NEW_TOKENS: Final = 512
"""Bound on an answer."""


def python_trial(answer: str, *, test: str, function: str = "", prompt: str = "") -> Trial:
    """The trial that the check ``python`` asks for.

    Args:
        test: Python source that raises where it is not content; it finds the answer's text as `answer`.
        function: a function that the code in the answer has to define, which the test may call.
        prompt: source that stands before that code, such as imports.
    """
    code = programs(prompt, function, answer) if function else ()
    return Trial(test=test, programs=code, name=function, prompt=prompt, values={"answer": answer})


def choice_options(answer: str, *, labels: list[str], right: str) -> None:
    """What the check ``choice`` takes: the labels among which the model chooses, and the right one."""


SPECIAL: Final[dict[str, Callable[..., Any]]] = {"python": python_trial, "choice": choice_options}
"""The checks that are no plain function of the answer."""


def check_fault(check: Any) -> str:
    """What is wrong with a check of a user's suite, as "expected …, got …"; "" where it can be used."""
    name = check.get("check") if isinstance(check, dict) else None
    if name not in SPECIAL:
        return fault(check)
    options = {key: value for key, value in check.items() if key != "check"}
    if wrong := options_fault(name, options, SPECIAL[name]):
        return wrong
    if name == "choice" and options["right"] not in options["labels"]:
        return f"expected 'right' to be one of the labels, got '{options['right']}'"
    return ""


@suite("own")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """By file the share of questions whose answers pass all their checks, and the share of all checks.

    Args:
        items: ``{"id", "file", "messages", "checks": [check]}``.

    Returns:
        ``<file>`` and ``<file>_checks`` for each file, without its ending; shares, higher is better.

    Raises:
        SandboxError: a check runs code, and there is no sandbox on this machine; nothing was run.
    """
    kinds = {check["check"] for item in items for check in item["checks"]}
    if "python" in kinds:
        check_sandbox()
    written = [at for at, item in enumerate(items) if any(c["check"] != "choice" for c in item["checks"])]
    answers = answer_texts(model, [items[at]["messages"] for at in written], max_new_tokens=MAX_NEW_TOKENS)
    said = dict(zip(written, answers, strict=True))
    special = {**_run(items, said), **_choose(model, items)}
    passed = [
        [
            special[at, place] if check["check"] in SPECIAL else float(holds(check, said[at]))
            for place, check in enumerate(item["checks"])
        ]
        for at, item in enumerate(items)
    ]
    scores = []
    for name in dict.fromkeys(str(item["file"]) for item in items):
        of_it = [at for at, item in enumerate(items) if item["file"] == name]
        mine = [items[at] for at in of_it]
        whole = [math.prod(passed[at]) for at in of_it]  # NaN where a check is
        scores.append(_score(name, mine, whole, [1.0] * len(mine)))
        sizes = [float(len(passed[at])) for at in of_it]
        scores.append(_score(f"{name}_checks", mine, [sum(passed[at]) for at in of_it], sizes))
    return scores


def _places(items: Sequence[Mapping[str, Any]], kind: str) -> list[tuple[int, int, Mapping[str, Any]]]:
    """Where checks of a kind stand: the item's number, the check's, and what it takes."""
    return [
        (at, place, {key: value for key, value in check.items() if key != "check"})
        for at, item in enumerate(items)
        for place, check in enumerate(item["checks"])
        if check["check"] == kind
    ]


def _run(items: Sequence[Mapping[str, Any]], said: Mapping[int, str]) -> dict[tuple[int, int], float]:
    places = _places(items, "python")
    outcomes = run_trials([python_trial(said[at], **options) for at, _, options in places])
    return {(at, place): float(one.passed) for (at, place, _), one in zip(places, outcomes, strict=True)}


def _choose(model: Model, items: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], float]:
    """1 where the right label alone is the likeliest answer, as in `samloop.evaluate.routing`."""
    places = _places(items, "choice")
    found = {}
    nats = label_nats(model, [(items[at]["messages"], options["labels"]) for at, _, options in places])
    for (at, place, options), by_label in zip(places, nats, strict=True):
        best = [label for label, value in by_label.items() if value == min(by_label.values())]
        finite = all(map(math.isfinite, by_label.values()))
        found[at, place] = float(best == [options["right"]]) if finite else math.nan
    return found


def _score(
    name: str, items: Sequence[Mapping[str, Any]], numerators: Sequence[float], denominators: Sequence[float]
) -> Score:
    return score_of("own", name, items, numerators, denominators)
