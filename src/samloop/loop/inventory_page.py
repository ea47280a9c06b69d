"""An inventory as a page for a browser: one file that needs no other, with a picture of size by format and state."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from typing import Any, Final

from samloop.loop.inventory import STATES

MOST_FORMATS: Final = 12
MOST_ROWS: Final = 500
"""Rows of a table; the --json document has them all."""

COLOURS: Final = dict(zip(STATES, ("#009e73", "#0072b2", "#e69f00", "#999999", "#d9d9d9"), strict=True))
"""From the Okabe-Ito palette and greys: told apart with any kind of colour vision."""

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; }
th { font-weight: 500; color: var(--soft); } .n { text-align: right; font-variant-numeric: tabular-nums; }
td:first-child { overflow-wrap: anywhere; } .soft { color: var(--soft); }
img { max-width: 100%; border-radius: 6px; background: white; }
ul.figures { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; padding: 0; list-style: none; }
ul.figures b { display: block; font-size: 1.4rem; font-weight: 600; }
"""


def size_text(size: float) -> str:
    """Bytes for people: ``812 B``, ``4.2 MB``; decimal, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def page(data: Mapping[str, Any], places: Sequence[str]) -> str:
    """The document of `inventory` as HTML."""
    totals = data["totals"]
    figures = {
        "files looked at": f"{totals['files']:,}",
        "with training data": f"{totals['with_data']:,}",
        "records": f"{totals['records']:,}",
        "of training data": size_text(totals["bytes"]),
        **{_of(state): size_text(totals["by_state"][state]) for state in STATES if totals["by_state"][state]},
    }
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>Training data on {escape(', '.join(places))}</title><style>{_STYLE}</style>",
        f"<h1>Training data</h1><p class=soft>on {escape(', '.join(places))}</p>",
        "<ul class=figures>",
        *(f"<li><b>{escape(value)}</b>{escape(name)}</li>" for name, value in figures.items()),
        "</ul>",
    ]
    if data["by_format"]:
        encoded = base64.b64encode(picture(data["by_format"])).decode()
        parts.append(f'<img alt="Size by format and state" src="data:image/png;base64,{encoded}">')
    parts += _tables(data)
    return "\n".join(parts) + "\n"


def _of(state: str) -> str:
    return {"in store": "in the store", "copies": "in copies", "aside": "left aside"}.get(state, state)


def _tables(data: Mapping[str, Any]) -> Iterable[str]:
    yield _table(
        "Files",
        ("file", "format", "in", ">size", ">records", "date", "licence", ">in the store", "state"),
        [
            (
                file["path"],
                file["format"],
                file["container"],
                size_text(file["bytes"]),
                _number(file["records"]),
                file["date"] or "",
                file["licence"] or "",
                share_text(file),
                file["problem"] or (f"copy of {file['copy_of']}" if file["copy_of"] else file["state"]),
            )
            for file in data["files"]
        ],
    )
    yield _table(
        "Equal files",
        ("files", ">size of each", ">could be freed", ">drives"),
        [
            ("\n".join(group["paths"]), size_text(group["bytes"]), size_text(group["spare_bytes"]), group["drives"])
            for group in data["duplicates"]
        ],
    )
    yield _table(
        "Small files worth merging",
        ("folder", "format", ">files", ">records", ">size"),
        [
            (row["folder"], row["format"], _number(row["files"]), _number(row["records"]), size_text(row["bytes"]))
            for row in data["tiny"]
        ],
    )
    yield _table("Empty files", ("file",), [(path,) for path in data["empty"]])
    for title, name in (("Links that lead nowhere", "dangling"), ("Not read", "problems")):
        yield _table(title, ("path", "what is wrong"), [(row["path"], row["problem"]) for row in data[name]])


def share_text(file: Mapping[str, Any]) -> str:
    """The share of a file's records in the store, with ≈ where a sample tells it."""
    share = file["share_in_store"]
    if share is None:
        return ""
    return f"{'≈ ' if file['sampled'] != file['records'] else ''}{share:.0%}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table under a heading; nothing where it has no rows. Columns as for `Output.table`."""
    if not rows:
        return ""
    classes = [" class=n" if name.startswith(">") else "" for name in columns]
    head = "".join(f"<th{c}>{escape(name.lstrip('>'))}" for c, name in zip(classes, columns, strict=True))
    lines = [f"<h2>{escape(title)} <span class=soft>{len(rows):,}</span></h2>", f"<table><tr>{head}"]
    for row in rows[:MOST_ROWS]:
        cells = (f"<td{c}>{_cell(cell)}" for c, cell in zip(classes, row, strict=True))
        lines.append("<tr>" + "".join(cells))
    lines.append("</table>")
    if len(rows) > MOST_ROWS:
        lines.append(f"<p class=soft>and {len(rows) - MOST_ROWS:,} more; samloop inventory --json lists them all</p>")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return escape(str(value)).replace("\n", "<br>")


def picture(by_format: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG: a bar per format, as long as its files are large, in parts by what becomes of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    rows = _largest(by_format)
    figure = Figure(figsize=(9.0, 1.7 + 0.42 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    heights = range(len(rows))
    left = [0.0] * len(rows)
    for state in STATES:
        widths = [float(row["by_state"][state]) for row in rows]
        if any(widths):
            axes.barh(heights, widths, left=left, color=COLOURS[state], edgecolor="white", lw=0.5, label=_of(state))
            left = [start + width for start, width in zip(left, widths, strict=True)]
    for height, row in zip(heights, rows, strict=True):
        told = f" {size_text(row['bytes'])}, {row['records']:,} record{'s' if row['records'] != 1 else ''}"
        axes.text(row["bytes"], height, told, va="center", fontsize=8, color="#444444")
    axes.set_yticks(heights, [f"{row['format']} ({row['files']:,})" for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.32 * max(row["bytes"] for row in rows))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_text(value)))
    axes.set_xlabel("size of the files (their number in brackets)")
    axes.set_title("Training data by format and state", loc="left")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=len(STATES))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "samloop"})
    return buffer.getvalue()


def _largest(by_format: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The largest formats, and all others as one."""
    if len(by_format) <= MOST_FORMATS:
        return list(by_format)
    kept, rest = list(by_format[: MOST_FORMATS - 1]), by_format[MOST_FORMATS - 1 :]
    other: dict[str, Any] = {name: sum(row[name] for row in rest) for name in ("files", "records", "bytes")}
    other["by_state"] = {state: sum(row["by_state"][state] for row in rest) for state in STATES}
    return [*kept, {"format": f"{len(rest)} other formats", **other}]
