from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import build_base

from samloop import plugins
from samloop.errors import ModelError
from samloop.protocols import AdapterRef, BatchedModel, Model, generate_many, logprobs_of
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.job import TrainJob

SEQUENCES = [[1, 40, 50, 60, 2], [7], [30, 31], list(range(20, 75)), [5, 6, 7, 8, 9, 10, 11]]
EVERY = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def open_model(backend: str, base: Path, *refs: AdapterRef) -> Model:
    return plugins.load("backends", backend)().load(base, refs)


def random_adapter(base: Path, job: TrainJob, seed: int, folder: Path) -> AdapterRef:
    """An adapter with weights on both sides, so that it changes every logit."""
    fresh = plugins.load("backends", "torch")().learner(Base.open(base), job).adapter()
    generator = np.random.default_rng(seed)
    weights = {n: (a, generator.normal(0, 0.1, b.shape).astype(np.float32)) for n, (a, b) in fresh.weights.items()}
    folder.mkdir()
    replace(fresh, weights=weights).write(folder)
    return AdapterRef(name=folder.name, path=folder)


@pytest.fixture
def adapters(base: Path, make_job: Callable[..., TrainJob], tmp_path: Path) -> list[AdapterRef]:
    one = make_job(rank=4, alpha=8.0, targets=EVERY)
    other = make_job(rank=2, alpha=6.0, layers=1, targets=("v_proj",))
    return [random_adapter(base, one, 1, tmp_path / "one"), random_adapter(base, other, 2, tmp_path / "other")]


def reference(base: Path, sequence: list[int], adapter: Path | None = None) -> np.ndarray:
    """Log-probabilities by transformers and PEFT themselves, one sequence at a time."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        logs = model(torch.tensor([sequence])).logits[0].log_softmax(-1)
    return logs[range(len(sequence) - 1), sequence[1:]].numpy()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_logprobs_are_those_of_transformers_and_peft(base: Path, backend: str, adapters: list[AdapterRef]) -> None:
    model = open_model(backend, base, *adapters)
    for ref in (None, *adapters):
        model.use(ref.name if ref else None)
        for sequence, found in zip(SEQUENCES, model.logprobs(SEQUENCES), strict=True):
            assert found.dtype == np.float32
            assert found.shape == (len(sequence) - 1,)
            if len(sequence) > 1:
                expected = reference(base, sequence, ref.path if ref else None)
                np.testing.assert_allclose(found, expected, atol=2e-5)


def test_use_switches_and_gives_the_base_back_exactly(base: Path, backend: str, adapters: list[AdapterRef]) -> None:
    bare = open_model(backend, base).logprobs(SEQUENCES)
    model = open_model(backend, base, *adapters)
    seen: dict[str | None, list[np.ndarray]] = {None: model.logprobs(SEQUENCES)}
    for name in ("one", "other", None, "other", "one", None):
        model.use(name)
        found = model.logprobs(SEQUENCES)
        for before, now in zip(seen.setdefault(name, found), found, strict=True):
            assert (before == now).all()
    assert all((a == b).all() for a, b in zip(bare, seen[None], strict=True))
    assert abs(seen["one"][3] - seen["other"][3]).max() > 0.01
    assert abs(seen["one"][3] - bare[3]).max() > 0.01
    with pytest.raises(ModelError, match="no adapter 'third' was loaded; there is one, other"):
        model.use("third")


def test_scoring_in_small_portions_changes_nothing(base: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(backend, base)
    whole = model.logprobs(SEQUENCES)
    module = plugins.load("backends", backend).__module__
    small = {"cpu": 6} if backend == "torch" else 6
    monkeypatch.setattr(f"{module}.TOKENS_AT_ONCE", small)
    memory = "torch_loss" if backend == "torch" else "mlx_backend"
    monkeypatch.setattr(f"samloop.train.{memory}.CHUNK_BYTES", 3 * 4 * 320)
    for one, other in zip(whole, open_model(backend, base).logprobs(SEQUENCES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert model.logprobs([]) == []


def test_some_tokens_are_scored_as_all_are(
    base: Path, backend: str, adapters: list[AdapterRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [np.arange(len(sequence)) % 3 == 2 for sequence in SEQUENCES]
    for heads in (None, frozenset[str]()):
        if heads is not None:
            module = plugins.load("backends", backend).__module__
            monkeypatch.setattr(f"{module}.PLAIN_HEADS", heads)
        model = open_model(backend, base, *adapters)
        model.use("one")
        found = logprobs_of(model, SEQUENCES, wanted)
        for some, whole, chosen in zip(found, model.logprobs(SEQUENCES), wanted, strict=True):
            assert (some.dtype, some.shape) == (np.float32, (chosen[1:].sum(),))
            np.testing.assert_allclose(some, whole[chosen[1:]], atol=1e-5)


def test_generation_is_greedy_with_a_cache(base: Path, backend: str) -> None:
    model = open_model(backend, base)
    prompt = [1, 40, 50, 60]
    tokens = list(model.generate(prompt, max_new_tokens=6))
    for at, token in enumerate(tokens):
        candidates = [[*prompt, *tokens[:at], other] for other in range(model.tokenizer.vocab_size)]
        scores = [logs[-1] for logs in model.logprobs(candidates)]
        assert scores[token] == pytest.approx(max(scores), abs=1e-5)
    assert list(model.generate(prompt, max_new_tokens=0)) == []


def test_generation_with_a_seed_repeats_and_agrees_between_backends(base: Path) -> None:
    pytest.importorskip("mlx.core", exc_type=ImportError)
    drawn = {
        (name, seed): list(
            open_model(name, base).generate([1, 40, 50], max_new_tokens=20, temperature=1.0, seed=seed)
        )
        for name in ("torch", "mlx")
        for seed in (1, 2)
    }
    assert drawn["torch", 1] == drawn["mlx", 1]
    assert drawn["torch", 2] == drawn["mlx", 2]
    assert drawn["torch", 1] != drawn["torch", 2]


def test_generation_stops_at_the_end_of_the_turn(base: Path, backend: str) -> None:
    model = open_model(backend, base)
    tokens = list(model.generate([1, 40, 50], max_new_tokens=12, temperature=1.0, seed=3))
    first = tokens.index(tokens[4])
    model.tokenizer.end_ids = frozenset({tokens[4]})
    assert list(model.generate([1, 40, 50], max_new_tokens=12, temperature=1.0, seed=3)) == tokens[:first]


PROMPTS = [SEQUENCES[3], [1, 40, 50], [7], [1, 40, 50, 60], [30, 31], [5, 6, 7, 8, 9, 10, 11], [7], [12, 13, 14]]


@pytest.mark.parametrize("room", [4096, 60])
def test_many_prompts_at_once_are_answered_as_each_alone(
    base: Path, backend: str, adapters: list[AdapterRef], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """In one batch and in several, with rows that end at different places and rows of equal length."""
    monkeypatch.setattr("samloop.train.torch_backend.TOKENS_AT_ONCE", {"cpu": room // 2})
    if backend == "mlx":
        monkeypatch.setattr("samloop.train.mlx_backend.TOKENS_AT_ONCE", room)
    model = open_model(backend, base, *adapters)
    assert isinstance(model, BatchedModel)
    ends = []
    for name in (None, "one", "other"):
        model.use(name)
        whole = [list(model.generate(prompt, max_new_tokens=20)) for prompt in PROMPTS]
        said = [token for answer in whole for token in answer[3:]]
        model.tokenizer.end_ids = frozenset({max(set(said), key=said.count), said[-1]})
        alone = [list(model.generate(prompt, max_new_tokens=20)) for prompt in PROMPTS]
        assert model.generate_many(PROMPTS, max_new_tokens=20) == alone
        ends += [len(answer) for answer in alone]
    assert len(set(ends)) > 3, "rows are to end at different places"
    assert model.generate_many([[1, 40]], max_new_tokens=0) == [[]]
    assert model.generate_many([], max_new_tokens=4) == []


def test_a_model_that_knows_no_batches_is_asked_one_by_one(base: Path) -> None:
    whole = open_model("torch", base)

    class Plain:
        tokenizer = whole.tokenizer
        use, logprobs, generate = whole.use, whole.logprobs, whole.generate

    assert not isinstance(Plain(), BatchedModel)
    found = generate_many(Plain(), PROMPTS, max_new_tokens=6)
    assert found == generate_many(whole, PROMPTS, max_new_tokens=6)


@pytest.mark.parametrize("trained_on", ["torch", "mlx"])
def test_an_adapter_of_one_backend_answers_on_the_other(
    make_job: Callable[..., TrainJob], base: Path, tmp_path: Path, trained_on: str
) -> None:
    pytest.importorskip("mlx.core", exc_type=ImportError)
    from samloop.train.driver import run

    result = run(make_job(backend=trained_on, targets=EVERY), tmp_path / "run", lambda metric: None, lambda: False)
    ref = AdapterRef(name="mine", path=Path(result["adapter"]))
    found = []
    for name in ("torch", "mlx"):
        model = open_model(name, base, ref)
        before = model.logprobs(SEQUENCES)[3]
        model.use("mine")
        found.append(model.logprobs(SEQUENCES)[3])
        assert abs(found[-1] - before).max() > 0.1
    np.testing.assert_allclose(found[0], found[1], atol=2e-5)


def test_an_adapter_in_the_layout_of_mlx_lm_is_read(base: Path, tmp_path: Path) -> None:
    """Written by mlx-lm's own layers and names, answered by mlx-lm itself, by our MLX and by our torch."""
    mx = pytest.importorskip("mlx.core", exc_type=ImportError)
    from mlx.utils import tree_flatten
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import load_model

    network, _ = load_model(base, model_config={"rope_theta": 10_000.0})
    network.freeze()
    settings = {"rank": 3, "scale": 5.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "mlp.down_proj"]}
    linear_to_lora_layers(network, 1, settings)
    mx.random.seed(0)
    weights = {k: mx.random.normal(v.shape) * 0.1 for k, v in tree_flatten(network.trainable_parameters())}
    network.load_weights(list(weights.items()), strict=False)
    folder = tmp_path / "adapter"
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    sequence = SEQUENCES[3]
    logits = network(mx.array([sequence]))[0]
    logs = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
    expected = logs[range(len(sequence) - 1), sequence[1:]]
    for name in ("torch", "mlx"):
        model = open_model(name, base, AdapterRef(name="theirs", path=folder))
        model.use("theirs")
        np.testing.assert_allclose(model.logprobs([sequence])[0], expected, atol=2e-5)


@pytest.mark.parametrize("layout", ["rope_theta", "rope_parameters"])
def test_the_rotary_base_is_read_wherever_it_stands(base: Path, backend: str, tmp_path: Path, layout: str) -> None:
    """A theta far from every default: a backend that misses it gives other logits."""
    folder = shutil.copytree(base, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    for key in ("rope_theta", "rope_parameters", "rope_scaling"):
        config.pop(key, None)
    both = {"rope_theta": 77.0, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}}
    (folder / "config.json").write_text(json.dumps({**config, layout: both[layout]}))
    found = open_model(backend, folder).logprobs([SEQUENCES[3]])[0]
    np.testing.assert_allclose(found, reference(folder, SEQUENCES[3]), atol=2e-5)
    assert abs(found - reference(base, SEQUENCES[3])).max() > 1e-3


def test_an_untied_head_and_another_way_to_the_logits_agree(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_base(tmp_path / "untied", tied=False)
    expected = reference(folder, SEQUENCES[3])
    np.testing.assert_allclose(open_model(backend, folder).logprobs([SEQUENCES[3]])[0], expected, atol=2e-5)
    module = plugins.load("backends", backend).__module__
    monkeypatch.setattr(f"{module}.PLAIN_HEADS", frozenset())
    np.testing.assert_allclose(open_model(backend, folder).logprobs([SEQUENCES[3]])[0], expected, atol=2e-5)


def test_an_adapter_of_another_base_is_refused(backend: str, adapters: list[AdapterRef], tmp_path: Path) -> None:
    twin = build_base(tmp_path / "twin", seed=9)
    with pytest.raises(ModelError, match=r"was trained on another base \(tiny\)"):
        open_model(backend, twin, adapters[0])
    anonymous = replace(Adapter.read(adapters[0].path), base_fingerprint="")
    name, (a, b) = next(iter(anonymous.weights.items()))
    for weights, message in (
        ({name: (a[:, :5], b)}, "belongs to another base"),
        ({"model.layers.9.mlp.up_proj": (a, b)}, "which this base does not have"),
    ):
        folder = tmp_path / message[:5]
        folder.mkdir()
        replace(anonymous, weights=weights).write(folder)
        with pytest.raises(ModelError, match=message):
            open_model(backend, twin, AdapterRef(name="x", path=folder))


def _without(*names: str) -> Callable[[Path], Any]:
    return lambda folder: [(folder / name).unlink() for name in names]


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))


def _cut_off(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("config.json"), r"has no config\.json"),
        (_without("tokenizer.json"), r"has no tokenizer\.json"),
        (_without("model.safetensors"), r"has no model\.safetensors"),
        (_pickled, r"are pickled, which can run code; convert them to safetensors"),
        (_own_code, r"brings Python code of its own, which samloop never runs"),
        (_cut_off, r"is cut off: expected \d+ bytes"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json is not readable JSON"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 50), "is not a safetensors file"),
        (shutil.rmtree, "expected a model folder at .*, found none"),
    ],
)
def test_a_base_that_is_not_whole_is_refused(
    base: Path, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    folder = shutil.copytree(base, tmp_path / "copy")
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        open_model("torch", folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("adapter_config.json"), r"has no adapter_config\.json"),
        (_without("adapter_model.safetensors"), r"has no adapter_model\.safetensors"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x" * 50), "cannot|can be read"),
        (lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "IA3"}'), "plain LoRA"),
        (shutil.rmtree, "expected an adapter folder at .*, found none"),
    ],
)
def test_an_adapter_that_is_not_whole_is_refused(
    adapters: list[AdapterRef], spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(adapters[0].path)
    with pytest.raises(ModelError, match=message):
        Adapter.read(adapters[0].path)


def test_equal_adapters_are_equal_files(adapters: list[AdapterRef], tmp_path: Path) -> None:
    adapter = Adapter.read(adapters[0].path)
    for at in range(4):
        (tmp_path / str(at)).mkdir()
        adapter.write(tmp_path / str(at))
    written = {(tmp_path / str(at) / "adapter_model.safetensors").read_bytes() for at in range(4)}
    assert written == {(adapters[0].path / "adapter_model.safetensors").read_bytes()}
