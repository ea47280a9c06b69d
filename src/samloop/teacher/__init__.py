"""The stronger model: asked through its maker's own client, within a budget, and told nothing that was redacted."""
