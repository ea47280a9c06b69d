"""The questions that the parts of a section lead to, on pages written here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from samloop.example import Example
from samloop.protocols import Record, Reject
from samloop.sources.knowledge import read

PROSE = "The pump moves water from the well to the house, and it needs a valve that is open on both of its sides."


def pairs(records: Iterable[Record]) -> dict[str, str]:
    return {record.input_text: record.output_text for record in records if isinstance(record, Example)}


def asked(tmp_path: Path, text: str, name: str = "page.md") -> dict[str, str]:
    (tmp_path / name).write_text(text)
    return pairs(read(str(tmp_path / name), None, subject="Pump"))


def reasons(tmp_path: Path, text: str) -> set[str]:
    (tmp_path / "page.md").write_text(text)
    return {r.reason for r in read(str(tmp_path), None, subject="Pump") if isinstance(r, Reject)}


def test_each_row_of_a_table_that_explains_something_is_asked_about(tmp_path: Path) -> None:
    found = asked(
        tmp_path,
        f"""# Settings

{PROSE}

## `[valve]`

| Option | Type | Description |
|---|---|---|
| `dry` | `bool` | Runs the pump without any water in it |
| `night` | | no |

## `[motor]`

| Option | Description | Default |
|---|---|---|
| `dry` | Turns without a load, for tests of the motor | `false` |

## Prices of parts

| Part | Euro |
|---|---|
| Valve | 20 for the small one, 30 for all others |
""",
    )
    assert found["What does the option `dry` do in `[valve]`?"] == (
        "`dry`: Runs the pump without any water in it\n\n- Type: `bool`"
    )
    assert found["What does the option `dry` do in `[motor]`?"].endswith("- Default: `false`")
    assert not any("night" in question or "Valve" in question for question in found)


def test_tasks_with_their_commands_become_questions(tmp_path: Path) -> None:
    found = asked(
        tmp_path,
        """# pumpctl

> Control a pump from the command line, and see what it does.
> More information: <https://pump.example/manual>.

- [o]pen the valve of a pump:

`pumpctl {{[-o|--open]}} {{path/to/pump}}`

- Show the log of the last [n]ight:

`pumpctl log --night`
""",
        "pumpctl.md",
    )
    assert found["How do I open the valve of a pump with pumpctl?"] == "```sh\npumpctl --open path/to/pump\n```"
    assert found["How do I show the log of the last night with pumpctl?"] == "```sh\npumpctl log --night\n```"
    whole = found["What does the command `pumpctl` do, and how is it used?"]
    assert whole.startswith("Control a pump from the command line")
    assert "More information" not in whole


def test_lead_ins_become_questions_with_what_they_announce(tmp_path: Path) -> None:
    found = asked(
        tmp_path,
        f"""# Work on it

{PROSE}

Follow these steps to drain the pump:

1. Close the inlet.
2. Open the outlet.

You can test the motor of the pump like this:

```sh
pumpctl test
```

To fix this, close it:

```sh
pumpctl close
```
""",
    )
    assert found["How do I drain the pump?"].endswith("1. Close the inlet.\n2. Open the outlet.")
    assert found["How do I test the motor of the pump?"].endswith("```sh\npumpctl test\n```")
    assert not any("fix" in question for question in found)


def test_definitions_are_asked_for_by_what_they_define(tmp_path: Path) -> None:
    found = asked(
        tmp_path,
        f"""# Parts of it

{PROSE}

A **non-return valve** is a valve through which the water of the house cannot run back into the well.

- **Clean the filter**: take it out of its housing once a month and hold it under clear water.
- **Fast**: it is the fastest of all the pumps that anybody has ever made for wells.
- **It is never late**: whatever the time of the day is, it has always been started before.
- **Prime number**: the number of strokes after which no air is left in the pipe.

## `open(angle)`

### Parameters

- `angle`: the angle in degrees, counted from the side of the house.
""",
    )
    assert "What is a non-return valve in Pump?" in found
    assert "How do I clean the filter in Pump?" in found
    assert "What does “Prime number” mean in Pump?" in found
    assert "What is `angle` for in `open(angle)`?" in found
    assert not any("Fast" in question or "late" in question for question in found)


def test_a_definition_at_the_beginning_words_the_question(tmp_path: Path) -> None:
    found = asked(tmp_path, f"# Page\n\n## Impeller\n\nAn impeller is a wheel inside of the pump. {PROSE}\n")
    assert list(found) == ["What is an impeller in Pump?"]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("My pump stops at night", "My pump stops at night in Pump. Why is that, and what can I do?"),
        ("Water is heavy and cold", "What does it mean that water is heavy and cold in Pump?"),
        ("When to open the valve", "When should I open the valve in Pump?"),
        ("How to open the valve?", "How do I open the valve?"),
        ("Redaction: what was tried", None),
        ("We'll look at the valve", None),
        ("Fast", None),
    ],
)
def test_headings_that_are_sentences(tmp_path: Path, heading: str, expected: str | None) -> None:
    found = asked(tmp_path, f"# Page\n\n## {heading}\n\n{PROSE} What happens at night is redacted.\n")
    whole = [question for question in found if "moves water" in found[question]]
    if expected is not None:
        assert expected.replace(" in Pump", "") in [question.replace(" in Pump", "") for question in whole]
    elif heading.startswith("Redaction"):
        assert whole == ["What was tried for redaction in Pump?"]
    else:
        assert whole == []


def test_a_bare_question_takes_up_the_heading_above_it(tmp_path: Path) -> None:
    text = f"# Faults\n\n## The valve is stuck\n\n### What should I do?\n\n{PROSE} Wait.\n\n## Why?\n\n{PROSE}\n"
    found = asked(tmp_path, text)
    assert "The valve is stuck in Pump. What should I do?" in found
    assert "Why?" not in found


def test_an_answer_speaks_of_what_the_heading_names(tmp_path: Path) -> None:
    text = f"# Page\n\n## Turbine blades\n\n{PROSE}\n"
    assert asked(tmp_path, text) == {}
    assert "section does not take up what its heading names" in reasons(tmp_path, text)


def test_navigation_is_no_answer(tmp_path: Path) -> None:
    text = f"""# Page on pumps

- [Valves](#valves)
- [Motors of all kinds](#motors)

[![badge](b.svg)](x) [![badge](c.svg)](y)

*Read this in other languages: [Deutsch](README.de.md)*

{PROSE}

[Back to top](#top)
"""
    (answer,) = asked(tmp_path, text).values()
    assert answer == PROSE


def test_the_context_says_what_it_is_about(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# Pump\n\n{PROSE} It is old.\n")
    steps = "The valve opens to the left. Turn it by hand until it clicks, then wait until the water stands still."
    (tmp_path / "parts.md").write_text(f"# Parts\n\n## Valves\n\n### Opening the valve\n\n{steps}\n")
    found = {r.source_id: r.context for r in read(str(tmp_path), None) if isinstance(r, Example)}
    assert found["parts.md#opening-the-valve"] == f"Pump: {PROSE}\nParts > Valves"
    assert found["README.md#pump"] == "Pump", "what a question gives away is no answer"


def test_an_example_that_is_announced_does_not_explain_the_code_above_it(tmp_path: Path) -> None:
    page = f"""# Commands

{PROSE}

```python
@app.command()
def create(name): ...
```

This example adds the same command as a part of a group, which is useful with many of them in one pump.
"""
    code = "```python\n@app.command()\ndef create(name): ...\n```"
    assert f"What does this Python code do?\n\n{code}" in asked(tmp_path, page)
    assert not any(question.startswith("What does this") for question in asked(tmp_path, page + f"\n{code}\n"))


def test_an_overview_of_a_task_is_no_overview_of_the_project(tmp_path: Path) -> None:
    page = f"# Customizing the Valves\n\n## Overview\n\n{PROSE} {PROSE}\n"
    (question,) = asked(tmp_path, page)
    assert "customize the valves" in question


def test_the_name_of_a_project_is_written_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        f"# Swift Pump Parser\n\n{PROSE}\n\n## Running\n\n{PROSE} It is run by hand.\n"
    )
    found = pairs(read(str(tmp_path), None, subject="Swift Pump Parser"))
    assert {"How do I run Swift Pump Parser?", "How is Swift Pump Parser started?"} & found.keys()


def test_a_link_to_a_page_of_docc_is_its_name(tmp_path: Path) -> None:
    found = asked(tmp_path, f"# Valves\n\n{PROSE} It is one of <doc:CommandsOfPumps>, and its water is clean.\n")
    assert next(iter(found.values())).endswith("It is one of Commands Of Pumps, and its water is clean.")


def test_code_with_few_words_beside_it_is_an_answer_and_a_text_in_another_language_none(tmp_path: Path) -> None:
    code = "```ts\n" + "const title = usePumpTitle()  // Pumpe\n" * 12 + "```"
    used = asked(tmp_path, f"# usePumpTitle\n\n{PROSE} {PROSE}\n\n## Usage\n\n{code}\n", "usePumpTitle.md")
    assert code in used.values()
    french = "La pompe amène l'eau du puits à la maison, et elle a besoin d'une vanne ouverte des deux côtés. " * 4
    page = f"# Pump\n\n{PROSE} {PROSE}\n\n## Valves\n\n{french}\n"
    assert "section is not in English" in reasons(tmp_path, page)
