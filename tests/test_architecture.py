"""The house keeps its shape: layers, cycles, what may import what, what loads when, and what the public names are."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import samloop

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"

FLOORS: list[set[str]] = [
    {"cli", "server", "gateway", "schedule", "__main__"},
    {"loop", "worker"},
    {"sources", "curate", "distill", "prepare", "train", "evaluate", "adapters"},
    {"store", "plugins", "protocols", "child", "cluster", "beside"},
    {"text", "teacher"},
    {"arrow", "example", "rows", "sorting", "recipe", "recipe_toml", "settings", "errors", "home", "files", "student"}
    | {"pocket"},
]
"""From the top of the house to its ground. Imports point down; rooms on one floor never import each other."""

GROUND = len(FLOORS) - 1
"""The files of the ground floor may lean on one another, as long as there is no cycle."""

FRAMEWORKS = {"torch": re.compile(r"^samloop\.train\..*torch"), "mlx": re.compile(r"^samloop\.train\..*mlx")}
FRAMEWORKS |= dict.fromkeys(("peft", "transformers", "trl", "accelerate"), FRAMEWORKS["torch"])
FRAMEWORKS |= {"mlx_lm": FRAMEWORKS["mlx"]}
"""Who may import a training framework: the backend that is named after it, and nobody else."""

HEAVY = (
    "torch",
    "anthropic",
    "openai",
    "mlx",
    "daft",
    "transformers",
    "pyarrow",
    "sqlalchemy",
    "numpy",
    "matplotlib",
    "tree_sitter",
)

PUBLIC = {
    "Context",
    "Example",
    "GateError",
    "Home",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "NotFoundError",
    "PluginError",
    "Recipe",
    "RecipeError",
    "SamloopError",
    "SourceError",
    "Store",
    "StoreBusyError",
    "StoreError",
    "TeacherBudgetError",
    "TeacherError",
    "TrainingError",
    "UsageError",
    "capture_correction",
    "capture_escalation",
    "capture_preference",
    "collect",
    "curate",
    "decide",
    "evaluate",
    "open_context",
    "prepare",
    "train",
    "turn",
}

LONGEST_FILE_LINES = 500

SECRET_SHAPES = re.compile(
    r"sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|AKIA[0-9A-Z]{16}"
    r"|AIza[0-9A-Za-z_-]{35}|xox[abprs]-[0-9A-Za-z-]{10,}|hf_[A-Za-z0-9]{30,}|glpat-[A-Za-z0-9_-]{20}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n"
)


def modules() -> dict[str, Path]:
    """Every module of the package, by dotted name."""
    found = {}
    for path in sorted((SRC / "samloop").rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imports(name: str) -> frozenset[str]:
    """What a module imports, wherever in it the import stands; `from a import b` counts as a.b where that exists."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, [above, node.module or ""]))
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in MODULES else base)
    return frozenset(found)


def room(name: str) -> str:
    """The room (or ground-floor file) a module belongs to; "" for the package itself."""
    return ".".join(name.split(".")[1:2])


def floor(name: str) -> int:
    """The floor of a module's room."""
    return next(number for number, rooms in enumerate(FLOORS) if room(name) in rooms)


def own_edges() -> Iterator[tuple[str, str]]:
    """Every import of one samloop module by another, but for the package's own list of public names."""
    for name in MODULES:
        if name == "samloop":
            continue
        for target in imports(name):
            if target.startswith("samloop."):
                yield name, target


def test_every_room_has_its_floor() -> None:
    known = set().union(*FLOORS) | {""}
    assert {room(name) for name in MODULES} <= known


def test_imports_point_down() -> None:
    breaches = [f"{name} imports {target}" for name, target in own_edges() if floor(target) < floor(name)]
    assert not breaches


def test_rooms_on_one_floor_do_not_import_each_other() -> None:
    breaches = [
        f"{name} imports {target}"
        for name, target in own_edges()
        if floor(name) == floor(target) != GROUND and room(name) != room(target) and "__main__" not in name
    ]
    assert not breaches


def test_no_module_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for name, target in own_edges():
        if target in graph and target != name:
            graph[name].add(target)
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_a_training_framework_is_imported_by_its_backend_alone() -> None:
    breaches = [
        f"{name} imports {target}"
        for name in MODULES
        for target in imports(name)
        if (allowed := FRAMEWORKS.get(target.split(".")[0])) and not allowed.match(name)
    ]
    assert not breaches


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--json", "nonsense"], ["init", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, json; from samloop.cli.main import main; main(sys.argv[1:]); print(json.dumps([*sys.modules]))"
    )
    assert not heavy_after(code, *arguments)


def test_import_samloop_loads_nothing_heavy() -> None:
    assert not heavy_after("import samloop, sys, json; samloop.SamloopError; print(json.dumps(list(sys.modules)))")


def heavy_after(code: str, *arguments: str) -> set[str]:
    """The heavy packages that are loaded after `code` ran in a fresh interpreter and printed sys.modules last."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    return loaded & set(HEAVY)


def test_the_public_names_are_exact() -> None:
    assert set(samloop.__all__) == PUBLIC
    assert len(samloop.__all__) == len(PUBLIC)
    assert set(dir(samloop)) == PUBLIC | {"__version__"}
    for name in PUBLIC:
        assert getattr(samloop, name).__doc__, name


def test_verbs_that_are_rooms_too_can_be_called_whatever_was_imported_before() -> None:
    code = (
        "import inspect, {first}; import samloop, samloop.train.job as job; from samloop import train; "
        "from samloop.loop.train import train as stage; assert train is samloop.train; "
        "assert inspect.signature(train) == inspect.signature(stage); assert train.job is job; "
        "train.__call__; samloop.evaluate.__call__; samloop.prepare.__call__"
    )
    for first in ("samloop", "samloop.train.job", "samloop.loop.turn"):
        subprocess.run([sys.executable, "-c", code.format(first=first)], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = samloop.nonsense  # type: ignore[attr-defined]


def tracked(*suffixes: str) -> list[Path]:
    """The repository's own text files; what is not under version control is not ours to judge."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("git: not a checkout")
    names = os.fsdecode(listed.stdout).split("\0")
    return [ROOT / name for name in names if name.endswith(suffixes) and (ROOT / name).is_file()]


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked(".py")
        if (lines := path.read_bytes().count(b"\n")) > LONGEST_FILE_LINES
    }
    assert not long


def test_nothing_is_left_to_be_done() -> None:
    mark = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [str(path.relative_to(ROOT)) for path in tracked(".py") if mark.search(path.read_text(encoding="utf-8"))]
    assert not found


def test_no_secret_shaped_literal() -> None:
    text_files = tracked(".py", ".md", ".toml", ".json", ".jsonl", ".txt", ".yml", ".yaml", "Makefile", "/run")
    found = [str(path.relative_to(ROOT)) for path in text_files if SECRET_SHAPES.search(path.read_text("utf-8"))]
    assert not found
