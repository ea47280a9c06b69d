"""Which licences are let in: what [collect] says, and what one source or one run may bring all the same."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from samloop.example import Example, to_json
from samloop.protocols import Reject
from samloop.settings import Collect
from samloop.text.licences import UNKNOWN, admits, commercial

NOT_ADMITTED: Final = "licence not admitted"
NONCOMMERCIAL: Final = "licence forbids commercial use"

REFUSED_UNDER: Final = "refused_under"
"""Key of a watermark: the settings under which something before it was refused. Under others it is read again."""


class Admission:
    """Decides by licence, once per licence."""

    def __init__(self, settings: Collect, allowed: Collection[str] = ()) -> None:
        self.settings, self.allowed = settings, tuple(allowed)
        self._known: dict[str | None, str | None] = {}

    @property
    def key(self) -> str:
        """The settings as text, to tell whether they changed."""
        return to_json([*self.document().values()])

    def document(self) -> dict[str, Any]:
        """The settings as plain data."""
        return {
            "licences": sorted(self.settings.licences),
            "noncommercial": self.settings.noncommercial,
            "allow_licences": sorted(self.allowed),
        }

    def refusal(self, licence: str | None) -> str | None:
        """Why examples under `licence` are turned away; None where they come in."""
        if licence not in self._known:
            self._known[licence] = self._decide(licence)
        return self._known[licence]

    def _decide(self, licence: str | None) -> str | None:
        listed = self.settings.licences
        if licence is None:
            return NOT_ADMITTED if listed and UNKNOWN not in (*listed, *self.allowed) else None
        if self.allowed and admits(licence, self.allowed):
            return None
        if listed and not admits(licence, (*listed, *self.allowed)):
            return NOT_ADMITTED
        if not self.settings.noncommercial and not commercial(licence):
            return NONCOMMERCIAL
        return None


def refused(example: Example, refusal: str, location: str) -> Reject:
    """What is listed of an example that is turned away for its licence.

    Args:
        refusal: why, as `Admission.refusal` says.
        location: where it was read.
    """
    name = example.licence or UNKNOWN
    return Reject(location, refusal, f"{name}; let it in with --allow-licence '{name}'", id=example.source_id)
