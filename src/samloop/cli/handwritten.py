"""`samloop examples add` and `edit`: what a person writes, from flags, an editor, standard input or a file."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from samloop.cli.output import Output, figure
from samloop.cli.session import Session
from samloop.errors import SourceError, UsageError
from samloop.example import DOMAINS, Example

if TYPE_CHECKING:
    from samloop.loop.context import Context
    from samloop.loop.examples import Kept

STANDARD_INPUT: Final = "standard input"

RejectedOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="A worse answer: makes it a preference pair.")
]
ReasonOption = Annotated[str | None, typer.Option(metavar="TEXT", help="Why the worse answer is worse.")]
SystemOption = Annotated[str | None, typer.Option(metavar="TEXT", help="A system prompt that belongs to it.")]
ContextOption = Annotated[str | None, typer.Option(metavar="TEXT", help="A text that the question is about.")]
DomainOption = Annotated[str | None, typer.Option(metavar="NAME", help="Its domain, where you know better.")]
LicenceOption = Annotated[str | None, typer.Option(metavar="ID", help="SPDX id of what was written.")]
LanguageOption = Annotated[str | None, typer.Option(metavar="TAG", help="Its language, such as en or python.")]
EditorOption = Annotated[bool, typer.Option("--editor", "-e", help="Fill in a form in $EDITOR.")]


def add(
    ctx: typer.Context,
    input: Annotated[
        str | None, typer.Argument(metavar="INPUT", help="What is asked; '-' alone: examples on standard input.")
    ] = None,
    output: Annotated[
        str | None, typer.Argument(metavar="OUTPUT", help="What should be answered; '-' reads standard input.")
    ] = None,
    rejected: RejectedOption = None,
    reason: ReasonOption = None,
    system: SystemOption = None,
    context: ContextOption = None,
    domain: DomainOption = None,
    licence: LicenceOption = None,
    language: LanguageOption = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Take all examples of a file.")] = None,
    editor: EditorOption = False,
) -> None:
    """Add examples by hand; they pass the same rules as all others.

    One from INPUT and OUTPUT, one from a form in your editor (the default on a terminal), or all that a file or
    standard input holds: filled forms, or any format that 'collect dataset' reads. An empty form adds nothing.
    """
    session: Session = ctx.obj
    _check_domain(domain)
    chosen = {"--file": file is not None, "--editor": editor, "INPUT": input is not None}
    if sum(chosen.values()) > 1:
        raise UsageError(f"expected one of {' or '.join(name for name, on in chosen.items() if on)}, got both")
    if file is not None or input == "-" or (not any(chosen.values()) and not sys.stdin.isatty()):
        if output is not None:
            raise UsageError("expected a question for the answer on standard input, got '-' for both")
        _add_all(session, file, licence)
        return
    draft = Example(
        source="manual",
        format="instruction" if rejected is None else "dpo",
        input_text=input or "",
        output_text=(sys.stdin.read() if output == "-" else output) or "",
        rejected_output=rejected,
        preference_reason=reason,
        system_prompt=system,
        context=context,
        licence=licence,
        language=language,
    )
    with session.context() as opened:
        if input is None:
            kept = _in_editor(session, opened, draft, domain)
        else:
            _complete(draft, output)
            kept = _loop().add(opened, draft, domain=domain)
    _tell(session.out, kept)


def _complete(draft: Example, output: str | None) -> None:
    if output is None:
        raise UsageError("expected OUTPUT, what should be answered, got INPUT alone; give both, or '-' for OUTPUT")
    if draft.preference_reason and draft.rejected_output is None:
        raise UsageError("expected --rejected beside --reason, got the reason alone; give the worse answer")


def edit(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="An id, or its beginning.")],
    input: Annotated[str | None, typer.Option(metavar="TEXT", help="What is asked.")] = None,
    output: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What should be answered; '-' reads standard input.")
    ] = None,
    rejected: RejectedOption = None,
    reason: ReasonOption = None,
    system: SystemOption = None,
    context: ContextOption = None,
    domain: DomainOption = None,
    licence: LicenceOption = None,
    language: LanguageOption = None,
    editor: EditorOption = False,
) -> None:
    """Edit an example: in your editor, or what the options say. An option with empty text empties the field.

    The edited text passes the rules and takes the place of the old one, which stays, rejected, as its parent.
    """
    session: Session = ctx.obj
    _check_domain(domain)
    given = {
        "input_text": input,
        "output_text": sys.stdin.read() if output == "-" else output,
        "rejected_output": rejected,
        "preference_reason": reason,
        "system_prompt": system,
        "context": context,
        "domain": domain,
        "licence": licence,
        "language": language,
    }
    changes = {name: value or None for name, value in given.items() if value is not None}
    with session.context() as opened:
        old = opened.store.get_example(id)
        _loop().check_editable(old)
        wanted = _changed(old, changes)
        if editor or not changes:
            kept = _in_editor(session, opened, wanted, None, old)
        else:
            kept = _loop().edit(opened, old, wanted)
    _tell(session.out, kept)


def _changed(old: Example, changes: dict[str, Any]) -> Example:
    """`old` with `changes`; a worse answer that comes or goes makes it a preference or a plain example."""
    from samloop.text.form import applied, form_of

    if not changes:
        return old
    if "rejected_output" in changes and not changes["rejected_output"]:
        changes = {"preference_reason": None, **changes}
    texts: dict[str, Any] = {name: changes[name] or "" for name in ("input_text", "output_text") if name in changes}
    changed = replace(old, **{**changes, **texts})
    return applied(form_of(changed), changed)


def _in_editor(
    session: Session, opened: Context, example: Example, domain: str | None, old: Example | None = None
) -> Kept | None:
    from samloop.cli.editor import edited
    from samloop.text.form import Form, applied, form_of

    def take(form: Form) -> Kept:
        wanted = applied(form, example)
        kept: Kept = _loop().edit(opened, old, wanted) if old else _loop().add(opened, wanted, domain=domain)
        return kept

    return edited(session.home, form_of(example), take, as_json=session.out.as_json)


def _loop() -> Any:
    from samloop.loop import examples

    return examples


def _check_domain(domain: str | None) -> None:
    if domain is not None and domain not in DOMAINS:
        raise UsageError(f"expected --domain to be one of {', '.join(DOMAINS)}, got '{domain}'")


def _tell(out: Output, kept: Kept | None) -> None:
    if kept is None:
        data: dict[str, Any] = {"added": False, "redacted": {}, "example": None}
        out.result(data, lambda: out.line("The form was left empty: nothing was added or changed."))
        return
    example = kept.example
    new = kept.outcome in ("Added", "Replaced")
    data = {"added": new, "redacted": dict(kept.redacted), "example": example.to_dict()}
    if kept.replaced:
        data["replaced"] = kept.replaced

    def show() -> None:
        state = f"{example.state} ({example.reason})" if example.reason else example.state
        if kept.replaced:
            out.line(f"Replaced {kept.replaced}, which is kept as the parent of the edited one.")
            out.line(f"Added {example.id}, {state}")
        else:
            out.line(f"{kept.outcome}{':' if kept.outcome == 'Already there' else ''} {example.id}, {state}")
        out.line(f"tier {example.quality_tier}, score {figure(example.quality_score)}, domain {example.domain}")

    out.result(data, show)


def _add_all(session: Session, file: Path | None, licence: str | None) -> None:
    """All examples of a file, or of standard input, which becomes a file of no lasting place."""
    from samloop.cli.collect import finish
    from samloop.files import absolute
    from samloop.settings import SourceSettings

    options = {"licence": licence} if licence else {}
    if file is not None:
        finish(session, [SourceSettings(kind="manual", location=str(absolute(file)), **options)])
        return
    text = sys.stdin.buffer.read()
    if not text.strip():
        raise UsageError("expected examples on standard input, got none; give INPUT and OUTPUT, or --editor")
    with tempfile.TemporaryDirectory(prefix="samloop-") as folder:
        path = Path(folder, STANDARD_INPUT)
        path.write_bytes(text)
        try:
            finish(session, [SourceSettings(kind="manual", location=str(path), **options)], once=STANDARD_INPUT)
        except SourceError as error:
            raise SourceError(str(error).replace(str(path), STANDARD_INPUT)) from None
