"""`samloop adapters`: what was trained, what serves, what it learnt from, and how to take it out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from samloop.cli import exporting, trial
from samloop.cli.evaluate import interval
from samloop.cli.output import Output, count, shorten
from samloop.cli.prepare import when
from samloop.cli.session import Session
from samloop.errors import NotFoundError

if TYPE_CHECKING:
    from samloop.adapters.registry import Registry

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="List, promote, roll back, trace and carry adapters.",
)

exporting.register(app)
app.add_typer(trial.app, name="ab")

CHAMPION: Final = "champion"

AdapterArgument = Annotated[
    str, typer.Argument(metavar="ADAPTER", help="An id, its beginning, or 'champion'.", show_default=False)
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
def show(ctx: typer.Context, adapter: AdapterArgument = CHAMPION) -> None:
    """Show one adapter: its state, its scores, where it lies."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        row = registry.store.get_adapter(_find(registry, adapter))
    session.out.result(row, lambda: _show(session.out, row))


@app.command()
def promote(
    ctx: typer.Context,
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An id, or its beginning.")],
    slot: SlotOption = "main",
    reason: ReasonOption = "promoted by hand",
) -> None:
    """Put an adapter into service, whatever the gate said."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        name = registry.find(adapter)
        registry.promote(slot, name, reason)
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
    """Put the champion before this one into service again."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        left = registry.champion(slot)
        now = registry.rollback(slot, reason)
    data = {"slot": slot, "champion": now, "taken_out": left}
    who = now or "The bare base"
    session.out.result(data, lambda: session.out.line(f"{who} is in service in slot {slot}; {left} is taken out."))


@app.command()
def verify(ctx: typer.Context, adapter: AdapterArgument = CHAMPION) -> None:
    """Check that an adapter's files are as they were made."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        name = _find(registry, adapter)
        problems = registry.verify(name)
    data = {"adapter": name, "ok": not problems, "problems": problems}
    if not problems:
        session.out.result(data, lambda: session.out.line(f"{name} is as it was made."))
        return
    session.out.failure(
        "damaged", f"{name}: {problems[0]}; roll back, or bar it with 'samloop adapters reject {name}'", data
    )
    raise typer.Exit(1)


@app.command()
def lineage(
    ctx: typer.Context,
    adapter: AdapterArgument = CHAMPION,
    example: Annotated[
        str | None, typer.Option(metavar="ID", help="Instead: which adapters saw this example.")
    ] = None,
) -> None:
    """Show what an adapter learnt from, or which adapters saw an example."""
    session: Session = ctx.obj
    with _registry(session) as registry:
        data = _seen_by(registry, example) if example else _learnt_from(registry, _find(registry, adapter))

    def show_it() -> None:
        if example:
            rows = [(seen["adapter"] or "-", seen["run_id"], seen["split"]) for seen in data["seen_by"]]
            session.out.table(["adapter", "run", "split"], rows)
            if not rows:
                session.out.line(f"No run has seen {data['example']}.")
            return
        session.out.pairs({name: value for name, value in data.items() if name not in ("examples", "licences")})
        splits = ", ".join(f"{len(ids):,} {split}" for split, ids in data["examples"].items())
        session.out.pairs({"licences": ", ".join(data["licences"]) or None, "examples": splits})

    session.out.result(data, show_it)


@contextmanager
def _registry(session: Session) -> Iterator[Registry]:
    with session.context() as context:
        from samloop.adapters.registry import Registry

        yield Registry(context.home, context.store)


def _find(registry: Registry, name: str) -> str:
    if name != CHAMPION:
        return registry.find(name)
    found = registry.champion("main")
    if found is None:
        raise NotFoundError("the base is in service, no adapter; 'samloop adapters list' shows those that wait")
    return found


def _learnt_from(registry: Registry, name: str) -> dict[str, Any]:
    row = registry.store.get_adapter(name)
    run = row["run_id"]
    ids = {split: registry.store.run_example_ids(run, split) if run else [] for split in ("train", "valid", "test")}
    return {
        "adapter": row["adapter_id"],
        "lineage": row["lineage"].get("lineage"),
        "run": run,
        "dataset": row["dataset_digest"],
        "base": row["base"],
        "base_digest": row["base_digest"],
        "backend": row["backend"],
        "samloop": row["lineage"].get("samloop_version"),
        "licences": row["licences"],
        "examples": ids,
    }


def _seen_by(registry: Registry, example: str) -> dict[str, Any]:
    try:
        whole = registry.store.get_example(example).id
    except NotFoundError:  # an erased example is asked for by its whole id
        whole = example
    by_run = {row["run_id"]: row["adapter_id"] for row in registry.store.list_adapters()}
    seen = [{"adapter": by_run.get(run["run_id"]), **run} for run in registry.store.runs_of_example(whole)]
    return {"example": whole, "seen_by": seen}


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
