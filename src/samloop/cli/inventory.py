"""`samloop inventory`: what training data lies on the drives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from samloop.cli.output import Output, count, duration, one_line, shorten
from samloop.cli.progress import spinner
from samloop.cli.session import Session
from samloop.files import absolute, readable, storing, write_atomic

SHOWN: Final = 20
"""Rows of a table on the terminal; --json and --page tell all."""

PATH_COLUMNS: Final = 56
WIDE_COLUMNS: Final = 120


def inventory(
    ctx: typer.Context,
    places: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Drives, folders or files.")],
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write a page for a browser as well.")
    ] = None,
) -> None:
    """List training data on drives, and what the store has of it.

    Reads and changes nothing in the store. What was found is remembered in the home, so that a second run, or one
    after a stop, looks only at what is new.
    """
    session: Session = ctx.obj
    named = [absolute(place) for place in places]
    with session.context() as context, spinner(session.out, "Looking") as tell:
        from samloop.loop.inventory import inventory as stage

        data = stage(context, named, on_progress=tell)
    if page is not None:
        _write_page(data, named, absolute(page))
    session.out.result(
        data | {"page": readable(absolute(page)) if page else None}, lambda: _show(session.out, data, page)
    )


def _write_page(data: Mapping[str, Any], places: list[Path], path: Path) -> None:
    from samloop.loop.inventory_page import page

    text = page(data, [readable(place) for place in places])
    with storing("the page", path):
        write_atomic(path, text.encode("utf-8", "replace"))


def _show(out: Output, data: Mapping[str, Any], page: Path | None) -> None:
    from samloop.loop.inventory_page import size_text

    totals = data["totals"]
    if data["files"]:
        _show_files(out, data["files"][:SHOWN])
        _more(out, len(data["files"]))
        out.line()
        formats = data["by_format"]
        out.table(
            ["format", ">files", ">records", ">size", ">in the store", ">new", ">copies"],
            [
                (
                    row["format"],
                    f"{row['files']:,}",
                    f"{row['records']:,}",
                    size_text(row["bytes"]),
                    *(size_text(row["by_state"][state]) for state in ("in store", "new", "copies")),
                )
                for row in formats[:SHOWN]
            ],
        )
        _more(out, len(formats))
        out.line()
    _show_groups(out, data)
    out.line(
        f"{count(totals['files'], 'file')} in {count(totals['folders'], 'folder')}: {totals['with_data']:,} with "
        f"training data, {size_text(totals['bytes'])}, {count(totals['records'], 'record')}. "
        f"This took {duration(totals['seconds'])}."
    )
    if totals["links_to_folders"]:
        out.line(f"{count(totals['links_to_folders'], 'link')} to folders not followed; name the folders themselves.")
    if page is not None:
        out.line(f"The page is at {readable(absolute(page))}.")


def _show_files(out: Output, files: Sequence[Mapping[str, Any]]) -> None:
    """The files as a table that fits: a narrow terminal goes without two of the columns."""
    from samloop.loop.inventory_page import size_text

    wide = out.console.width >= WIDE_COLUMNS
    rows = []
    for file in files:
        row = [
            tail(file["path"], min(max(out.console.width - (104 if wide else 66), 14), PATH_COLUMNS)),
            file["format"],
            file["container"],
            size_text(file["bytes"]),
            "-" if file["records"] is None else f"{file['records']:,}",
            file["date"],
            file["licence"],
            _state(file),
        ]
        rows.append(row if wide else [cell for at, cell in enumerate(row) if at not in (2, 6)])
    names = ["file", "format", "in", ">size", ">records", ">date", "licence", "state"]
    out.table(names if wide else [name for name in names if name not in ("in", "licence")], rows)


def _state(file: Mapping[str, Any]) -> str:
    """One phrase: what is wrong with it, or what the store has of it."""
    from samloop.loop.inventory_page import share_text

    if file["problem"]:
        return shorten(file["problem"], 40)
    if file["state"] in ("in store", "partly in store"):
        share = share_text(file)
        return "in store" if share == "100%" else f"{share} in store"
    return str(file["state"])


def _show_groups(out: Output, data: Mapping[str, Any]) -> None:
    """Copies, small and empty files, dangling links and what could not be read; each only where there is some."""
    from samloop.loop.inventory_page import size_text

    half = min(max((out.console.width - 24) // 2, 18), PATH_COLUMNS)
    copies = [
        (
            tail(group["paths"][0], half),
            tail(path, half),
            size_text(group["bytes"]),
            "another" if group["drives"] > 1 else "same",
        )
        for group in data["duplicates"]
        for path in group["paths"][1:]
    ]
    tiny = [
        (tail(row["folder"]), row["format"], f"{row['files']:,}", f"{row['records']:,}", size_text(row["bytes"]))
        for row in data["tiny"]
    ]
    _section(out, "Equal files", ["file", "copy", ">size", "drive"], copies)
    _section(out, "Small files worth merging", ["folder", "format", ">files", ">records", ">size"], tiny)
    _section(out, "Empty files", ["file"], [(tail(path),) for path in data["empty"]])
    for title, name in (("Links that lead nowhere", "dangling"), ("Not read", "problems")):
        rows = [(tail(row["path"]), one_line(row["problem"])) for row in data[name]]
        _section(out, title, ["path", "what is wrong"], rows)


def _section(out: Output, title: str, columns: list[str], rows: list[Any]) -> None:
    if rows:
        out.table(columns, rows[:SHOWN], title=title)
        _more(out, len(rows))
        out.line()


def _more(out: Output, number: int) -> None:
    if number > SHOWN:
        out.line(f"… and {number - SHOWN:,} more; --json and --page list them.", style="dim")


def tail(path: str, columns: int = PATH_COLUMNS) -> str:
    """The end of a path, which tells more than its beginning, safe to print on one line."""
    line = one_line(path)
    return line if len(line) <= columns else "…" + line[-columns + 1 :]
