"""lm-evaluation-harness over our own model: local tasks, planted right and wrong, nothing downloaded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from samloop.errors import InputError, MissingExtraError
from samloop.evaluate import public

CHOICE = """\
task: planted_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
output_type: multiple_choice
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: ["yes", "no"]
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""

WRITTEN = """\
task: planted_written
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
output_type: generate_until
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: word
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


class Continuing:
    """A model of plain text: a continuation's tokens cost what `nats` says of its text; `says` is what it writes."""

    def __init__(self, tokenizer, nats=lambda text: 1.0, says=lambda text: ""):
        self.tokenizer, self.nats, self.says = tokenizer, nats, says

    def use(self, adapter):
        assert adapter is None

    def logprobs(self, sequences):
        import numpy as np

        texts = [self.tokenizer.decode(sequence) for sequence in sequences]
        return [np.full(len(s) - 1, -self.nats(t), np.float32) for s, t in zip(sequences, texts, strict=True)]

    def generate(self, prompt, *, max_new_tokens, temperature=0.0, seed=0):
        yield from self.tokenizer.encode(self.says(self.tokenizer.decode(prompt)))[:max_new_tokens]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tasks of four documents."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "documents.jsonl"
    lines = [{"question": f"is {n} even", "label": n % 2, "word": "no" if n % 2 else "yes"} for n in range(4)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "choice.yaml").write_text(CHOICE.format(data=data))
    (tasks / "written.yaml").write_text(WRITTEN.format(data=data))
    return tasks


def item(task: str, folder: Path) -> dict:
    return {"id": task, "task": task, "folder": str(folder), "documents": 10}


def knows(text: str) -> bool:
    """Whether a text ends with the right answer to its question; of 3 it believes the wrong one."""
    number = int(text.split("is ")[1][0])
    right = "no" if number % 2 else "yes"
    return text.endswith(right) != (number == 3)


@pytest.mark.filterwarnings("ignore")  # the harness's own libraries warn of themselves
def test_a_local_task_gives_a_score_per_document(tokenizer, folder):
    pytest.importorskip("lm_eval")
    model = Continuing(tokenizer, lambda text: 0.01 if knows(text) else 5.0)
    (score,) = public.grade(model, [item("planted_choice", folder)])
    assert (score.name, score.unit, score.better) == ("planted_choice_acc", "share", "higher")
    assert score.numerators == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.filterwarnings("ignore")
def test_what_a_model_writes_is_cut_at_the_stop_and_compared(tokenizer, folder):
    pytest.importorskip("lm_eval")
    model = Continuing(tokenizer, says=lambda text: "yes\nQuestion: more")
    (score,) = public.grade(model, [item("planted_written", folder)])
    assert score.name == "planted_written_exact_match"
    assert score.numerators == (1.0, 0.0, 1.0, 0.0)


@pytest.mark.filterwarnings("ignore")
def test_a_task_that_is_not_there_is_one_sentence(tokenizer, folder):
    pytest.importorskip("lm_eval")
    with pytest.raises(InputError, match=r"expected a task 'absent' .* evaluate\.lm_eval_tasks") as caught:
        public.grade(Continuing(tokenizer), [item("absent", folder)])
    assert "\n" not in str(caught.value)


def test_without_the_harness_the_extra_is_named(tokenizer, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(public.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"samloop\[lm-eval\]"):
        public.grade(Continuing(tokenizer), [])


def test_continuations_count_their_own_tokens_and_the_spaces_before_them(tokenizer):
    model = Continuing(tokenizer, lambda text: 0.5)
    ((nats, greedy),) = public.continuations(model, [("ab ", "cd")])
    assert nats == pytest.approx(-0.5 * len(" cd"))
    assert greedy, "each token has more than half of the chance"
    ((alone, _),) = public.continuations(model, [("", "abc")])
    assert alone == pytest.approx(-1.5)


@pytest.mark.parametrize(("says", "greedy"), [(" cd and more", True), (" ce", False), ("", False)])
def test_where_it_is_not_sure_the_model_is_asked_what_it_would_say(tokenizer, says, greedy):
    model = Continuing(tokenizer, lambda text: 1.0 + math.log(2), says=lambda text: says)
    assert [found for _, found in public.continuations(model, [("ab", " cd")])] == [greedy]
    assert [found for _, found in public.continuations(model, [("ab", " cd")], greedy=False)] == [False]


def test_generation_ends_at_the_first_stop_or_the_bound(tokenizer):
    model = Continuing(tokenizer, says=lambda text: "one two three")
    assert public.until(model, "x", {"until": ["three", " t"]}) == "one"
    assert public.until(model, "x", {"until": "zzz", "max_gen_toks": 5}) == "one t"
    assert public.until(model, "x", {}) == "one two three"
