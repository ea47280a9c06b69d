"""The suite `lm-eval`: public benchmarks as lm-evaluation-harness defines them (Gao et al., A framework for few-shot
language model evaluation, doi 10.5281/zenodo.12608602), run on our own loaded model.

The harness asks for the log-probability of continuations and for generated text; `as_lm` answers both with a `Model`.
Tasks are the harness's YAML files with data beside them; nothing is downloaded, and tasks that would run a model's
code are refused: they have no sandbox there.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.errors import InputError, MissingExtraError
from samloop.protocols import Model, Score, suite

MAX_NEW_TOKENS: Final = 256
"""Bound on an answer where a task names none; the harness's own default."""

_OFFLINE: Final = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")


@suite("lm-eval")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The measures of each task, per document of it.

    Args:
        items: ``{"id", "task": name, "folder": where its YAML lies, "documents": at most so many}``.

    Returns:
        ``<task>_<measure>`` for every measure that gives one number per document, such as ``arithmetic_acc``.

    Raises:
        MissingExtraError: lm-evaluation-harness is not installed.
        InputError: a task is not known or cannot be run.
    """
    for name in _OFFLINE:
        os.environ.setdefault(name, "1")
    evaluator, tasks = _harness("evaluator"), _harness("tasks")
    lm = as_lm(model)
    scores: list[Score] = []
    for item in items:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        try:
            found = evaluator.simple_evaluate(
                model=lm,
                tasks=[item["task"]],
                task_manager=tasks.TaskManager(include_path=item["folder"] or None, verbosity="ERROR"),
                limit=item["documents"],
                bootstrap_iters=0,
                log_samples=True,
            )
        except Exception as error:  # the harness raises whatever its tasks do
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise InputError(
                f"expected a task '{item['task']}' that lm-evaluation-harness can run offline, got {what}; mend "
                "the task or take it out of evaluate.lm_eval_tasks"
            ) from error
        scores += _scores(str(item["task"]), found)
    return scores


def _scores(task: str, found: Mapping[str, Any]) -> list[Score]:
    """The harness's samples as scores, in the order of the documents."""
    scores = []
    for name, samples in found["samples"].items():
        ordered = sorted(samples, key=lambda sample: (str(sample.get("filter")), sample["doc_id"]))
        for measure in ordered[0]["metrics"] if ordered else ():
            values = [sample.get(measure) for sample in ordered]
            if not all(isinstance(value, int | float) for value in values):
                continue  # a pair of sums, as of perplexity, is no value per document
            higher = found["higher_is_better"].get(name, {}).get(measure, True)
            share = all(0.0 <= float(value) <= 1.0 for value in values)
            scores.append(
                Score(
                    suite="lm-eval",
                    name=f"{name}_{measure}",
                    unit="share" if share else measure,
                    better="higher" if higher else "lower",
                    ids=tuple(f"{task}/{sample.get('filter', 'none')}/{sample['doc_id']}" for sample in ordered),
                    numerators=tuple(float(value) for value in values),
                    denominators=(1.0,) * len(values),
                    groups=tuple(f"{name}/{sample['doc_id']}" for sample in ordered),
                )
            )
    return scores


def _harness(part: str) -> Any:
    try:
        return importlib.import_module(f"lm_eval.{part}")
    except ImportError as error:
        raise MissingExtraError("lm-eval", "running public benchmarks") from error


def as_lm(model: Model) -> Any:
    """`model` as an ``lm_eval.api.model.LM``, for ``lm_eval.simple_evaluate``.

    Raises:
        MissingExtraError: lm-evaluation-harness is not installed.
    """
    base: Any = _harness("api.model").LM

    class SamloopLM(base):  # type: ignore[misc]
        """What the harness asks, answered by a `Model`."""

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return continuations(model, [request.args for request in requests])

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return [nats for nats, _ in continuations(model, [("", request.args[0]) for request in requests], False)]

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return [until(model, *request.args) for request in requests]

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            return model.tokenizer.render(chat_history, add_generation_prompt)

        @property
        def tokenizer_name(self) -> str:
            return "samloop"

    return SamloopLM()


def continuations(model: Model, pairs: Sequence[tuple[str, str]], greedy: bool = True) -> list[tuple[float, bool]]:
    """The log-probability, in nats, of each continuation after its context, and whether the model would say it.

    Context and continuation are tokenised together, spaces at the end of the context belonging to what follows, as
    the harness's own models do. Without context the end-of-text token stands before. All go to the model in one call.

    Args:
        greedy: whether to find out what the model would say; without, the second value is False.
    """
    encoded = [_encoded(model, context, continuation) for context, continuation in pairs]
    found = model.logprobs([[*context, *rest] for context, rest in encoded])
    answers = []
    for (context, rest), logprobs in zip(encoded, found, strict=True):
        own = logprobs[len(logprobs) - len(rest) :] if rest else logprobs[:0]
        answers.append((float(own.sum(dtype="float64")), greedy and _is_greedy(model, context, rest, own)))
    return answers


def _encoded(model: Model, context: str, continuation: str) -> tuple[list[int], list[int]]:
    kept = context.rstrip()
    whole = model.tokenizer.encode_rendered(context + continuation)
    if not kept:
        return [model.tokenizer.pad_id], whole
    head = model.tokenizer.encode_rendered(kept)
    return head, whole[len(head) :]


def _is_greedy(model: Model, context: list[int], rest: list[int], logprobs: Any) -> bool:
    """Whether the model would go on with exactly `rest`: surely, where each token has more than half of the chance;
    else it is asked, and stopped at the first token that differs."""
    if all(value > -math.log(2) for value in logprobs):
        return True
    said = model.generate(context, max_new_tokens=len(rest))
    return all(next(said, None) == token for token in rest)


def until(model: Model, context: str, options: Mapping[str, Any]) -> str:
    """What the model goes on with, up to the first of ``until`` (which is cut off) or the end of its turn."""
    stops = options.get("until") or []
    stops = [stops] if isinstance(stops, str) else [stop for stop in stops if stop]
    bound = int(options.get("max_gen_toks") or options.get("max_new_tokens") or MAX_NEW_TOKENS)
    temperature = float(options.get("temperature") or 0.0) if options.get("do_sample") else 0.0
    bounds: dict[str, Any] = {"max_new_tokens": bound, "temperature": temperature}
    ids: list[int] = []
    text = ""
    for token in model.generate(model.tokenizer.encode_rendered(context), **bounds):
        ids.append(token)
        text = model.tokenizer.decode(ids)
        if any(stop in text for stop in stops):
            break
    ends = [text.index(stop) for stop in stops if stop in text]
    return text[: min(ends)] if ends else text
