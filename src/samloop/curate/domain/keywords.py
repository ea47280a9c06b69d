"""The keyword floor of the contract: the class with most hits at the beginning of a request."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.measure import counts

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


def told(asked: pa.Array) -> np.ndarray:
    """The class with most keyword hits in each text; no hit is "general"."""
    votes = np.stack([counts(asked, pattern) * _WEIGHT.get(name, 1) for name, pattern in _KEYWORDS.items()])
    names: np.ndarray = np.array([*_KEYWORDS, "general"])
    best = np.where(votes.max(axis=0) > 0, votes.argmax(axis=0), len(_KEYWORDS))
    chosen: np.ndarray = names[best]
    return chosen


def why(asked: str, domain: str) -> str:
    """The keywords that speak for `domain` in a text, in a line."""
    if domain not in _KEYWORDS:
        return "no keyword of another domain"
    found = dict.fromkeys(hit[0].strip() for hit in re.finditer(_KEYWORDS[domain], asked, re.ASCII))
    return "keywords: " + ", ".join(f"“{word}”" for word in found)
