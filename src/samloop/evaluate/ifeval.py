"""The instructions of IFEval (Zhou et al. 2023, arXiv 2311.07911) as checks of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from samloop.evaluate.checks import fault

Arguments = Mapping[str, Any]
Checks = list[dict[str, Any]]


def _relation(relation: Any, count: Any) -> dict[str, int]:
    """IFEval knows two relations: "at least" n, and "less than" n."""
    return {"at_least": int(count)} if relation == "at least" else {"at_most": int(count) - 1}


def _exactly(count: Any) -> dict[str, int]:
    return {"at_least": int(count), "at_most": int(count)}


_TO_CHECKS: Final[dict[str, Callable[[Arguments], Checks]]] = {
    "keywords:existence": lambda a: [{"check": "contains", "words": list(a["keywords"])}],
    "keywords:forbidden_words": lambda a: [
        {"check": "not_contains", "words": list(a["forbidden_words"]), "whole": True}
    ],
    "keywords:frequency": lambda a: [
        {"check": "keyword", "word": a["keyword"], **_relation(a["relation"], a["frequency"])}
    ],
    "keywords:letter_frequency": lambda a: [
        {"check": "letter", "letter": a["letter"], **_relation(a["let_relation"], a["let_frequency"])}
    ],
    "language:response_language": lambda a: [{"check": "language", "language": a["language"]}],
    "length_constraints:number_words": lambda a: [{"check": "words", **_relation(a["relation"], a["num_words"])}],
    "length_constraints:number_sentences": lambda a: [
        {"check": "sentences", **_relation(a["relation"], a["num_sentences"])}
    ],
    "length_constraints:number_paragraphs": lambda a: [
        {"check": "paragraphs", "split": "***", **_exactly(a["num_paragraphs"])}
    ],
    "length_constraints:nth_paragraph_first_word": lambda a: [
        {"check": "paragraphs", **_exactly(a["num_paragraphs"])},
        {"check": "paragraph_begins", "paragraph": int(a["nth_paragraph"]), "word": a["first_word"]},
    ],
    "detectable_content:number_placeholders": lambda a: [
        {"check": "placeholders", "at_least": int(a["num_placeholders"])}
    ],
    "detectable_content:postscript": lambda a: [{"check": "postscript", "mark": a["postscript_marker"]}],
    "detectable_format:number_bullet_lists": lambda a: [{"check": "bullets", **_exactly(a["num_bullets"])}],
    "detectable_format:constrained_response": lambda _: [
        {"check": "one_of", "texts": ["My answer is yes.", "My answer is no.", "My answer is maybe."]}
    ],
    "detectable_format:number_highlighted_sections": lambda a: [
        {"check": "highlights", "at_least": int(a["num_highlights"])}
    ],
    "detectable_format:multiple_sections": lambda a: [
        {"check": "sections", "mark": a["section_spliter"], "at_least": int(a["num_sections"])}
    ],
    "detectable_format:json_format": lambda _: [{"check": "json"}],
    "detectable_format:title": lambda _: [{"check": "title"}],
    "combination:two_responses": lambda _: [{"check": "two_answers"}],
    "combination:repeat_prompt": lambda a: [{"check": "starts_with", "text": a["prompt_to_repeat"]}],
    "startend:end_checker": lambda a: [{"check": "ends_with", "text": a["end_phrase"]}],
    "startend:quotation": lambda _: [{"check": "quotation"}],
    "change_case:capital_word_frequency": lambda a: [
        {"check": "capital_words", **_relation(a["capital_relation"], a["capital_frequency"])}
    ],
    "change_case:english_capital": lambda _: [{"check": "upper_case"}, {"check": "language", "language": "en"}],
    "change_case:english_lowercase": lambda _: [{"check": "lower_case"}, {"check": "language", "language": "en"}],
    "punctuation:no_comma": lambda _: [{"check": "not_contains", "words": [","]}],
}

INSTRUCTIONS: Final = tuple(sorted(_TO_CHECKS))
"""The ids of IFEval that we know: all twenty-five of the paper."""


def checks_of(instruction: str, arguments: Arguments) -> Checks | None:
    """The checks that stand for an instruction of IFEval, all of which have to hold; None where we do not know it.

    Args:
        instruction: its id, such as "punctuation:no_comma"; the "en:" that M-IFEval puts before it is let go.

    Raises:
        ValueError: its arguments are not those that it takes; what is wrong with them.
    """
    make = _TO_CHECKS.get(instruction.removeprefix("en:"))
    if make is None:
        return None
    try:
        checks = make(arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"expected the arguments of {instruction}, got none for {error}") from None
    if complaint := next(filter(None, map(fault, checks)), ""):
        raise ValueError(complaint)
    return checks
