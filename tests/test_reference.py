"""The reference is written from the code, and is the one that lies in docs/."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from pydantic import BaseModel

from samloop.recipe import Recipe
from samloop.settings import SourceSettings

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "write_reference.py"


def sections() -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = [SourceSettings]
    pending: list[type[BaseModel]] = [Recipe]
    while pending:
        model = pending.pop()
        nested = [i.annotation for i in model.model_fields.values() if isinstance(i.annotation, type)]
        pending += [one for one in nested if issubclass(one, BaseModel)]
        found.append(model)
    return found


def test_the_page_is_what_the_script_writes():
    written = runpy.run_path(str(SCRIPT))["page"]()
    assert written == (ROOT / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8"), (
        "the recipe, a source or a rule has changed; run scripts/write_reference.py"
    )


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_setting_says_what_it_means(section):
    silent = [
        key
        for key, info in section.model_fields.items()
        if not info.description and not (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel))
    ]
    assert not silent


def test_options_of_sources_are_told():
    page = runpy.run_path(str(SCRIPT))["page"]()
    assert "### Options of `git`" in page
    assert "| max_diff_characters | `1200` |" in page
