"""Where redaction took something out of a text: spans in the original, from what it wrote instead."""

from __future__ import annotations

from samloop.text.patterns import PLACEHOLDER, Placeholders, Redactor


class Recording(Placeholders):
    """Placeholders that remember each spelling they stand for. For benchmarks only: it keeps values in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.spellings: dict[str, list[str]] = {}

    def put(self, kind: str, value: str) -> str:
        """As in `Placeholders`."""
        placeholder = super().put(kind, value)
        self.spellings.setdefault(placeholder, []).append(value)
        return placeholder


def redacted_spans(redactor: Redactor, text: str) -> list[tuple[str, int, int]]:
    """(type, start, end) of each value that `redactor` takes out of `text`."""
    record = Recording()
    done, spans, at, end = redactor.redact(text, record), [], 0, 0
    for held in PLACEHOLDER.finditer(done):
        at += held.start() - end
        end = held.end()
        spellings = record.spellings.get(held[0], [])
        value = max((s for s in spellings if text.startswith(s, at)), key=len, default="")
        if value:
            spans.append((held[1], at, at + len(value)))
        at += len(value)
    return spans
