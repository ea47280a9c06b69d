"""The example: ids from content, normalisation, plain data and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.errors import InputError
from samloop.example import Example, content_hash, input_hash, normalise

TEXT = st.text(st.characters(), max_size=200)


def make(**changes):
    values = {"source": "manual", "format": "instruction", "input_text": "What is 2 + 2?", "output_text": "4"}
    return Example(**{**values, **changes}).sealed()


def test_same_content_same_id_whatever_its_spacing_source_or_time():
    one = make()
    other = make(input_text="What  is\n2 + 2?", source="datasets", created_at=1.0, format="chat")
    assert one.id == other.id
    assert len(one.id) == 24
    assert one.content_hash.startswith(one.id)


def test_ids_are_pinned_forever():
    """An id must not change between releases: stores and manifests hold them."""
    assert make().id == "e32cec2b46e05419ca550ab7"
    assert make(conversation_history=({"role": "user", "content": "hi"},)).id == "a468382415acb8493d696c33"


@pytest.mark.parametrize(
    "change",
    [
        {"input_text": "What is 2 + 3?"},
        {"output_text": "four"},
        {"system_prompt": "Be brief."},
        {"context": "arithmetic"},
        {"rejected_output": "5"},
        {"conversation_history": ({"role": "user", "content": "hi"},)},
    ],
)
def test_any_content_changes_the_id(change):
    assert make(**change).id != make().id


def test_parts_do_not_run_into_each_other():
    assert make(input_text="a b", output_text="c").id != make(input_text="a", output_text="b c").id
    assert make(system_prompt="a", context=None).id != make(system_prompt=None, context="a").id


def test_input_hash_ignores_case_and_final_punctuation_but_not_history():
    assert input_hash((), "What is 2 + 2?") == input_hash((), "what is 2 + 2")
    assert input_hash((), "hi") != input_hash(({"role": "user", "content": "hi"},), "hi")


def test_dictionary_and_back():
    example = make(
        conversation_history=({"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}),
        metadata={"category": "arithmetic"},
        flags=({"rule": "echo", "outcome": "flag", "measure": 0.5},),
    )
    assert Example.from_dict(example.to_dict()) == example


def test_unknown_keys_go_to_metadata_and_raw_is_unverified():
    plain = {"source": "s", "format": "chat", "input_text": "a", "output_text": "b", "mood": "good"}
    example = Example.from_dict({**plain, "quality_tier": "raw"})
    assert example.metadata == {"mood": "good"}
    assert example.quality_tier == "unverified"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"format": "poem"}, "format"), ({"state": "maybe"}, "state"), ({"input_text": None}, "input_text")],
)
def test_bad_values_are_named(change, words):
    plain = {"source": "s", "format": "chat", "input_text": "a", "output_text": "b", **change}
    with pytest.raises(InputError, match=words):
        Example.from_dict(plain)


def test_uncurated_examples_wait_for_review():
    assert make().state == "review"
    assert make().quality_tier == "unverified"


def test_normalise_keeps_meaning_and_drops_noise():
    assert normalise("  a\r\nb\x00c\ufeff \n  d\t\n") == "a\nbc\n  d"
    assert normalise("e\u0301") == "\u00e9"
    assert normalise("\ud800x") == "\ufffdx"
    assert normalise("def f():\n    return 1") == "def f():\n    return 1"


@given(TEXT)
def test_normalise_is_idempotent_and_always_storable(text):
    once = normalise(text)
    assert normalise(once) == once
    once.encode("utf-8")


@given(TEXT, TEXT)
def test_hashes_never_fail(one, other):
    assert len(content_hash(None, None, (), one, other, None)) == 32
