"""From raw examples to judged ones: normalise, redact, validate, classify, score, deduplicate."""

from samloop.arrow import without_pandas

without_pandas()
