"""How likely an answer stops in the middle: its last characters, its last words, and what is left open.

Three things together: the last 24 bytes, each by a small vector; the last words, hashed into 32,768 places, each with
a weight of its own, so that "resu" tells where "result" does not; and what the whole text shows (open brackets and
quotes, how its other lines end, whether the last word stands in it before, or only as the beginning of another).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from samloop.curate.learned.weights import Weights, chance, layer, weights

MODEL: Final = "ending"
TAIL_BYTES: Final = 24
WORDS_BITS: Final = 15
LOOK_BACK: Final = 600
"""Characters from the end in which lines and words are looked at."""

MOST: Final = 8000
"""Characters from the end in which brackets, quotes and earlier words are looked for."""

LEAST_CHARACTERS: Final = 40
"""A shorter answer is a label or a phrase, whole or not: nothing tells."""

_ITEM: Final = re.compile(r"\s*(?:[-*•]|[0-9]{1,3}[.)]|#)")
_LAST_WORD: Final = re.compile(r"\w{1,40}\Z")
_PIECE: Final = re.compile(r"\w+|[^\w\s]|\n")
_CODE: Final = re.compile(r"[{}()=;<>_]")
_FINAL_LINE: Final = re.compile(
    r"\n(?:#### |\W{0,4}(?:final )?answer\b.{0,12}:|.{0,40}\\boxed\{).{1,40}\Z", re.IGNORECASE
)


def unfinished(answers: Sequence[str]) -> np.ndarray:
    """By answer, the chance that it stops in the middle; 0 where nothing tells, or where it ends as whole ones do."""
    texts = [text.rstrip() for text in answers]
    asked = [at for at, text in enumerate(texts) if len(text) >= LEAST_CHARACTERS and not ends_whole(text)]
    found = np.zeros(len(texts))
    if asked:
        found[asked] = chance(log_odds([texts[at] for at in asked], _model()))
    return found


def ends_whole(text: str) -> bool:
    """Whether `text` ends with a sentence's mark and leaves nothing open, or with a line that gives the result.

    Such an end is that of a whole answer, or of one that was cut where nobody can see it.
    """
    if text[-1] in ".!?。！？" and not text.endswith("..."):
        return text.count("```") % 2 == 0 and text.count("(") <= text.count(")")
    return _FINAL_LINE.search(text[-100:]) is not None


def log_odds(texts: Sequence[str], model: Weights) -> np.ndarray:
    """The network's answer for texts without blanks at their end, none of them empty."""
    tails, shapes, places = measured(texts)
    return combined(tails, shapes, places, model)


def measured(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network sees: bytes, int64 [texts, 24], those beyond ASCII as 127; float32 [texts, 25]; places of
    words, int64 [texts, 4].
    """
    tails = np.zeros((len(texts), TAIL_BYTES), dtype=np.int64)
    for at, text in enumerate(texts):
        raw = text[-TAIL_BYTES:].encode()[-TAIL_BYTES:]
        tails[at, TAIL_BYTES - len(raw) :] = np.frombuffer(raw, dtype=np.uint8)
    shapes = np.array([_shape(text) for text in texts], dtype=np.float32)
    return np.minimum(tails, 127), shapes, np.array([_places(text) for text in texts], dtype=np.int64)


def combined(tails: np.ndarray, shapes: np.ndarray, places: np.ndarray, model: Weights) -> np.ndarray:
    """Log-odds from the measurements."""
    by_place = by_place_of(model) if "by_place" not in model else model["by_place"]
    inside = layer(
        (shapes - model["mean"]) / model["spread"], model["inner"][-shapes.shape[1] :], model["inner_bias"]
    )
    for at in range(TAIL_BYTES):
        inside += by_place[at][tails[:, at]]
    return np.asarray(
        (np.tanh(inside) * model["outer"]).sum(axis=1) + model["outer_bias"] + model["words"][places].sum(axis=1)
    )


def by_place_of(model: Weights) -> np.ndarray:
    """What each byte adds to the layer at each place: float32 [24, 128, hidden]."""
    size = model["bytes"].shape[1]
    return np.stack([model["bytes"] @ model["inner"][at * size : (at + 1) * size] for at in range(TAIL_BYTES)])


@cache
def _model() -> Weights:
    kept = weights(MODEL)
    return {**kept, "by_place": by_place_of(kept)}


def _shape(text: str) -> list[float]:
    whole = text[-MOST:]
    tail = text[-LOOK_BACK:]
    before, _, last = tail.rpartition("\n")
    before = before.rstrip()
    above, lines = before[-1:], whole.count("\n")
    found = _LAST_WORD.search(text[-40:])
    word = found[0] if found else ""
    stood, begun = _stood_before(whole, word)
    return [
        np.log1p(len(text)) / 5,
        np.log1p(len(last)) / 4,
        bool(before),
        above in ".!?" and above != "",
        above == ":",
        above.isalnum(),
        above in ";{}()" and above != "",
        _ITEM.match(last) is not None,
        whole.count('"') % 2,
        whole.count("`") % 2,
        whole.count("(") > whole.count(")"),
        whole.count("[") > whole.count("]"),
        whole.count("{") > whole.count("}"),
        whole.count("```") % 2,
        min(len(_CODE.findall(tail)) / len(tail) * 8, 2),
        stood,
        begun,
        np.log1p(whole.count(". ")) / 2,
        last[:1].isspace(),
        np.log1p(lines) / 3,
        min(len(last) * (lines + 1) / len(whole), 3),
        bool(word),
        len(word) / 8,
        last.count(" ") / 10,
        "\n\n" in whole,
    ]


def _stood_before(text: str, word: str) -> tuple[bool, bool]:
    """Whether the last word stands in the text before: as a word, or as the beginning of a longer one."""
    at = text.find(word, 0, len(text) - len(word)) if word else -1
    if at < 0:
        return False, False
    after = text[at + len(word)]
    longer = after.isalnum() or after == "_"
    return not longer, longer


def _places(text: str) -> list[int]:
    """Where the weights of the last words stand: the last, the last two, the one before, the two before."""
    third, second, last = ["", "", "", *_PIECE.findall(text[-80:].lower())][-3:]
    named = f"1{last}", f"2{second} {last}", f"3{second}", f"4{third} {second}"
    return [zlib.crc32(name.encode(errors="replace")) >> (32 - WORDS_BITS) for name in named]
