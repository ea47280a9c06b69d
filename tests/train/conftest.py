"""The tiny base and a dataset of made-up lines, for the tests of the train room."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["MLX_DISABLE_COMPILE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

from tiny import build_base, made_up, write_lines

from samloop.train.job import TrainJob


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(params=["torch", "mlx"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "mlx":
        pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    return str(request.param)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_lines(folder / "train.jsonl", made_up(30))
    write_lines(folder / "valid.jsonl", made_up(7, start=30))
    return folder


@pytest.fixture
def make_job(base: Path, dataset: Path) -> Callable[..., TrainJob]:
    def make(**changes: Any) -> TrainJob:
        settings: dict[str, Any] = {
            "run_id": "run-1",
            "dataset": str(dataset),
            "base": str(base),
            "base_name": "tiny",
            "backend": "torch",
            "rank": 4,
            "alpha": 8.0,
            "batch_examples": 4,
            "accumulation_steps": 2,
            "max_seq_tokens": 128,
            "epochs": 3.0,
            "learning_rate": 5e-3,
            "report_steps": 1,
            "evaluate_steps": 4,
            "checkpoint_steps": 4,
        }
        return TrainJob(**{**settings, **changes})

    return make
