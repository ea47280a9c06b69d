"""`samloop adapters`: what was trained, what serves, what it learnt from, and how to take it out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from samloop.cli import exporting, keeping, lineage, trial
from samloop.cli.evaluate import interval
from samloop.cli.output import Output, count, shorten
from samloop.cli.prepare import when
from samloop.cli.session import Session

if TYPE_CHECKING:
    from samloop.adapters.registry import Registry

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="List, promote, roll back, trace and carry adapters.",
)

for part in (exporting, keeping, lineage):
    part.register(app)
app.add_typer(trial.app, name="ab")

CHAMPION: Final = "champion"

AdapterArgument = Annotated[
    str,
    typer.Argument(metavar="ADAPTER", help="An id, its beginning, champion, challenger.", show_default=False),
]
SlotOption = Annotated[str, typer.Option(metavar="NAME", help="The place in service.")]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept with the change.")]


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List adapters, newest first."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        found = registry.store.list_adapters()

    def show_all() -> None:
        if not found:
            session.out.line("No adapter yet; 'samloop turn' trains and evaluates one.")
            return
        rows = [
            (row["adapter_id"], row["state"], row["slot"], when(row["created_at"]), shorten(row["run_id"] or "-", 18))
            for row in found
        ]
        session.out.table(["adapter", "state", "slot", "made", "run"], rows)
        if not any(row["state"] == CHAMPION for row in found):
            session.out.line("The base is in service.")

    session.out.result(found, show_all)


@app.command()
def show(
    ctx: typer.Context,
    adapter: AdapterArgument = CHAMPION,
    card: Annotated[bool, typer.Option("--card", help="Its model card instead, as Markdown.")] = False,
) -> None:
    """Show one adapter: its state, its scores, where it lies."""
    session: Session = ctx.obj
    if card:
        with session.context() as context:
            from samloop.loop.cards import read_card

            text = read_card(context, adapter)
        session.out.result({"card": text}, lambda: session.out.line(text))
        return
    with _registry(session) as registry:
        row = registry.store.get_adapter(registry.find(adapter))
    session.out.result(row, lambda: _show(session.out, row))


@app.command()
def promote(
    ctx: typer.Context,
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="An id, its beginning, or 'challenger'.", show_default=False)
    ],
    slot: SlotOption = "main",
    reason: ReasonOption = "promoted by hand",
) -> None:
    """Put an adapter into service, whatever the gate said."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.promotion import promote as stage

        name = stage(context, adapter, slot=slot, reason=reason)
    data = {"slot": slot, "champion": name}
    session.out.result(data, lambda: session.out.line(f"{name} is in service in slot {slot}."))


@app.command()
def reject(
    ctx: typer.Context,
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An id, or its beginning.")],
) -> None:
    """Bar an adapter from ever serving."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        name = registry.find(adapter)
        registry.reject(name)
    session.out.result({"rejected": name}, lambda: session.out.line(f"{name} will never serve."))


@app.command()
def rollback(ctx: typer.Context, slot: SlotOption = "main", reason: ReasonOption = "rolled back by hand") -> None:
    """Put the champion before this one into service again.

    It works while the store is busy or damaged: the store is told when it can be.
    """
    from samloop.loop.rollback import rollback as stage

    session: Session = ctx.obj
    data = stage(session.home, session.config, slot=slot, reason=reason)

    def show_it() -> None:
        who = data["champion"] or "The bare base"
        session.out.line(f"{who} is in service in slot {slot}; {data['taken_out']} is taken out.")
        for passed in data["passed_over"]:
            session.out.line(f"Passed over: {passed['adapter']} ({passed['problem']}).")
        if data["store"] != "told":
            session.out.line(f"The store will be told by the next command ({data['store']}).")

    session.out.result(data, show_it)


@app.command()
def verify(
    ctx: typer.Context,
    adapter: AdapterArgument = CHAMPION,
    every: Annotated[bool, typer.Option("--all", help="Check every adapter that is on disk.")] = False,
) -> None:
    """Check that an adapter's files are as they were made, and its weights numbers."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        if every:
            names = [row["adapter_id"] for row in registry.store.list_adapters() if registry.on_disk(row)]
        else:
            names = [registry.find(adapter)]
        found = {name: registry.verify(name) for name in names}
    data = [{"adapter": name, "ok": not problems, "problems": problems} for name, problems in found.items()]
    damaged = [one for one in data if not one["ok"]]

    def show_it() -> None:
        if not data:
            session.out.line("No adapter is on disk.")
        for one in data:
            session.out.line(f"{one['adapter']} is as it was made.")

    if not damaged:
        session.out.result(data if every else data[0], show_it)
        return
    first = damaged[0]
    more = f" ({len(damaged) - 1:,} more are damaged)" if len(damaged) > 1 else ""
    session.out.failure(
        "damaged",
        f"{first['adapter']}: {first['problems'][0]}{more}; roll back, or bar it with 'samloop adapters reject "
        f"{first['adapter']}'",
        data if every else first,
    )
    raise typer.Exit(1)


@contextmanager
def _registry(session: Session) -> Iterator[Registry]:
    with session.context() as context:
        from samloop.adapters.registry import Registry

        yield Registry(context.home, context.store)


def _show(out: Output, row: Mapping[str, Any]) -> None:
    out.pairs(
        {
            "adapter": row["adapter_id"],
            "state": row["state"],
            "slot": row["slot"],
            "base": f"{row['base']} on {row['backend']}",
            "run": row["run_id"],
            "made": when(row["created_at"]),
            "folder": row["path"],
        }
    )
    scores = row["scores"].get("suites") or []
    if scores:
        out.line()
        rows = [(score["name"].replace("_", " "), count(score["items"], "item"), interval(score)) for score in scores]
        out.table(["measure", ">items", ">value"], rows)
