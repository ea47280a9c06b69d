"""From raw examples to judged ones: normalise, redact, validate, classify, score, deduplicate."""
