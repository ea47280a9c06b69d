"""Expressions that several rules look for in answers and requests, all of them in one pass.

An RE2 expression takes about as long to pass over a text as six of them together. What is here is rare, or found
where it is by its first characters, so that one pass for all leaves few answers to look at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.measure import once_per_batch, texts_of
from samloop.text.watch import Watch

CODE: Final = (
    r"```|(?m:^[ \t]*(?:def |class \w+[(:]|import \w|from \w+ import |#include|public (?:class|static)|function \w*\("
    r"|(?:const|let|var) \w+ =|fn \w+\(|SELECT .* FROM |<!DOCTYPE|<html|#!/))"
)
"""Lines that begin as code does, and fences."""

STRUCTURE: Final = r"(?m:^[ \t]*(?:[-*•] |[0-9]{1,2}[.)] |#{1,5} |\|))"
"""Lines of lists, headings and tables."""

OUTDATED: Final = (
    r"(?i)\b(?:knowledge cut-?off|training (?:data )?cut-?off|my training data|as of my last (?:update|training"
    r"|knowledge)"
    r"|as of (?:early |mid-?|late )?20[01][0-9]\b|my (?:last|latest) (?:knowledge )?update"
    r"|i (?:do not|don['’]t) have (?:access to )?(?:real-?time|current|up-to-date) (?:data|information))"
)
"""An answer that speaks of its own date."""

UNSUPPORTED: Final = (
    r"(?i)\b(?:(?:studies|research|experts?|scientists|surveys|statistics) (?:have |has )?(?:shown?|shows"
    r"|prove[sn]?|agree"
    r"|found|confirm(?:ed|s)?) (?:that )?|according to (?:a |some |several |many |recent |the latest )+"
    r"(?:stud(?:y|ies)|experts?|research|surveys?|reports?)\b|\[(?:citation needed|insert [a-z ]{1,40}|source)\]"
    r"|i (?:just |have just |['’]ve just )?(?:checked|looked (?:it )?up|searched|browsed|visited) (?:the |your )?"
    r"(?:web|internet|online|website|site)\b|i have personally|in my (?:own )?years of experience)"
)
"""Nameless authority, acts a text model cannot have done, gaps left for a source."""

_EXPRESSIONS: Final = (CODE, STRUCTURE, OUTDATED, UNSUPPORTED)
_WATCH: Final = Watch(_EXPRESSIONS)


OTHER_LANGUAGE: Final = (
    r"(?i)translat|\b(?:in|into|to|en) (?:french|german|spanish|italian|portuguese|dutch|chinese|japanese|korean"
    r"|russian|arabic|hindi)\b"
)
PERSONAL: Final = (
    r"(?i)\b(?:are|were|have) you\b|\byou (?:are|were)\b"
    r"|\byour (?:name|creators?|makers?|developers?|purpose|model)\b"
    r"|\b(?:introduce|describe) yourself\b|\bdo you (?:call|use|run)\b"
    r"|\bwho (?:built|made|created|trained|developed|owns)\b"
)
"""Requests whose answers share no words with them: translations, and questions about the assistant."""

_ASKED: Final = Watch((OTHER_LANGUAGE, PERSONAL))


@once_per_batch
def shares_no_words(batch: pa.RecordBatch) -> np.ndarray:
    """Boolean column: whether a translation or the assistant is asked for. Not to be changed."""
    return seen(_ASKED, texts_of(batch, "input_text"))


def seen(watch: Watch, texts: Sequence[str]) -> np.ndarray:
    """Boolean column: whether one of the expressions of `watch` matches a text."""
    found = np.zeros(len(texts), dtype=bool)
    found[[at for at, _ in watch.seen(texts)]] = True
    return found


def in_answers(batch: pa.RecordBatch, expression: str) -> np.ndarray:
    """Boolean column: whether one of this module's expressions matches the answer."""
    return _seen(batch)[expression]


@once_per_batch
def _seen(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    told = np.zeros((len(_EXPRESSIONS), batch.num_rows), dtype=bool)
    for at, which in _WATCH.seen(texts_of(batch, "output_text")):
        told[list(which), at] = True
    return dict(zip(_EXPRESSIONS, told, strict=True))
