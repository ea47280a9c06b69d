"""Histograms as SVG, written by hand: a plotting library would take a second to load for three pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

COLOURS: Final = ("#0072b2", "#e69f00", "#999999")
"""Blue, orange and grey of the Okabe-Ito palette: told apart with any kind of colour vision."""

WIDTH, HEIGHT = 864, 432
LEFT, RIGHT, TOP, BOTTOM = 90, 820, 50, 370
"""The frame of the bars, in pixels from the upper left corner."""

MOST_TICKS: Final = 11


def histogram(edges: Sequence[float], series: Mapping[str, Sequence[int]], label: str, title: str) -> str:
    """Bars, the series on top of one another.

    Args:
        edges: of the bins, one more than each series has numbers; beyond 1 they are drawn to a logarithmic scale.
        label: what is measured.
    """
    across = [math.log2(edge) for edge in edges] if edges[-1] > 1 else list(edges)
    scale = (RIGHT - LEFT) / (across[-1] - across[0])
    at = [LEFT + (place - across[0]) * scale for place in across]
    most = max(map(sum, zip(*series.values(), strict=True)))
    step = _step(most)
    pixels = (BOTTOM - TOP) / (step * math.ceil(max(most, 1) / step))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 30, title, size=17),
        _text((LEFT + RIGHT) / 2, HEIGHT - 15, label, anchor="middle"),
    ]
    for count in range(0, max(most, 1) + step, step):
        y = BOTTOM - count * pixels
        if y < TOP - 1:
            break
        parts.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, y + 5, f"{count:,}", anchor="end"))
    every = math.ceil(len(edges) / MOST_TICKS)
    ticks = zip(at[::every], edges[::every], strict=True)
    parts += [
        _text(x, BOTTOM + 20, f"{edge:,.4g}" if edge <= 1 else f"{edge:,.0f}", anchor="middle") for x, edge in ticks
    ]
    below, shown = [0] * (len(edges) - 1), 0
    for (name, counts), colour in zip(series.items(), COLOURS, strict=False):
        if not any(counts):
            continue
        for bin, count in enumerate(counts):
            y, height = BOTTOM - (below[bin] + count) * pixels, count * pixels
            place = f'x="{at[bin]:.1f}" y="{y:.1f}" width="{at[bin + 1] - at[bin]:.1f}" height="{height:.1f}"'
            if count:
                parts.append(f'<rect {place} fill="{colour}" stroke="white" stroke-width="0.5"/>')
            below[bin] += count
        parts.append(f'<rect x="{RIGHT - 110}" y="{TOP + 20 * shown}" width="14" height="14" fill="{colour}"/>')
        parts.append(_text(RIGHT - 90, TOP + 12 + 20 * shown, name))
        shown += 1
    parts.append(f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="black"/>')
    return "\n".join([*parts, "</svg>\n"])


def _step(most: int) -> int:
    """A round number of which `most` holds five or fewer."""
    power: int = 10 ** max(len(str(most)) - 2, 0)
    return next(step * power for step in (1, 2, 5, 10, 20, 50) if most <= 5 * step * power)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 14) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
