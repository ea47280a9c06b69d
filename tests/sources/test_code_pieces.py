"""What is asked about functions in each language, and what is left out, on code written here."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from samloop.sources.code_answers import File, Found, Left
from samloop.sources.code_languages import (
    BASH,
    JAVASCRIPT,
    PYTHON,
    RUST,
    SWIFT,
    TSX,
    TYPESCRIPT,
    VUE,
    Language,
)
from samloop.sources.code_notes import clean, describes, prose_of, tidied, trivial, turned_away, unwrapped
from samloop.sources.code_questions import fenced

NOTE = "Adds up what flowed through the pipe since the last visit."


def asked(language: Language, code: str, most: int = 2400) -> dict[str, list[Found]]:
    """What is asked of each function, by its name."""
    found: dict[str, list[Found]] = {}
    for each in File(language, code.encode(), most).questions():
        if isinstance(each, Found):
            found.setdefault(each.name, []).append(each)
    return found


def left(language: Language, code: str, most: int = 2400) -> dict[str, str]:
    return {
        each.name: each.reason for each in File(language, code.encode(), most).questions() if isinstance(each, Left)
    }


def answers(found: Iterable[Found]) -> str:
    return "\n".join(each.asked.answer for each in found)


def codes(found: Iterable[Found]) -> list[str]:
    """The answers that are code."""
    return [each.asked.answer for each in found if each.asked.kind in ("write", "complete")]


FUNCTIONS = {
    "python": (
        PYTHON,
        f'@cached\nasync def flow(pipe):\n    """{NOTE}"""\n    await pipe.open()\n    return sum(pipe.readings)\n',
        "flow",
        "@cached\nasync def flow(pipe):\n    await pipe.open()\n    return sum(pipe.readings)",
    ),
    "method": (
        PYTHON,
        f'class Pipe:\n    def flow(self):\n        """{NOTE}\n\n        Empty pipes have none.\n        """\n'
        "        if not self.open:\n            return 0\n        return sum(self.readings)\n",
        "Pipe.flow",
        "def flow(self):\n    if not self.open:\n        return 0\n    return sum(self.readings)",
    ),
    "conditional": (
        PYTHON,
        f'if a:\n    try:\n        def flow(p):\n            """{NOTE}"""\n'
        "            return sum(p.readings) + p.remainder\n"
        "    except E:\n        pass\n",
        "flow",
        "def flow(p):\n    return sum(p.readings) + p.remainder",
    ),
    "rust": (
        RUST,
        f"impl<'a> Pipe<'a> {{\n    /// {NOTE}\n    #[inline]\n    pub fn flow(&self) -> u64 {{\n"
        "        self.readings.iter().map(|r| r.litres).sum()\n    }\n}\n",
        "Pipe.flow",
        "#[inline]\npub fn flow(&self) -> u64 {\n    self.readings.iter().map(|r| r.litres).sum()\n}",
    ),
    "javascript": (
        JAVASCRIPT,
        f"/**\n * {NOTE}\n * @author me\n */\n\nmodule.exports.flow = function (pipe) {{\n"
        "  return pipe.readings.reduce((a, b) => a + b, 0);\n};\n",
        "flow",
        "module.exports.flow = function (pipe) {\n  return pipe.readings.reduce((a, b) => a + b, 0);\n};",
    ),
    "arrow": (
        JAVASCRIPT,
        f"// {NOTE}\nexport const flow = async (pipe) => {{\n  const all = await pipe.read();\n"
        "  return all.length && all[0];\n};\n",
        "flow",
        "export const flow = async (pipe) => {\n  const all = await pipe.read();\n  return all.length && all[0];\n};",
    ),
    "class": (
        JAVASCRIPT,
        f"class Pipe extends Tube {{\n  /* {NOTE} */\n  static flow(all) {{\n"
        "    return all.map((one) => one.litres).sort();\n  }\n}\n",
        "Pipe.flow",
        "static flow(all) {\n  return all.map((one) => one.litres).sort();\n}",
    ),
    "object": (
        JAVASCRIPT,
        f"const pipes = {{\n  /** {NOTE} */\n  flow: function (all) {{\n"
        f"    return all.map((a) => a.b).join();\n  }},\n}};\n",
        "pipes.flow",
        "flow: function (all) {\n  return all.map((a) => a.b).join();\n}",
    ),
    "typescript": (
        TYPESCRIPT,
        f"namespace Water {{\n  export abstract class Pipe<T> {{\n    /** {NOTE} */\n    @Log()\n"
        "    private flow(all: T[]): number {\n      return all.length * this.width * 2;\n    }\n  }\n}\n",
        "Water.Pipe.flow",
        "@Log()\nprivate flow(all: T[]): number {\n  return all.length * this.width * 2;\n}",
    ),
    "tsx": (
        TSX,
        f"/** {NOTE} */\nexport function Flow(p: Props) {{\n  return <p>{{p.readings.join()}}</p>;\n}}\n",
        "Flow",
        "export function Flow(p: Props) {\n  return <p>{p.readings.join()}</p>;\n}",
    ),
    "vue": (
        VUE,
        f"<template><a v-if='a < b'/></template>\n<script setup lang='ts'>\n/** {NOTE} */\n"
        "function flow(all: number[]) {\n  return all.reduce((a, b) => a + b, 0)\n}\n</script>\n",
        "flow",
        "function flow(all: number[]) {\n  return all.reduce((a, b) => a + b, 0)\n}",
    ),
    "swift": (
        SWIFT,
        f"extension Pipe: Tube {{\n    /// {NOTE}\n    ///\n    /// - Returns: litres.\n"
        "    @objc public func flow() -> Int {{\n"
        "        return readings.map {{ $0.litres }}.reduce(0, +)\n    }\n}\n".replace("{{", "{").replace("}}", "}"),
        "Pipe.flow",
        "@objc public func flow() -> Int {\n    return readings.map { $0.litres }.reduce(0, +)\n}",
    ),
    "bash": (
        BASH,
        f"#!/bin/sh\nset -e\n\n#\n# {NOTE}\n#\nfunction flow {{\n"
        f"    awk '{{ sum += $1 }} END {{ print sum }}' \"$1\"\n}}\n",
        "flow",
        "function flow {\n    awk '{ sum += $1 } END { print sum }' \"$1\"\n}",
    ),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_described_function_becomes_questions_in_every_language(case: str) -> None:
    language, code, name, bare = FUNCTIONS[case]
    found = asked(language, code)
    assert list(found) == [name]
    assert len(found[name]) == 2
    first, second = found[name]
    assert bare in first.asked.answer
    assert NOTE.removesuffix(".")[1:] in first.asked.question
    assert NOTE not in first.asked.answer
    assert NOTE in second.asked.answer
    assert bare in second.asked.question
    assert NOTE not in second.asked.question
    assert "@author" not in answers(found[name]) + first.asked.question


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    pass", "function has no body"),
        ("    ...", "function has no body"),
        ("    raise NotImplementedError('later, in a class that has one')", "function has no body"),
        ("    return self._level", "function is trivial"),
        ("    self.level = level", "function is trivial"),
        ("    return self.tank.level_of(self, level)", "function is trivial"),
        ("    return super().measure(*args, **kwargs)", None),
        ("    for tank in self.tanks:\n        tank.fill(level)", None),
        ("    return [tank.level for tank in self.tanks if tank.open]", None),
    ],
)
def test_bodies_that_teach_nothing(body: str, reason: str | None) -> None:
    assert trivial(body, "#") == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{ todo!() }", "function has no body"),
        ("{\n  // nothing yet\n}", "function has no body"),
        ("{ self.level.clone() }", "function is trivial"),
        ("{ throw new Error('not here'); }", "function has no body"),
        ("{\n  this.level = level;\n}", "function is trivial"),
        ("{\n  self.level = level.max(0);\n  self.changed = true;\n}", None),
    ],
)
def test_bodies_in_braces_that_teach_nothing(body: str, reason: str | None) -> None:
    assert trivial(body, "//") == reason


@pytest.mark.parametrize(
    ("note", "names", "reason"),
    [
        ("Get the name.", "get_name self", "comment says too little"),
        ("Gets the water level of the tank.", "getWaterLevel Tank", "comment only repeats the name"),
        ("Returns the parsed reading.", "parse_reading", "comment only repeats the name"),
        ("Copyright (c) 2020 the waterworks and everyone in them.", "f", "comment is a licence"),
        ("TO" + "DO: rewrite this when there is time.", "f", "comment does not describe the code"),
        ("See the class above for what this does.", "f", "comment does not describe the code"),
        ("@param {number} level how high it is\n@return {number}", "f level", "comment does not describe the code"),
        (">>> f(1)\n2", "f", "comment does not describe the code"),
        (">>> f(1)\n2\n>>> f(2)\n3", "f", None),
        ("We need this because the compiler is too strict here.", "f", "comment does not describe the code"),
        ("level = read(tank);\nif (level > 2) {\n  open(tank);\n}", "f", "comment is code that is switched off"),
        ("Считает, сколько воды прошло через трубу за день.", "f", "comment is not in English"),
        ("Counts water.\n\n.. deprecated:: 3.1", "f", "function is deprecated"),
        ("word " * 400, "f", "comment is too long"),
        (NOTE, "flow", None),
        ("Return the largest drop between two days in a row.", "largest_drop", None),
    ],
)
def test_comments_that_teach_nothing(note: str, names: str, reason: str | None) -> None:
    assert turned_away(note, names) == reason


@pytest.mark.parametrize(
    ("raw", "mark", "docstring", "text"),
    [
        ('"""One.\n\n    Two.\n    """', "#", True, "One.\n\nTwo."),
        ("r'''Back\\\\slash'''", "#", True, "Back\\slash"),
        ("/**\n * One.\n *   - two\n */", "//", False, "One.\n  - two"),
        ("/* One. */", "//", False, "One."),
        ("/// One.\n///\n/// ```\n/// two\n/// ```", "//", False, "One.\n\n```\ntwo\n```"),
        ("#-----\n# One.\n#-----", "#", False, "One."),
        ("/**\n * One.\n * @author me\n * @param a two\n */", "//", False, "One.\n@param a two"),
        ("// One.\n// eslint-disable-next-line no-undef", "//", False, "One."),
    ],
)
def test_marks_of_comments_are_taken_off(raw: str, mark: str, docstring: bool, text: str) -> None:
    assert clean(raw, mark, docstring=docstring) == text


def test_a_comment_as_written_loses_what_no_reader_could_know() -> None:
    assert tidied("/**\n * One.\n *\n * @since 1.2\n */") == "/**\n * One.\n */"
    assert tidied("#\n# One.\n#") == "# One."


def test_prose_ends_where_the_parameters_begin() -> None:
    note = "Adds up.\n\nTwice.\n\nArgs:\n    a: one.\n"
    assert prose_of(note) == "Adds up.\n\nTwice."
    assert prose_of(">>> f()\n'printed here'\n\nAdds up.") == "Adds up."
    assert prose_of("@description Adds up.\n@param a one") == "Adds up."


def test_lines_of_prose_are_joined_and_lists_are_kept() -> None:
    long = "Adds up what flowed through the pipe since\nthe last visit.\n\n- one\n- two"
    assert unwrapped(long) == "Adds up what flowed through the pipe since the last visit.\n\n- one\n- two"


def test_a_fence_is_longer_than_any_in_the_code() -> None:
    assert fenced("a\n```\nb", "python").startswith("````python\n")
    assert fenced("a `b`", "python").startswith("```python\n")


def test_the_context_holds_what_the_function_stands_on_and_no_more() -> None:
    code = (
        "import math\nimport os\nfrom water import Pipe, Tank\nLIMIT = 3\nOTHER = 4\n\n"
        "def near(pipe, ends):\n    return pipe.ends == ends\n\n"
        "def unused(a):\n    return a\n\n"
        "class Works(Base):\n"
        "    def __init__(self, tanks):\n        self.tanks = tanks\n\n"
        "    def open(self, tank):\n        tank.valve = 1\n\n"
        f'    def flow(self, pipe):\n        """{NOTE}"""\n'
        "        if near(pipe, LIMIT):\n            self.open(Tank(pipe))\n"
        "        return math.floor(pipe.level) + len(self.tanks)\n"
    )
    first, _ = asked(PYTHON, code)["Works.flow"]
    assert first.context == (
        "In the same file:\n\n```python\n"
        "import math\n"
        "from water import Pipe, Tank\n"
        "LIMIT = 3\n"
        "def near(pipe, ends):\n"
        "class Works(Base):\n"
        "    def __init__(self, tanks):\n"
        "        self.tanks = tanks\n"
        "  def open(self, tank):\n"
        "```"
    )


def test_a_method_that_leans_on_too_much_unseen_is_only_described() -> None:
    code = (
        "class A:\n"
        f'    def flow(self):\n        """{NOTE}"""\n'
        "        self.one(self.two)\n        return self.three(self.four)\n"
    )
    assert [found.asked.kind for found in asked(PYTHON, code)["A.flow"]] in (["document"], ["explain"])


def test_long_functions_and_broken_ones_are_left_out() -> None:
    body = "    a = 1\n" * 300
    assert left(PYTHON, f'def f(a):\n    """{NOTE}"""\n{body}', 1000) == {"f": "function is too long"}
    broken = f'def f(a):\n    """{NOTE}"""\n    return (a +\n\ndef g(b):\n    return b\n'
    assert "function cannot be parsed" in left(PYTHON, broken).values()


def test_a_comment_that_stands_apart_or_trails_belongs_to_nothing() -> None:
    code = (
        f"int = 1 // {NOTE}\nfunction f(a) {{ return a.b.c + a.d.e.g }}\n\n"
        f"// {NOTE}\n\nfunction g(a) {{ return a.b + a.c }}\n"
    )
    assert left(JAVASCRIPT, code) == {"f": "function has no comment", "g": "function has no comment"}


def test_a_licence_above_a_comment_is_not_part_of_it() -> None:
    code = (
        f"// SPDX-License-Identifier: MIT\n/// {NOTE}\n"
        "pub fn flow(a: &[u8]) -> usize {\n    a.iter().filter(|b| **b > 2).count()\n}\n"
    )
    assert list(asked(RUST, code)) == ["flow"]


def test_the_same_function_twice_is_asked_about_once() -> None:
    one = f'def flow(p):\n    """{NOTE}"""\n    return sum(p.readings) + p.remainder\n'
    assert len(asked(PYTHON, one + "\n" + one)["flow"]) == 2


def test_tests_are_not_asked_about_by_themselves() -> None:
    code = f"/// {NOTE}\n#[test]\nfn flows() {{\n    assert_eq!(flow(&[1, 2]), 3 + 0 + 0);\n}}\n"
    assert not asked(RUST, code)


def test_a_short_script_is_asked_for_as_a_whole() -> None:
    script = (
        "#!/bin/bash\n# Fetches the levels of all tanks and mails those that are too high to the keeper.\n\n"
        "# Copyright somebody\n\nfor tank in a b c; do\n"
        "  curl -s \"http://$tank/level\" | awk '$1 > 9' >> high\ndone\n"
        "mail -s high keeper < high\n"
    )
    first, second = asked(BASH, script)[""]
    assert first.asked.answer.startswith("```bash\n#!/bin/bash\n\nfor tank in a b c; do")
    assert second.asked.answer.startswith("Fetches the levels of all tanks")


NESTED = {
    "brackets": (PYTHON, "x = " + "[" * 10_000 + "]" * 10_000 + "\n"),
    "open": (RUST, "(" * 10_000),
    "functions": (JAVASCRIPT, "function f() { " * 10_000 + "}" * 10_000),
    "objects": (TYPESCRIPT, "x = " + "{a: " * 10_000 + "1" + "}" * 10_000),
    "classes": (SWIFT, "class A { " * 10_000 + "}" * 10_000),
    "groups": (BASH, "{ " * 10_000 + "}; " * 10_000),
    "elements": (VUE, "<div>" * 10_000 + "<script>" + "[" * 10_000),
}


@pytest.mark.parametrize("case", NESTED)
def test_ten_thousand_levels_of_nesting_are_lived_through(case: str) -> None:
    language, code = NESTED[case]
    assert not asked(language, code)


def test_a_function_behind_deep_nesting_is_still_found() -> None:
    code = (
        "x = "
        + "[" * 10_000
        + "]" * 10_000
        + f'\ndef flow(p):\n    """{NOTE}"""\n    return sum(p.readings) + p.remainder\n'
    )
    assert list(asked(PYTHON, code)) == ["flow"]


def test_wordings_differ_and_never_change() -> None:
    texts = []
    for number in range(60):
        code = f'def flow{number}(p):\n    """{NOTE}"""\n    return sum(p.readings) + p.remainder\n'
        texts.append([found.asked.question for found in asked(PYTHON, code)[f"flow{number}"]])
        assert texts[-1] == [found.asked.question for found in asked(PYTHON, code)[f"flow{number}"]]
    openings = {question.split("\n")[0].replace(f"flow{n}", "x") for n, pair in enumerate(texts) for question in pair}
    assert len(openings) > 12


@pytest.mark.parametrize(
    ("note", "does"),
    [
        ("Adds up what flowed.", True),
        ("recursively removes empty folders", True),
        ("Whether the valve is open.", True),
        ("flow: adds up what came", True),
        ("Carries what is left over to the next day.", True),
        ("sections have a fixed width, so typing overwrites", False),
        ("no fast path here, since promises are slow", False),
        ("$HOME/.profile may set it first", False),
        ("", False),
    ],
)
def test_a_comment_that_may_speak_of_anything_has_to_say_what_the_code_does(note: str, does: bool) -> None:
    assert describes(note, "flow") is does


def test_only_comments_made_for_it_may_begin_as_they_like() -> None:
    code = (
        "{0} No fast path here, since promises are slow.\nfunction f(a) {{\n  return a.b.c(1) + a.d.e(2) * a.f;\n}}\n"
    )
    assert left(JAVASCRIPT, code.format("//")) == {"f": "comment does not describe the code"}
    assert asked(
        RUST,
        "/// No fast path here, since it is slow.\nfn f(a: A) -> B {\n    a.b.c(1) + a.d.e(2) + a.length()\n}\n",
    )


def test_the_line_that_names_a_script_s_program_is_no_comment() -> None:
    code = f'#!/bin/sh\n# {NOTE}\nflow() {{\n  cut -f 2 "$1" | sort -rn | head -n 5\n}}\n'
    assert "/bin/sh" not in asked(BASH, code)["flow"][0].asked.question


def test_examples_of_calls_ask_for_code_and_are_no_description() -> None:
    sessions = ">>> f(1)\n    2\n    >>> f(2)\n    4"
    code = f'def f(a):\n    """\n    {sessions}\n    """\n    doubled = a + a\n    return doubled if a else 0\n'
    (found,) = asked(PYTHON, code)["f"]
    assert found.asked.kind in ("write", "complete")
    assert ">>> f(2)\n" in found.asked.question.replace("    ", "")


def test_since_when_something_is_so_cannot_be_told_from_the_code() -> None:
    note = '''"""Open it.

    .. versionchanged:: 2.3
        The ``angle`` was removed.

        It is told by the valve.

    .. versionadded:: 2.2

    :param slowly: whether to wait.

    .. versionchanged:: 2.0
        Gone.
    """'''
    assert clean(note, "#", docstring=True) == "Open it.\n\n:param slowly: whether to wait."
    assert tidied(note) == '"""Open it.\n\n    :param slowly: whether to wait.\n    """'
