"""The `samloop` program: the table of commands, the options before them, and what an error looks like.

A command's module is imported when it is called and not before: `samloop --help` reads this table alone.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from samloop.cli.output import Output, safe
from samloop.cli.session import Session
from samloop.errors import SamloopError
from samloop.files import absolute, readable
from samloop.home import Home


class Command(NamedTuple):
    """One line of the table.

    Attributes:
        heading: what it stands under in `samloop --help`.
        target: "module:function" in samloop.cli, or a Typer application with verbs of its own.
        help: the first line of its docstring.
    """

    heading: str
    target: str
    help: str


COMMANDS: Final[dict[str, Command]] = {
    "init": Command("Set up", "init:init", "Write a recipe (samloop.toml) into the samloop home."),
    "doctor": Command("Set up", "doctor:doctor", "Check this machine and say what to do."),
    "turn": Command("The loop", "turn:turn", "Take one turn: new data in, at most one adapter promoted."),
    "collect": Command("The loop", "collect:collect", "Read what is new at the sources."),
    "curate": Command("The loop", "curate:curate", "Curate data files in bulk: files in, files out."),
    "prepare": Command("The loop", "prepare:prepare", "Build a dataset of all examples that the recipe admits."),
    "train": Command("The loop", "train:train", "Train an adapter on all examples that the recipe admits."),
    "evaluate": Command("The loop", "evaluate:evaluate", "Grade one target, or two on the same held-out items."),
    "chat": Command("The loop", "chat:chat", "Talk to the champion, or to any adapter."),
    "examples": Command("What there is", "examples:app", "List, show, add, edit and export examples."),
    "feedback": Command("What there is", "feedback:app", "Say what was wrong with an answer, or that it was good."),
    "datasets": Command("What there is", "prepare:datasets", "List datasets and show what is in one."),
    "runs": Command("What there is", "runs:app", "List, show, follow, plot, pause, resume and stop training runs."),
    "adapters": Command("What there is", "adapters:app", "List, promote, roll back, trace and carry adapters."),
    "decisions": Command("What there is", "decisions:app", "List what the gate decided, and show why."),
    "stats": Command("What there is", "stats:app", "Show what the store holds, and how its sources fare."),
    "inventory": Command(
        "What there is",
        "inventory:inventory",
        "List training data on drives, and what the store has of it.",
    ),
    "validate": Command("Upkeep", "curation:validate", "Judge every stored example again, by today's rules."),
    "dedupe": Command("Upkeep", "curation:dedupe", "Reject all but the best of each group of duplicates."),
    "purge": Command("Upkeep", "purge:purge", "Erase a person, a source, a conversation or a text."),
}

FLAGS: Final = ("--json", "-v", "-vv", "-q", "--verbose", "--quiet")
VALUED: Final = ("--home", "--config")

_REMEDIES: Final = {
    errno.ENOSPC: "free some space and run the same command again; nothing is lost",
    errno.EDQUOT: "free some of your quota and run the same command again; nothing is lost",
    errno.EROFS: "choose a writable place, with --home for samloop's own files",
    errno.EACCES: "make it readable and writable for you, or choose another place",
}

log = logging.getLogger("samloop")


class LazyGroup(TyperGroup):
    """The commands as names and help lines; the one that is called is loaded."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, command in COMMANDS.items():
            self.commands[name] = TyperCommand(name=name, help=command.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As inherited, with the real command in place of its line in the table."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else found, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the signature is Typer's
        """The table of commands under its headings, in the order of the table."""
        width = max(map(len, COMMANDS))
        for heading in dict.fromkeys(command.heading for command in COMMANDS.values()):
            with formatter.section(heading):
                lines = [(n.ljust(width), c.help) for n, c in COMMANDS.items() if c.heading == heading]
                formatter.write_dl(lines)


def load(name: str) -> Any:
    """The command called `name`, from its module: a function, or a Typer application with verbs of its own."""
    module, attribute = COMMANDS[name].target.split(":")
    found = getattr(import_module(f"samloop.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(add_completion=False, rich_markup_mode=None)
        found.command(name)(function)
    command = typer.main.get_command(found)
    command.name = name
    return command


def _version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        from samloop import __version__

        out: Output = ctx.obj
        out.result({"version": __version__}, lambda: out.line(f"samloop {__version__}"))
        raise typer.Exit


app = typer.Typer(cls=LazyGroup, name="samloop", rich_markup_mode=None)


@app.callback()
def options(
    ctx: typer.Context,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="Samloop home; else $SAMLOOP_HOME, else ~/.samloop.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Recipe; else samloop.toml in the home.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Log what is done; twice for all.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log errors only.")] = False,
    version: Annotated[  # noqa: ARG001  answered by its callback
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """The learning loop of a local assistant: your own history in, a proven adapter out.

    These options may stand before or after the command.
    """
    out: Output = ctx.obj
    out.as_json = as_json
    _log_to(out, verbose, quiet)
    ctx.obj = Session(Home.find(home), absolute(config) if config else None, out)


OBJECTS_BETWEEN_LOOKS: Final = (100_000, 20, 100)
"""How seldom Python looks for cycles: a batch is tens of thousands of objects and holds none."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.
    """
    _open_streams()
    gc.set_threshold(*OBJECTS_BETWEEN_LOOKS)
    given = sys.argv[1:] if arguments is None else list(arguments)
    before, rest = hoist(given)
    out = Output(as_json="--json" in before)
    keep = contextlib.redirect_stdout(sys.stderr) if out.as_json else contextlib.nullcontext()
    try:
        with keep, _logs_back():
            code = _run(out, [*before, *rest], verbose=any(flag in before for flag in ("-v", "-vv", "--verbose")))
        out.stdout.flush()
    except BrokenPipeError:  # the reader left, as `| head` does: there is nobody to tell
        _drop(out.stdout)
        return 1
    except OSError as error:
        _drop(out.stdout)
        out.note(f"samloop: {_told(error, 'standard output')}", style="bold red")
        return 1
    return code


def _open_streams() -> None:
    """Give streams that were closed before we were started (``>&-``) a place to go: nobody wants to see them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  stays open to the end


def _drop(stream: TextIO) -> None:
    """Let what `stream` still holds go nowhere, so that closing it at exit cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _told(error: OSError, place: str) -> str:
    """An error of the system as a sentence: where, what, and what to do."""
    if error.errno == errno.ENOENT and not error.filename:
        return "the current folder is gone; change into another"
    where = readable(error.filename) if isinstance(error.filename, str) else place
    remedy = _REMEDIES.get(error.errno or 0, "run with -v for the traceback")
    return f"{where}{': ' if where else ''}{error.strerror or type(error).__name__}; {remedy}"


def hoist(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The program's own options, wherever they stand, and the rest; nothing behind ``--`` is touched."""
    before: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += ["--", *remaining]
        elif argument in VALUED:
            before += [argument, *([value] if (value := next(remaining, None)) is not None else [])]
        elif argument in FLAGS or argument.startswith(tuple(f"{name}=" for name in VALUED)):
            before.append(argument)
        else:
            rest.append(argument)
    return before, rest


def _run(out: Output, arguments: list[str], *, verbose: bool) -> int:
    try:
        code = app(arguments, prog_name="samloop", standalone_mode=False, obj=out)
    except SamloopError as error:
        out.failure(error.code, str(error))
        return error.exit_code
    except typer.TyperException as error:
        return _wrong_usage(out, error)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except (BrokenPipeError, SystemExit):  # Typer exits by itself, with 1, where the reader of its text left
        raise BrokenPipeError from None
    except OSError as error:
        if verbose:
            traceback.print_exc(file=sys.stderr)
        if out.answered:  # the answer itself could not be written
            raise
        out.failure("system", _told(error, ""))
        return 1
    except Exception as error:
        # The text of an unforeseen error can hold a user's record: its type and place are told, the rest on demand.
        if verbose:
            traceback.print_exc(file=sys.stderr)
        place = traceback.extract_tb(error.__traceback__)[-1]
        hint = "see the traceback above" if verbose else "run with -v for the traceback"
        where = f"{Path(place.filename).name}, line {place.lineno}"
        out.failure("internal", f"unexpected {type(error).__name__} in {where}; {hint}, and please report it")
        return 1
    code = code if isinstance(code, int) else 0
    if code == 130:
        out.failure("interrupted", "stopped; run the same command again to go on")
    elif out.as_json and not out.answered:
        out.result(None, lambda: None)
    return code


def _wrong_usage(out: Output, error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "samloop"
    message = " ".join(error.format_message().split()).rstrip(".")
    if message == "Missing command" and context is not None and not out.as_json:
        out.note(context.get_help())
    else:
        out.failure("usage", f"{message}; try '{path} --help'")
    return error.exit_code


@contextlib.contextmanager
def _logs_back() -> Iterator[None]:
    """Leave the logs as they were: what is printed through our console ends with the call that opened it."""
    handlers, level, propagate = log.handlers, log.level, log.propagate
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


def _log_to(out: Output, verbose: int, quiet: bool) -> None:
    """Send the logs of samloop to standard error, through the console that also draws the progress bars."""
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    log.setLevel(level)
    log.handlers = [_Handler(out)]
    log.propagate = False


class _Handler(logging.Handler):
    def __init__(self, out: Output) -> None:
        super().__init__()
        self.out = out

    def emit(self, record: logging.LogRecord) -> None:
        self.out.note(safe(f"{record.levelname.lower()}: {record.getMessage()}"), style="dim")


if __name__ == "__main__":
    sys.exit(main())
