"""`samloop chat`: talk to the champion, to any adapter, or to the bare base."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from samloop.cli.output import Output, safe
from samloop.cli.progress import spinner
from samloop.cli.session import Session
from samloop.errors import UsageError

if TYPE_CHECKING:
    from samloop.example import Message
    from samloop.loop.chat import Chat


def chat(
    ctx: typer.Context,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="Ask this and end. Without it: standard input, or a talk.")
    ] = None,
    adapter: Annotated[str | None, typer.Option(metavar="ID", help="Who answers: an adapter, or 'base'.")] = None,
    slot: Annotated[str, typer.Option(metavar="NAME", help="The place in service, with its base.")] = "main",
    max_tokens: Annotated[int, typer.Option(metavar="N", min=1, help="The longest answer.")] = 256,
    temperature: Annotated[
        float, typer.Option(metavar="T", min=0.0, max=2.0, help="0 to 2; 0 gives the likeliest answer.")
    ] = 0.0,
) -> None:
    """Talk to the champion, or to any adapter.

    An answer that runs in circles is cut and marked with […]. A talk ends with an empty line or Ctrl-D.
    """
    session: Session = ctx.obj
    talk = prompt is None and sys.stdin.isatty()
    if talk and session.out.as_json:
        raise UsageError("with --json, chat needs a prompt, as an argument or on standard input")
    asked = prompt if prompt is not None or talk else sys.stdin.read().strip()
    if not talk and not asked:
        raise UsageError("the prompt is empty; give one as an argument or on standard input")
    with session.context() as context:
        from samloop.loop.chat import open_chat

        with spinner(session.out, "Loading the model"):
            model = open_chat(context.for_slot(slot), adapter)

        def reply(messages: list[Message]) -> Iterator[str]:
            return model.reply(messages, max_new_tokens=max_tokens, temperature=temperature)

        if not talk:
            _answer(session.out, model, reply([{"role": "user", "content": asked or ""}]))
            return
        session.out.note(f"{model.answering} answers. An empty line ends the talk.")
        messages: list[Message] = []
        while question := _ask(session.out):
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": _stream(session.out, reply(messages))})


def _answer(out: Output, model: Chat, pieces: Iterator[str]) -> None:
    if out.as_json:
        answer = "".join(pieces)
        out.result({"answering": model.answering, "answer": answer}, lambda: None)
    else:
        _stream(out, pieces)


def _stream(out: Output, pieces: Iterator[str]) -> str:
    said = []
    for piece in pieces:
        said.append(piece)
        out.stdout.write(safe(piece))
        out.stdout.flush()
    out.stdout.write("\n")
    return "".join(said)


def _ask(out: Output) -> str:
    try:
        return out.console.input("> ", markup=False).strip()
    except EOFError:
        out.line()
        return ""
