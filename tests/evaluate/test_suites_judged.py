"""The suites whose answers are judged by rules or by running, on models that are planted right and wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from samloop import plugins
from samloop.evaluate import code, hallucination, instructions, own
from samloop.evaluate.checks import CHECKS, fault, holds, holds_loosely, split_sentences
from samloop.evaluate.grounding import ground, names
from samloop.evaluate.ifeval import INSTRUCTIONS, checks_of
from samloop.evaluate.instruction_items import ITEMS, packaged
from samloop.evaluate.tongues import likeliest
from samloop.evaluate.trials import run_trials
from samloop.loop.items_files import PACKAGED, code_item, context_item, read_file
from samloop.protocols import Score
from sandbox_here import needs_sandbox

SHARED = Path(__file__).parents[3] / "shared" / "data" / "evaluate"


def by_name(scores: list[Score]) -> dict[str, Score]:
    return {score.name: score for score in scores}


@pytest.fixture
def says(planted) -> Callable[..., object]:
    """A model that gives the answer planted for each question."""

    def make(answers: Mapping[str, str], speak: Callable[[str, str], float] = lambda p, a: 1.0):
        model = planted(base=speak)

        def reply(_adapter: str | None, prompt: str) -> str:
            return next(answer for asked, answer in answers.items() if asked in prompt)

        model.reply = reply
        return model

    return make


def question(item: Mapping[str, object]) -> str:
    return item["messages"][-1]["content"]  # type: ignore[index, no-any-return]


def test_the_suites_are_plug_ins():
    for name, module in {
        "code": code, "instructions": instructions, "own": own, "hallucination": hallucination,
    }.items():  # fmt: skip
        assert plugins.load("suites", name) is module.grade
        assert module.grade.suite_name == name


# --- code --------------------------------------------------------------------------------------------------------


def problems() -> list[dict[str, str]]:
    return [json.loads(line) for line in (PACKAGED / "code.jsonl").read_text().splitlines()]


@needs_sandbox
def test_each_packaged_problem_takes_its_solution_and_not_the_wrong_one():
    """Also that each is told from the other: the wrong ones are what a hurried person would write."""
    items = read_file(PACKAGED / "code.jsonl", code_item)
    right = run_trials(
        [code.trial_of(i, p["canonical_solution"].strip()) for i, p in zip(items, problems(), strict=True)]
    )
    wrong = run_trials(
        [code.trial_of(i, p["wrong_solution"].strip()) for i, p in zip(items, problems(), strict=True)]
    )
    assert len(items) >= 20
    assert [p["task_id"] for p, one in zip(problems(), right, strict=True) if not one.passed] == []
    assert [p["task_id"] for p, one in zip(problems(), wrong, strict=True) if one.passed] == []


@needs_sandbox
def test_a_model_that_answers_right_where_planted_scores_that_share(says):
    items = read_file(PACKAGED / "code.jsonl", code_item)[:4]
    bodies = [p["canonical_solution" if at < 3 else "wrong_solution"] for at, p in enumerate(problems()[:4])]
    answers = {
        question(item): f"Here it is:\n\n```python\n{item['prompt']}{body}```\n\nIt does what was asked."
        for item, body in zip(items, bodies, strict=True)
    }
    (score,) = code.grade(says(answers), items)
    assert (score.name, score.unit, score.better) == ("code_pass", "share", "higher")
    assert score.numerators == (1.0, 1.0, 1.0, 0.0)
    assert score.mean == 0.75


PROMPT = 'import math\n\n\ndef area(radius: float) -> float:\n    """Return the area of a circle."""\n'
BODY = "    if radius < 0:\n        return 0.0\n    return math.pi * radius**2\n"
WHOLE = PROMPT.removeprefix("import math\n\n\n") + BODY
ITEM = {
    "id": "a",
    "prompt": PROMPT,
    "entry_point": "area",
    "test": "def check(candidate):\n    assert round(candidate(1), 2) == 3.14\n    assert candidate(-1) == 0\n",
}


@pytest.mark.parametrize(
    "answer",
    [
        BODY,
        BODY.strip(),
        BODY + "\n\nprint(area(3))\n",
        BODY + "\n\nclass Other:\n    broken\n",
        WHOLE,
        f"```python\n{WHOLE}```",
        f"```\n{WHOLE}```",
        f"```py\n{WHOLE}",
        f"Sure!\n\n```python\n{WHOLE}```\nUse it so:\n```python\nprint(area(2))\n```",
        f"Sure, this is it:\n\n{WHOLE}\nIt uses the formula.",
        f"```python\n{BODY}```",
        f"```python\n{BODY.replace(chr(10) + '    ', chr(10)).removeprefix('    ')}```",
        "```python\nPI = math.pi\n\ndef area(radius):\n    return max(0, radius) ** 2 * PI\n```",
        "First a helper:\n```python\ndef square(x):\n    return x * x\n```\nThen:\n```python\n"
        "def area(radius):\n    return math.pi * square(max(radius, 0))\n```",
    ],
)
@needs_sandbox
def test_code_is_found_in_completions_and_in_chats(answer):
    assert run_trials([code.trial_of(ITEM, answer)])[0].passed


@pytest.mark.parametrize(
    "answer", ["", "I can't do that.", "```python\n```", "    return 1\n", "pass", "```python\nx = 1\n```"]
)
@needs_sandbox
def test_an_answer_without_the_code_does_not_pass(answer):
    assert not run_trials([code.trial_of(ITEM, answer)])[0].passed


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="there is no data beside the checkout")
@needs_sandbox
def test_all_of_humaneval_takes_its_own_solutions_and_no_empty_ones(tmp_path):
    items = read_file(SHARED / "HumanEval.jsonl.gz", code_item)
    packed = gzip.decompress((SHARED / "HumanEval.jsonl.gz").read_bytes())
    lines = [json.loads(line) for line in packed.splitlines()]
    right = run_trials(
        [code.trial_of(i, line["canonical_solution"].strip()) for i, line in zip(items, lines, strict=True)]
    )
    wrong = run_trials([code.trial_of(item, "    pass") for item in items])
    assert (sum(one.passed for one in right), sum(one.passed for one in wrong)) == (164, 0)


# --- checks and instructions -------------------------------------------------------------------------------------

LONG = "The sea is cold. We walk along it. Gulls cry."

RIGHT_AND_WRONG: list[tuple[dict, str, str]] = [
    ({"check": "contains", "words": ["Sea", "cold"]}, LONG, "The sea is warm."),
    ({"check": "contains", "words": ["ea"], "whole": True}, "an ea", LONG),
    ({"check": "contains", "words": ["warm", "cold"], "any": True}, LONG, "mild"),
    ({"check": "not_contains", "words": [","]}, LONG, "Cold, grey"),
    ({"check": "not_contains", "words": ["sea"], "whole": True}, "the seas", LONG),
    ({"check": "keyword", "word": "the", "at_least": 2}, "The end of the day", "The end"),
    ({"check": "letter", "letter": "z", "at_least": 1, "at_most": 2}, "Zoo", "zzz"),
    ({"check": "equals", "text": "Paris"}, " Paris\n", "paris"),
    ({"check": "equals", "text": "Paris", "ignore_case": True}, "PARIS", "Paris."),
    ({"check": "one_of", "texts": ["yes.", "no."]}, "It is yes.", "Maybe"),
    ({"check": "regex", "pattern": r"^\d{4}-\d\d$"}, "2024-05", "May 2024"),
    ({"check": "words", "at_least": 3, "at_most": 4}, "one two three", "one two three four five"),
    ({"check": "sentences", "at_least": 3, "at_most": 3}, LONG, "The sea is cold. Gulls cry."),
    ({"check": "paragraphs", "at_least": 2, "at_most": 2}, "One.\n\nTwo.", "One.\nTwo."),
    ({"check": "paragraphs", "at_least": 2, "split": "***"}, "One\n***\nTwo", "One\n\nTwo"),
    ({"check": "paragraph_begins", "paragraph": 2, "word": "so"}, "One.\n\n'So, it is", "So.\n\nOne"),
    ({"check": "capital_words", "at_least": 2}, "NO and NEVER", "NO and Never"),
    ({"check": "bullets", "at_least": 2, "at_most": 2}, "* one\n- two", "* one\n* two\n* three"),
    ({"check": "highlights", "at_least": 2}, "*one* and **two**", "*one* and two"),
    ({"check": "placeholders", "at_least": 2}, "[name], [town]", "[name]"),
    ({"check": "sections", "mark": "Part", "at_least": 2}, "Part 1\na\nPart 2\nb", "Part one"),
    ({"check": "title"}, "<<The sea>>\ntext", "<< >>\ntext"),
    ({"check": "postscript"}, "text\nP.S. more", "text\nmore"),
    ({"check": "postscript", "mark": "P.P.S"}, "text\nP. P. S. more", "text\nP.S. more"),
    ({"check": "quotation"}, '"all of it"', '"a" or b'),
    ({"check": "starts_with", "text": "Of course"}, "of COURSE: so", "Sure, of course"),
    ({"check": "ends_with", "text": "That is all."}, 'So. that is all."', "That is all. Bye"),
    ({"check": "two_answers"}, "one\n******\ntwo", "one\n******\none"),
    ({"check": "json"}, '```json\n{"a": [1]}\n```', "{'a': 1}"),
    ({"check": "json", "keys": ["a", "b"]}, '{"a": 1, "b": 2}', '{"a": 1}'),
    ({"check": "lower_case"}, "all small.", "One capital"),
    ({"check": "upper_case"}, "ALL OF IT 1", "ALL Of IT"),
    ({"check": "language", "language": "de"}, "Das ist nicht der Weg zum See.", "This is not the way to the lake."),
]


@pytest.mark.parametrize(("check", "right", "wrong"), RIGHT_AND_WRONG, ids=lambda value: str(value)[:40])
def test_each_check_tells_a_right_answer_from_a_wrong_one(check, right, wrong):
    assert fault(check) == ""
    assert holds(check, right)
    assert not holds(check, wrong)
    assert not holds(check, " \n")


def test_every_check_is_tried():
    assert {check["check"] for check, _, _ in RIGHT_AND_WRONG} == set(CHECKS)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("words", "expected a check as"),
        ({"check": 3}, "expected a check as"),
        ({"check": "word"}, "got 'word'"),
        ({"check": "words", "atleast": 3}, "expected the check words to take at_least, at_most, got 'atleast'"),
        ({"check": "words", "at_least": "3"}, "to be a whole number, got '3'"),
        ({"check": "words", "at_least": True}, "to be a whole number, got True"),
        ({"check": "contains", "words": "sea"}, "to be a list of texts, got 'sea'"),
        ({"check": "contains"}, "expected the check contains to say 'words', got none"),
        ({"check": "regex", "pattern": "("}, "regular expression as RE2 knows them"),
        ({"check": "regex", "pattern": r"(a)\1"}, "regular expression as RE2 knows them"),
        ({"check": "language", "language": "klingon"}, "expected a language out of"),
        ({"check": "title", "x": 1}, "to take nothing, got 'x'"),
    ],
)
def test_a_check_that_cannot_be_used_says_why(check, said):
    assert said in fault(check)


def test_a_costly_expression_takes_linear_time():
    assert not holds({"check": "regex", "pattern": "(a+)+$"}, "a" * 100_000 + "b")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Smith paid 3.50 dollars. He left.", 2),
        ("Really? Yes! No.", 3),
        ("e.g. this one. And that", 2),
        ("A heading\n\nA sentence. Another", 3),
        ("", 0),
        ("...", 0),
    ],
)
def test_sentences_are_counted(text, count):
    assert len(split_sentences(text)) == count


@pytest.mark.parametrize(
    ("text", "code_"),
    [
        ("We walk along the sea and it is cold.", "en"), ("Wir gehen am Meer, und es ist kalt.", "de"),
        ("Il fait froid dans le nord et nous sommes là.", "fr"), ("No sé qué es lo que hay en la mesa.", "es"),
        ("Questo è un libro che non conosco.", "it"), ("O gato não está em casa e é tarde.", "pt"),
        ("Это не то, что я хотел, но так", "ru"), ("Това е книга и аз не съм тук", "bg"),
        ("यह एक किताब है", "hi"), ("ही एक गोष्ट आहे आणि ती मोठी आहे", "mr"), ("यो एक किताब हो र मा छ", "ne"),
        ("これは本です", "ja"), ("这是一本书", "zh"), ("이것은 책입니다", "ko"), ("هذا الكتاب في البيت", "ar"),
        ("این کتاب است و من", "fa"), ("یہ ایک کتاب ہے", "ur"), ("நான் இங்கே", "ta"),
        ("Minä olen täällä ja se on hyvä", "fi"),
        ("12345 !?", ""),
    ],
)  # fmt: skip
def test_languages_are_told(text, code_):
    assert likeliest(text) == code_


def test_all_instructions_of_ifeval_become_checks():
    assert len(INSTRUCTIONS) == 25
    assert checks_of("en:punctuation:no_comma", {}) == [{"check": "not_contains", "words": [","]}]
    words = {"relation": "less than", "num_words": 5}
    assert checks_of("length_constraints:number_words", words) == [{"check": "words", "at_most": 4}]
    assert checks_of("fr:special_character:accents", {}) is None
    with pytest.raises(ValueError, match="num_words"):
        checks_of("length_constraints:number_words", {"relation": "at least"})


def test_a_greeting_line_is_forgiven_loosely_only():
    check = {"check": "starts_with", "text": "The sea"}
    assert not holds(check, "Sure, here it is:\nThe sea is cold.")
    assert holds_loosely(check, "Sure, here it is:\nThe sea is cold.")
    assert holds_loosely({"check": "quotation"}, '**"So"**')
    assert not holds_loosely(check, "Cold is the sea.")


def test_instructions_and_prompts_are_counted_strictly_and_loosely(says):
    items = [
        {"id": "one", "messages": [{"role": "user", "content": "FIRST"}], "instructions": [
            {"id": "a", "checks": [{"check": "not_contains", "words": [","]}]},
            {"id": "b", "checks": [{"check": "starts_with", "text": "The"}, {"check": "ends_with", "text": "end"}]},
        ]},
        {"id": "two", "messages": [{"role": "user", "content": "SECOND"}], "instructions": [
            {"id": "c", "checks": [{"check": "words", "at_most": 3}]},
        ]},
    ]  # fmt: skip
    scores = by_name(instructions.grade(says({"FIRST": "Sure\nThe very end", "SECOND": "one two three"}), items))
    assert scores["instructions_followed"].numerators == (1.0, 1.0)
    assert scores["instructions_followed"].denominators == (2.0, 1.0)
    assert scores["instructions_followed"].mean == pytest.approx(2 / 3)
    assert scores["instructions_followed_loosely"].mean == 1.0
    assert scores["prompts_followed"].numerators == (0.0, 1.0)
    assert scores["prompts_followed_loosely"].mean == 1.0


def test_the_packaged_prompts_are_sound_and_can_tell(says):
    items = packaged()
    assert len({item["id"] for item in items}) == len({question(item) for item in items}) == ITEMS
    checks = [check for item in items for one in item["instructions"] for check in one["checks"]]
    assert [fault(check) for check in checks if fault(check)] == []
    scores = by_name(instructions.grade(says({"": "I, like a parrot, say very really the same [once]."}), items))
    assert 0.0 < scores["instructions_followed"].mean < 0.5


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="there is no data beside the checkout")
def test_the_public_set_of_ifeval_is_understood_whole():
    from samloop.loop.items_files import instruction_item

    items = read_file(SHARED / "ifeval.jsonl", instruction_item)
    assert len(items) == 541
    assert [item["unknown"] for item in items if item["unknown"]] == []


# --- own ---------------------------------------------------------------------------------------------------------


def own_items() -> Iterator[dict]:
    checks = {
        "CAPITAL": [{"check": "contains", "words": ["Paris"]}, {"check": "words", "at_most": 3}],
        "ADD": [{"check": "python", "function": "add", "test": "assert add(2, 2) == 4"}],
        "EVEN": [{"check": "python", "test": "assert int(answer) % 2 == 0"}],
        "COLOUR": [{"check": "choice", "labels": ["red", "blue"], "right": "blue"}],
    }
    for at, (asked, wanted) in enumerate(checks.items()):
        yield {"id": asked, "file": "mine" if at < 3 else "colours", "checks": wanted,
               "messages": [{"role": "user", "content": asked}]}  # fmt: skip


@needs_sandbox
def test_a_users_checks_tell_right_answers_from_wrong_ones(says):
    right = {"CAPITAL": "Paris.", "ADD": "```python\ndef add(a, b):\n    return a + b\n```", "EVEN": "4"}
    model = says(right, lambda prompt, answer: 0.1 if answer == "blue" else 2.0)
    scores = by_name(own.grade(model, list(own_items())))
    assert {name: score.mean for name, score in scores.items()} == {
        "mine": 1.0, "mine_checks": 1.0, "colours": 1.0, "colours_checks": 1.0,
    }  # fmt: skip
    wrong = {
        "CAPITAL": "It is Paris, I think",
        "ADD": "```python\ndef add(a, b):\n    return a - b\n```",
        "EVEN": "four",
    }
    model = says(wrong, lambda prompt, answer: 0.1 if answer == "red" else 2.0)
    scores = by_name(own.grade(model, list(own_items())))
    assert scores["mine"].numerators == (0.0, 0.0, 0.0)
    assert scores["mine_checks"].numerators == (1.0, 0.0, 0.0)
    assert scores["mine_checks"].denominators == (2.0, 1.0, 1.0)
    assert scores["colours"].mean == 0.0


def test_a_tie_between_labels_and_a_broken_model_are_no_right_choice(says):
    items = [item for item in own_items() if item["id"] == "COLOUR"]
    assert by_name(own.grade(says({}), items))["colours"].mean == 0.0
    broken = by_name(own.grade(says({}, lambda p, a: float("nan")), items))["colours"].mean
    assert broken != broken


# --- hallucination -----------------------------------------------------------------------------------------------

CONTEXT = (
    "Marta Lind planted the orchard in 1987. It has 1,240 apple trees and sixty-four pear trees. Since 2015 her "
    "daughter Ellen has looked after it with `prune_all()`, for the World Orchard Trust."
)


@pytest.mark.parametrize(
    ("answer", "kind", "unsupported"),
    [
        ("Marta Lind planted it in 1987.", "names", []),
        ("Lind's daughter is Ellen.", "names", []),
        ("Marta Lund planted it.", "names", ["Marta Lund"]),
        ("It was Peter who planted it.", "names", ["Peter"]),
        ("The WOT pays for it.", "names", []),
        ("It has 1240 apple trees.", "numbers", []),
        ("It has 64 pear trees.", "numbers", []),
        ("It has 65 pear trees.", "numbers", ["65"]),
        ("She calls prune_all() on it.", "identifiers", []),
        ("She calls `prune_some()` on it.", "identifiers", ["prune_some()"]),
        ("She set max_trees.", "identifiers", ["max_trees"]),
        ("Her daughter looks after the apple trees.", "claims", []),
        ("Wild boars tore down the fences.", "claims", ["Wild boars tore down the fences."]),
    ],
)  # fmt: skip
def test_what_the_context_does_not_hold_is_found(answer, kind, unsupported):
    found = ground(answer, CONTEXT)
    assert found.unsupported[kind] == unsupported
    assert not unsupported or found.share(kind) > 0


def test_names_are_no_mere_beginnings_of_sentences():
    assert names("Trees grow. However, The Orchard is old. In Berlin it rains.") == ["Orchard", "Berlin"]


@pytest.mark.parametrize(
    "answer",
    [
        "The text does not say who owns it.", "I don't know.", "It is not mentioned.", "It isn't stated.",
        "There is no information about that.", "It cannot be determined from the context.", "Unknown.", "N/A",
        "The passage doesn't mention a price.", "Sorry. The context does not contain the answer.",
    ],
)  # fmt: skip
def test_abstaining_is_recognised(answer):
    assert hallucination.abstains(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "At nine.",
        "The warranty does not cover falls.",
        "No, dogs are not allowed.",
        "It has no roof.",
        "",
        "She did not know him.",
    ],
)
def test_an_answer_is_no_abstention(answer):
    assert not hallucination.abstains(answer)


def test_the_packaged_questions_tell_models_apart(says):
    items = read_file(PACKAGED / "hallucination.jsonl", context_item)
    assert {item["answerable"] for item in items} == {True, False}
    right = {question(i): i["answer"] or "The text does not say." for i in items}
    inventing = {question(i): "Professor Quentin Oddly sold 7,777 of them to Atlantis." for i in items}
    silent = {question(i): "I don't know." for i in items}
    scores = [by_name(hallucination.grade(says(answers), items)) for answers in (right, inventing, silent)]
    assert [s["unsupported_rate"].mean for s in scores] == [0.0, 1.0, 0.0]
    assert [s["abstention_accuracy"].mean for s in scores] == [1.0, 0.5, 0.5]
    assert scores[1]["unsupported_numbers"].mean == scores[1]["unsupported_names"].mean == 1.0
    assert scores[0]["unsupported_rate"].better == "lower"
    assert scores[0]["abstention_accuracy"].better == "higher"
    assert len(set(scores[0]["unsupported_rate"].groups)) == len(items) / 2


def test_saying_nothing_is_neither_an_answer_nor_an_abstention(says):
    items = read_file(PACKAGED / "hallucination.jsonl", context_item)
    scores = by_name(hallucination.grade(says({"": ""}), items))
    assert scores["abstention_accuracy"].mean == 0.0
    assert scores["unsupported_rate"].mean == 0.0


def test_items_from_the_test_split_count_for_grounding_alone(says):
    item = {"id": "x", "messages": [{"role": "user", "content": CONTEXT + "\n\nWho?"}], "context": CONTEXT,
            "answerable": None, "metadata": {"group_key": "talk"}}  # fmt: skip
    scores = by_name(hallucination.grade(says({"": "Peter Pan did."}), [item]))
    assert scores["unsupported_rate"].groups == ("talk",)
    assert scores["unsupported_rate"].mean == 1.0
    assert scores["abstention_accuracy"].ids == ()
