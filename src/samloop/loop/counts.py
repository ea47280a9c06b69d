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

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `error` only where there is one."""
        plain: dict[str, Any] = {"source": self.source, "location": self.location}
        plain |= {name: getattr(self, name) for name in COUNTS}
        plain |= {"redacted": dict(self.redacted), "seconds": round(self.seconds, 3)}
        plain["reasons"] = dict(self.reasons.most_common())
        return plain | ({"error": self.error} if self.error else {})
