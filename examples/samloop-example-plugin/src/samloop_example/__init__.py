"""A source, a rule, a suite and a teacher for samloop."""
