"""Questions in other words: sensible, the same each time, and with code left as it is."""

import pytest

from samloop.text.held_out import words
from samloop.text.rewording import rewordings

QUESTIONS = (
    "How do I install the parser?",
    "Which branch should we use for releases?",
    "What is the name of the port?",
    "Where does the parser write its log?",
    "Explain the cache of the reader.",
    "Can you please rename the variable `old_name`?",
    "git undo last commit",
    "What is wrong here?\n\n```python\nprint(x\n```",
    "Traceback (most recent call last):\nNameError: name 'x' is not defined",
    "Wie kann ich den Parser installieren?",
    "Was ist der Hafen?",
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("How do I install the parser?", "Tell me how to install the parser."),
        ("how can we test the Reader", "What is the way to test the Reader?"),
        ("How to stop the server?", "How do I stop the server?"),
        ("Where do we keep the keys?", "Tell me where we keep the keys."),
        ("Which branch should we use for releases?", "Can you tell me which branch we should use for releases?"),
        ("What is the name of the port?", "Tell me what the name of the port is."),
        ("Write a function that sorts rows.", "Could you please write a function that sorts rows?"),
        ("Can you please rename the variable?", "I need you to rename the variable."),
        ("Docker fails. What should I do?", "Docker fails. Tell me what I should do."),
        ("git undo last commit", "I need help with this: git undo last commit"),
        ("Wie kann ich den Parser installieren?", "Auf welche Weise kann ich den Parser installieren?"),
        ("Was ist der Hafen?", "Eine Frage: Was ist der Hafen?"),
        ("Where does it write its log?", "Quick question: Where does it write its log?"),
        ("What is wrong here?\n\n```\nx(\n```", "Quick question:\n\nWhat is wrong here?\n\n```\nx(\n```"),
    ],
)
def test_a_question_is_put_in_other_words(asked, expected):
    assert expected in rewordings(asked)


@pytest.mark.parametrize("asked", QUESTIONS)
def test_there_are_several_and_each_says_something_else(asked):
    found = rewordings(asked)
    assert len(found) >= 3
    assert len({words(text) for text in [asked, *found]}) == len(found) + 1
    assert found == rewordings(asked)


def test_what_is_rebuilt_comes_before_what_is_only_surrounded():
    found = rewordings("How do I install the parser?")
    assert "How do I install the parser?" not in "\n".join(found[:4])
    assert all("How do I install the parser?" in text for text in found[4:])


def test_code_stays_to_the_letter():
    code = "```python\nHow do I install the parser?\nfor x in y: print( x )\n```"
    for text in rewordings(f"Please fix this:\n\n{code}"):
        assert code in text
    for text in rewordings(f"How do I run it?\n\n{code}"):
        assert code in text


def test_the_order_differs_between_questions():
    first = {rewordings(f"How do I install the {name}?")[0].replace(name, "") for name in "abcdefghij"}
    assert len(first) > 1


@pytest.mark.parametrize(
    "asked", ["Comment installer le module ?", "¿Cómo puedo instalar el módulo?", "これは何ですか"]
)
def test_other_languages_are_left_alone(asked):
    assert rewordings(asked) == []


@pytest.mark.parametrize("asked", ["", "   ", "?", "{text}", "{rest} {0}", "a" * 5000, "How do I {rest}?", "\n\n"])
def test_nothing_breaks_on_odd_texts(asked):
    for text in rewordings(asked):
        assert asked.strip() in text or "{rest}" in text
