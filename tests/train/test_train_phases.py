"""Methods and phases: what is planned, what each phase learns, and that a kill anywhere changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import Killed, MakeJob, line, made_up, made_up_pairs, pair, train, weights_of, write_lines

from samloop import plugins
from samloop.errors import InputError, TrainingError
from samloop.text.tokens import Tokenizer
from samloop.train import batches
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.data import read_split
from samloop.train.objectives import FIGURES, Preferences
from samloop.train.phases import plan
from samloop.train.reference import Reference

DPO = {"method": "dpo", "preference_learning_rate": 1e-2, "preference_epochs": 4.0, "patience": 0}
BOTH = {"method": "sft+dpo", "preference_learning_rate": 5e-3, "preference_epochs": 2.0, "epochs": 1.0, "patience": 0}
NONE = np.zeros(0, np.int64)


@pytest.fixture
def preferring(dataset: Path) -> Path:
    """The dataset with 24 pairs beside 10 plain answers, and 12 pairs to validate with."""
    write_lines(dataset / "train.jsonl", [*made_up(10), *made_up_pairs(24)])
    write_lines(dataset / "valid.jsonl", [*made_up(4, start=40), *made_up_pairs(12, start=40)])
    return dataset


# --- the plan ---


@pytest.mark.parametrize(
    ("method", "pairs", "names"),
    [
        ("sft", 100, ["sft"]),
        ("auto", 19, ["sft"]),
        ("auto", 20, ["sft", "dpo"]),
        ("dpo", 5, ["dpo"]),
        ("sft+dpo", 1, ["sft", "dpo"]),
    ],
)
def test_methods_are_phases(make_job: MakeJob, method: str, pairs: int, names: list[str]) -> None:
    assert [phase.name for phase in plan(make_job(method=method), np.ones(50, np.int64), pairs)] == names


def test_a_curriculum_costs_what_a_run_without_one_does(make_job: MakeJob) -> None:
    complexity = np.array([1] * 40 + [5] * 40 + [9] * 40)
    (whole,) = plan(make_job(epochs=4.0), complexity, 0)
    stages = plan(make_job(epochs=4.0, curriculum=True), complexity, 0)
    assert [(stage.name, stage.examples) for stage in stages] == [
        ("sft to 3", 40),
        ("sft to 6", 80),
        ("sft all", 120),
    ]
    assert sum(stage.steps for stage in stages) == whole.steps
    assert stages[0].steps == stages[0].steps_per_epoch == 5
    assert stages[-1].steps >= whole.steps / 2
    rates = [stage.learning_rate(step) for stage in stages for step in range(stage.steps)]
    assert rates == [whole.learning_rate(step) for step in range(whole.steps)]


def test_a_curriculum_without_stages_is_plain(make_job: MakeJob) -> None:
    for complexity in (np.ones(9, np.int64), np.full(9, 8)):
        assert [phase.name for phase in plan(make_job(curriculum=True), complexity, 0)] == ["sft"]
    two = plan(make_job(curriculum=True), np.array([1, 1, 5, 5]), 0)
    assert [(phase.name, phase.most_complexity) for phase in two] == [("sft to 3", 3), ("sft all", None)]


def test_a_bound_on_steps_is_shared_by_the_phases(make_job: MakeJob) -> None:
    job = make_job(**{**BOTH, "max_steps": 10, "epochs": 30.0, "preference_epochs": 10.0})
    phases = plan(job, np.ones(80, np.int64), 40)
    assert sum(phase.steps for phase in phases) == 10
    assert all(phase.steps >= 1 for phase in phases)
    assert [phase.schedule_steps for phase in phases] == [phase.steps for phase in phases]
    assert phases[1].evaluate_steps == 1
    assert [p.steps for p in plan(make_job(**{**BOTH, "max_steps": 1}), np.ones(80, np.int64), 40)] == [1, 1]


def test_pairs_take_the_memory_of_examples(make_job: MakeJob) -> None:
    for size, pairs_at_once in ((1, 1), (2, 1), (4, 2), (16, 8)):
        (phase,) = plan(make_job(method="dpo", batch_examples=size), NONE, 40)
        assert phase.batch_examples == pairs_at_once


# --- dpo ---


def test_dpo_learns_to_prefer_and_reports_it(
    make_job: MakeJob, preferring: Path, backend: str, tmp_path: Path
) -> None:
    result, lines = train(make_job(backend=backend, **DPO), tmp_path / "run")
    assert (result["method"], result["pairs"], result["steps"]) == ("dpo", 24, 24)
    assert {one["phase"] for one in lines} == {"dpo"}
    first, last = lines[1], lines[-1]
    assert lines[0]["validation_preference_loss"] == pytest.approx(math.log(2), rel=1e-4)
    assert first["preference_loss"] == first["loss"] == pytest.approx(math.log(2), rel=1e-4)
    assert last["loss"] < 0.3
    assert (last["accuracy"], last["validation_accuracy"]) == (1.0, 1.0)
    assert last["margin"] == pytest.approx(last["chosen_reward"] - last["rejected_reward"])
    assert last["margin"] > first["margin"] + 1
    measured = [one["step"] for one in lines if one["validation_accuracy"] is not None]
    assert measured == [0, 4, 8, 12, 16, 20, 24]
    (phase,) = result["phases"]
    assert phase["before"]["validation_preference_loss"] == pytest.approx(math.log(2), rel=1e-4)
    json.dumps([result, lines])


def test_both_backends_prefer_alike(make_job: MakeJob, preferring: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlx.core", exc_type=ImportError)
    curves = []
    for name in ("torch", "mlx"):
        _, lines = train(make_job(backend=name, **DPO), tmp_path / name)
        names = ("loss", "validation_loss", "grad_norm", *FIGURES)
        curves.append([[one[name] or 0 for name in names] for one in lines])
    np.testing.assert_allclose(curves[0], curves[1], rtol=5e-3, atol=5e-4)


def test_the_reference_is_the_base_whatever_the_adapter(make_job: MakeJob, preferring: Path, backend: str) -> None:
    job = make_job(backend=backend)
    tokenizer = Tokenizer.load(Path(job.base))
    pairs = read_split(preferring / "train.jsonl", tokenizer, 128).pairs
    learner = plugins.load("backends", backend)().learner(Base.open(Path(job.base)), job)
    batch = pairs.documents(np.arange(6), tokenizer.pad_id)
    untrained = learner.log_probabilities(batch)
    adapter = learner.adapter()
    shaken = {name: (a, np.full_like(b, 0.1)) for name, (a, b) in adapter.weights.items()}
    learner.begin(Adapter(rank=adapter.rank, alpha=adapter.alpha, weights=shaken))
    trained = learner.log_probabilities(batch)
    bare = learner.log_probabilities(batch, bare=True)
    np.testing.assert_allclose(bare, untrained, rtol=1e-6)
    assert np.abs(trained - bare).min() > 1e-3
    np.testing.assert_array_equal(learner.log_probabilities(batch), trained)


def test_the_reference_is_asked_once_and_kept(make_job: MakeJob, preferring: Path, tmp_path: Path) -> None:
    job = make_job()
    tokenizer = Tokenizer.load(Path(job.base))
    split = read_split(preferring / "train.jsonl", tokenizer, 128)
    asked: list[int] = []

    class Counting:
        def log_probabilities(self, batch: batches.Batch, *, bare: bool) -> np.ndarray:
            assert bare
            asked.append(len(batch.ids))
            return -np.arange(len(batch.ids), dtype=np.float64)

    def ask(stops: bool = False, identity: str = "base") -> dict[str, np.ndarray] | None:
        reference = Reference(tmp_path / "reference.safetensors", identity)
        learner: Any = Counting()
        return reference.of(learner, {"train": split.pairs}, tokenizer.pad_id, 4, lambda _: None, lambda: stops)

    assert ask(stops=True) is None
    assert asked == [8]
    found = ask()
    assert found is not None
    assert sum(asked) == 48
    again = ask()
    assert again is not None
    assert sum(asked) == 48
    np.testing.assert_array_equal(found["train"], again["train"])
    assert ask(identity="another base") is not None
    assert sum(asked) == 96
    (tmp_path / "reference.safetensors").write_bytes(b"broken")
    assert ask() is not None


def test_only_the_last_answer_of_a_pair_counts(base: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(base)
    history = [{"role": "user", "content": "red?"}, {"role": "assistant", "content": "green"}]
    one = pair("blue cat", "dog", "small bird runs", weight=2.0)
    write_lines(tmp_path / "train.jsonl", [{**one, "messages": [*history, *one["messages"]]}])
    split = read_split(tmp_path / "train.jsonl", tokenizer, 128)
    sides = split.pairs.sides
    spans = [slice(sides.starts[i], sides.starts[i + 1]) for i in range(2)]
    counted = [tokenizer.decode(sides.ids[span][sides.weights[span] > 0].tolist()) for span in spans]
    assert counted == ["dog<|im_end|>", "small bird runs<|im_end|>"]
    assert set(sides.weights) == {0.0, 1.0}
    assert split.pairs.weights.tolist() == [2.0]
    answers = split.answers
    assert tokenizer.decode(answers.ids[answers.weights > 0].tolist()) == "green<|im_end|>dog<|im_end|>"
    assert split.chosen == 1


def test_a_pair_of_weight_two_is_the_same_as_twice_the_pair(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    one, other = made_up_pairs(2)
    results = []
    for name, lines in (("weight", [{**one, "metadata": {"weight": 2}}, other]), ("twice", [one, one, other])):
        job = make_job(backend=backend, **{**DPO, "batch_examples": 6, "accumulation_steps": 1})
        write_lines(Path(job.dataset) / "train.jsonl", lines)
        results.append(train(job, tmp_path / name)[0]["loss"])
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_the_preference_loss_is_a_mean_over_pairs_however_they_are_batched(
    make_job: MakeJob, backend: str, tmp_path: Path
) -> None:
    lines = [{**one, "metadata": {"weight": 1.0 + i}} for i, one in enumerate(made_up_pairs(8))]
    adapters = []
    for size in (16, 2):
        settings = {**DPO, "batch_examples": size, "accumulation_steps": 16 // size, "preference_learning_rate": 1e-3}
        job = make_job(backend=backend, **settings)
        write_lines(Path(job.dataset) / "train.jsonl", lines)
        result, _ = train(job, tmp_path / str(size))
        assert result["steps"] == 4
        adapters.append(Adapter.read(Path(result["adapter"])).arrays())
    for name, array in adapters[0].items():
        np.testing.assert_allclose(array, adapters[1][name], atol=2e-5)


# --- several phases ---


def test_sft_and_dpo_are_one_run(make_job: MakeJob, preferring: Path, backend: str, tmp_path: Path) -> None:
    result, lines = train(make_job(backend=backend, **BOTH), tmp_path / "run")
    sft, dpo = result["phases"]
    assert (sft["objective"], sft["examples"], dpo["objective"], dpo["examples"]) == ("sft", 34, "dpo", 24)
    assert sft["steps"] + dpo["steps"] == result["steps"] == lines[-1]["steps"]
    assert [one["step"] for one in lines] == list(range(result["steps"] + 1))
    assert [one["phase"] for one in lines[1:]] == ["sft"] * sft["steps"] + ["dpo"] * dpo["steps"]
    after = dpo["after"]["validation_preference_loss"]
    assert after < dpo["before"]["validation_preference_loss"]
    assert dpo["before"]["validation_loss"] == pytest.approx(sft["after"]["validation_loss"], rel=1e-6)
    assert dpo["after"]["validation_loss"] == result["validation_loss"]
    # The rate rises anew.
    assert lines[sft["steps"] + 1]["learning_rate"] > lines[sft["steps"]]["learning_rate"]


@pytest.mark.parametrize("kill_at", [3, 5, 6, 8])
def test_a_kill_anywhere_ends_with_the_same_bytes(
    make_job: MakeJob, preferring: Path, backend: str, tmp_path: Path, kill_at: int
) -> None:
    """Five steps of sft and six of dpo; step 5 is killed before the border is kept, 6 right behind it."""
    job = make_job(backend=backend, dropout=0.2, checkpoint_steps=2, **{**BOTH, "preference_epochs": 1.0})
    whole, _ = train(job, tmp_path / "whole")
    assert [phase["steps"] for phase in whole["phases"]] == [5, 6]
    with pytest.raises(Killed):
        train(job, tmp_path / "killed", kill_at=kill_at)
    resumed, lines = train(job, tmp_path / "killed")
    assert lines[0]["step"] == {3: 3, 5: 5, 6: 6, 8: 7}[kill_at]
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")
    for name in ("steps", "loss", "validation_loss", "best_step", "train_tokens", "phases"):
        assert resumed[name] == whole[name]


def test_a_run_stopped_at_the_border_goes_on(make_job: MakeJob, preferring: Path, tmp_path: Path) -> None:
    whole, _ = train(make_job(**BOTH), tmp_path / "whole")
    stopped, _ = train(make_job(**BOTH), tmp_path / "run", stop_at=5)
    assert (stopped["state"], stopped["steps"], len(stopped["phases"])) == ("stopped", 5, 1)
    finished, lines = train(make_job(**BOTH), tmp_path / "run")
    assert (finished["state"], lines[0]["step"]) == ("completed", 6)
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")
    assert finished["phases"] == whole["phases"]


def test_a_curriculum_begins_with_what_is_simple(make_job: MakeJob, tmp_path: Path) -> None:
    lines = [{**one, "metadata": {"complexity": 1 + n % 9}} for n, one in enumerate(made_up(36))]
    job = make_job(curriculum=True, epochs=4.0)
    write_lines(Path(job.dataset) / "train.jsonl", lines)
    result, told = train(job, tmp_path / "run")
    plain, _ = train(make_job(epochs=4.0), tmp_path / "plain")
    assert [(phase["name"], phase["examples"]) for phase in result["phases"]] == [
        ("sft to 3", 12),
        ("sft to 6", 24),
        ("sft all", 36),
    ]
    assert result["steps"] == plain["steps"] == 20
    assert list(dict.fromkeys(one["phase"] for one in told)) == ["sft to 3", "sft to 6", "sft all"]
    with pytest.raises(Killed):
        train(job, tmp_path / "killed", kill_at=4)
    train(job, tmp_path / "killed")
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "run")


def test_a_phase_that_stops_early_hands_over_its_best(make_job: MakeJob, preferring: Path, tmp_path: Path) -> None:
    write_lines(preferring / "valid.jsonl", [line("say last of red cat", "bird eats over"), *made_up_pairs(9, 40)])
    changes = {"epochs": 40.0, "learning_rate": 3e-2, "patience": 2, "evaluate_steps": 2, "warmup_share": 0.0}
    result, lines = train(make_job(**{**BOTH, **changes}), tmp_path / "run")
    sft, dpo = result["phases"]
    assert sft["stopped_early"]
    assert sft["steps"] == sft["best_step"] + 4 < 200
    assert dpo["before"]["validation_loss"] == pytest.approx(
        min(one["validation_loss"] for one in lines[1 : sft["steps"] + 1] if one["validation_loss"]), rel=1e-6
    )


# --- which adapter is kept ---


class Told:
    """A learner of whom only what is validated is known."""

    def adapter(self) -> Adapter:
        return Adapter(rank=1, alpha=1.0, weights={"m": (np.ones((1, 2), np.float32), np.ones((2, 1), np.float32))})


def consider(found: list[dict[str, float]], patience: int = 0, pairs: int = 20) -> tuple[int, bool]:
    """The number of the validation whose adapter is kept in a dpo phase after sft, and whether it stopped early."""
    from types import SimpleNamespace

    from samloop.train.checkpoints import Progress
    from samloop.train.driver import _Run

    objective = Preferences.__new__(Preferences)
    objective._valid = range(pairs)  # type: ignore[assignment]
    one = _Run.__new__(_Run)
    one.job = SimpleNamespace(patience=patience)  # type: ignore[assignment]
    one.phases = [SimpleNamespace(objective="dpo")]  # type: ignore[list-item]
    one.learner, one.objective, one.best = Told(), objective, None  # type: ignore[assignment]
    one.progress = Progress(before=found[0])
    for number, what in enumerate(found):
        one.progress.step = number
        one._consider(what)
    return one.progress.best_step, one.progress.stopped_early


def test_the_least_preference_loss_is_kept_unless_answers_suffer() -> None:
    def figures(*pairs: tuple[float, float]) -> list[dict[str, float]]:
        return [{"validation_preference_loss": a, "validation_loss": b} for a, b in pairs]

    assert consider(figures((0.69, 2.0), (0.5, 2.05), (0.6, 1.9))) == (1, False)
    assert consider(figures((0.69, 2.0), (0.5, 2.05), (0.3, 2.2))) == (1, False)
    assert consider(figures((0.69, 2.0), (0.3, 2.2))) == (0, False)
    assert consider(figures((0.69, 2.0), (0.7, 2.0), (0.8, 2.0)), patience=2) == (0, True)


def test_with_few_validation_pairs_the_latest_is_kept_unless_answers_suffer() -> None:
    found = [
        {"validation_preference_loss": a, "validation_loss": b} for a, b in ((0.6, 2.0), (0.7, 2.05), (0.1, 2.2))
    ]
    assert consider(found, pairs=7) == (1, False)


# --- what cannot train ---

LONG = "cat " * 300


@pytest.mark.parametrize(
    ("method", "lines", "message"),
    [
        ("dpo", [], "has no examples; collect some"),
        (
            "dpo",
            made_up(5),
            r"expected preference pairs in .* for method dpo, found plain answers alone; take method sft",
        ),
        ("sft+dpo", made_up(5), r"for method sft\+dpo, found plain answers alone"),
        (
            "dpo",
            [pair("red", "cat", LONG)] * 2,
            r"no preference pair of .* 2 are longer than train.max_seq_tokens = 128",
        ),
        ("dpo", [pair("red", "cat", "cat")], r"no preference pair of .* 1 have no weight or equal sides"),
        ("dpo", [pair("red", LONG, LONG + "a")], "all 1 examples of .* are longer than train.max_seq_tokens"),
        (
            "dpo",
            [{"prompt": "a", "chosen": "b", "rejected": "c"}],
            r"line 1; this is a pair in another format, .* reads",
        ),
        (
            "sft",
            [{"prompt": "a", "chosen": "b", "rejected": "c"}],
            r"line 1; this is a pair in another format, .* reads",
        ),
        ("dpo", [{**made_up(1)[0], "rejected": ["no"]}], "expected an object with messages"),
    ],
)
def test_what_cannot_be_preferred_is_refused(
    make_job: MakeJob, tmp_path: Path, method: str, lines: list[dict[str, Any]], message: str
) -> None:
    job = make_job(method=method)
    write_lines(Path(job.dataset) / "train.jsonl", lines)
    with pytest.raises((TrainingError, InputError), match=message):
        train(job, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["dpo", "sft", "sft+dpo"])
def test_one_pair_is_enough(make_job: MakeJob, backend: str, tmp_path: Path, method: str) -> None:
    job = make_job(backend=backend, method=method, epochs=2.0, preference_epochs=2.0, batch_examples=64)
    write_lines(Path(job.dataset) / "train.jsonl", made_up_pairs(1))
    write_lines(Path(job.dataset) / "valid.jsonl", [])
    result, _ = train(job, tmp_path / "run")
    assert (result["steps"], result["examples"], result["pairs"], result["chosen"]) == (
        4 if method == "sft+dpo" else 2,
        1,
        1,
        1,
    )


def test_sft_learns_a_correction_once_from_its_pair_and_its_plain_answer(base: Path, tmp_path: Path) -> None:
    lines = [pair("red", "cat", "dog"), line("red", "cat", 3.0), line("blue", "cat"), line("blue", "cat")]
    write_lines(tmp_path / "train.jsonl", lines)
    split = read_split(tmp_path / "train.jsonl", Tokenizer.load(base), 128)
    assert (len(split.answers), split.chosen, len(split.pairs)) == (3, 0, 1)
    assert set(split.answers.weights[: split.answers.starts[1]]) == {0.0, 3.0}


def test_pairs_are_parted_between_pairs_and_never_within(base: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", made_up_pairs(9))
    pairs = read_split(tmp_path / "train.jsonl", Tokenizer.load(base), 128).pairs
    reference = np.arange(18, dtype=np.float64).reshape(9, 2)
    whole = pairs.batch(np.arange(9), 0, reference)
    for most in (1, 60, 10_000):
        parts = list(whole.parts(most))
        assert np.concatenate([part.weights for part in parts]).tolist() == whole.weights.tolist()
        np.testing.assert_array_equal(np.concatenate([part.reference for part in parts]), reference)
        np.testing.assert_array_equal(np.concatenate([part.batch.lengths for part in parts]), whole.batch.lengths)
        assert all(len(part.batch.ids) == 2 * len(part) for part in parts)
        assert all(part.batch.tokens <= most or len(part) == 1 for part in parts)
        assert len(parts) == {1: 9, 10_000: 1}.get(most, len(parts))
