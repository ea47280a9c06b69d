"""The program around the commands: options, exit codes, the envelope, errors, and lazy loading."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from samloop.cli import main as program_module
from samloop.cli.main import COMMANDS, Command, hoist, load
from samloop.errors import MissingExtraError, NotFoundError, SamloopError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a function into the table of commands, as `samloop probe`."""

    def install(function: Any) -> None:
        module = type(sys)("probe_module")
        module.probe = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "samloop.cli.probe_module", module)
        monkeypatch.setitem(COMMANDS, "probe", Command("Set up", "probe_module:probe", "A command of this test."))

    return install


def raising(error: BaseException) -> Any:
    def probe() -> None:
        raise error

    return probe


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_loads_and_helps(run: Any, name: str) -> None:
    loaded = load(name)
    assert loaded.name == name
    ran = run(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: samloop {name}")
    assert COMMANDS[name].help == ran.out.splitlines()[2].strip()


def test_help_names_every_command_and_fits_80_columns(run: Any) -> None:
    ran = run("--help")
    assert ran.code == 0
    for name, command in COMMANDS.items():
        assert f"  {name} " in ran.out
        assert command.help in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_without_a_command_the_help_is_wrong_usage(run: Any) -> None:
    ran = run()
    assert ran.code == 2
    assert ran.err.startswith("Usage: samloop")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["inti"], "No such command 'inti'. Did you mean 'init'?"),
        (["init", "--ful"], "No such option: --ful"),
        (["init", "too", "many"], "extra argument"),
        ([], "Missing command"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run: Any, arguments: list[str], part: str) -> None:
    ran = run("--json", *arguments)
    assert ran.code == 2
    assert ran.error["code"] == "usage"
    assert part in ran.error["message"]
    assert "--help'" in ran.error["message"]
    if arguments:
        plain = run(*arguments)
        assert (plain.code, plain.out) == (2, "")
        assert plain.err.startswith("samloop: ")
        assert plain.err.count("\n") == 1
        assert part in plain.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("there is no run called 'x'; 'samloop runs list' names them"), "not_found"),
        (MissingExtraError("torch", "training on torch"), "missing_extra"),
    ],
)
def test_an_expected_error_is_its_message(run: Any, command: Any, error: SamloopError, code: str) -> None:
    command(raising(error))
    ran = run("probe")
    assert (ran.code, ran.out, ran.err) == (1, "", f"samloop: {error}\n")
    ran = run("--json", "probe")
    assert ran.code == 1
    assert ran.error == {"code": code, "message": str(error)}


def test_an_unexpected_error_names_type_and_place_but_not_its_text(run: Any, command: Any) -> None:
    command(raising(KeyError("a user's private sentence")))
    ran = run("probe")
    assert ran.code == 1
    assert ran.err.startswith("samloop: unexpected KeyError in test_cli_main.py, line ")
    assert "run with -v for the traceback" in ran.err
    assert "private" not in ran.err
    assert run("--json", "probe").error["code"] == "internal"
    assert "Traceback" in run("probe", "-v").err


def test_an_error_of_the_system_says_where_and_what_to_do(run: Any, command: Any) -> None:
    command(raising(OSError(28, "No space left on device", "/data/file")))
    ran = run("probe")
    assert ran.code == 1
    assert ran.err.startswith("samloop: /data/file: No space left on device; free some space")


def test_ctrl_c_is_one_line_and_130(run: Any, command: Any) -> None:
    command(raising(KeyboardInterrupt()))
    ran = run("probe")
    assert ran.code == 130
    assert ran.err.splitlines() == ["samloop: stopped; run the same command again to go on"]
    assert run("--json", "probe").error["code"] == "interrupted"


def test_ctrl_c_of_a_real_process(home: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = (
        "import sys, time, pathlib\n"
        "from samloop.cli import main as m\n"
        f"def probe(): pathlib.Path({str(started)!r}).touch(); time.sleep(60)\n"
        "sys.modules['samloop.cli.p'] = type(sys)('p'); sys.modules['samloop.cli.p'].probe = probe\n"
        "m.COMMANDS['probe'] = m.Command('x', 'p:probe', 'y')\n"
        "sys.exit(m.main(['probe']))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines() == ["samloop: stopped; run the same command again to go on"]


def test_a_reader_that_leaves_is_told_nothing(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "samloop", "--json", "--version"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_json_is_the_only_thing_on_standard_output(run: Any, command: Any) -> None:
    def probe(ctx: typer.Context) -> None:
        sys.stdout.write("a library that chats\n")
        logging.getLogger("samloop.test").warning("a warning")
        ctx.obj.out.result({"a": float("nan"), "b": Path("x"), "c": "\ud800"}, lambda: None)

    command(probe)
    ran = run("probe", "--json")
    assert ran.code == 0
    assert ran.data["b"] == "x"
    assert ran.out.count("\n") == 1
    assert "a library that chats" in ran.err
    assert "warning: a warning" in ran.err


def test_a_command_without_an_answer_still_gives_one_document(run: Any, command: Any) -> None:
    command(lambda: None)
    assert run("--json", "probe").data is None
    assert json.loads(run("--json", "--help").out)["success"] is True


@pytest.mark.parametrize(("flags", "shown"), [([], "w"), (["-q"], ""), (["-v"], "iw"), (["-v", "-v"], "diw")])
def test_verbosity(run: Any, command: Any, flags: list[str], shown: str) -> None:
    def probe() -> None:
        log = logging.getLogger("samloop.test")
        log.debug("d-line")
        log.info("i-line")
        log.warning("w-line \x1b[31m")

    command(probe)
    err = run("probe", *flags).err
    assert [letter for letter in "diw" if f"{letter}-line" in err] == list(shown)
    assert "\x1b" not in err


def test_the_options_may_stand_behind_the_command() -> None:
    given = ["collect", "git", "--json", "PATH", "--home", "h", "-v", "--config=c", "--rejects", "f", "--", "--json"]
    before, rest = hoist(given)
    assert before == ["--json", "--home", "h", "-v", "--config=c"]
    assert rest == ["collect", "git", "PATH", "--rejects", "f", "--", "--json"]


def test_a_command_is_imported_when_it_is_called_and_not_before(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "broken", Command("Set up", "no_such_module:x", "Broken."))
    assert run("--help").code == 0
    assert run("broken").err.startswith("samloop: unexpected ModuleNotFoundError")


def test_the_version(run: Any) -> None:
    version = run("--version", "--json").data["version"]
    assert run("--version").out == f"samloop {version}\n"
    assert version.split(".")[0].isdigit()


def test_the_program_is_installed_under_its_name() -> None:
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="console_scripts", name="samloop")
    assert entry.load() is program_module.main


def test_logs_are_left_as_they_were(run: Any) -> None:
    """A program that calls the command line keeps its own logs, and none goes to a console that is gone."""
    log = logging.getLogger("samloop")
    before = (list(log.handlers), log.level, log.propagate)
    run("-v", "stats", "summary")
    assert (log.handlers, log.level, log.propagate) == before
