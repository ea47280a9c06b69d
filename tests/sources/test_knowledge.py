"""The knowledge source on Markdown written here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark, Record, Reject
from samloop.sources import knowledge
from samloop.sources.english import is_english
from samloop.sources.knowledge import read
from samloop.sources.markdown import parse
from samloop.sources.questions import question

PROSE = "The pump moves water from the well to the house, and it needs a valve that is open on both of its sides."
README = f"""---
title: Pump
---
# Pump

[![Build](https://ci.example/badge.svg)](https://ci.example)

{PROSE} See the [manual](docs/manual.md) of it.

## Installing the valve

Turn off the water first, then screw the valve
onto the pipe with the [large key](key.md "Key") until it is tight.

```sh
pump valve --install
```

## License

MIT, as you can read in the file beside this one, which holds the text of it.
"""


def pairs(records: Iterable[Record]) -> dict[str, str]:
    return {record.input_text: record.output_text for record in records if isinstance(record, Example)}


def reasons(records: Iterable[Record]) -> list[tuple[str | None, str]]:
    return [(record.id, record.reason) for record in records if isinstance(record, Reject)]


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def asked_of(heading: str, *parents: str, subject: str | None = "Pump") -> str | None:
    return question(heading, parents, subject, str.lower)


def test_a_readme_becomes_questions_with_clean_answers(tmp_path: Path) -> None:
    root = write(tmp_path / "pump", {"README.md": README, "LICENSE": "SPDX-License-Identifier: Apache-2.0\n"})
    records = list(read(str(root), None))
    found = [record for record in records if isinstance(record, Example)]
    overview, valve = found
    assert overview.input_text in ("What is Pump?", "Can you give me an overview of Pump?", "What is Pump about?")
    assert overview.output_text == f"{PROSE} See the manual of it."
    assert "install the valve" in valve.input_text
    assert valve.output_text == (
        "Turn off the water first, then screw the valve onto the pipe with the large key until it is tight.\n\n"
        "```sh\npump valve --install\n```"
    )
    assert valve.source == "knowledge"
    assert valve.source_id == "README.md#installing-the-valve"
    assert valve.group_key == "docs:pump:README.md"
    assert valve.licence == "Apache-2.0"
    assert valve.language == "en"
    assert valve.created_at == (root / "README.md").stat().st_mtime
    assert valve.context == f"Pump: {PROSE}"
    assert reasons(records) == [("README.md#license", "section teaches nothing (links, credits, licence, releases)")]
    assert isinstance(records[-1], Mark)


@pytest.mark.parametrize(
    ("heading", "parents", "expected"),
    [
        ("Defining and Running a Pump", (), "define and run a pump"),
        ("Setting up the Pump", (), "set up the pump"),
        ("Add a valve to your pump", (), "add a valve to my pump"),
        ("How to Drain It", (), "How do I drain it"),
        ("3. Choosing a pipe", (), "choose a pipe"),
        ("Step 2: Turn the key", (), "turn the key"),
        ("Installation", (), "Pump"),
        ("Usage", ("Valve",), "valve"),
        ("What is a valve for?", (), "What is a valve for?"),
        ("`--force`", ("Options",), "What does the option `--force` do in Pump?"),
        ("valve.open(angle)", ("Methods",), "What does `valve.open(angle)` do in Pump?"),
        ("Pipes vs. hoses", (), "What is the difference between pipes and hoses in Pump?"),
        ("Don't open both valves", (), "Should I open both valves in Pump?"),
        ("Water pressure", (), "water pressure in Pump"),
    ],
)
def test_the_kind_of_heading_words_the_question(heading: str, parents: tuple[str, ...], expected: str) -> None:
    asked = asked_of(heading, *parents)
    assert asked is not None
    assert expected in asked
    assert asked.rstrip("?.").lower() != heading.lower() or heading.endswith("?")


@pytest.mark.parametrize(
    "heading", ["API", "1.2.3", "A new beginning", "…", "###", "バルブ", "for debugging", "x" * 200, ""]
)
def test_headings_that_lead_to_no_question(heading: str) -> None:
    assert asked_of(heading) is None


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=3))
def test_a_question_is_never_the_bare_heading(heading: str, parents: list[str]) -> None:
    asked = question(heading, tuple(parents), "Pump", str.lower)
    if asked is not None:
        assert asked.endswith(("?", "."))
        assert heading.endswith("?") or len(asked) > len(heading.strip())


def test_definitions_become_questions_about_their_terms(tmp_path: Path) -> None:
    text = f"""# Parts

{PROSE}

## Words

- **Impeller**: the wheel inside the pump that pushes the water on its way.
- `--dry`: runs the pump without any water in it, which is meant for tests.
- **Note**: this is not a term at all, but it has the form of a definition.
- **Seal**: short.
"""
    found = pairs(read(str(write(tmp_path, {"parts.md": text})), None))
    assert found["What does “Impeller” mean?"] == "The wheel inside the pump that pushes the water on its way."
    assert "What does the option `--dry` do?" in found
    assert not any("Note" in asked or "Seal" in asked for asked in found)


def test_faq_entries_keep_their_questions(tmp_path: Path) -> None:
    text = f"""# FAQ

{PROSE}

## Why does the pump make a noise?

There is air in the pipe. Open the valve for a minute and let all of the air out of it before you close it again.

## Other

**Q: Can I drink the water?**

A: You can drink it if the filter is new and the well has been checked in the last year by someone.

**Is it loud in the night?** It is not louder than a fridge, because the motor is mounted on rubber feet.
"""
    found = pairs(read(str(write(tmp_path, {"faq.md": text})), None))
    assert found["Why does the pump make a noise?"].startswith("There is air")
    assert "Can I drink the water?" not in found  # "Other" is turned away as a whole
    moved = text.replace("## Other", "## Water and noise")
    found = pairs(read(str(write(tmp_path / "b", {"faq.md": moved})), None))
    assert found["Can I drink the water?"].startswith("You can drink it")
    assert found["Is it loud in the night?"].startswith("It is not louder")


def test_code_goes_with_the_prose_that_explains_it(tmp_path: Path) -> None:
    text = f"""# Valves

{PROSE}

## Handling of valves

To open the valve from a script, call `open`:

```python
valve = Valve(3)
valve.open(angle=90)
```

This code opens the third valve fully; the angle is given in degrees, and it is an error to give more than 90 of them.
"""
    found = pairs(read(str(write(tmp_path, {"valves.md": text})), None))
    assert found["How do I open the valve from a script?"].endswith("valve.open(angle=90)\n```")
    asked = "What does this Python code do?\n\n```python\nvalve = Valve(3)\nvalve.open(angle=90)\n```"
    assert found[asked].startswith("This code opens the third valve")


def test_answers_are_whole_without_their_page(tmp_path: Path) -> None:
    text = f"""# Pumps

In this chapter, we'll look at pumps. {PROSE} We discuss wells in Chapter 4.

<!-- hidden --> <span class="x">Water is heavy,</span> so the pump <br>needs to be strong for the work it has to do.

The whole program is this:

```rust
{{{{#include ../listings/main.rs}}}}
```

This text speaks of a program that nobody can see here, so it can not be in any answer.
"""
    (answer,) = pairs(read(str(write(tmp_path, {"pumps.md": text})), None)).values()
    assert answer == (f"{PROSE}\n\nWater is heavy, so the pump\nneeds to be strong for the work it has to do.")


def test_long_sections_end_at_a_block(tmp_path: Path) -> None:
    text = "# Water pressure\n\n" + "\n\n".join(f"{PROSE} ({n})" for n in range(100))
    (answer,) = pairs(read(str(write(tmp_path, {"a.md": text})), None, max_answer_characters=500)).values()
    assert len(answer) <= 500
    assert answer.endswith(")")


def test_lists_and_tables_stay_what_they_are(tmp_path: Path) -> None:
    text = f"""# Draining the pump

{PROSE}

1. Close the [inlet](a.md).
2. Open the outlet:
   - slowly at first,
   - then *fully*.

| Part | Size |
|------|------|
| `a`  | 3    |
"""
    (answer,) = pairs(read(str(write(tmp_path, {"a.md": text})), None)).values()
    assert "1. Close the inlet.\n2. Open the outlet:\n   - slowly at first,\n   - then *fully*." in answer
    assert "| Part | Size |\n| --- | --- |\n| `a` | 3 |" in answer


def test_what_teaches_nothing_is_turned_away_with_its_reason(tmp_path: Path) -> None:
    german = (
        "# Pumpe\n\n" + "Die Pumpe bringt das Wasser vom Brunnen ins Haus und braucht ein Ventil, das offen ist. " * 4
    )
    root = write(
        tmp_path / "docs",
        {
            "CHANGELOG.md": README, "SUMMARY.md": README, "german.md": german, "empty.md": " \n",
            "nul.md": b"# A\0b\n",
            "latin.md": "# Caf\xe9\n".encode("latin-1"), "large.md": b"a " * (3 * 1024 * 1024),
            "stub.md": "# Something of the pump\n\nThis is to be done.\n",
            "node_modules/x/README.md": README, ".hidden/README.md": README, "notes.txt": README,
        },
    )  # fmt: skip
    (root / "loop").symlink_to(root, target_is_directory=True)
    records = list(read(str(root), None))
    assert pairs(records) == {}
    found = {Path(r.location).name: r.reason for r in records if isinstance(r, Reject)}
    assert found == {
        "CHANGELOG.md": "file holds no documentation (changelog, licence, contents)",
        "SUMMARY.md": "file holds no documentation (changelog, licence, contents)",
        "german.md": "file is not in English",
        "empty.md": "file is empty",
        "nul.md": "file is not text",
        "latin.md": "file is not UTF-8",
        "large.md": "file is too large",
        "stub.md": "section is empty or a stub",
    }


def test_an_unreadable_folder_is_named_and_the_rest_goes_in(public_folder: Path, unprivileged) -> None:
    write(public_folder, {"README.md": README, "closed/a.md": README})
    (public_folder / "closed").chmod(0)
    with unprivileged():
        records = list(read(str(public_folder), None))
    (public_folder / "closed").chmod(0o700)
    assert len(pairs(records)) == 2
    assert "folder cannot be read" in {reason for _, reason in reasons(records)}


def test_a_folder_that_vanishes_is_named_and_the_rest_goes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"README.md": README, "closed/a.md": README})
    scandir = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(knowledge.os, "scandir", refuse)
    records = list(read(str(tmp_path), None))
    assert len(pairs(records)) == 2
    assert "folder cannot be read" in {reason for _, reason in reasons(records)}


def test_only_changed_files_are_read_again(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": README, "b.md": README.replace("pump", "motor"), "c.md": README})
    mark = list(read(str(tmp_path), None))[-1]
    assert isinstance(mark, Mark)
    assert list(read(str(tmp_path), mark.value)) == [mark]
    write(tmp_path, {"b.md": README.replace("pump", "engine"), "new.md": README})
    os.utime(tmp_path / "c.md", ns=(1, 1))  # touched, not changed
    (tmp_path / "README.md").unlink()
    records = list(read(str(tmp_path), mark.value))
    touched = {r.metadata["path"] for r in records if isinstance(r, Example)}
    assert touched == {"b.md", "new.md"}
    last = records[-1]
    assert isinstance(last, Mark)
    assert sorted(last.value["files"]) == ["b.md", "c.md", "new.md"]


def test_marks_on_the_way_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "MARK_FILES", 2)
    write(tmp_path, {f"{n}.md": README.replace("water", f"water {n}") for n in range(7)})
    whole = list(read(str(tmp_path), None))
    for at, mark in enumerate(whole):
        if isinstance(mark, Mark):
            rest = [r for r in read(str(tmp_path), mark.value) if not isinstance(r, Mark)]
            assert rest == [r for r in whole[at + 1 :] if not isinstance(r, Mark)]
    assert sum(isinstance(record, Mark) for record in whole) == 4


@pytest.mark.parametrize(("place", "said"), [("nowhere", "found nothing"), ("a.txt", "expected a Markdown file")])
def test_a_location_that_is_neither_fails_in_one_sentence(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "a.txt").write_text("x")
    for location in (str(tmp_path / place), "a\0b"):
        with pytest.raises(SourceError) as caught:
            next(read(location, None))
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match=said):
        next(read(str(tmp_path / place), None))


def test_a_single_file_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": README, "other.md": README})
    assert {r.source_id.split("#")[0] for r in read(str(tmp_path / "README.md"), None) if isinstance(r, Example)} == {
        "README.md"
    }


def test_anchors_and_paths_follow_the_headings() -> None:
    document = parse("# A `b`\n\n### Deep\n\n## C\n\n## C\n\n# D {#own}\n")
    assert [(s.path, s.anchor, s.line) for s in document.sections[1:]] == [
        (("A `b`",), "a-b", 1),
        (("A `b`", "Deep"), "deep", 3),
        (("A `b`", "C"), "c", 5),
        (("A `b`", "C"), "c-1", 7),
        (("D",), "d", 9),
    ]


def test_english_is_told_from_others() -> None:
    assert is_english(PROSE)
    assert is_english(
        "Flask serves it:\n\n.. code-block:: css\n\n"
        + "    html { font: serif; }\n" * 40
        + "\nIt is the one that is at the top of it."
    )
    assert not is_english("La pompe amène l'eau du puits à la maison, et elle a besoin d'une vanne qui est ouverte.")
    assert not is_english("水を井戸から家に運びます。")
    assert not is_english("```\nfor the of and to in\n```")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("#*`-_[]()<>!|:\\\n ab1.>~{}\"'&\t"), max_size=200))
def test_any_text_is_read_without_failing(text: str) -> None:
    for section in parse(text).sections:
        for block in section.blocks:
            assert isinstance(block.text, str)


def test_deep_nesting_is_bounded(tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "# The deep one of all\n\n" + "> " * 5000 + "x\n\n" + "- " * 5000 + "y\n\n" + PROSE})
    assert len(list(read(str(tmp_path), None))) > 0
