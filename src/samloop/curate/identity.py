"""The ids that examples would have in the store, without judging them."""

from __future__ import annotations

from collections.abc import Sequence

from samloop.curate.batch import cleaned
from samloop.curate.hashes import hashes_of
from samloop.curate.redact import redact
from samloop.example import ID_LENGTH, Example
from samloop.settings import Redact
from samloop.text.patterns import Redactor


class Identifier:
    """Tells the ids of examples, as the `Curator` of the same settings gives them."""

    def __init__(self, settings: Redact) -> None:
        self._redactor = Redactor(settings.names) if settings.enabled else None

    def ids(self, examples: Sequence[Example]) -> list[str]:
        """The id of each example once it is normalised and redacted."""
        columns = cleaned(examples, lambda _source: False)
        if self._redactor is not None:
            redact(columns, self._redactor)
        return [whole[:ID_LENGTH] for whole in hashes_of(columns.to_batch(), columns.history)[0]]
