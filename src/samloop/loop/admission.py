"""Which licences come into the store: what [collect] says, and what one source may bring all the same."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from samloop.example import to_json
from samloop.recipe import Collect
from samloop.store.filters import UNKNOWN
from samloop.store.licences import admits, commercial

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
        return to_json([sorted(self.settings.licences), self.settings.noncommercial, sorted(self.allowed)])

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
