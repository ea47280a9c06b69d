"""Rules that a learnt model measures: an answer to another question, an answer that stops in the middle."""

from __future__ import annotations

import pyarrow as pa

from samloop.curate.learned.belonging import misfit as _misfit
from samloop.curate.learned.ending import unfinished as _unfinished
from samloop.curate.looks import shares_no_words
from samloop.curate.measure import BY_PROGRAM, equals, finding, texts_of
from samloop.curate.measure import characters as lengths
from samloop.protocols import Finding, rule


@rule("misfit", outcome="flag", reason="answer seems to belong to another question")
def misfit(batch: pa.RecordBatch, *, chance: float = 0.985, characters: int = 20) -> Finding:
    """The answer seems to belong to another question. Measure: the chance of it, by a small learnt model.

    The model compares the words that question and answer share, each by how rare it is, and how well the others go
    together (samloop.curate.learned.belonging); what it learnt from, and how well it does on sets it never saw,
    stands in the README beside its weights. Not judged, with the chance 0, are translations, questions about the
    assistant, whose answers share no words with them, and what a program paired (commits, code). From `chance` on,
    where one original in a hundred lies, it is a flag, but not under `characters`, where a label is as unlike its
    question as any other; the rubric `sound` weighs what lies below as well.
    """
    measure = _misfit(batch)
    measure[shares_no_words(batch)] = 0.0
    measure[equals(batch.column("source"), BY_PROGRAM)] = 0.0
    return finding((measure >= chance) & (lengths(batch.column("output_text")) >= characters), measure)


@rule("unfinished", outcome="flag", reason="answer seems to stop in the middle")
def unfinished(batch: pa.RecordBatch, *, chance: float = 0.95) -> Finding:
    """The answer seems to stop in the middle. Measure: the chance of it, by a small learnt model.

    The model looks at the last characters and words, at what is left open, and at how the other lines end
    (samloop.curate.learned.ending). An answer that ends with a sentence's mark, or is under 40 characters, has the
    chance 0, and so has what a program wrote (subjects of commits, code). Where `incomplete` fires, a sign is plain;
    this one is for the rest. From `chance` on, where one original in a hundred lies, it is a flag; the rubric `sound`
    weighs what lies below as well.
    """
    measure = _unfinished(texts_of(batch, "output_text"))
    measure[equals(batch.column("source"), BY_PROGRAM)] = 0.0
    return finding(measure >= chance, measure)
