"""`samloop validate` and `samloop dedupe`: judge again what is stored, and thin out what is there twice."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from samloop.cli.output import count
from samloop.cli.progress import spinner, stages
from samloop.cli.session import Session


def validate(ctx: typer.Context) -> None:
    """Judge every stored example again, by today's rules.

    States, scores and flags are brought up to date. What a person decided stays, and so do found duplicates.
    """
    session: Session = ctx.obj
    with session.context() as context, stages(session.out) as tell:
        from samloop.loop import validate as stage

        data = stage.validate(context, on_progress=lambda news: tell("validate", news))

    def show() -> None:
        session.out.line(
            f"Judged {count(data['checked'], 'example')}: {data['changed']:,} changed, "
            f"{data['kept']:,} left as decided before."
        )
        if data["moves"]:
            session.out.line()
            session.out.table(
                ["was", "is", ">examples"],
                [(move["was"], move["is"], f"{move['examples']:,}") for move in data["moves"]],
            )

    session.out.result(data, show)


def dedupe(
    ctx: typer.Context,
    strategy: Annotated[
        Literal["content", "input"],
        typer.Option(metavar="NAME", help="content: the same throughout; input: the same question."),
    ] = "content",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Reject all but the best of each group of duplicates."""
    session: Session = ctx.obj
    with session.context() as context, spinner(session.out, "Looking for duplicates"):
        groups = context.store.deduplicate(strategy, dry_run)
    rejected = sum(len(group.rejected) for group in groups)
    data = {
        "strategy": strategy,
        "dry_run": dry_run,
        "groups": [{"kept": group.kept, "rejected": list(group.rejected)} for group in groups],
        "rejected": rejected,
    }

    def show() -> None:
        verb = "Would reject" if dry_run else "Rejected"
        session.out.line(f"{verb} {count(rejected, 'example')} in {count(len(groups), 'group')} of duplicates.")

    session.out.result(data, show)
