"""`samloop doctor`: what this machine can do, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import typer

from samloop import plugins
from samloop.cli.output import count
from samloop.cli.progress import spinner
from samloop.cli.session import Session
from samloop.errors import SamloopError

LOW_MEMORY_BYTES: Final = 2 * 2**30
"""Less available memory than this makes training of anything but the pocket base hopeless."""

LOW_DISK_BYTES: Final = 5 * 2**30
"""A 1.5 B base in 16 bits takes 3 GB, its checkpoints and datasets the rest."""

FULL_DISK_BYTES: Final = 256 * 2**20

MARKS: Final = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `remedy` says what to do where `state` is not ok."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def doctor(ctx: typer.Context) -> None:
    """Check this machine and say what to do.

    Looks at memory, disk, git, recipe, home, store, plug-ins, training backends, the base model, and whether a run of
    it fits. Changes nothing.
    """
    session: Session = ctx.obj
    checks: list[Check] = []
    with spinner(session.out, "Checking") as say:
        probes = (_python, _memory, _disk, _git, _recipe, _home, _store, _plugins, _teacher, _backends, _base, _fit)
        for probe in probes:
            say(probe.__name__.strip("_"))
            checks += probe(session)
    failed = [check for check in checks if check.state == "fail"]
    data = {"ok": not failed, "checks": [asdict(check) for check in checks]}
    if failed and session.out.as_json:
        session.out.failure("doctor", f"{count(len(failed), 'check')} failed", data)
    else:
        session.out.result(data, lambda: _show(session, checks))
    if failed:
        raise typer.Exit(1)


def _show(session: Session, checks: list[Check]) -> None:
    for check in checks:
        mark, style = MARKS[check.state]
        session.out.line(f"{mark}  {check.name:<9} {check.found}", style="" if check.state == "ok" else style)
        if check.remedy:
            session.out.line(f"                {check.remedy}")
    failed = sum(check.state == "fail" for check in checks)
    warned = sum(check.state == "warn" for check in checks)
    session.out.line()
    if failed:
        session.out.line(f"{count(failed, 'check')} failed: mend that first.", style="bold red")
    elif warned:
        session.out.line(f"Ready, with {count(warned, 'warning')}.")
    else:
        session.out.line("All well.")


def _python(_session: Session) -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _memory(_session: Session) -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{_gibibytes(memory.available)} available of {_gibibytes(memory.total)}"
    if memory.available < LOW_MEMORY_BYTES:
        yield Check(
            "memory", "warn", found, "close other programs before training; the pocket base runs all the same"
        )
    else:
        yield Check("memory", "ok", found)


def _disk(session: Session) -> Iterator[Check]:
    free = shutil.disk_usage(_existing(session.home.path)).free
    found = f"{_gibibytes(free)} free at {session.home.path}"
    if free < FULL_DISK_BYTES:
        yield Check("disk", "fail", found, "free some space, or choose another home with --home")
    elif free < LOW_DISK_BYTES:
        yield Check("disk", "warn", found, "a base of 1.5 billion parameters and its runs need about 5 GiB")
    else:
        yield Check("disk", "ok", found)


def _git(_session: Session) -> Iterator[Check]:
    try:
        version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        yield Check("git", "warn", "not found", "install git: commits cannot be collected without it")
    else:
        yield Check("git", "ok", version.strip().removeprefix("git version "))


def _recipe(session: Session) -> Iterator[Check]:
    try:
        recipe = session.recipe()
    except SamloopError as error:
        yield Check("recipe", "fail", str(error), "mend that line, or write a new recipe with 'samloop init --force'")
        return
    path = session.recipe_path
    sources = [source for source in recipe.collect.sources if source.enabled]
    if not path.is_file():
        yield Check("recipe", "warn", "none yet; the defaults hold", "write one with 'samloop init'")
    elif not sources:
        yield Check("recipe", "warn", f"{path} names no source", "add a [[collect.sources]] table to it")
    else:
        yield Check("recipe", "ok", f"{path}, {count(len(sources), 'source')}, preset {recipe.train.preset}")


def _home(session: Session) -> Iterator[Check]:
    home = session.home.path
    if not os.access(_existing(home), os.W_OK | os.X_OK):
        yield Check("home", "fail", f"{home} is not writable", "make it writable, or choose another with --home")
    elif not home.exists():
        yield Check("home", "ok", f"{home} will be made on first use")
    elif home.stat().st_mode & 0o077:
        yield Check("home", "warn", f"others can look into {home}", f"run: chmod 700 {home}")
    else:
        yield Check("home", "ok", str(home))


def _store(session: Session) -> Iterator[Check]:
    from samloop.store import Store

    try:
        settings = session.recipe().store
    except SamloopError:
        return  # said above
    if not settings.url and not session.home.database.exists():
        yield Check("store", "ok", "none yet; the first examples make it")
        return
    try:
        with Store.open(session.home, settings) as store:
            total = store.count()
    except SamloopError as error:
        yield Check("store", "fail", str(error), "see above; nothing was changed")
    else:
        yield Check("store", "ok", f"opens, {count(total, 'example')}")


def _plugins(_session: Session) -> Iterator[Check]:
    loaded = 0
    for group in plugins.GROUPS:
        if group in ("backends", "teachers"):
            continue  # each backend has a line of its own, and a teacher where the recipe names it
        for name in plugins.names(group):
            try:
                plugins.load(group, name)
                loaded += 1
            except SamloopError as error:
                yield Check("plug-ins", "fail", str(error), "install or update the package it comes from")
    yield Check("plug-ins", "ok", f"{loaded} sources, rules and suites load")


def _teacher(session: Session) -> Iterator[Check]:
    try:
        settings = session.recipe().teacher
    except SamloopError:
        return  # said above
    if not settings.kind:
        return
    try:
        plugins.load("teachers", settings.kind)
    except SamloopError as error:
        yield Check("teacher", "fail", str(error))
    else:
        model = f", asking {settings.model}" if settings.model else ""
        yield Check("teacher", "ok", f"{settings.kind} loads{model}; nothing was sent")


def _backends(_session: Session) -> Iterator[Check]:
    lines = []
    for name in plugins.names("backends"):
        found = _in_child(f"from samloop import plugins; plugins.load('backends', {name!r})()")
        if found is None:
            lines.append(Check(name, "ok", "training and chat work with it"))
        else:
            lines.append(Check(name, "warn", found, f"pip install 'samloop[{name}]' if you want this backend"))
    yield from lines
    if all(line.state != "ok" for line in lines):
        yield Check("backend", "fail", "no backend works: nothing can be trained", "pip install 'samloop[torch]'")


def _base(session: Session) -> Iterator[Check]:
    from samloop.loop.train import backend_name
    from samloop.text.base import resolve_base
    from samloop.train.quantise import NONE, resolve

    try:
        settings = session.recipe().train
    except SamloopError:
        return  # said above
    try:
        folder = resolve_base(settings.model)
        form = resolve(settings.quantise, backend_name(settings.backend), folder)
    except SamloopError as error:
        yield Check("base", "fail", str(error))
    else:
        held = "" if form == NONE else f", held in {form}"
        yield Check("base", "ok", f"{settings.model} at {folder}{held}")


def _fit(session: Session) -> Iterator[Check]:
    from samloop.loop import fit

    try:
        recipe = session.recipe()
        found = fit.fit(recipe)
    except SamloopError:
        return  # said above, or a base whose size cannot be told
    parts = found.estimate.to_dict()
    shown = ", ".join(f"{name} {fit.gigabytes(parts[name])}" for name in ("weights", "activations", "logits"))
    told = f"a run takes about {fit.gigabytes(found.estimate.training)} of memory ({shown}, …)"
    if found.fits:
        yield Check("training", "ok", told)
        return
    preset = fit.fitting_preset(recipe)
    remedy = f"set train.preset = '{preset}', which would fit" if preset else "no preset fits"
    yield Check("training", "warn", f"{told}, more than is available", f"close other programs, or: {remedy}")


def _in_child(code: str) -> str | None:
    """None if `code` runs in a fresh interpreter, else the last line it said. A crash in there is not ours."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1].split(": ", 1)[-1] if lines else f"the interpreter ended with {done.returncode}"


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _gibibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
