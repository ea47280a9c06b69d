"""`samloop feedback`: say what was wrong with an answer, or that it was good; sources read it with the next turn."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from samloop.cli.output import Output, count, shorten
from samloop.cli.session import Session
from samloop.errors import InputError, UsageError

app = typer.Typer(
    rich_markup_mode=None, add_completion=False, help="Say what was wrong with an answer, or that it was good."
)

KINDS: Final = ("correction", "preference", "rating", "routing")
"""As in `samloop.text.captured`, which is heavy to load."""


@app.command()
def add(
    ctx: typer.Context,
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="What was asked; '-' alone: JSON lines on standard input.")
    ] = None,
    response: Annotated[
        str | None, typer.Argument(metavar="RESPONSE", help="What was answered; '-' reads standard input.")
    ] = None,
    correction: Annotated[str | None, typer.Option(metavar="TEXT", help="The right answer.")] = None,
    what_was_wrong: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why the answer was wrong, or the other is better.")
    ] = None,
    preferred: Annotated[str | None, typer.Option(metavar="TEXT", help="An answer you like better.")] = None,
    rating: Annotated[str | None, typer.Option(metavar="RATING", help="up, down, or a number from -1 to 1.")] = None,
    route: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Where the task belongs; RESPONSE is where it went.")
    ] = None,
    conversation: Annotated[str | None, typer.Option(metavar="ID", help="The conversation it was said in.")] = None,
    adapter: Annotated[str | None, typer.Option(metavar="ID", help="The adapter that answered.")] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take all feedback of a file, as JSON lines.")
    ] = None,
) -> None:
    """Add feedback on an answer: a correction, a better answer, a rating, or where a task belongs.

    One from QUERY, RESPONSE and an option, or all that a file or standard input holds: a JSON object per line with
    the keys query, response, and correction, what_was_wrong, preferred, rating, route, conversation_id or adapter_id.
    It is redacted before it is kept; the next turn learns from it.
    """
    session: Session = ctx.obj
    one = {
        "query": query,
        "response": response,
        "correction": correction,
        "what_was_wrong": what_was_wrong,
        "preferred": preferred,
        "rating": rating,
        "route": route,
        "conversation_id": conversation,
        "adapter_id": adapter,
    }
    given = {name: value for name, value in one.items() if value is not None}
    if file is not None or query == "-" or (not given and not sys.stdin.isatty()):
        if file is not None and given:
            raise UsageError("expected either --file or a QUERY with its options, got both")
        if given.keys() - {"query"}:
            raise UsageError("expected a query for what is given, got '-', which reads whole records")
        records = _lines(file)
    else:
        if response == "-":
            given["response"] = sys.stdin.read().strip()
        records = [("", given)]
    _keep(session, records)


def _lines(file: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """The records of a file, or of standard input, each with where it stands."""
    import orjson

    from samloop.files import readable

    place = readable(file) if file else "standard input"
    try:
        data = file.read_bytes() if file else sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error.strerror}); name a file of JSON lines") from error
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{place}, line {number}"
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record = None
        if not isinstance(record, dict):
            raise InputError(f"expected a JSON object at {where}, got something else; nothing was added")
        found.append((where, record))
    if not found:
        raise UsageError(
            f"expected feedback in {place}, got none; give QUERY, RESPONSE and an option such as --rating"
        )
    return found


def _keep(session: Session, records: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    from samloop.text.captured import feedback_of

    rows = []
    for where, given in records:
        try:
            rows.append(feedback_of(given))
        except (InputError, UsageError) as error:
            if not where:
                raise
            raise InputError(f"{error} (at {where}; nothing was added)") from None
    with session.context() as context:
        from samloop.adapters.registry import Registry, is_alias
        from samloop.loop.capture import record

        for row in rows:
            if is_alias(row.get("adapter_id")):  # who that is now: tomorrow it is another one
                row["adapter_id"] = Registry(context.home, context.store).find(str(row["adapter_id"]))
        kept = record(context, "feedback", rows)
    entries = [
        {"id": one.id, "kind": row["kind"], "added": one.new, "redacted": dict(one.redacted)}
        for one, row in zip(kept, rows, strict=True)
    ]
    data = {"added": sum(one.new for one in kept), "feedback": entries}
    session.out.result(data, lambda: _tell(session.out, entries))


def _tell(out: Output, entries: Sequence[Mapping[str, Any]]) -> None:
    if len(entries) == 1:
        (one,) = entries
        out.line(f"{'Added' if one['added'] else 'Already there:'} {one['id']}; the next turn learns from it.")
        return
    new = sum(bool(one["added"]) for one in entries)
    out.line(
        f"Added {count(new, 'entry', 'entries')}, {len(entries) - new} were there; the next turn learns from them."
    )


@app.command("list")
def list_(
    ctx: typer.Context,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="correction, preference, rating or routing; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most this many.")] = 20,
) -> None:
    """List feedback, newest first."""
    session: Session = ctx.obj
    for one in kind or ():
        if one not in KINDS:
            raise UsageError(f"expected --kind to be one of {', '.join(KINDS)}, got '{one}'")
    with session.context() as context:
        total, rows = context.store.newest_rows("feedback", kind or (), limit)
    session.out.result({"total": total, "feedback": rows}, lambda: _show(session.out, rows, total))


def _show(out: Output, rows: Sequence[Mapping[str, Any]], total: int) -> None:
    if not rows:
        out.line("No feedback yet; 'samloop feedback add' takes some.")
        return
    shown = [
        (row["feedback_id"][-8:], row["kind"], shorten(row["input_text"] or "", 26), shorten(_said(row), 30))
        for row in rows
    ]
    out.table(["id", "kind", "asked", "said"], shown)
    if total > len(rows):
        out.line()
        out.line(f"{len(rows)} of {count(total, 'entry', 'entries')}; --limit shows more.")


def _said(row: Mapping[str, Any]) -> str:
    return row["better_text"] or f"{row['rating']:+g}: {row['output_text']}"
