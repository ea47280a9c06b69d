"""`samloop examples`: look at what is stored, add to it, write it out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samloop.cli import handwritten
from samloop.cli.output import Output, count, figure, shorten
from samloop.cli.prepare import when
from samloop.cli.session import Session
from samloop.errors import UsageError
from samloop.example import DOMAINS, FORMATS, STATES, TIERS, Example

if TYPE_CHECKING:
    from samloop.store import Filters

app = typer.Typer(rich_markup_mode=None, add_completion=False, help="List, show, add, edit and export examples.")

Many = list[str] | None

SourceOption = Annotated[Many, typer.Option("--source", metavar="NAME", help="Only of this source; repeatable.")]
FormatOption = Annotated[Many, typer.Option("--of-format", metavar="FORMAT", help="Only of this format; repeatable.")]
DomainOption = Annotated[Many, typer.Option("--domain", metavar="NAME", help="Only of this domain; repeatable.")]
TierOption = Annotated[Many, typer.Option("--tier", metavar="TIER", help="Only of this tier; repeatable.")]
QualityOption = Annotated[float | None, typer.Option("--min-quality", metavar="SCORE", help="Only from there on.")]
TextOption = Annotated[str | None, typer.Option("--text", metavar="WORDS", help="Only with these words in them.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    source: SourceOption = None,
    of_format: FormatOption = None,
    domain: DomainOption = None,
    tier: TierOption = None,
    min_quality: QualityOption = None,
    text: TextOption = None,
    state: Annotated[
        Many, typer.Option(metavar="STATE", help="accepted, review or rejected; repeatable. Default: all.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most this many.")] = 20,
) -> None:
    """List examples, newest first."""
    session: Session = ctx.obj
    chosen = _filters(source, of_format, domain, tier, min_quality, text, state or [])
    with session.context() as context:
        total = context.store.count(chosen)
        found = list(context.store.select(chosen, limit=limit, order="newest"))
    session.out.result(
        {"total": total, "examples": [example.to_dict() for example in found]},
        lambda: _show_list(session.out, found, total),
    )


@app.command()
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="An id, or its beginning.")],
) -> None:
    """Show one example whole, with its score term by term and what the rules say about it today."""
    session: Session = ctx.obj
    from samloop.loop.explain import explained

    with session.context() as context:
        example = context.store.get_example(id)
        why = explained(context, example)
        log = context.store.validation_log(example.id)
        runs = context.store.runs_of_example(example.id)
    session.out.result(
        {**example.to_dict(), "validation_log": log, "runs": runs, "explanation": why},
        lambda: _show_one(session.out, example, why, runs),
    )


app.command()(handwritten.add)
app.command()(handwritten.edit)


@app.command()
def export(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
    format: Annotated[
        str, typer.Option("--format", "-f", metavar="FORMAT", help="How each line is written.")
    ] = "auto",
    source: SourceOption = None,
    of_format: FormatOption = None,
    domain: DomainOption = None,
    tier: TierOption = None,
    min_quality: QualityOption = None,
    text: TextOption = None,
    state: Annotated[Many, typer.Option(metavar="STATE", help="Default: accepted.")] = None,
    unused: Annotated[bool, typer.Option("--unused", help="Leave out what was used already.")] = False,
    mark_used: Annotated[bool, typer.Option("--mark-used", help="Mark what is written as used.")] = False,
) -> None:
    """Write accepted examples to a file, as JSON lines.

    FORMAT is instruction, chat, dpo, completion or multi_turn; auto writes each example in its own.
    """
    session: Session = ctx.obj
    _one_of("--format", [format], ("auto", *FORMATS))
    chosen = _filters(source, of_format, domain, tier, min_quality, text, state or ["accepted"], unused=unused)
    with session.context() as context:
        written = context.store.export_to_jsonl(output, format, chosen, mark_used)
    data = {"path": str(output.absolute()), "format": format, "examples": written, "marked_used": mark_used}
    session.out.result(data, lambda: session.out.line(f"Wrote {count(written, 'example')} to {output}"))


def _filters(
    sources: Many,
    formats: Many,
    domains: Many,
    tiers: Many,
    min_quality: float | None,
    text: str | None,
    states: list[str],
    *,
    unused: bool = False,
) -> Filters:
    from samloop.store import Filters

    _one_of("--of-format", formats, FORMATS)
    _one_of("--domain", domains, DOMAINS)
    _one_of("--tier", tiers, TIERS)
    _one_of("--state", states, STATES)
    return Filters(
        sources=tuple(sources or ()),
        formats=tuple(formats or ()),
        domains=tuple(domains or ()),
        tiers=tuple(tiers or ()),
        states=tuple(states),
        min_quality=min_quality,
        text=text,
        exclude_used=unused,
    )


def _one_of(option: str, given: Many, known: Sequence[str]) -> None:
    for value in given or ():
        if value not in known:
            raise UsageError(f"expected {option} to be one of {', '.join(known)}, got '{value}'")


def _show_list(out: Output, found: list[Example], total: int) -> None:
    if not found:
        out.line("No example is stored that fits; 'samloop stats' says what there is.")
        return
    rows = [
        (
            example.id[:8],
            example.source,
            example.state,
            example.quality_tier,
            shorten(example.input_text, 38),
        )
        for example in found
    ]
    out.table(["id", "source", "state", "tier", "asked"], rows)
    if total > len(found):
        out.line()
        out.line(f"{len(found)} of {count(total, 'example')}; --limit shows more.")


def _show_one(out: Output, example: Example, why: dict[str, Any], runs: list[dict[str, str]]) -> None:
    out.pairs(
        {
            "id": example.id,
            "source": f"{example.source} {example.source_id or ''}".strip(),
            "format": example.format,
            "state": f"{example.state}: {example.reason}" if example.reason else example.state,
            "quality": f"{example.quality_tier}, {figure(example.quality_score)}",
            "domain": f"{example.domain}, complexity {example.complexity}",
            "group": example.group_key,
            "licence": example.licence,
            "language": example.language,
            "created": when(example.created_at),
            "derived from": example.parent_id,
            "used in": ", ".join(f"{run['run_id']} ({run['split']})" for run in runs) or None,
        }
    )
    for title, text in (
        ("system", example.system_prompt),
        ("context", example.context),
        *((turn["role"], turn["content"]) for turn in example.conversation_history),
        ("asked", example.input_text),
        ("answer", example.output_text),
        ("worse answer", example.rejected_output),
        ("because", example.preference_reason),
    ):
        if text:
            out.line()
            out.line(f"── {title} ".ljust(78, "─"), style="dim")
            out.line(text)
    _show_why(out, why)


def _show_why(out: Output, why: dict[str, Any]) -> None:
    out.line()
    out.line(f"── why, by the rubric {why['rubric']} ".ljust(78, "─"), style="dim")
    rows = [(term["name"], f"{term['amount']:+.2f}") for term in why["terms"]]
    out.table(["term", ">points"], [*rows, ("score", figure(why["score"]))])
    out.line()
    out.pairs(
        {
            "tier": f"{why['tier']}: {why['tier_reason']}",
            "state": f"{why['state']}: {why['state_reason']}",
            "domain": f"{why['domain']}: {why['domain_reason']}",
        }
    )
    if why["flags"]:
        out.line()
        out.table(
            ["rule", "outcome", ">measure", "thresholds", "reason"],
            [
                (f["rule"], f["outcome"], figure(f["measure"]), _thresholds(f["options"]), f["reason"])
                for f in why["flags"]
            ],
        )
    if why["changed"]:
        out.line()
        out.line(f"Stored otherwise ({', '.join(why['changed'])}): {why['changed_reason']}.")


def _thresholds(options: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, (int, float)) else name for name, value in options.items()
    )
