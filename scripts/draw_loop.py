"""Draw docs/loop.svg, the picture of the loop in the README."""

from pathlib import Path

STATIONS = [
    ("collect", "commits, docs,", "files in any usual format"),
    ("curate", "redact, validate, score,", "deduplicate"),
    ("prepare", "split without leaks,", "manifest + digest"),
    ("train", "LoRA on a small base,", "in a child process"),
    ("evaluate", "base, champion, challenger", "on the same held-out items"),
    ("decide", "paired bootstrap,", "reasons kept"),
]
WIDTH, HEIGHT, BOX, TALL, GAP = 1000, 330, 290, 92, 45
COLUMNS = [20, 20 + BOX + GAP, 20 + 2 * (BOX + GAP)]
ROWS = [24, 168]


def box(index: int) -> tuple[int, int]:
    """Left upper corner of a station: three above from left to right, three below from right to left."""
    return (COLUMNS[index], ROWS[0]) if index < 3 else (COLUMNS[5 - index], ROWS[1])


def station(index: int) -> str:
    name, *lines = STATIONS[index]
    x, y = box(index)
    text = "".join(
        f'<text x="{x + BOX / 2}" y="{y + 54 + 20 * row}" class="small">{line}</text>'
        for row, line in enumerate(lines)
    )
    title = f'<text x="{x + BOX / 2}" y="{y + 29}" class="name">{name}</text>'
    return f'<rect x="{x}" y="{y}" width="{BOX}" height="{TALL}" rx="10"/>{title}{text}'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" marker-end="url(#tip)"/>'


def arrows() -> str:
    top, low = ROWS[0] + TALL / 2, ROWS[1] + TALL / 2
    parts = [arrow(COLUMNS[i] + BOX + 4, top, COLUMNS[i + 1] - 10, top) for i in (0, 1)]
    parts.append(arrow(COLUMNS[2] + BOX / 2, ROWS[0] + TALL + 4, COLUMNS[2] + BOX / 2, ROWS[1] - 10))
    parts += [arrow(COLUMNS[i] - 4, low, COLUMNS[i - 1] + BOX + 10, low) for i in (2, 1)]
    parts.append(arrow(COLUMNS[0] + BOX / 2, ROWS[1] - 4, COLUMNS[0] + BOX / 2, ROWS[0] + TALL + 10))
    return "".join(parts)


STYLE = """
  rect { fill: #eef4fb; stroke: #2f6fb0; stroke-width: 1.6 }
  text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; text-anchor: middle; fill: #17324d }
  .name { font-size: 19px; font-weight: 600 }
  .small { font-size: 15px }
  .note { font-size: 15px; font-style: italic; fill: #5b6b7b; text-anchor: start }
  line { stroke: #2f6fb0; stroke-width: 2 }
"""
NOTES = [
    (COLUMNS[0], 292, "promoted: it goes into service, and out again in one command"),
    (COLUMNS[0], 313, "refused: the champion stays, the reasons are kept"),
    (COLUMNS[2], 292, "killed at any moment, it goes on"),
    (COLUMNS[2], 313, "where it was"),
]


def picture() -> str:
    notes = "".join(f'<text x="{x}" y="{y}" class="note">{text}</text>' for x, y, text in NOTES)
    tip = (
        '<marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L10 5L0 10z" fill="#2f6fb0"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="The loop: collect, curate, prepare, train, evaluate, decide, and from the start again">'
        f'<style>{STYLE}</style><defs>{tip}</defs><rect x="0" y="0" width="{WIDTH}" height="{HEIGHT}" '
        f'style="fill:#ffffff;stroke:none"/>{"".join(map(station, range(6)))}{arrows()}{notes}</svg>\n'
    )


if __name__ == "__main__":
    Path(__file__).resolve().parents[1].joinpath("docs", "loop.svg").write_text(picture(), encoding="utf-8")
