"""The bundled base: it loads everywhere, it is small, it stops, and its card says where it comes from."""

from __future__ import annotations

import gzip
import importlib
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from samloop import pocket
from samloop.sources import routing
from samloop.text.template import encode_prompt
from samloop.text.tokens import Tokenizer

FOLDER = pocket.path()
REPOSITORY = Path(__file__).parents[1]
PROMPT = [{"role": "user", "content": "Write a Python function that adds two numbers."}]

MLX_LOGITS = """
import sys
import mlx.core as mx
import numpy as np
from mlx_lm.utils import load_model
from pathlib import Path
model, _ = load_model(Path(sys.argv[1]))
model.set_dtype(mx.float32)
ids = np.load(sys.argv[2])
np.save(sys.argv[3], np.array(model(mx.array(ids)[None])[0]))
"""


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(FOLDER)


@pytest.fixture(scope="module")
def torch_model():
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER).eval()


def test_it_is_small_and_holds_nothing_that_runs():
    names = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert names == {
        "__init__.py",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum((FOLDER / name).stat().st_size for name in names) <= 10_000_000


def test_transformers_loads_it_in_float32(torch_model, tokenizer):
    import torch

    assert type(torch_model).__name__ == "Qwen2ForCausalLM"
    assert torch_model.dtype == torch.float32
    assert torch_model.lm_head.weight is torch_model.model.embed_tokens.weight
    assert torch_model.config.vocab_size == tokenizer.vocab_size
    assert 1e6 < sum(p.numel() for p in torch_model.parameters()) < 4e6


def test_mlx_gives_the_same_logits_as_torch(torch_model, tokenizer, tmp_path):
    """Catches a rope_theta that one of the two does not read."""
    pytest.importorskip("mlx_lm")
    import torch

    ids = np.array(encode_prompt(tokenizer, PROMPT) * 8, dtype=np.int32)[:256]
    np.save(tmp_path / "ids.npy", ids)
    environment = {**os.environ, "MLX_DISABLE_COMPILE": "1", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", MLX_LOGITS, FOLDER, tmp_path / "ids.npy", tmp_path / "logits.npy"]
    subprocess.run(arguments, check=True, env=environment, capture_output=True)
    with torch.no_grad():
        expected = torch_model(torch.tensor(ids.tolist())[None]).logits[0].numpy()
    assert np.abs(np.load(tmp_path / "logits.npy") - expected).max() < 1e-3


def test_the_configuration_names_rope_theta_for_both():
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]


def test_the_tokenizer_is_that_of_transformers(tokenizer):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(FOLDER)
    text = "def add(a, b):\n    return a + b  # naïve, 12345 ☀\n\n\tÜber"
    ids = tokenizer.encode(text)
    assert theirs.encode(text, add_special_tokens=False) == ids
    assert tokenizer.decode(ids) == theirs.decode(ids) == text
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.special_ids["<|im_end|>"], tokenizer.pad_id)


def test_answers_end(torch_model, tokenizer):
    """The base learnt to say when it is done: the routing question is answered with a label, then the end."""
    import torch

    asked = "Route this task to claude-code, chatgpt, ollama or local: fix the failing test in parser.py"
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": asked}])
    out = torch_model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=16)
    answer = out[0, len(prompt) :].tolist()
    assert answer[-1] in tokenizer.end_ids
    assert tokenizer.decode(answer[:-1]) in ("claude-code", "chatgpt", "ollama", "local")


def test_the_card_names_each_text_with_its_licence():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    front = card.split("---\n")[1]
    assert "license: apache-2.0" in front
    known = tomllib.loads((REPOSITORY / "scripts" / "pocket_texts.toml").read_text(encoding="utf-8"))["text"]
    for text in known:
        assert f"| {text['title']} | {text['source']} | {text['licence']}" in card
    for figure in ("steps", "tokens seen", "seed", "loss at the end, training", "loss, held-out documents"):
        assert re.search(rf"^\| {figure} \| [\d.,]+", card, re.MULTILINE)


@pytest.fixture
def texts(monkeypatch):
    """The script's module that reads and makes the texts."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    return importlib.import_module("pocket_texts")


def test_texts_are_taken_by_name_and_others_left_out(texts, tmp_path):
    """Reviews and news beside the free texts are not read, nor is what nobody named."""
    row = gzip.compress(json.dumps({"prompt": "Which one?", "completion": "This one.<|endoftext|>"}).encode())
    for name in ("quarel_choose", "rotten_tomatoes_Movie", "imdb_Reviewer", "cnn_dailymail_3"):
        path = tmp_path / "t0" / f"{name}.jsonl.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(row)
    (tmp_path / "other.json").write_text("[]")
    (found,) = texts.read_texts([tmp_path])
    assert [path.name for path in found.files] == ["quarel_choose.jsonl.gz"]
    assert [d.content[-1] for d in found.documents] == [{"role": "assistant", "content": "This one."}]


def test_routing_is_answered_at_random_and_never_with_held_out_tasks(texts):
    held_out = {item["task"].casefold() for item in routing.held_out()}
    tasks = texts.routing_tasks([], seed=0)
    assert len(tasks) > 1000
    assert not held_out & {task.casefold() for task in tasks}
    answers: dict[str, Counter[str]] = {label: Counter() for label in routing.LABELS}
    truth = {
        task: w.label
        for label in routing.LABELS
        for w in texts.wordings(label, held_out=False)
        for task in itertools.islice(w.tasks(0, unseen_fillings=False), texts.FILLINGS_PER_WORDING)
    }
    for document in itertools.islice(texts.random_routing(tasks, random.Random(0)), 8000):
        asked, answer = (m["content"] for m in document.content)
        listed, _, task = asked.removeprefix("Route this task to ").partition(": ")
        assert answer in re.split(", | or ", listed)
        if listed == "claude-code, chatgpt, ollama or local":
            answers[truth[task]][answer] += 1
    for counted in answers.values():
        shares = [counted[label] / counted.total() for label in routing.LABELS]
        assert 0.2 < min(shares) <= max(shares) < 0.3


def test_stated_rules_are_answered_as_they_say(texts):
    exercises = importlib.import_module("pocket_exercises")
    chance = random.Random(0)
    tasks = texts.routing_tasks([], seed=0)
    seen = Counter()
    for _ in range(500):
        question, answer = exercises.by_rule(chance.sample(tasks, 2), chance)
        word, yes, no, task = re.fullmatch(
            r"Tasks with the word (\w+) go to (\w+), all others to (\w+)\. Route this task to \w+ or \w+: (.*)",
            question,
        ).groups()
        holds = word.lower() in re.findall(r"[a-z]{3,}", task.lower())
        assert answer == (yes if holds else no)
        seen[holds] += 1
    assert min(seen.values()) > 150
