"""`samloop purge`: erase a person, a source, a conversation or a text, with a receipt."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from samloop.cli.output import Output, count
from samloop.cli.prepare import when
from samloop.cli.progress import spinner
from samloop.cli.session import Session
from samloop.errors import UsageError

if TYPE_CHECKING:
    from samloop.loop.purge_choice import Choice

_SPAN = re.compile(r"([0-9]{1,5})\s*([dhm])")
_SECONDS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0}

NOTHING_CHANGED: Final = "Nothing was changed. Do it with --yes; --retrain takes out what learnt from it as well."


def purge(
    ctx: typer.Context,
    source_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Where it came from: a commit, message or row; a file, repository or path."),
    ] = None,
    person: Annotated[
        str | None, typer.Option(metavar="WHO", help="An address, a number, a login or a name.")
    ] = None,
    conversation: Annotated[str | None, typer.Option(metavar="ID", help="A conversation.")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="All that holds these characters.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Made from then on: 2026-11-01, 2026-11-01T18:00, 7d, 12h.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Made before then.")] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Withdraw the adapters that learnt from it, and train one without.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it, without being asked.")] = False,
    delete_backups: Annotated[
        bool, typer.Option("--delete-backups", help="Delete the backups that lie in the home as well.")
    ] = False,
    receipts: Annotated[bool, typer.Option("--list", help="Instead: list what was purged before.")] = False,
    show: Annotated[str | None, typer.Option(metavar="PURGE", help="Instead: show a receipt.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="PURGE", help="Instead: finish a purge that was killed, or add --retrain to one."),
    ] = None,
    lift: Annotated[
        str | None, typer.Option(metavar="PURGE", help="Instead: let what it erased come in again.")
    ] = None,
) -> None:
    """Erase a person, a source, a conversation or a text.

    Without --yes this is a dry run: it tells what would go and which adapters learnt from it, and asks if this is a
    terminal. Several conditions narrow each other. What is erased does not come in again from its source.
    """
    session: Session = ctx.obj
    given: dict[str, Any] = {
        "source_id": source_id,
        "person": person,
        "conversation": conversation,
        "text": text,
        "since": _moment("--since", since),
        "until": _moment("--until", until),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    others = {"--list": receipts, "--show": show, "--resume": resume, "--lift": lift}
    instead = [name for name, value in others.items() if value]
    if len(instead) > 1 or (instead and chosen):
        raise UsageError(f"{instead[0]} stands alone, but was given with something else to do; leave one of them out")
    for name, value in chosen.items():
        if isinstance(value, str) and not value.strip():
            raise UsageError(f"expected --{name.replace('_', '-')} to say something, got an empty text")
    if instead:
        _other(session, receipts=receipts, show=show, resume=resume, lift=lift, retrain=retrain)
        return
    from samloop.loop.purge_choice import Choice

    _purge(session, Choice(**chosen), retrain=retrain, yes=yes, delete_backups=delete_backups)


def _purge(session: Session, choice: Choice, *, retrain: bool, yes: bool, delete_backups: bool) -> None:
    out = session.out
    with session.context() as context:
        from samloop.loop import purge as deed

        if not yes:
            with spinner(out, "Looking") as tell:
                tell("what is meant")
                planned = deed.plan(context, choice)
                left = deed.unfinished(context)
            data = {**planned.to_dict(), "unfinished": [row["purge_id"] for row in left]}
            out.result(data, lambda: _show_plan(out, data))
            asks = sys.stdin.isatty() and not out.as_json and not planned.empty
            if not asks or not typer.confirm("Erase it, for good?", err=True):
                return
        with spinner(out, "Purging") as tell:
            receipt = deed.purge(context, choice, retrain=retrain, delete_backups=delete_backups, on_progress=tell)
    out.result(receipt, lambda: _show_receipt(out, receipt))


def _other(
    session: Session, *, receipts: bool, show: str | None, resume: str | None, lift: str | None, retrain: bool
) -> None:
    out = session.out
    with session.context() as context:
        from samloop.loop import purge as deed

        if receipts:
            rows = [_listed(row) for row in context.store.list_purges()]
            out.result({"purges": rows}, lambda: _show_list(out, rows))
        elif show:
            row = context.store.get_purge(show)
            data = {"state": row["state"], **row["receipt"]}
            out.result(data, lambda: _show_receipt(out, data))
        elif resume:
            with spinner(out, "Purging") as tell:
                receipt = deed.resume(context, resume, retrain=retrain, on_progress=tell)
            out.result(receipt, lambda: _show_receipt(out, receipt))
        elif lift:
            lifted = deed.lift(context, lift)
            out.result(
                lifted,
                lambda: out.line(f"{lifted['purge_id']}: what it erased comes in again where it can still be read."),
            )


def _moment(name: str, given: str | None) -> float | None:
    """A time as Unix seconds; without a zone it is local.

    Raises:
        UsageError: it is none.
    """
    if given is None:
        return None
    if span := _SPAN.fullmatch(given.strip()):
        return datetime.datetime.now().timestamp() - int(span[1]) * _SECONDS[span[2]]
    try:
        return datetime.datetime.fromisoformat(given.strip()).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"expected {name} to be a time like 2026-11-01, 2026-11-01T18:00 or 7d, got '{given}'"
        ) from None


def _listed(row: Mapping[str, Any]) -> dict[str, Any]:
    receipt = row["receipt"]
    return {
        "purge_id": row["purge_id"],
        "state": row["state"],
        "begun_at": receipt["begun_at"],
        "chosen_by": receipt["chosen_by"],
        "records": receipt["records"]["count"],
        "lifted": "lifted_at" in receipt,
    }


def _show_list(out: Output, rows: list[dict[str, Any]]) -> None:
    if not rows:
        out.line("Nothing was ever purged from this home.")
        return
    out.table(
        ["purge", "state", "when", "chosen by", ">records"],
        [
            (
                row["purge_id"],
                "lifted" if row["lifted"] else row["state"],
                when(row["begun_at"]),
                ", ".join(row["chosen_by"]),
                f"{row['records']:,}",
            )
            for row in rows
        ],
    )


def _show_plan(out: Output, data: Mapping[str, Any]) -> None:
    would = {name.replace("_", " "): f"{number:,}" for name, number in data["would_remove"].items() if number}
    for note in data["notes"]:
        out.line(note)
    if data["unfinished"]:
        out.line(f"{', '.join(data['unfinished'])} was killed half way; --resume finishes it, and so does any purge.")
    if not would:
        out.line("Nothing in this home is meant by that.")
        return
    out.line("This would go:")
    out.pairs(would)
    _show_exports(out, data["exports"])
    if data["adapters"]:
        out.line("\nThese adapters learnt from it:")
        out.table(["adapter", "slot", "state", "run"], [tuple(one.values()) for one in data["adapters"]])
    if data["look_alikes"]:
        out.line(f"{count(len(data['look_alikes']), 'example')} much like it would stay: {data['look_alikes'][0]} …")
    if data["backups"]:
        backups = count(len(data["backups"]), "backup")
        out.line(f"{backups} in the home would still hold it; --delete-backups deletes them.")
    out.line(f"\n{NOTHING_CHANGED}")


def _show_exports(out: Output, exports: list[dict[str, Any]]) -> None:
    told = {
        "written": "would be written anew without it",
        "changed": "was changed since samloop wrote it: left to you",
        "gone": "is not there any more",
        "copy": "is a copy of a dataset that holds some of it: left to you",
    }
    for one in exports:
        out.line(f"The export {one['path']} {told[one['state']]}.")


def _show_receipt(out: Output, receipt: Mapping[str, Any]) -> None:
    out.line(f"Receipt {receipt['purge_id']}", style="bold")
    out.pairs(
        {
            "erased": when(receipt["finished_at"]) if receipt.get("finished_at") else "not finished",
            "chosen by": ", ".join(receipt["chosen_by"]),
            "records": f"{receipt['records']['count']:,}, digest {receipt['records']['digest'][:16]}",
            **{name.replace("_", " "): f"{number:,}" for name, number in receipt.get("removed", {}).items()},
            **{f"files: {name.replace('_', ' ')}": n for name, n in receipt.get("files", {}).items() if n},
        }
    )
    names = ", ".join(one["adapter_id"] for one in receipt["adapters"])
    if receipt.get("withdrawn"):
        out.line(f"\nWithdrawn for good, their weights deleted: {', '.join(receipt['withdrawn'])}.")
        for slot, serving in receipt.get("serving", {}).items():
            out.line(f"In slot {slot}, {serving or 'the bare base'} is in service.")
    elif names:
        out.line(f"\nThese adapters learnt from it and still remember: {names}.")
        out.line(f"Take them out and train one without: samloop purge --resume {receipt['purge_id']} --retrain")
    if retrained := receipt.get("retrained"):
        out.line(retrained.get("summary") or f"Nothing was trained: {retrained['reason']}.")
    if receipt["cannot_reach"]:
        out.line("\nOut of samloop's reach:")
        for one in receipt["cannot_reach"]:
            out.line(f"- {one['what']}: {one['remedy']}.")
    if receipt.get("digest"):
        out.line(f"\nDigest of this receipt: {receipt['digest']}", style="dim")
