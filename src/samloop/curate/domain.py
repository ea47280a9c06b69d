"""Domain and complexity of each example: the keyword floor of the contract, and a sum of plain measurements."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.curate.measure import all_characters, counts, equals, head, matches, turns

PROMPT_CHARACTERS: Final = 800
"""How much of the input decides on the domain: the task is asked at the beginning, pasted text follows it."""

_KEYWORDS: Final[dict[str, str]] = {
    "code": r"\b(?:codes?|coding|functions?|class(?:es)?|implement\w*|bugs?|debug\w*|error messages?"
    r"|exceptions?|compil\w+"
    r"|refactor\w*|scripts?|algorithms?|program(?:s|ming)?|regex|sql|query|api|html|css|json|python|javascript|typescript"
    r"|java|rust|golang|c\+\+|c#|php|ruby|swift|kotlin|bash|shell|git|commit|unit tests?|arrays?|variables?|method"
    r"|database|docker|kubernetes|react|django|flask)\b",
    "reasoning": r"\b(?:explain|why|how (?:do|does|did|can|would|many|much)|analy[sz]e|compare|contrast"
    r"|evaluate|reason\w*"
    r"|prove|solve|calculate|deduce|infer|difference between|pros and cons|what (?:happens|would happen) if"
    r"|step by step"
    r"|probability|equation)\b",
    "creative": r"\b(?:write (?:a|an|me|some) (?:\w+ )?(?:song|essay|blog|article|letter|email|speech|limerick"
    r"|joke|review"
    r"|post|dialogue|scene)|stor(?:y|ies)|tales?|poems?|poetry|haiku|lyrics|imagine|fiction\w*|creative|slogans?|tagline"
    r"|role-?play|pretend|act as|narrat\w+|metaphors?|compose|brainstorm)\b",
    "factual": r"\b(?:(?:what|who|when|where) (?:is|are|was|were)|who (?:invented|wrote)|(?:when|where) did"
    r"|which (?:country|year|city|of)|define|definition|capital of|meaning of|facts? about|list (?:the|all)"
    r"|name the)\b",
    "planning": r"\b(?:plan|plans|planning|schedul\w+|organi[sz]e|project|workflow|roadmap|itinerary"
    r"|milestones?|timeline"
    r"|to-?do|agenda|strategy|prioriti[sz]e|budget|checklist|goals?)\b",
    "conversation": r"^[^a-z]{0,3}(?:hi|hello|hey|thanks|thank you|good (?:morning|evening|afternoon|night)"
    r"|how are you|bye"
    r"|goodbye|what['’]?s up|nice to meet you|ok(?:ay)?|who are you|what['’]?s your name|tell me about yourself)\b",
}
"""Keyword classes of the contract, in lower case, in the order that decides between equal counts."""

_WEIGHT: Final = {"conversation": 2}
_CODE_TEXT: Final = (
    r"```|(?m:^[ \t]*(?:def |class \w+[(:]|import \w|from \w+ import |#include|public (?:class|static)|function \w*\("
    r"|(?:const|let|var) \w+ =|fn \w+\(|SELECT .* FROM |<!DOCTYPE|<html|#!/))"
)
_CODE_SOURCES: Final = ("git_commits", "code_patterns")
_PROGRAMMING: Final = (
    "python rust javascript typescript vue swift bash shell java go c c++ c# php ruby kotlin sql html css"
)
_CONSTRAINT: Final = (
    r"\b(?:must|should|exactly|at (?:least|most)|no (?:more|less) than|only|without|ensure|make sure|do not"
    r"|don['’]t|never"
    r"|avoid|limited to|between [0-9]+ and|in [0-9]+ words|include|format|constraint)\b"
)
_STRUCTURE: Final = r"(?m:^[ \t]*(?:[-*•] |[0-9]{1,2}[.)] |#{1,5} |\|))"


def classified(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Domain (names) and complexity (integers) of each example."""
    asked = pc.utf8_lower(head(batch.column("input_text"), PROMPT_CHARACTERS))
    code = _is_code(batch)
    return _domains(asked, code), _complexities(batch, asked, code)


def _domains(asked: pa.Array, code: np.ndarray) -> np.ndarray:
    """The class with most keyword hits at the beginning of the input; no hit is "general".

    Code in the answer or the input, a programming language or a source of code decides for "code".
    """
    votes = np.stack([counts(asked, pattern) * _WEIGHT.get(name, 1) for name, pattern in _KEYWORDS.items()])
    names: np.ndarray = np.array([*_KEYWORDS, "general"])
    best = np.where(votes.max(axis=0) > 0, votes.argmax(axis=0), len(_KEYWORDS))
    best[code] = 0
    chosen: np.ndarray = names[best]
    return chosen


def _is_code(batch: pa.RecordBatch) -> np.ndarray:
    found = matches(batch.column("output_text"), _CODE_TEXT)
    found |= matches(batch.column("input_text"), _CODE_TEXT)
    found |= equals(batch.column("source"), _CODE_SOURCES)
    language = batch.column("language")
    if language.null_count < len(language):
        found |= equals(pc.utf8_lower(language), _PROGRAMMING.split())
    return found


def _complexities(batch: pa.RecordBatch, asked: pa.Array, code: np.ndarray) -> np.ndarray:
    """1 to 10, one point each for

    length over 400, 1,500 and 5,000 characters; three and ten lines of structure (lists, headings, tables); code;
    one and three constraints in the prompt; two and six earlier turns.
    """
    structure, constraints, earlier = (
        counts(batch.column("output_text"), _STRUCTURE),
        counts(asked, _CONSTRAINT),
        turns(batch),
    )
    measured = (
        (all_characters(batch), (401, 1501, 5001)),
        (structure, (3, 10)),
        (constraints, (1, 3)),
        (earlier, (2, 6)),
    )
    points: np.ndarray = 1 + code.astype(np.int64)
    for column, bounds in measured:
        points += np.searchsorted(bounds, column, side="right")
    return np.asarray(np.minimum(points, 10))
