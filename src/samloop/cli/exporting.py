"""`samloop adapters convert|fuse|gguf|export|import`: adapters that go out of the house, and come in."""

from __future__ import annotations

from typing import Annotated

import typer

from samloop.cli.progress import spinner
from samloop.cli.session import Session

AdapterArgument = Annotated[
    str, typer.Argument(metavar="ADAPTER", help="An id, its beginning, 'champion', or a folder.", show_default=False)
]
BaseOption = Annotated[
    str | None,
    typer.Option("--base", metavar="NAME", help="The base; by default that of the adapter."),
]


def convert(
    ctx: typer.Context,
    adapter: AdapterArgument,
    to: Annotated[str, typer.Option(metavar="NAME", help="peft, mlx, or both in one folder.", show_default=False)],
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="A new folder.", show_default=False)],
) -> None:
    """Write an adapter in the layout of PEFT or of MLX."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.export import convert as stage

        data = stage(context, adapter, to=to, out=out)
    session.out.result(
        data, lambda: session.out.line(f"{data['adapter']} is in {data['path']}: {', '.join(data['files'])}.")
    )


def fuse(
    ctx: typer.Context,
    adapter: AdapterArgument,
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="A new folder.", show_default=False)],
    base: BaseOption = None,
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="base: round to the base's own numbers; float32: to nothing.")
    ] = "base",
) -> None:
    """Merge an adapter into its base: a whole model folder."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.export import fuse as stage

        with spinner(session.out, "Merging"):
            data = stage(context, adapter, out=out, base=base, dtype=dtype)

    def show() -> None:
        weights = f"{data['bytes'] / 2**20:,.1f} MiB of {data['dtype']}"
        session.out.line(f"{data['adapter']} in {data['base']}: {data['path']}, {weights}.")
        if data["rounding"] > 0:
            session.out.line(
                f"Rounding to {data['dtype']} took {data['rounding']:.1%} of what the adapter learnt; "
                "--dtype float32 keeps all of it."
            )
        if data["quantise"] != "none":
            session.out.line(f"The base is spelt out as it was in training, held as {data['quantise']}.")

    session.out.result(data, show)


def gguf(
    ctx: typer.Context,
    adapter: AdapterArgument,
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="A new file.", show_default=False)],
    outtype: Annotated[str, typer.Option(metavar="NAME", help="f32, f16 or q8_0.")] = "f16",
    base: BaseOption = None,
    lora: Annotated[bool, typer.Option("--lora", help="The adapter alone, beside a GGUF of its base.")] = False,
) -> None:
    """Write the base with an adapter as one GGUF file, for llama.cpp and Ollama."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.export import gguf as stage

        with spinner(session.out, "Writing"):
            data = stage(context, adapter, out=out, outtype=outtype, base=base, lora=lora)

    def show() -> None:
        what = "alone" if lora else f"in {data['base']}"
        session.out.line(f"{data['adapter']} {what}: {data['path']}, {data['bytes'] / 2**20:,.1f} MiB.")
        if data["modelfile"]:
            session.out.line(f"For Ollama: ollama create NAME -f {data['modelfile']}")

    session.out.result(data, show)


def export(
    ctx: typer.Context,
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="An id, its beginning, or 'champion'.", show_default=False)
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="A new archive.", show_default=False)],
) -> None:
    """Write an adapter with its lineage and hashes into one archive."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.carry import export_adapter as stage

        data = stage(context, adapter, out=out)
    session.out.result(
        data, lambda: session.out.line(f"{data['adapter']} is in {data['path']}, {data['bytes'] / 2**20:,.1f} MiB.")
    )


def import_(
    ctx: typer.Context,
    location: Annotated[
        str,
        typer.Argument(metavar="PATH", help="An archive, or an adapter's folder.", show_default=False),
    ],
    slot: Annotated[str, typer.Option(metavar="NAME", help="The place in service it is for.")] = "main",
    base: Annotated[
        str | None, typer.Option("--base", metavar="NAME", help="Its base; by default that of the recipe.")
    ] = None,
) -> None:
    """Check an adapter from elsewhere and take it in, as a candidate."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.carry import import_adapter as stage

        data = stage(context, location, slot=slot, base=base)

    def show() -> None:
        if data["known"]:
            session.out.line(f"{data['adapter']} was here already.")
            return
        session.out.line(f"{data['adapter']} is a candidate for slot {data['slot']}, on {data['base']}.")
        session.out.line(f"'{session.program} evaluate champion {data['adapter']}' compares it with what serves.")

    session.out.result(data, show)


def register(app: typer.Typer) -> None:
    """Add these commands to `samloop adapters`."""
    for command in (convert, fuse, gguf, export):
        app.command()(command)
    app.command("import")(import_)
