"""Fitting: old turns go first, long questions lose their middle, answers are never touched."""

from hypothesis import given, settings
from hypothesis import strategies as st

from samloop.prepare.fit import CUT_MARK, fit
from samloop.text.template import encode_chat


def turn(role, content):
    return {"role": role, "content": content}


def test_what_fits_is_left_alone(tokenizer):
    messages = [turn("user", "the question"), turn("assistant", "the answer")]
    fitted = fit(tokenizer, messages, 200)
    assert fitted.messages == messages
    assert fitted.change == "whole"


def test_oldest_turns_go_first_and_the_system_prompt_stays(tokenizer):
    messages = [turn("system", "be brief")]
    for number in range(10):
        messages += [turn("user", f"question {number} " * 5), turn("assistant", f"answer {number}")]
    fitted = fit(tokenizer, messages, 200)
    assert fitted.change == "turns_dropped"
    assert fitted.messages[0] == messages[0]
    assert fitted.messages[1]["role"] == "user"
    assert fitted.messages[1:] == messages[-(len(fitted.messages) - 1) :]
    assert len(fitted.encoded.ids) <= 200


def test_a_long_question_loses_its_middle_visibly(tokenizer):
    lines = [f"line {number}" for number in range(200)]
    messages = [turn("user", "\n".join(["What changed?", *lines, "Answer in one word."])), turn("assistant", "all")]
    fitted = fit(tokenizer, messages, 400)
    question = fitted.messages[0]["content"]
    assert fitted.change == "shortened"
    assert question.startswith("What changed?\nline 0\n")
    assert question.endswith("Answer in one word.")
    assert f"\n{CUT_MARK}\n" in question
    assert set(question.splitlines()) <= {"What changed?", "Answer in one word.", CUT_MARK, *lines}
    assert 300 < len(fitted.encoded.ids) <= 400


def test_an_answer_that_does_not_fit_is_left_out(tokenizer):
    assert fit(tokenizer, [turn("user", "the question"), turn("assistant", "the answer " * 200)], 100) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=80), st.text(min_size=1, max_size=40)), min_size=1, max_size=5))
def test_the_last_answer_always_survives_whole(tokenizer, pairs):
    messages = [m for q, a in pairs for m in (turn("user", q), turn("assistant", a))]
    fitted = fit(tokenizer, messages, 120)
    if fitted is None:
        assert len(encode_chat(tokenizer, messages).ids) > 120
    else:
        assert len(fitted.encoded.ids) <= 120
        assert fitted.messages[-1] == messages[-1]
        assert fitted.encoded.trainable.any()
