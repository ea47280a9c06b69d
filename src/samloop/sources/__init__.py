"""Where examples come from: one file per source."""
