"""What one correction teaches: three examples with one parent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from samloop.example import content_hash

SYSTEM: Final = "You are {name}. The user will show you an error and correction."
LINES: Final = {
    "{name} said: {incorrect}. ": "{name} said:\n\n{incorrect}\n\n",
    "is: {correct}. ": "is:\n\n{correct}\n\n",
}
"""How the sentences run where what they quote has several lines, as code has: a full stop would become part of it."""

SHOWN: Final = "{name} said: {incorrect}. This was wrong because: {reason}"
SHOWN_WITHOUT_REASON: Final = "{name} said: {incorrect}. This was wrong."
LEARNT: Final = "I understand. The correct answer is: {correct}. I'll remember this."


@dataclass(frozen=True, slots=True)
class Correction:
    """What was answered, and what should have been.

    Attributes:
        asked: the question; None where it is not known, and only the dialogue can be told.
        reason: why the answer was wrong, where somebody said so.
    """

    incorrect: str
    correct: str
    asked: str | None = None
    reason: str | None = None

    @property
    def parent(self) -> str:
        """The `parent_id` that its examples share: the same correction has the same one, wherever it is read."""
        return (
            f"correction:{content_hash(None, self.reason, (), self.asked or '', self.correct, self.incorrect)[:24]}"
        )

    def preference(self) -> tuple[str, str, str] | None:
        """Question, chosen and rejected answer."""
        return (self.asked, self.correct, self.incorrect) if self.asked and self.correct != self.incorrect else None

    def pair(self) -> tuple[str, str] | None:
        """Question and answer."""
        return (self.asked, self.correct) if self.asked else None

    def dialogue(self, name: str) -> tuple[str, str, str]:
        """System prompt, what the user shows, and what the assistant called `name` says to it."""
        shown = SHOWN if self.reason else SHOWN_WITHOUT_REASON
        told = _around(shown, self.incorrect).format(name=name, incorrect=_open(self.incorrect), reason=self.reason)
        learnt = _around(LEARNT, self.correct).format(correct=_open(self.correct))
        return SYSTEM.format(name=name), told, learnt


def _around(sentence: str, quoted: str) -> str:
    if "\n" in quoted.strip():
        for one_line, several in LINES.items():
            sentence = sentence.replace(one_line, several)
    return sentence


def _open(text: str) -> str:
    """`text` without its last full stop: the sentence it is put into brings one. Several lines stay as they are."""
    text = text.strip("\n").rstrip() if "\n" in text else text.strip()
    if "\n" in text:
        return text
    return text[:-1] if text.endswith(".") and not text.endswith("..") else text
