from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from samloop.errors import TrainingError
from samloop.recipe import Recipe
from samloop.train import memory
from samloop.train.job import TrainJob
from samloop.train.metrics import read_metrics
from samloop.train.plot import plot_loss
from samloop.train.schedule import learning_rate


def test_the_schedule_warms_up_and_falls_like_half_a_cosine() -> None:
    rates = [learning_rate(step, 100, peak=2.0, warmup_share=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[99] < 0.001
    assert learning_rate(0, 1, peak=2.0, warmup_share=0.0) == 2.0


def test_a_job_is_made_of_the_recipe_and_survives_json() -> None:
    recipe = Recipe.parse({"train": {"preset": "pocket", "backend": "mlx", "seed": 7}})
    job = TrainJob.of(recipe.train, run_id="r", dataset=Path("d"), base=Path("b"), base_name="pocket", max_steps=10)
    assert (job.rank, job.alpha, job.learning_rate, job.seed) == (16, 32.0, 2e-3, 7)
    assert (job.method, job.backend, job.max_steps) == ("auto", "mlx", 10)
    assert TrainJob.from_dict(json.loads(json.dumps(job.to_dict()))) == job
    auto = TrainJob.of(Recipe.parse({}).train, run_id="r", dataset=Path(), base=Path(), base_name="")
    assert auto.backend in ("torch", "mlx")


def test_a_job_with_wrong_fields_is_refused() -> None:
    whole = TrainJob(run_id="r", dataset="d", base="b", base_name="n", backend="torch").to_dict()
    with pytest.raises(TrainingError, match="got 'colour' as well"):
        TrainJob.from_dict({**whole, "colour": "red"})
    del whole["base"]
    with pytest.raises(TrainingError, match="incomplete"):
        TrainJob.from_dict(whole)


def test_memory_is_measured_and_bounded_by_the_container(tmp_path: Path) -> None:
    assert memory.peak_bytes() >= memory.resident_bytes() > 10**6
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory.available_bytes(tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes(tmp_path) > 10**6


def test_the_loss_curve_of_two_phases_is_taller(tmp_path: Path) -> None:
    from struct import unpack

    answers = [{"phase": "sft", "step": s, "loss": 2.0, "validation_loss": 2.1} for s in range(9)]
    pairs = [
        {"phase": "dpo", "step": s, "loss": 0.6, "preference_loss": 0.6, "validation_preference_loss": 0.5}
        for s in range(9, 20)
    ]
    heights = []
    for name, metrics in (("one", answers), ("two", answers + pairs)):
        plot_loss(metrics, tmp_path / name, best_step=12)
        heights.append(unpack(">II", (tmp_path / name).read_bytes()[16:24])[1])
    assert heights[1] > 1.5 * heights[0]


def test_metrics_are_read_back_once_per_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    lines = [{"step": 2, "loss": 9}, {"step": 4, "loss": 8}, {"step": 2, "loss": 7}, {"event": "paused"}]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 6, "lo')
    assert read_metrics(path) == [{"step": 2, "loss": 7}, {"step": 4, "loss": 8}]


@pytest.mark.parametrize("steps", [0, 1, 40])
def test_the_loss_curve_is_a_png(tmp_path: Path, steps: int) -> None:
    metrics = [
        {"step": s, "loss": 3 * math.exp(-s / 20) if s else None, "validation_loss": 2.0 if s % 10 == 0 else None}
        for s in range(steps)
    ]
    plot_loss(metrics, tmp_path / "loss.png", best_step=10)
    assert (tmp_path / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_picture_marks_checkpoints_and_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_args, **_more: drawn.append(figure))
    metrics = [{"step": step, "loss": 3.0 - step / 100, "validation_loss": 3.0} for step in range(101)]
    events = [{"event": "paused", "at_step": 33}, {"event": "resumed", "at_step": 33}, {"event": "reference"}]
    plot_loss(metrics, tmp_path / "loss.png", checkpoint_steps=25, events=events)
    (axes,) = drawn[0].axes
    marked = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
    assert marked["checkpoint"] == [25, 50, 75, 100]
    assert marked["pause"] == [33, 33]
    assert {text.get_text() for text in axes.get_legend().get_texts()} >= {"checkpoint", "pause"}
    plot_loss(metrics, tmp_path / "loss.png", checkpoint_steps=1)
    marked = {line.get_label(): list(line.get_xdata()) for line in drawn[1].axes[0].get_lines()}
    assert len(marked["checkpoint"]) <= 60
