"""`samloop init`: write a recipe, with sources proposed from where the user stands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from samloop.cli.session import Session
from samloop.errors import UsageError
from samloop.files import storing, write_atomic

HEADER = """\
# The recipe of samloop: every setting it takes from you.
# {first}
# An unknown key is refused. SAMLOOP_SECTION__KEY in the environment wins over
# the line here: a database password belongs there.
"""

NO_SOURCES = """
# What to learn from. Add one table per source and run 'samloop turn':
#
# [[collect.sources]]
# kind = "git"
# location = "~/projects/tool"
"""


def init(
    ctx: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Write every setting with its default and meaning.")] = False,
    model: Annotated[str, typer.Option(metavar="NAME", help="Base model: a folder, a hub name, or 'pocket'.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
) -> None:
    """Write a recipe (samloop.toml) into the samloop home.

    Inside a git repository its history and its Markdown are entered as the first sources. With the bundled model,
    'pocket', the bundled routing set is one too: it is what so small a model can learn.
    """
    session: Session = ctx.obj
    path = session.recipe_path
    if path.exists() and not force:
        raise UsageError(f"there is a recipe at {path} already; edit it, or replace it with --force")
    if session.config is None:
        session.home.create()
    repository = git_root(Path.cwd())
    text = recipe_text(repository, model=model, full=full)
    with storing("the recipe", path):
        write_atomic(path, text.encode())
    sources = [kind for kind, _ in first_sources(repository, model)]
    session.out.result({"recipe": str(path), "sources": sources}, lambda: _show(session, path, repository, sources))


def git_root(folder: Path) -> Path | None:
    """The top of the git repository that `folder` lies in, or None, also where there is no git."""
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--show-toplevel"], capture_output=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(os.fsdecode(found.stdout).rstrip("\n")) if found.returncode == 0 else None


def first_sources(repository: Path | None, model: str) -> list[tuple[str, str]]:
    """The kinds and locations that a first recipe names."""
    found = [] if repository is None else [("git", str(repository)), ("docs", str(repository))]
    return [*found, ("routing", "")] if model == "pocket" else found


def recipe_text(repository: Path | None, *, model: str, full: bool) -> str:
    """The TOML of a first recipe. Nothing of the environment goes into it, for it can hold passwords."""
    import tomli_w

    from samloop.recipe import Recipe
    from samloop.settings import Collect, Prepare, SourceSettings, Train

    where = first_sources(repository, model)
    # The bundled set is small, and the gate takes at least 200 held-out answers.
    prepare = {"test_share": 0.2} if model == "pocket" else {}
    if full:
        sources = tuple(SourceSettings(kind=kind, location=location) for kind, location in where)
        recipe = Recipe.model_construct(
            collect=Collect(sources=sources),
            prepare=Prepare(**prepare),
            train=Train(model=model) if model else Train(),
        )
        return HEADER.format(first="Each line is a default; a line you delete goes back to it.") + (
            "\n" + recipe.with_preset().to_toml(full=True)
        )
    text = HEADER.format(first="Everything else has its default; 'samloop init --full' shows them all.")
    if model:
        text += "\n[train]\n" + tomli_w.dumps({"model": model})
    if prepare:
        text += "\n# The gate takes at least 200 held-out answers.\n[prepare]\n" + tomli_w.dumps(prepare)
    for kind, location in where:
        source = {"kind": kind, "location": location} if location else {"kind": kind}
        text += "\n[[collect.sources]]\n" + tomli_w.dumps(source)
    return text if where else text + NO_SOURCES


def _show(session: Session, path: Path, repository: Path | None, sources: list[str]) -> None:
    out = session.out
    out.line(f"Wrote {path}")
    if repository is not None:
        out.line(f"It learns from the history and the Markdown of {repository}.")
    elif not sources:
        out.line("It names no source yet: add one to it, or run this inside a git repository.")
    if "routing" in sources:
        out.line("It learns from the bundled routing set.")
    out.line()
    out.line("Next:  samloop doctor   checks this machine")
    out.line("       samloop turn     takes the first turn of the loop")
