"""Write docs/reference/recipe.md from the recipe's own fields, so that the page cannot fall behind the code.

python scripts/write_reference.py
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from samloop import plugins
from samloop.recipe import PRESETS, Recipe
from samloop.settings import Collect, SourceSettings

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "recipe.md"

BUILT_IN_SOURCES = ("captures", "feedback", "git", "docs", "routing", "dataset", "manual", "sam-home")

INTRODUCTION = """# The recipe

Every setting of samloop stands in one TOML file, `samloop.toml` in the samloop home, or the one that `--config`
names. What is left out has the default below; `samloop init --full` writes a recipe with all of it. An environment
variable named SAMLOOP_SECTION__KEY wins over the file: `SAMLOOP_STORE__URL` is the place for a database URL with a
password. An unknown key is an error that names the nearest known one.
"""

SOURCES = """
## [[collect.sources]]

One table per origin of examples. Further keys are options of the source itself, listed below for those that come with
samloop; an unknown one is refused with the nearest known one.
"""

RULES = """
## Rules

A rule looks at every example on its way in. One that rejects keeps it out; one that flags lowers its score by what
the rubric says. `[curate.rules.NAME]` sets its options, or `enabled = false`. The reasoning rules run with the rubric
`distillation` unless they are enabled.

| rule | outcome | reason | options and their defaults |
|---|---|---|---|"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for name, section in _sections(Recipe, ""):
        parts += [f"\n## [{name}]\n", f"{(section.__doc__ or '').strip()}\n", _table(section)]
        if name == "collect":
            parts += [SOURCES, _table(SourceSettings), *_sources()]
    parts += [RULES, *_rules(), "\n## Presets\n", _presets()]
    return "\n".join(parts)


def _sources() -> Iterator[str]:
    for name in BUILT_IN_SOURCES:
        read = plugins.load("sources", name)
        parameters = inspect.signature(read).parameters.values()
        options = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in read.given]
        if not options:
            continue
        meanings = _arguments(inspect.getdoc(read) or "")
        yield f"\n### Options of `{name}`\n\n| option | default | meaning |\n|---|---|---|"
        for option in options:
            yield f"| {option.name} | {_shown(option.default)} | {_cell(meanings[option.name])} |"


def _arguments(docstring: str) -> dict[str, str]:
    """The meanings under "Args:" of a docstring, by name."""
    block = re.search(r"^Args:\n(.*?)(?:\n\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", block[1] if block else "", re.MULTILINE)
    return {name: " ".join(meaning.split()).removesuffix(".") for name, meaning in found}


def _rules() -> Iterator[str]:
    for name in sorted(plugins.names("rules")):
        rule = plugins.load("rules", name)
        if rule.__module__.startswith("samloop."):
            options = [p for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY]
            shown = ", ".join(f"{option.name} = {option.default}" for option in options)
            yield f"| {name} | {rule.outcome} | {rule.reason} | {shown} |"


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _shown(value: Any) -> str:
    if value is None or value in ("", {}):
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(f"`{one}`" for one in value) or "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for key, info in model.model_fields.items():
        if _is_section(info.annotation):
            yield prefix + key, typing.cast(type[BaseModel], info.annotation)
            yield from _sections(typing.cast(type[BaseModel], info.annotation), f"{prefix}{key}.")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _table(section: type[BaseModel]) -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for key, info in section.model_fields.items():
        if not _is_section(info.annotation) and not (section is Collect and key == "sources"):
            rows.append(f"| {key} | {_default(info)} | {_meaning(info)} |")
    return "\n".join(rows) + "\n"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return _shown(info.get_default(call_default_factory=True))


def _meaning(info: FieldInfo) -> str:
    bounds = []
    for bound in info.metadata:
        for sign, words in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most")):
            if (limit := getattr(bound, sign, None)) is not None:
                bounds.append(f"{words} {limit}")
    return "; ".join(filter(None, [info.description, ", ".join(bounds)]))


def _presets() -> str:
    keys = list(dict.fromkeys(key for values in PRESETS.values() for key in values))
    rows = [f"| preset | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for name, values in PRESETS.items():
        cells = [values.get(key, "") for key in keys]
        rows.append(f"| {name} | {' | '.join(', '.join(c) if isinstance(c, tuple) else str(c) for c in cells)} |")
    return "\n".join(
        [
            "With `train.preset` at `auto`, the bundled model gets `pocket`; others get `laptop-8gb` on a machine",
            "with less than 12 GiB of memory, else `standard`. A key of [train] that is set wins over the preset.",
            "",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
