"""The suite `code`: does the code that a model writes do what it shall?

Problems have the format of HumanEval (Chen et al., Evaluating Large Language Models Trained on Code, 2021,
arXiv 2107.03374): the head of a function with its docstring, and a test. The measure is pass@1 of the greedy answer:
the share of problems whose first answer passes its test. Code runs in the sandbox alone (`samloop.evaluate.trials`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.evaluate.answers import answer_texts
from samloop.evaluate.items import score_of
from samloop.evaluate.sandbox import check_sandbox
from samloop.evaluate.trials import Trial, run_trials
from samloop.protocols import Model, Score, suite

MAX_NEW_TOKENS: Final = 512
"""Bound on an answer: the longest of HumanEval's own solutions has fewer than 300 tokens."""

FENCE: Final = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
"""A fenced block of an answer; one that was cut off reaches to the end."""

_STOPS: Final = re.compile(r"^(?:class|def|#|if|print|@|```|assert)", re.MULTILINE)
"""What ends a completion: anything that begins a line and no longer belongs to the function (Chen et al. 2021)."""

_CODE_LINE: Final = re.compile(r"^(?:from \S+ import|import \S|def |async def |class |@\w)", re.MULTILINE)
_NO_BODY: Final = "\n    pass\n\n\n"


@suite("code")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The share of problems whose answer passes its test.

    Args:
        items: ``{"id", "messages": [the request], "prompt", "entry_point", "test"}``.

    Returns:
        ``code_pass``, a share; higher is better.

    Raises:
        SandboxError: there is no sandbox on this machine; nothing was run.
    """
    check_sandbox()  # before the model spends its time
    said = answer_texts(model, [item["messages"] for item in items], max_new_tokens=MAX_NEW_TOKENS)
    outcomes = run_trials([trial_of(item, answer) for item, answer in zip(items, said, strict=True)])
    return [score_of("code", "code_pass", items, [float(outcome.passed) for outcome in outcomes])]


def trial_of(item: Mapping[str, Any], answer: str) -> Trial:
    """The trial of `answer` to the problem `item`."""
    name, prompt = str(item["entry_point"]), str(item["prompt"])
    return Trial(test=str(item["test"]), programs=programs(prompt, name, answer), name=name, prompt=prompt)


def programs(prompt: str, name: str, answer: str) -> tuple[str, ...]:
    """The program that `answer` means, in several readings; the first that compiles is the one to run.

    A chat's answer holds the whole function, fenced or between prose; a base model goes on where the prompt ends. The
    prompt's imports and helpers stand before either. Nothing is compiled here: a hostile text can crash a compiler.
    """
    defines = re.compile(rf"^(?:async )?def {re.escape(name)}\b", re.MULTILINE)
    blocks = [text for _, text in FENCE.findall(answer)]
    whole = [text for text in blocks if defines.search(text)]
    if whole:
        helpers = [text for text in blocks if text in whole or _CODE_LINE.match(text.lstrip("\n"))]
        joined = "\n\n".join(helpers)  # helpers may stand in a block of their own
        return (f"{prompt}{_NO_BODY}{joined}", f"{prompt}{_NO_BODY}{whole[0]}", whole[0])
    if blocks:
        return (prompt + blocks[0], prompt + _indented(blocks[0]))
    if defines.search(answer):
        cut = _code_of(answer)
        return (f"{prompt}{_NO_BODY}{answer}", f"{prompt}{_NO_BODY}{cut}")
    # The outer spaces of an answer are cut, and with them the first line's indentation: it stops nothing.
    found = _STOPS.search(answer, answer.find("\n") + 1 or len(answer))
    body = answer[: found.start()] if found else answer
    return (prompt + _indented(body), prompt + "    " + body, prompt + body)


def _indented(body: str) -> str:
    """`body` as the body of a function: moved to the right where it begins at the margin."""
    lines = body.strip("\n").splitlines()
    if not lines or lines[0][:1].isspace():
        return body
    if any(line[:1].strip() for line in lines[1:]):
        return "".join(f"    {line}\n" for line in lines)
    # Only the first line lost its indentation.
    return "".join(f"{'    ' if at == 0 else ''}{line}\n" for at, line in enumerate(lines))


def _code_of(answer: str) -> str:
    """The lines of an unfenced answer from the first that is code to the last that is."""
    start = _CODE_LINE.search(answer)
    lines = answer[start.start() if start else 0 :].splitlines()
    kept = [at for at, line in enumerate(lines) if line[:1].isspace() or _CODE_LINE.match(line)]
    return "\n".join(lines[: kept[-1] + 1]) + "\n" if kept else answer
