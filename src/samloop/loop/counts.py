"""What came of a source: one of four counts for each record that was read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

COUNTS: Final = ("read", "added", "duplicate", "rejected", "review")


@dataclass(slots=True)
class SourceReport:
    """What came of one source. ``read == added + duplicate + rejected + review`` holds at every moment."""

    source: str
    location: str
    read: int = 0
    added: int = 0
    duplicate: int = 0
    rejected: int = 0
    review: int = 0
    redacted: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    error: str | None = None
    parts: dict[str, Counter[str]] = field(default_factory=dict)
    adapters: list[dict[str, Any]] = field(default_factory=list)
    withdrawn: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `error`, `parts` (counts per file or table), `adapters`, and `withdrawn` (examples
        taken in earlier that are rejected now), where there are any."""
        plain: dict[str, Any] = {"source": self.source, "location": self.location}
        plain |= {name: getattr(self, name) for name in COUNTS}
        plain |= {"redacted": dict(self.redacted), "seconds": round(self.seconds, 3)}
        plain["reasons"] = dict(self.reasons.most_common())
        if self.parts:
            parts = sorted(self.parts.items())
            plain["parts"] = {part: {name: counts[name] for name in COUNTS} for part, counts in parts}
        plain |= {"adapters": self.adapters} if self.adapters else {}
        plain |= {"withdrawn": self.withdrawn} if self.withdrawn else {}
        return plain | ({"error": self.error} if self.error else {})
