"""Adapters of checkpoints that are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from samloop.train.checkpoints import KEPT, STATE, adapters_of, forget_old, step_of


def checkpoint(run: Path, step: int) -> Path:
    folder = run / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    for name in (*STATE, "adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text(name)
    return folder


def steps(folder: Path) -> list[int]:
    return [step_of(path) for path in sorted(folder.glob("step-*"))]


@pytest.mark.parametrize("adapters", [1, 3, 4])
def test_the_adapters_of_some_stay_evenly_spread(tmp_path: Path, adapters: int) -> None:
    for step in range(10, 410, 10):
        checkpoint(tmp_path, step)
        forget_old(tmp_path / "checkpoints", adapters)
    earlier = steps(tmp_path / "earlier")
    assert steps(tmp_path / "checkpoints") == [390, 400]
    assert len(earlier) == adapters
    if adapters > 1:
        gaps = [b - a for a, b in zip([0, *earlier], [*earlier, 390], strict=True)]
        assert max(gaps) <= 390 * 0.6
    for folder in (tmp_path / "earlier").iterdir():
        assert {file.name for file in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert [step_of(path) for path in adapters_of(tmp_path)] == [*earlier, 390, 400]


def test_without_any_kept_they_go_as_a_whole(tmp_path: Path) -> None:
    for step in range(10, 60, 10):
        checkpoint(tmp_path, step)
        forget_old(tmp_path / "checkpoints")
    assert len(steps(tmp_path / "checkpoints")) == KEPT
    assert not (tmp_path / "earlier").exists()
    assert adapters_of(tmp_path / "nowhere") == []


def test_a_run_that_does_the_same_steps_again_keeps_them_once(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        checkpoint(tmp_path, step)
        forget_old(tmp_path / "checkpoints", 4)
    for step in (50, 10):
        checkpoint(tmp_path, step)
    forget_old(tmp_path / "checkpoints", 4)
    assert steps(tmp_path / "checkpoints") == [40, 50]
    assert steps(tmp_path / "earlier") == [10, 20, 30]
