"""What one correction teaches: three examples with one parent; and how a correction in a conversation begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from samloop.example import content_hash

SYSTEM: Final = "You are {name}. The user will show you an error and correction."
LINES: Final = {
    "{name} said: {incorrect}. ": "{name} said:\n\n{incorrect}\n\n",
    "is: {correct}. ": "is:\n\n{correct}\n\n",
}
"""How the sentences run where what they quote has several lines, as code has: a full stop would become part of it."""

CORRECTION: Final = "correction:"
"""What the `parent_id` of a correction's examples begins with."""

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
            f"{CORRECTION}{content_hash(None, self.reason, (), self.asked or '', self.correct, self.incorrect)[:24]}"
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


_NO = re.compile(
    r"""\s*(?:
      no+(?:pe)?(?:[,.!:;–-]|\s+(?:i|it|that|this|you|the|don['’]?t|do|not|use|please|wait|still|just)\b)
    | wrong\b | incorrect\b | not\s+(?:quite|what|like\s+(?:this|that)|right|correct)\b
    | (?:that|this|it)(?:['’]s|\s+is|\s+was)?\s+(?:not|isn['’]t|wasn['’]t|wrong|incorrect|the\s+wrong)\b
    | (?:that|this|it)\s+(?:doesn['’]t|didn['’]t|does\s+not|did\s+not)\s+work\b
    | you\s+(?:misunderst|should(?:n['’]t|\s+not|\s+have)|forgot|missed|didn['’]t|were\s+supposed)
    | i\s+(?:said|meant|asked\s+(?:you\s+)?(?:for|to)|didn['’]t\s+(?:ask|want|mean)|told\s+you)\b
    | (?:please\s+)?(?:undo|revert)\b | (?:please\s+)?do(?:\s+not|n['’]t)\b[^?]{0,80}\b(?:instead|but|use|rather)\b
    | instead\b | rather\b | actually,?\s+(?:no|i|it|use|don['’]?t|that|we|please)\b
    | nein\b | falsch\b | das\s+(?:ist|war)\s+(?:falsch|nicht)\b | nicht\s+so\b
    | non[,.! ] | ce\s+n['’]est\s+pas\b | no,?\s+(?:así|eso)\b | eso\s+no\b
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_NO_HARM = re.compile(
    r"\s*(?:no[,.!]?\s+(?:problem|worries|thanks?|thank\s+you|rush|need|more|further|questions?|idea)\b"
    r"|actually,?\s+(?:that|it)(?:['’]s|\s+is)?\s+(?:fine|good|great|ok|right|correct)\b)",
    re.IGNORECASE,
)
LONGEST_CORRECTION: Final = 2_000
"""Characters; a longer message is a new task that begins with a no."""


def is_correction(text: str) -> bool:
    """Whether the user's message begins as one that turns the answer before it down: "no, use the other table"."""
    return len(text) <= LONGEST_CORRECTION and bool(_NO.match(text)) and not _NO_HARM.match(text)
