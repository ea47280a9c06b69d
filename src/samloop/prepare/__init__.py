"""From accepted examples to an immutable, split, templated dataset."""
