"""`samloop validate` and `samloop dedupe`: judge again what is stored, and thin out what is there twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from samloop.cli.output import count, shorten
from samloop.cli.progress import spinner, stages
from samloop.cli.session import Session
from samloop.example import collapse

if TYPE_CHECKING:
    from samloop.example import Example
    from samloop.store import Store

SHOWN: Final = 20
"""Pairs shown to a person."""

ID_SHOWN: Final = 8
WORDS_BEFORE: Final = 3
SNIPPET_COLUMNS: Final = 60


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
        Literal["content", "input", "near"],
        typer.Option(
            metavar="NAME",
            help="content: the same throughout; input: the same question; near: almost the same words.",
        ),
    ] = "content",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Reject all but the best of each group of duplicates."""
    session: Session = ctx.obj
    alike: dict[str, float] = {}
    with session.context() as context:
        with spinner(session.out, "Looking for duplicates") as tell:
            if strategy == "near":
                from samloop.loop import near

                found = near.dedupe(context, dry_run=dry_run, on_progress=tell)
                groups, alike = found.groups, found.alike
            else:
                groups = context.store.deduplicate(strategy, dry_run)
        pairs = [(group.kept, id) for group in groups for id in group.rejected]
        shown = [
            tuple(context.store.get_example(id) for id in pair)
            for pair in pairs[: 0 if session.out.as_json else SHOWN]
        ]
        candidates = preferences(context.store, pairs) if strategy == "input" else []
    rejected = sum(len(group.rejected) for group in groups)
    data = {
        "strategy": strategy,
        "dry_run": dry_run,
        "groups": [{"kept": group.kept, "rejected": list(group.rejected)} for group in groups],
        **({"alike": alike} if strategy == "near" else {}),
        **({"preference_candidates": candidates} if strategy == "input" else {}),
        "rejected": rejected,
    }

    def show() -> None:
        verb = "Would reject" if dry_run else "Rejected"
        session.out.line(f"{verb} {count(rejected, 'example')} in {count(len(groups), 'group')} of duplicates.")
        if shown:
            session.out.line()
            session.out.table(
                ["keeps", "where they differ", "rejects", "where they differ", ">alike"], rows(shown, alike)
            )
        if len(pairs) > len(shown):
            session.out.line(f"… and {len(pairs) - len(shown):,} more; --json lists them all.")
        if candidates:
            told = count(len(candidates), "question")
            session.out.line(
                f"{told} answered in two ways might make a preference; --json lists them as preference_candidates."
            )

    session.out.result(data, show)


def preferences(store: Store, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What might make preference pairs: the same question with two answers, the better one as chosen."""
    found = []
    for better, worse in pairs:
        chosen, rejected = store.get_example(better), store.get_example(worse)
        if chosen.format != "dpo" and collapse(chosen.output_text) != collapse(rejected.output_text):
            margin = round(chosen.quality_score - rejected.quality_score, 4)
            found.append({"chosen": better, "rejected": worse, "margin": margin})
    return found


def rows(pairs: Sequence[Sequence[Example]], alike: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Pairs side by side: ids, the words around the first difference, and how much of both is the same."""
    found: list[tuple[str, ...]] = []
    for kept, gone in pairs:
        one, two = differing(whole(kept), whole(gone))
        share = alike.get(gone.id)
        found.append((kept.id[:ID_SHOWN], one, gone.id[:ID_SHOWN], two, "-" if share is None else f"{share:.0%}"))
    return found


def whole(example: Example) -> str:
    """All that two examples are compared by, as one text."""
    return "\n".join(part for part in (example.context, example.input_text, example.output_text) if part)


def differing(one: str, two: str) -> tuple[str, str]:
    """The words of two texts from shortly before the first difference on; their beginnings where there is none."""
    first, second = one.split(), two.split()
    pairs = zip(first, second, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    start = max(at - WORDS_BEFORE, 0) if first != second else 0
    before = "… " if start else ""
    return (
        shorten(before + " ".join(first[start:]), SNIPPET_COLUMNS),
        shorten(before + " ".join(second[start:]), SNIPPET_COLUMNS),
    )
