"""Parsers of records that hold something asked and its answer: Alpaca, question/answer, completions, text, code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from samloop.example import Message
from samloop.sources.conversation import conversation, messages_of
from samloop.sources.drafts import Draft, Json, Unfit, answer_of, digest_of, kind_of, optional_text, text_of
from samloop.sources.formats_text import continuation, dialogue_in

ASKED: Final = (
    "instruction",
    "question",
    "query",
    "problem",
    "prompt",
    "input_text",
    "inputs",
    "input",
    "human",
    "user",
)
ANSWERED: Final = (
    "output",
    "response",
    "completion",
    "answer",
    "answers",
    "output_text",
    "solution",
    "targets",
    "target",
    "assistant",
)
CONTEXT: Final = ("context", "input", "passage")
NO_INPUT: Final = frozenset({"<noinput>", "<no input>", "no input", "noinput", "n/a", "nan", "none", "null"})
"""What generators of instruction sets wrote where there was no input; it teaches nothing."""

PASSAGE_CHARACTERS: Final = 200
"""A context of this length is a passage that several records may share: they must not straddle a split."""

_CALCULATION = re.compile(r"<<[0-9+\-*/=.,()% ]*>>")


def pair_keys(keys: frozenset[str]) -> tuple[str, str, str | None] | None:
    """The keys of the question, the answer and the context among `keys`; None where there is no such pair."""
    asked = next((key for key in ASKED if key in keys), None)
    answered = next((key for key in ANSWERED if key in keys), None)
    if asked is None or answered is None:
        return None
    return asked, answered, next((key for key in CONTEXT if key in keys and key != asked), None)


def pair_parser(asked: str, answered: str, context_key: str | None) -> Callable[[Json], list[Draft]]:
    """A parser of records that hold a question under `asked` and its answer under `answered`."""
    format_ = "completion" if (asked, answered) == ("prompt", "completion") else "instruction"

    def parse(record: Json) -> list[Draft]:
        question, answer = record.get(asked), record.get(answered)
        if type(question) is list:
            return _conversational(record, asked, answered)
        draft = Draft(format_, text_of(question, asked), answer_of(_first_answer(answer), answered))  # type: ignore[arg-type]
        context = optional_text(record.get(context_key), context_key) if context_key else None
        if context and context.strip().lower() not in NO_INPUT:
            draft.context = context
            if len(context) >= PASSAGE_CHARACTERS:
                draft.group = f"passage:{digest_of(context)}"
        if system := record.get("system") or record.get("system_prompt"):
            draft.system_prompt = optional_text(system, "system")
        if history := record.get("history"):
            draft.history = _history(history)
        if "\n#### " in draft.output_text:
            draft.output_text = _CALCULATION.sub("", draft.output_text)
        return [draft]

    return parse


def _first_answer(answer: Any) -> Any:
    """The answer itself; the first of several alternatives, as SQuAD and TriviaQA list them."""
    if isinstance(answer, dict) and "text" in answer:
        answer = answer["text"]
    if isinstance(answer, list):
        if not answer:
            raise Unfit("no answer", "the list of answers is empty")
        answer = answer[0]
    return answer


def _conversational(record: Json, asked: str, answered: str) -> list[Draft]:
    answer = record[answered]
    turns = messages_of(answer, answered) if isinstance(answer, list) else None
    if turns is None:
        turns = [{"role": "assistant", "content": answer_of(answer, answered)}]
    drafts = conversation([*messages_of(record[asked], asked), *turns], context=record.get("context"))
    for draft in drafts:
        draft.format = "completion"
    return drafts


def _history(history: Any) -> list[Message]:
    """Alpaca's [[question, answer], …], or a list of messages."""
    if not isinstance(history, list):
        raise Unfit("wrong type", f"expected 'history' to be a list, got {kind_of(history)}")
    if all(isinstance(turn, dict) for turn in history):
        return messages_of(history, "history")
    turns: list[Message] = []
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Unfit("wrong type", f"expected 'history' to hold [question, answer] pairs, got {kind_of(pair)}")
        turns.append({"role": "user", "content": text_of(pair[0], "history")})
        turns.append({"role": "assistant", "content": text_of(pair[1], "history")})
    return turns


def parse_instances(record: Json) -> list[Draft]:
    """Self-instruct's tasks: one instruction with several inputs, which stay on one side of a split."""
    instances = record["instances"]
    if not isinstance(instances, list) or not instances:
        raise Unfit("missing field", "expected 'instances' to be a list with at least one instance")
    instruction, drafts = text_of(record.get("instruction"), "instruction"), []
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise Unfit("wrong type", f"expected each instance to be an object, got {kind_of(instance)}")
        context = optional_text(instance.get("input"), "input")
        draft = Draft("instruction", instruction, answer_of(instance.get("output"), "output"), context=context)
        draft.group = f"task:{digest_of(instruction)}"
        draft.part = f"instance {index + 1}" if len(instances) > 1 else None
        drafts.append(draft)
    return drafts


def parse_text(record: Json) -> list[Draft]:
    """A rendered conversation told as its messages; any other text as a beginning and its continuation."""
    text = answer_of(record["text"], "text")
    context = optional_text(record.get("context"), "context")
    if messages := dialogue_in(text):
        drafts = conversation(messages)
        for draft in drafts:
            draft.format, draft.context = "completion", context
        return drafts
    beginning, rest = continuation(text)
    return [Draft("completion", beginning, rest, context=context)]


CODE: Final = ("code", "func_code_string", "whole_func_string", "original_string")
DOCSTRING: Final = ("docstring", "func_documentation_string")


def code_keys(keys: frozenset[str]) -> tuple[str, str] | None:
    """The keys of the code and of its docstring among `keys`."""
    code = next((key for key in CODE if key in keys), None)
    docstring = next((key for key in DOCSTRING if key in keys), None)
    return (code, docstring) if code and docstring else None


def code_parser(code_key: str, docstring_key: str) -> Callable[[Json], list[Draft]]:
    """A parser of functions with their docstring: what it should do is asked, the code is the answer."""

    def parse(record: Json) -> list[Draft]:
        docstring = text_of(record.get(docstring_key), docstring_key).strip()
        code = answer_of(record.get(code_key), code_key)
        language = optional_text(record.get("language"), "language")
        name = optional_text(record.get("func_name") or record.get("name"), "func_name")
        what = f"{language.capitalize()} function" if language else "function"
        asked = f"Write the {what} `{name.rpartition('.')[2]}`." if name else f"Write a {what}."
        repository = optional_text(record.get("repo") or record.get("repository_name"), "repo")
        path = optional_text(record.get("path") or record.get("func_path_in_repository"), "path")
        group = f"{repository}:{path}" if repository and path else None
        return [Draft("instruction", f"{asked}\n\n{docstring}", code, group=group, language=language)]

    return parse
