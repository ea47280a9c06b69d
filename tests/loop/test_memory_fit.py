"""A run that does not fit is refused before anything is loaded, with the preset that would fit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from loop_world import Open

from samloop.errors import TrainingError
from samloop.loop import fit as fits
from samloop.loop.prepare import prepare
from samloop.loop.train import train
from samloop.recipe import Recipe
from samloop.train import memory


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says how much memory is available from now on."""
    return lambda size_bytes: monkeypatch.setattr(memory, "available_bytes", lambda: round(size_bytes))


def no_training(news: dict[str, Any]) -> None:
    raise AssertionError(news)


def test_what_fits_is_told(after: Open, machine: Any) -> None:
    machine(8e9)
    with after() as context:
        told = fits.fit(context.recipe).to_dict()
    assert (told["model"], told["backend"], told["fits"]) == ("pocket", "torch", True)
    assert told["estimate"]["peak"] > told["estimate"]["program"] > 10**8
    assert told["available_bytes"] == 8_000_000_000
    assert told["disk_bytes"] > told["estimate"]["optimiser"]


def test_a_known_dataset_counts_with_its_longest_example(after: Open) -> None:
    with after() as context:
        dataset = prepare(context)
        longest = max(dataset.manifest["token_histogram"]["edges"])
        bound = context.recipe.train.max_seq_tokens
        known, unknown = fits.fit(context.recipe, dataset), fits.fit(context.recipe)
    assert longest < bound
    assert known.estimate.activations < unknown.estimate.activations


def test_a_run_that_does_not_fit_is_refused_before_it_begins(after: Open, machine: Any) -> None:
    """A batch of the longest examples; the pocket preset would fit, since it takes fewer at once."""
    with after(train={"batch_examples": 64, "max_seq_tokens": 1024, "backend": "mlx", "seed": 3}) as context:
        dataset = prepare(context)
        before = context.store.list_runs()
        needed = fits.fit(context.recipe, dataset).estimate.training
        machine(needed - 1)
        with pytest.raises(TrainingError) as caught:
            train(context, dataset, on_metric=no_training)
        assert context.store.list_runs() == before
    taken, left = fits.gigabytes(needed), fits.gigabytes(needed - 1)
    assert str(caught.value) == (
        f"training pocket takes about {taken} of memory, and {left} are available; close other programs, or set "
        "train.preset = 'pocket', which would fit"
    )


def test_where_no_preset_fits_that_is_said(after: Open, machine: Any) -> None:
    machine(1e8)
    message = r"0\.10 GB are available; close other programs: no preset fits"
    with after(train={"seed": 3}) as context, pytest.raises(TrainingError, match=message):
        train(context, prepare(context), on_metric=no_training)


def test_a_person_may_know_better(after: Open, machine: Any) -> None:
    machine(1e8)
    with after(train={"seed": 3, "refuse_beyond_memory": False}) as context:
        fits.refuse_unfitting(context.recipe, prepare(context))


def test_the_largest_preset_that_fits_is_named(machine: Any, tmp_path: Path) -> None:
    """On the base at hand: 1.5 billion weights, of which the test needs the settings alone."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").touch()
    (base / "config.json").write_text(
        '{"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,'
        '"num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": true, "dtype": "bfloat16"}'
    )
    names = ("standard", "laptop-8gb", "laptop-3b")
    recipes = {name: Recipe.parse({"train": {"model": str(base), "preset": name}}) for name in names}
    sizes = {name: fits.fit(recipe).estimate.training for name, recipe in recipes.items()}
    assert sizes["standard"] > sizes["laptop-8gb"] > sizes["laptop-3b"]
    for name, size in sizes.items():
        machine(size)
        assert fits.fitting_preset(recipes["standard"]) == name
    machine(sizes["laptop-3b"] - 1)
    assert fits.fitting_preset(recipes["standard"]) == "pocket"


def test_a_gpu_is_asked_by_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert memory.available_on_gpu_bytes() is None
    for says, expected in (("echo 81000", 81_000 * 2**20), ("echo none", None), ("exit 9", None)):
        program.write_text(f"#!/bin/sh\n{says}\n")
        program.chmod(0o700)
        assert memory.available_on_gpu_bytes() == expected
    assert shutil.which("nvidia-smi") == str(program)
    assert subprocess.run([program], check=False).returncode == 9
