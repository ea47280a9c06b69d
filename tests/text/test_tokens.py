from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from samloop import pocket
from samloop.errors import ModelError
from samloop.text.rendering import compile_template
from samloop.text.tokens import Tokenizer

CHATS = [
    [{"role": "user", "content": "Hello there"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    [
        {"role": "user", "content": "What is <b>1 + 1</b>?\n\nSay it."},
        {"role": "assistant", "content": "  2, naïvely 'speaking'  "},
        {"role": "user", "content": "And 2 + 2?"},
        {"role": "assistant", "content": "4"},
    ],
    [
        {"role": "user", "content": "Weather in Łódź?"},
        {"role": "assistant", "content": '{"call": "weather"}'},
        {"role": "tool", "content": '{"degrees": 21, "sky": "☀"}'},
        {"role": "tool", "content": "second"},
        {"role": "assistant", "content": "21 degrees."},
    ],
]


@pytest.fixture(params=["chatml", "qwen", "strict", "rich", "pocket"])
def folder(request, model_folder):
    return pocket.path() if request.param == "pocket" else model_folder(request.param)


@pytest.mark.parametrize("prompt", [False, True])
def test_renders_the_very_text_of_transformers(folder, prompt):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = Tokenizer.load(folder)
    compared = 0
    for chat in CHATS:
        try:
            expected = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt)
        except Exception:
            with pytest.raises(ModelError, match="refuses"):
                ours.render(chat, prompt)
            continue
        assert ours.render(chat, prompt) == expected
        ids = theirs.apply_chat_template(chat, add_generation_prompt=prompt, return_dict=False)
        assert ours.encode_rendered(expected) == ids
        compared += 1
    assert compared >= 2


def test_special_tokens_in_text_are_taken_literally(model_folder):
    tokenizer = Tokenizer.load(model_folder("chatml"))
    ids = tokenizer.encode("a<|im_end|>b")
    assert not set(ids) & set(tokenizer.special_ids.values())
    assert tokenizer.decode(ids) == "a<|im_end|>b"
    assert tokenizer.encode_rendered("<|im_end|>") == [2]


@given(st.text())
def test_text_comes_back(model_folder, text):
    tokenizer = Tokenizer.load(model_folder("chatml"))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_settings_are_read_from_all_files(model_folder, tmp_path):
    shutil.copytree(model_folder("chatml"), tmp_path, dirs_exist_ok=True)
    tokenizer = Tokenizer.load(tmp_path)
    assert (tokenizer.pad_id, tokenizer.end_ids, tokenizer.vocab_size) == (0, {2}, len(_vocabulary(tmp_path)))
    assert tokenizer.folder == tmp_path
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    assert Tokenizer.load(tmp_path).end_ids == {0, 2}


def test_the_end_of_turn_is_found_in_the_template(model_folder):
    tokenizer = Tokenizer.load(model_folder("chatml", eos_token="<|endoftext|>"))
    assert tokenizer.end_ids == {0, 2}


def test_padding_falls_back_to_the_end_token(model_folder):
    assert Tokenizer.load(model_folder("chatml", pad_token=None)).pad_id == 2


def test_an_end_token_that_is_not_marked_special_is_still_not_read_from_text(model_folder, tmp_path):
    shutil.copytree(model_folder("chatml"), tmp_path, dirs_exist_ok=True)
    plain = json.loads((tmp_path / "tokenizer.json").read_text())
    plain["added_tokens"][2]["special"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    assert 2 not in Tokenizer.load(tmp_path).encode("x<|im_end|>")


def test_a_template_file_comes_before_the_configured_one(model_folder, tmp_path):
    shutil.copytree(model_folder("chatml"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    assert Tokenizer.load(tmp_path).render(CHATS[0]) == "Hello there!"


def test_of_named_templates_the_default_is_taken(model_folder):
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    assert Tokenizer.load(model_folder("chatml", chat_template=named)).render(CHATS[0]) == "yes"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: shutil.rmtree(f), "expected a model folder at"),
        (lambda f: (f / "tokenizer.json").unlink(), "holds no tokenizer.json"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "is not a tokenizer that can be read"),
        (lambda f: (f / "tokenizer_config.json").write_text("{,"), "is not readable JSON"),
        (lambda f: (f / "tokenizer_config.json").write_bytes(b"\xff"), "is not readable JSON"),
        (lambda f: (f / "tokenizer_config.json").write_text("[]"), "expected a JSON object"),
        (lambda f: (f / "tokenizer_config.json").write_text("{}"), "has no chat template"),
        (lambda f: (f / "tokenizer_config.json").unlink(), "has no chat template"),
        (lambda f: (f / "chat_template.jinja").write_text("{% if %}"), "is not valid Jinja"),
        (lambda f: (f / "chat_template.jinja").write_bytes(b"\xff"), "is not readable text"),
    ],
)
def test_a_broken_folder_gives_one_sentence(model_folder, tmp_path, change, says):
    folder = tmp_path / "model"
    shutil.copytree(model_folder("chatml"), folder)
    change(folder)
    with pytest.raises(ModelError, match=says) as caught:
        Tokenizer.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_any_end_is_refused(model_folder):
    with pytest.raises(ModelError, match="no token that ends an answer"):
        Tokenizer.load(model_folder("chatml", eos_token=None, chat_template="{{ messages[0].content }}"))


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.getcwd() }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{{ raise_exception('no') }}",
        "{{ messages[0].content.missing.deeper }}",
        "{{ 1 / 0 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(model_folder, attack):
    tokenizer = Tokenizer.load(model_folder("chatml", chat_template=attack))
    with pytest.raises(ModelError, match="refuses a conversation with the roles user"):
        tokenizer.render([{"role": "user", "content": "private words"}])


def test_the_time_in_a_template_stands_still():
    now = datetime(2026, 5, 4, 3, 2, 1)
    render = compile_template("{{ strftime_now('%d %b %Y %H:%M:%S') }}", "here", {}, now)
    assert render([], False) == "04 May 2026 03:02:01"


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_pieces_of_a_sentencepiece_text_encode_as_the_whole(tmp_path, scheme):
    """Tokenizers that put a blank before a text must not do so before each piece of it."""
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    bpe.decoder = decoders.Metaspace(prepend_scheme=scheme)
    words = ["ask [me] a thing and say the answer a b c"] * 4
    bpe.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=90, initial_alphabet=["\n"], special_tokens=["<s>", "</s>"])
    )
    bpe.save(str(tmp_path / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": "{{ bos_token }}x</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.load(tmp_path)
    whole = "<s>ask me\n[a]the answer</s>ask a"
    expected = bpe.encode(whole, add_special_tokens=False).ids
    assert tokenizer.encode_rendered(whole) == expected
    for cut in (whole.index("\n") + 1, whole.index("the"), whole.index("</s>")):
        left = tokenizer.encode_rendered(whole[:cut])
        assert left + tokenizer.encode_rendered(whole[cut:], previous=left[-1]) == expected


def test_white_space_that_a_special_token_swallows_is_swallowed(tmp_path, model_folder):
    shutil.copytree(model_folder("chatml"), tmp_path, dirs_exist_ok=True)
    bpe = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    bpe.add_special_tokens([AddedToken("<|end|>", rstrip=True, lstrip=True)])
    bpe.save(str(tmp_path / "tokenizer.json"))
    text = "fox  <|end|> \n dog"
    assert Tokenizer.load(tmp_path).encode_rendered(text) == bpe.encode(text, add_special_tokens=False).ids


def _vocabulary(folder: Path) -> dict[str, int]:
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)
