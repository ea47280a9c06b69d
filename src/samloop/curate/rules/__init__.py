"""The built-in rules: each a function from a batch to a `Finding`, found by its entry point like anyone else's."""
