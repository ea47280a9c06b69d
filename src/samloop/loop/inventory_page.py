"""An inventory as a page for a browser: one file that needs no other, with a picture of size by format and state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from samloop.loop.inventory import STATES

MOST_FORMATS: Final = 12
MOST_ROWS: Final = 500
"""Rows of a table; the --json document has them all."""

COLOURS: Final = dict(zip(STATES, ("#009e73", "#0072b2", "#e69f00", "#999999", "#d9d9d9"), strict=True))
"""From the Okabe-Ito palette and greys: told apart with any kind of colour vision."""

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: light-dark(#5d5d5d, #a5a5a5); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h1 + p { margin-top: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; } .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 500; color: var(--soft); vertical-align: bottom; } td { overflow-wrap: anywhere; }
td:first-child { width: 40%; } .n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, .s { white-space: nowrap; overflow-wrap: normal; }
ul.figures { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; padding: 0; list-style: none; }
ul.figures b { display: block; font-size: 1.4rem; font-weight: 600; }
.legend span { margin-right: 1.5rem; white-space: nowrap; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .5rem 1rem; align-items: center; }
.bars b { font-weight: 500; } .bar { display: flex; height: 1.3rem; } .bar i { display: block; min-width: 2px; }
.bars .soft { font-size: .9em; }
@media (max-width: 52rem) {
  .bars { display: block; } .bar { height: 1rem; } .bars .soft { display: block; margin-bottom: .7rem; }
  table, tbody, tr, td { display: block; } tr:first-child { display: none; }
  tr { padding: .5rem 0; border-bottom: 1px solid var(--line); } td, td:first-child { width: auto; }
  td { display: inline-block; border: 0; padding: 0 .9rem 0 0; max-width: 100%; box-sizing: border-box; }
  td:first-child { display: block; } td:empty { display: none; } td.n { text-align: left; }
  td:not(:first-child)::before { content: attr(data-l) " "; color: var(--soft); }
}
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
        parts.append(picture(data["by_format"]))
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
    names = [name.lstrip(">") for name in columns]
    classes = [" class=n" if name.startswith(">") else " class=s" if name == "date" else "" for name in columns]
    head = "".join(f"<th{c}>{escape(name)}" for c, name in zip(classes, names, strict=True))
    lines = [f"<h2>{escape(title)} <span class=soft>{len(rows):,}</span></h2>", f"<table><tr>{head}"]
    for row in rows[:MOST_ROWS]:
        # Each cell knows its column's name: on a narrow screen a row is a card, and has no head above it.
        cells = (
            f'<td{c} data-l="{escape(name)}">{_cell(cell)}</td>'
            for c, name, cell in zip(classes, names, row, strict=True)
        )
        lines.append("<tr>" + "".join(cells))
    lines.append("</table>")
    if len(rows) > MOST_ROWS:
        lines.append(f"<p class=soft>and {len(rows) - MOST_ROWS:,} more; samloop inventory --json lists them all</p>")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return escape(str(value)).replace("\n", "<br>")


def picture(by_format: Sequence[Mapping[str, Any]]) -> str:
    """A bar per format, as long as its files are large, in parts by what becomes of them.

    Made of the page's own text and colours, so that it can be read on a narrow screen, in the dark and aloud.
    """
    rows = _largest(by_format)
    most = max(row["bytes"] for row in rows) or 1
    states = [state for state in STATES if any(row["by_state"][state] for row in rows)]
    legend = "".join(f"<span><i style='background:{COLOURS[s]}'></i>{escape(_of(s))}</span>" for s in states)
    lines = ["<h2>Size by format and state</h2>", f"<p class=legend>{legend}</p>", "<div class=bars>"]
    for row in rows:
        parts = "".join(
            f"<i style='background:{COLOURS[state]};width:{100 * row['by_state'][state] / most:.3f}%'"
            f" title='{escape(_of(state))}: {size_text(row['by_state'][state])}'></i>"
            for state in states
            if row["by_state"][state]
        )
        records = f"{row['records']:,} record{'s' if row['records'] != 1 else ''}"
        files = f"{row['files']:,} file{'s' if row['files'] != 1 else ''}"
        lines.append(
            f"<b>{escape(row['format'])}</b><div class=bar>{parts}</div>"
            f"<span class=soft>{size_text(row['bytes'])}, {records}, {files}</span>"
        )
    return "\n".join((*lines, "</div>"))


def _largest(by_format: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The largest formats, and all others as one."""
    if len(by_format) <= MOST_FORMATS:
        return list(by_format)
    kept, rest = list(by_format[: MOST_FORMATS - 1]), by_format[MOST_FORMATS - 1 :]
    other: dict[str, Any] = {name: sum(row[name] for row in rest) for name in ("files", "records", "bytes")}
    other["by_state"] = {state: sum(row["by_state"][state] for row in rest) for state in STATES}
    return [*kept, {"format": f"{len(rest)} other formats", **other}]
