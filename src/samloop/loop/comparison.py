"""The page of a comparison: figures, what they mean, items to look at; Markdown beside the scores, with a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from samloop.evaluate.worst import apart, item_values, worst
from samloop.files import storing, write_atomic
from samloop.protocols import Comparison, Score

TEXT_CHARACTERS: Final = 300
"""Of a question or an answer, on the page and in JSON."""

LOOKED_AT: Final = 3
"""Items per measure and direction on the page."""

Items = Mapping[str, Sequence[Mapping[str, Any]]]


def write_page(
    folder: Path,
    comparisons: Sequence[Comparison],
    scores: Mapping[str, Sequence[Score]],
    items: Items,
    confidence: float,
) -> tuple[Path, Path]:
    """Write comparison.md and comparison.png into `folder`; their paths.

    Args:
        scores: of the champion, then of the challenger, by their names.
        items: what was asked, by suite.
    """
    from samloop.evaluate.picture import plot_comparison  # matplotlib takes half a second, and only this needs it

    champion, challenger = scores
    page, picture = folder / "comparison.md", folder / "comparison.png"
    with storing("the comparison", folder):
        drawn = plot_comparison(comparisons, champion=champion, challenger=challenger, confidence=confidence)
        write_atomic(picture, drawn)
        write_atomic(page, page_text(comparisons, scores, items, picture.name, confidence).encode())
    return page, picture


def page_text(
    comparisons: Sequence[Comparison],
    scores: Mapping[str, Sequence[Score]],
    items: Items,
    picture: str,
    confidence: float,
) -> str:
    """The page; see `write_page`."""
    champion, challenger = scores
    lines = [
        f"# {challenger} against {champion}",
        "",
        _sentence(comparisons, champion, challenger),
        "",
        f"![The gain of each measure with its interval]({picture})",
        "",
        f"| measure | items | {champion} | {challenger} | gain | chance that it is worse |",
        "|---|--:|--:|--:|--:|--:|",
        *(_row(one) for one in comparisons),
        "",
        f"In brackets: {confidence:.0%} intervals. A gain is signed so that more is better. Both answered the same "
        "items, which are resampled together; the chance is the share of resamples in which "
        f"{challenger} is worse.",
    ]
    for mine, theirs in zip(scores[champion], scores[challenger], strict=True):
        lost, gained = apart(mine, theirs, LOOKED_AT)
        asked = {str(item["id"]): item for item in items.get(mine.suite, ())}
        for title, places in (("lost most", lost), ("gained most", gained)):
            if places:
                lines += ["", f"## Where it {title}: {_readable(mine.name)}", ""]
                lines += [_looked_at(at, mine, theirs, asked, (champion, challenger)) for at in places]
    return "\n".join(lines) + "\n"


def worst_items(score: Score, asked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items to look at: [{"id", "value", "question", "said"}], the worst first.

    A question and what was said are None where the suite has none, and cut where they are long.
    """
    by_id, values = {str(item["id"]): item for item in asked}, item_values(score)
    return [
        {
            "id": score.ids[at],
            "value": values[at],
            "question": _question(by_id.get(score.ids[at], {})),
            "said": _cut(score.said[at]) if score.said else None,
        }
        for at in worst(score)
    ]


def _sentence(comparisons: Sequence[Comparison], champion: str, challenger: str) -> str:
    """What can be said for certain, measure by measure."""
    better = [_readable(one.name) for one in comparisons if one.gain.low > 0]
    worse = [_readable(one.name) for one in comparisons if one.gain.high < 0]
    open_ = sum(not (one.gain.low > 0 or one.gain.high < 0) for one in comparisons)
    parts = []
    if better:
        parts.append(f"better in {', '.join(better)}")
    if worse:
        parts.append(f"worse in {', '.join(worse)}")
    if not parts:
        return f"No measure tells {challenger} from {champion} with any certainty."
    rest = f"; {open_} of {len(comparisons)} measures leave it open" if open_ else ""
    return f"Than {champion}, {challenger} is {' and '.join(parts)}{rest}."


def _row(one: Comparison) -> str:
    share = one.unit == "share"
    champion, challenger = (_figure(side, share) for side in (one.champion, one.challenger))
    factor, unit = (100, " points") if share else (1, "")
    gain = " ".join(
        [f"{one.gain.mean * factor:+.3g}{unit}", f"[{one.gain.low * factor:+.3g}, {one.gain.high * factor:+.3g}]"]
    )
    cells = [_readable(one.name), f"{one.items}", champion, challenger, gain, f"{one.worse_chance:.1%}"]
    return f"| {' | '.join(cells)} |"


def _figure(value: Any, share: bool) -> str:
    mean, low, high = (f"{v:.1%}" if share else f"{v:.3g}" for v in (value.mean, value.low, value.high))
    return f"{mean} [{low}, {high}]"


def _looked_at(
    at: int, mine: Score, theirs: Score, asked: Mapping[str, Mapping[str, Any]], names: tuple[str, str]
) -> str:
    before, after = item_values(mine)[at], item_values(theirs)[at]
    lines = [f"- `{mine.ids[at]}`: {_number(before)} → {_number(after)}"]
    question = _question(asked.get(mine.ids[at], {}))
    said = [(name, score.said[at]) for name, score in zip(names, (mine, theirs), strict=True) if score.said]
    for label, text in (("asked", question), *said):
        if text:
            lines.append(f"  - {label}: {_code(text)}")
    return "\n".join(lines)


def _question(item: Mapping[str, Any]) -> str | None:
    """What an item asks, whatever its suite calls it."""
    users = [turn["content"] for turn in item.get("messages", ()) if turn.get("role") == "user"]
    text = users[-1] if users else item.get("prompt") or item.get("question") or item.get("task")
    return _cut(text) if isinstance(text, str) else None


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 2]} …"


def _code(text: str) -> str:
    """Text of a model or a user on one line, shown as it is: it is no Markdown of ours."""
    shown = " ".join(_cut(text).split())
    fence = "`" * (1 + max((len(run) for run in _runs(shown)), default=0))
    pad = " " if "`" in shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _runs(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]


def _number(value: float | None) -> str:
    return "none" if value is None or not math.isfinite(value) else f"{value:.3g}"


def _readable(name: str) -> str:
    return name.replace("_", " ")
