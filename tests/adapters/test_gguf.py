from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_world import add_adapter, build
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from samloop import pocket
from samloop.adapters.gguf_vocabulary import SPLITS, for_answering
from samloop.adapters.modelfile import modelfile
from samloop.errors import MissingExtraError, ModelError, UsageError
from samloop.home import Home
from samloop.loop.context import Context, open_context
from samloop.loop.export import fuse, gguf
from samloop.text import tokens
from samloop.text.rendering import compile_template
from samloop.train.adapter import Adapter

library = pytest.importorskip("gguf", reason="gguf is not installed")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    with open_context(Home(tmp_path / "home")) as opened:
        yield opened


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What gguf's own reader finds: settings, and tensors as float32 in the order of numpy."""
    reader = library.GGUFReader(path)
    settings = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {
        tensor.name: library.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        for tensor in reader.tensors
    }
    return settings, tensors


def exact(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(("outtype", "atol"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 2e-2)])
def test_the_fused_weights_are_read_back(context: Context, tmp_path: Path, outtype: str, atol: float) -> None:
    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket", strength=0.02)
    result = gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype=outtype)
    fuse(context, str(adapter), out=str(tmp_path / "fused"), dtype="float32")
    settings, found = read(tmp_path / "sam.gguf")
    weights = exact(tmp_path / "fused")
    assert result["bytes"] == (tmp_path / "sam.gguf").stat().st_size
    assert len(found) == len(weights)
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "blk.2.attn_q.weight": "model.layers.2.self_attn.q_proj.weight",
        "blk.2.attn_k.bias": "model.layers.2.self_attn.k_proj.bias",
        "blk.3.ffn_down.weight": "model.layers.3.mlp.down_proj.weight",
        "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
    }
    for theirs, ours in pairs.items():
        np.testing.assert_allclose(found[theirs], weights[ours], atol=atol * max(1.0, abs(weights[ours]).max()))
    assert {
        name: settings[f"qwen2.{name}"] for name in ("block_count", "embedding_length", "attention.head_count_kv")
    } == {
        "block_count": 4,
        "embedding_length": 160,
        "attention.head_count_kv": 2,
    }
    assert settings["qwen2.rope.freq_base"] == 10_000.0
    assert settings["qwen2.context_length"] == 1024
    assert settings["general.architecture"] == "qwen2"


def test_the_tokenizer_of_the_file_is_that_of_the_base(context: Context, tmp_path: Path) -> None:
    """Built again from nothing but the file and the pattern that its name stands for."""
    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket")
    gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="q8_0")
    settings, _ = read(tmp_path / "sam.gguf")
    words = settings["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in settings["tokenizer.ggml.merges"]]
    again = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, merges))
    pattern = next(pattern for pattern, name in SPLITS.items() if name == settings["tokenizer.ggml.pre"])
    again.normalizer = normalizers.NFC()
    again.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    again.decoder = decoders.ByteLevel()
    control = [
        at for at, kind in enumerate(settings["tokenizer.ggml.token_type"]) if kind == library.TokenType.CONTROL
    ]
    again.add_special_tokens([AddedToken(words[at], special=True, normalized=False) for at in control])
    base = Tokenizer.from_file(str(pocket.path() / "tokenizer.json"))
    for text in (
        "<|im_start|>user\nHow's  it — 12345 naïve\n\n\tif x:<|im_end|>",
        "def f(a):\n    return a  # ünï 中文 🙂",
    ):
        assert again.encode(text).ids == base.encode(text).ids
    assert settings["tokenizer.ggml.model"] == "gpt2"
    assert words[settings["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert words[settings["tokenizer.ggml.padding_token_id"]] == "<|endoftext|>"
    assert settings["tokenizer.ggml.add_bos_token"] is False


def test_the_chat_template_loses_the_trainers_marks_and_nothing_else(context: Context, tmp_path: Path) -> None:
    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket")
    gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"))
    written = read(tmp_path / "sam.gguf")[0]["tokenizer.chat_template"]
    assert "generation " not in written.replace("add_generation_prompt", "")
    from datetime import datetime

    render = compile_template(written, "the file", {}, datetime.now())
    talk = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
    ]
    ours = tokens.Tokenizer.load(pocket.path())
    for more in (True, False):
        assert render(talk, more) == ours.render(talk, more)


@pytest.mark.parametrize("mark", ["{% generation %}", "{%- generation -%}", "{%generation%}", "{%- generation %}"])
def test_white_space_that_a_mark_eats_is_eaten_still(mark: str) -> None:
    import jinja2

    template = f"a \n {mark} \n b \n {mark.replace('generation', 'endgeneration')} \n c{{{{ generation }}}}"
    plain = template.replace(mark, mark.replace("generation", "if 1")).replace("endgeneration", "endif")
    environment = jinja2.Environment()
    assert environment.from_string(for_answering(template)).render() == environment.from_string(plain).render()
    assert "{{ generation }}" in for_answering(template)


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_queries_and_keys_of_llama_are_ordered_as_llama_cpp_rotates_them(
    context: Context, tmp_path: Path, kind: str
) -> None:
    """Halves apart, rotated as transformers does, against neighbours, rotated as llama.cpp does: the same scores."""
    base = build(tmp_path / "base", kind, tied=False)
    adapter = add_adapter(base, tmp_path / "adapter")
    gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="f32")
    fuse(context, str(adapter), out=str(tmp_path / "fused"))
    settings, found = read(tmp_path / "sam.gguf")
    weights = exact(tmp_path / "fused")
    assert settings["general.architecture"] == "llama"
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(2, 64))
    angles = 0.3 * np.arange(8)

    def halves(vector: np.ndarray, turn: float) -> np.ndarray:
        first, second = np.split(vector.reshape(-1, 16), 2, axis=1)
        c, s = np.cos(turn * angles), np.sin(turn * angles)
        return np.concatenate([first * c - second * s, second * c + first * s], axis=1)

    def neighbours(vector: np.ndarray, turn: float) -> np.ndarray:
        first, second = vector.reshape(-1, 16)[:, ::2], vector.reshape(-1, 16)[:, 1::2]
        c, s = np.cos(turn * angles), np.sin(turn * angles)
        return np.stack([first * c - second * s, second * c + first * s], axis=2).reshape(-1, 16)

    q, k = weights["model.layers.1.self_attn.q_proj.weight"], weights["model.layers.1.self_attn.k_proj.weight"]
    expected = halves(q @ one, 5)[::2] * halves(k @ other, 2)
    ours = neighbours(found["blk.1.attn_q.weight"] @ one, 5)[::2] * neighbours(
        found["blk.1.attn_k.weight"] @ other, 2
    )
    np.testing.assert_allclose(ours.sum(axis=1), expected.sum(axis=1), rtol=1e-5)
    assert abs(found["blk.1.attn_q.weight"] - q).max() > 0.01
    assert (found["output.weight"] == weights["lm_head.weight"]).all()


def test_the_rotary_factors_of_llama_3_are_those_of_transformers(context: Context, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = build(tmp_path / "base", "llama")
    adapter = add_adapter(base, tmp_path / "adapter")
    gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="f32")
    settings, found = read(tmp_path / "sam.gguf")
    theirs = AutoModelForCausalLM.from_pretrained(base).model.rotary_emb.inv_freq.numpy()
    plain = 500_000.0 ** -(np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(plain / found["rope_freqs.weight"], theirs, rtol=1e-5)
    assert found["rope_freqs.weight"].max() == pytest.approx(8.0)
    assert "llama.rope.scaling.type" not in settings


def test_the_adapter_alone_is_what_llama_cpp_adds_to_its_base(context: Context, tmp_path: Path) -> None:
    base = build(tmp_path / "base", "llama", tied=False)
    adapter = add_adapter(base, tmp_path / "adapter")
    empty = add_adapter(base, tmp_path / "empty", strength=0.0)
    gguf(context, str(adapter), out=str(tmp_path / "whole.gguf"), outtype="f32")
    gguf(context, str(empty), out=str(tmp_path / "base.gguf"), outtype="f32")
    result = gguf(context, str(adapter), out=str(tmp_path / "lora.gguf"), outtype="f32", lora=True)
    assert result["modelfile"] is None
    assert not (tmp_path / "lora.Modelfile").exists()
    settings, pairs = read(tmp_path / "lora.gguf")
    assert (settings["general.type"], settings["adapter.type"]) == ("adapter", "lora")
    bare, whole = read(tmp_path / "base.gguf")[1], read(tmp_path / "whole.gguf")[1]
    assert len(pairs) == 2 * len(Adapter.read(adapter).weights)
    for name in (name.removesuffix(".lora_a") for name in pairs if name.endswith(".lora_a")):
        a, b = pairs[f"{name}.lora_a"], pairs[f"{name}.lora_b"]
        added = settings["adapter.lora.alpha"] / len(a) * (b @ a)
        np.testing.assert_allclose(bare[name] + added, whole[name], atol=1e-5)


def test_an_embedding_with_spare_rows_has_a_token_for_each(context: Context, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = build(tmp_path / "base", "qwen2")
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(3100)
    model.save_pretrained(base)
    adapter = add_adapter(base, tmp_path / "adapter")
    gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="f32")
    settings, found = read(tmp_path / "sam.gguf")
    assert len(settings["tokenizer.ggml.tokens"]) == len(found["token_embd.weight"]) == 3100
    assert set(settings["tokenizer.ggml.token_type"][3072:]) == {library.TokenType.UNUSED}
    assert len(set(settings["tokenizer.ggml.tokens"])) == 3100


def _tokenizer(change: Any) -> Any:
    def spoil(folder: Path) -> None:
        path = folder / "tokenizer.json"
        plain = json.loads(path.read_text())
        change(plain)
        path.write_text(json.dumps(plain))

    return spoil


def _config(**changes: Any) -> Any:
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_config(model_type="gemma2"), "is a gemma2, and GGUF is written for qwen2, qwen3, llama, mistral, gemma;"),
        (_config(hidden_act="gelu"), "has the activation gelu, which GGUF is not written for"),
        (_config(rope_parameters=YARN), "scales its rotary positions by 'yarn', which GGUF is not written for"),
        (_config(use_sliding_window=True), "attends through a sliding window"),
        (
            _tokenizer(lambda plain: plain["model"].update(byte_fallback=True)),
            "puts blanks where llama.cpp would not",
        ),
        (_tokenizer(lambda plain: plain.update(pre_tokenizer=None)), "is not of the byte-level kind"),
        (
            _tokenizer(lambda plain: plain["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "x+"})),
            r"splits text in a way that llama\.cpp has no name for",
        ),
    ],
)
def test_what_would_answer_wrongly_is_refused(context: Context, tmp_path: Path, spoil: Any, message: str) -> None:
    base = build(tmp_path / "base")
    spoil(base)
    adapter = add_adapter(base, tmp_path / "adapter")
    with pytest.raises(ModelError, match=message):
        gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"))
    assert not [path for path in tmp_path.iterdir() if "sam" in path.name]


def test_numbers_beyond_half_precision_are_refused(context: Context, tmp_path: Path) -> None:
    base = build(tmp_path / "base")
    adapter = add_adapter(base, tmp_path / "adapter", strength=1e6)
    with pytest.raises(ModelError, match="beyond what f16 reaches; take --outtype f32 or q8_0"):
        gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="f16")
    with pytest.raises(UsageError, match="expected --outtype to be one of f32, f16, q8_0, got 'q4'"):
        gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="q4")


def test_a_modelfile_says_what_the_base_says(context: Context, tmp_path: Path) -> None:
    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket")
    result = gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"))
    text = Path(result["modelfile"]).read_text()
    assert Path(result["modelfile"]) == tmp_path / "sam.Modelfile"
    assert text.startswith("FROM ./sam.gguf\nTEMPLATE")
    assert 'PARAMETER stop """<|im_end|>"""' in text
    assert "SYSTEM" not in text
    other = modelfile(
        "x.gguf", render=lambda messages, more: "?", ends=["</s>"], system_prompt='You are "SAM".\nBe brief.'
    )
    assert "TEMPLATE" not in other
    assert 'SYSTEM """You are "SAM".\nBe brief."""' in other


def test_the_system_prompt_that_a_template_brings_is_kept() -> None:
    """Qwen2.5 tells who it is where nobody else does; an adapter was trained with that in front."""

    def render(messages: Any, more: bool) -> str:
        system = [] if messages[0]["role"] == "system" else [{"role": "system", "content": "You are Qwen."}]
        said = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in [*system, *messages]]
        return "".join(said) + ("<|im_start|>assistant\n" if more else "")

    assert 'SYSTEM """You are Qwen."""' in modelfile("x.gguf", render=render, ends=["<|im_end|>"])
    given = modelfile("x.gguf", render=render, ends=["<|im_end|>"], system_prompt="You are SAM.")
    assert 'SYSTEM """You are SAM."""' in given
    assert "Qwen" not in given


def test_without_the_package_it_is_one_sentence(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['gguf'] = None\n"
        "from samloop.errors import MissingExtraError\n"
        "try:\n    import samloop.adapters.gguf\nexcept MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(MissingExtraError("gguf", "writing GGUF"))


def _pieces(folder: Path) -> None:
    """A tokenizer of pieces with bytes for the rest, as Gemma has one, in place of the one in `folder`."""
    learnt = Tokenizer(models.BPE())
    learnt.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    learnt.train_from_iterator(["the cat sat on the mat", "  indented the cat", "that hat is flat"] * 9, trainer)
    model = json.loads(learnt.to_str())["model"]
    named = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    words = [*named, *(f"<0x{byte:02X}>" for byte in range(256)), *sorted(model["vocab"], key=model["vocab"].get)]
    vocabulary = {word: at for at, word in enumerate(words)}
    merges = [tuple(merge) for merge in model["merges"]]
    whole = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    whole.normalizer = normalizers.Replace(" ", "▁")
    whole.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    whole.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in named])
    whole.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "add_bos_token": True}))


def _as_llama_cpp(text: str, words: list[str], scores: list[float]) -> list[str]:
    """Neighbours that make the best piece are merged, the leftmost first, until none do; the rest is bytes."""
    rank = dict(zip(words, scores, strict=True))
    symbols = list(text.replace(" ", "▁"))
    while True:
        pairs = [(rank[a + b], -at) for at, (a, b) in enumerate(pairwise(symbols)) if a + b in rank]
        if not pairs:
            break
        at = -max(pairs)[1]
        symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
    spelt = [[one] if one in rank else [f"<0x{byte:02X}>" for byte in one.encode()] for one in symbols]
    return [word for each in spelt for word in each]


def test_gemma_comes_with_its_pieces_and_its_norms(context: Context, tmp_path: Path) -> None:
    base = build(tmp_path / "base", "gemma")
    _pieces(base)
    adapter = add_adapter(base, tmp_path / "adapter")
    gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="f32")
    settings, found = read(tmp_path / "sam.gguf")
    fuse(context, str(adapter), out=str(tmp_path / "fused"))
    weights = exact(tmp_path / "fused")
    assert settings["general.architecture"] == "gemma"
    for theirs, ours in (("output_norm", "norm"), ("blk.1.ffn_norm", "layers.1.post_attention_layernorm")):
        np.testing.assert_allclose(found[f"{theirs}.weight"], weights[f"model.{ours}.weight"] + 1, atol=1e-6)
    words, scores = settings["tokenizer.ggml.tokens"], settings["tokenizer.ggml.scores"]
    theirs = Tokenizer.from_file(str(base / "tokenizer.json"))
    for text in ("the cat sat on that hat", "  indented: the\n\tmat — naïve 中文 🙂", "flatflat  hat"):
        assert _as_llama_cpp(text, words, scores) == theirs.encode(text).tokens
    kinds = settings["tokenizer.ggml.token_type"]
    assert [kinds[words.index(word)] for word in ("<unk>", "<0x41>", "<end_of_turn>", "t")] == [
        library.TokenType.UNKNOWN,
        library.TokenType.BYTE,
        library.TokenType.CONTROL,
        library.TokenType.NORMAL,
    ]
    assert settings["tokenizer.ggml.add_space_prefix"] is False
    assert settings["tokenizer.ggml.add_bos_token"] is True


def test_qwen3_brings_its_norms_of_queries_and_keys(context: Context, tmp_path: Path) -> None:
    base = build(tmp_path / "base", "qwen3")
    adapter = add_adapter(base, tmp_path / "adapter")
    gguf(context, str(adapter), out=str(tmp_path / "sam.gguf"), outtype="f32")
    settings, found = read(tmp_path / "sam.gguf")
    fuse(context, str(adapter), out=str(tmp_path / "fused"))
    weights = exact(tmp_path / "fused")
    assert (found["blk.2.attn_q_norm.weight"] == weights["model.layers.2.self_attn.q_norm.weight"]).all()
    assert (found["blk.2.attn_q.weight"] == weights["model.layers.2.self_attn.q_proj.weight"]).all()
    assert settings["qwen3.attention.key_length"] == 24
