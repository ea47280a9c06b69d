"""Settings, plug-ins, extras and base models that are not what they should be: one sentence, and nothing is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samloop import pocket


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file with enough to train on."""
    path = tmp_path / "data.jsonl"
    answer = "A device lets only one thread at a time enter a critical section of a program."
    records = [{"instruction": f"Explain device number {i} in one sentence.", "output": answer} for i in range(100)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


# --- recipes ------------------------------------------------------------------------------------------------------

RECIPES: dict[str, tuple[bytes, str]] = {
    "broken": (b"[collect\nx", "is not valid TOML: "),
    "not UTF-8": (b"\xff\xfe[train]\n", "is not UTF-8 text (byte 0); save it as UTF-8"),
    "unknown key": (b"[train]\nrnk = 4\n", "unknown setting 'train.rnk' in {path}; did you mean 'rank'?"),
    "unknown section": (b"[trian]\nrank = 4\n", "unknown setting 'trian' in {path}; did you mean 'train'?"),
    "wrong type": (b'[train]\nrank = "four"\n', "setting 'train.rank' in {path}: input should be a valid integer"),
    "out of range": (b"[train]\nrank = -3\n", "greater than or equal to 1, got -3"),
    "no kind": (b'[[collect.sources]]\nlocation = "x"\n', "expected the setting 'collect.sources.0.kind' in {path}"),
    "no location": (b'[[collect.sources]]\nkind = "git"\n', "the source 'git' needs a location, got none"),
    "unknown option": (
        b'[[collect.sources]]\nkind = "git"\nlocation = "."\nbrnch = "x"\n',
        "the source 'git' has no option 'brnch'; did you mean 'branch'?",
    ),
    "option of a wrong type": (
        b'[[collect.sources]]\nkind = "dataset"\nlocation = "."\nmax_line_bytes = "many"\n',
        "option 'max_line_bytes' of the source 'dataset': input should be a valid integer, got 'many'",
    ),
    "NUL in a path": (b'[[collect.sources]]\nkind = "git"\nlocation = "a\\u0000b"\n', "with a NUL byte in it"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_does_not_fit(refused: Any, tmp_path: Path, name: str) -> None:
    content, part = RECIPES[name]
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    assert part.format(path=path) in refused("--config", path, "collect", code=2)


def test_recipes_and_variables_from_elsewhere(
    refused: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xef\xbb\xbf[collect]\r\nbatch_examples = 8\r\n")
    assert run("--config", path, "collect").code == 0
    assert "cannot be read (Is a directory)" in refused("--config", tmp_path, "collect", code=2)
    assert "'samloop init' writes one" in refused("--config", tmp_path / "none", "collect", code=2)
    path.write_text('[store]\nurl = "sqlite://"\n')
    assert "got a database in memory" in refused("--config", path, "collect")
    monkeypatch.setenv("SAMLOOP_TRAIN__RANK", "four")
    assert "in the environment variable SAMLOOP_TRAIN__RANK: " in refused("collect", code=2)
    monkeypatch.setenv("SAMLOOP_TRAIN", '{"rank"')
    assert "SAMLOOP_TRAIN is not a JSON object" in refused("collect", code=2)


def test_a_source_of_the_recipe_that_is_not_there_keeps_no_other_from_going_in(
    run: Any, data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[[collect.sources]]\nkind = "git"\nlocation = "nowhere"\n'
        '[[collect.sources]]\nkind = "dataset"\nlocation = "data.jsonl"\n'
    )
    ran = run("--json", "--config", path, "collect")
    assert (ran.code, ran.error) == (1, {"code": "source", "message": "1 source could not be read"})
    document = json.loads(ran.out)["data"]
    assert document["totals"]["read"] == document["sources"][1]["read"] == 100
    assert f"expected a git repository at {tmp_path}/nowhere, found nothing" in document["sources"][0]["error"]


# --- plug-ins and extras ------------------------------------------------------------------------------------------

PLUGINS = {
    "gone": ("import no_such_module", "cannot be loaded (No module named 'no_such_module'); mend, upgrade or uninst"),
    "syntax": ("def (:", "(SyntaxError: invalid syntax (syntax_plugin.py, line 1)); mend"),
    "raising": ("raise ValueError('not today')", "cannot be loaded (ValueError: not today); mend"),
    "exiting": ("raise SystemExit(3)", "cannot be loaded (SystemExit: 3); mend"),
    "nameless": ("x = 1", "has no attribute 'read'); mend"),
    "number": ("read = 5", "the plug-in 'number' is not a source; mark its function with @source('number')"),
    "unmarked": ("def read(location, since): yield", "is not a source; mark its function"),
    "chatty": (
        "from samloop.protocols import source\n@source('chatty')\ndef read(location, since): yield 'text'",
        "expected examples, rejects and marks from the source 'chatty', got str; tell its makers",
    ),
}


def test_plug_ins_that_do_not_work(program: Any, tmp_path: Path) -> None:
    package = tmp_path / "bad_plugins-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugins\nVersion: 1\n")
    entries = "".join(f"{name} = {name}_plugin:read\n" for name in PLUGINS)
    (package / "entry_points.txt").write_text(
        f"[samloop.sources]\n{entries}[samloop.rules]\nbad = gone_plugin:rule\n"
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[curate.rules.bad]\nenabled = false\n")
    for name, (code, _) in PLUGINS.items():
        (tmp_path / f"{name}_plugin.py").write_text(code)
    # One process for all: the entry points of a package are looked up once per process.
    asked = "import sys; from samloop.cli.main import main; [main(a.split('|')) for a in sys.argv[1:]]"
    calls = [f"--json|--home|{tmp_path / 'home'}|--config|{recipe}|collect|{name}|x" for name in PLUGINS]
    calls.append(f"--json|--home|{tmp_path / 'home'}|collect|routing")
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", asked, *calls],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.stderr == ""
    *told, of_the_rule = [json.loads(document)["error"]["message"] for document in done.stdout.splitlines()]
    for message, (_, part) in zip(told, PLUGINS.values(), strict=True):
        assert part in message
    assert "the rule 'bad' (gone_plugin:rule) cannot be loaded" in of_the_rule


def test_a_missing_extra(run: Any, program: Any, data: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'mlx', 'mlx_lm', 'peft'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    assert run("collect", "dataset", data).code == 0
    ran = program("--json", "train", "--quick", "--model", "pocket", "--backend", "torch", PYTHONPATH=paths)
    assert (ran.code, ran.error["code"]) == (1, "missing_extra")
    assert ran.error["message"].endswith("which is not installed: pip install 'samloop[torch]'")
    assert run("--json", "runs", "show").data["state"] == "failed"


# --- base models --------------------------------------------------------------------------------------------------


def _cut(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 100_000)


MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (lambda folder: folder.rename(folder.with_name("gone")), "expected a model folder at {folder}"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "holds no config.json, so it is no model folder"),
    "broken config": (lambda folder: (folder / "config.json").write_text('{"a'), "config.json is not readable JSON"),
    "config of a list": (lambda folder: (folder / "config.json").write_text("[]"), "expected a JSON object in"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights as *.safetensors"),
    "pickle alone": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "holds no weights as *.safetensors, the only form samloop loads; convert or download them again",
    ),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "holds no tokenizer.json; save the model's",
    ),
    "broken tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text('{"version"'),
        "tokenizer.json is not a tokenizer that can be read; download it again",
    ),
    "no template": (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat template"),
    "broken template": (
        lambda folder: (folder / "chat_template.jinja").write_text("{% if %}"),
        "is not valid Jinja: ",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_base_model_that_is_not_whole(refused: Any, run: Any, tmp_path: Path, data: Path, name: str) -> None:
    harm, part = MODELS[name]
    folder = tmp_path / "base"
    folder.mkdir()
    for file in pocket.path().iterdir():
        if file.is_file() and file.suffix != ".py":
            (folder / file.name).write_bytes(file.read_bytes())
    harm(folder)
    assert run("collect", "dataset", data).code == 0
    assert part.format(folder=folder) in refused("train", "--quick", "--model", folder)
