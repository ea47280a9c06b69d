"""Which rules run, and with which options: the recipe's ``[curate.rules.NAME]`` tables, checked."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from samloop import plugins
from samloop.errors import PluginError, RecipeError
from samloop.protocols import Rule
from samloop.text.rubric import RUBRICS, Rubric


@dataclass(frozen=True, slots=True)
class Chosen:
    """A rule that runs, with its options."""

    rule: Rule
    options: Mapping[str, Any]


def chosen_rules(tables: Mapping[str, Mapping[str, Any]], rubric: Rubric) -> dict[str, Chosen]:
    """The rules that run, by name: those that reject first, then those that flag, each sorted by name.

    A rule that belongs to other rubrics runs when the recipe enables it.

    Raises:
        RecipeError: a rule or an option is unknown (with the nearest known one), or a value does not fit.
        PluginError: a rule cannot be loaded or is not marked as one.
    """
    known = plugins.names("rules")
    for name in tables:
        if name not in known:
            raise RecipeError(f"unknown rule 'curate.rules.{name}'; {_nearest(name, known)}")
    special = {name for other in RUBRICS.values() for name in other.rules}
    found = {}
    for name in known:
        table = dict(tables.get(name, {}))
        enabled = table.pop("enabled", name in rubric.rules or name not in special)
        if not isinstance(enabled, bool):
            raise RecipeError(f"expected curate.rules.{name}.enabled to be true or false, got {enabled!r}")
        if not enabled and not table:
            continue  # not loaded either, so that one that is broken can be switched off
        rule = _loaded(name)
        options = _checked(name, rule, table)
        if enabled:
            found[name] = Chosen(rule, {**rubric.options.get(name, {}), **options})
    return dict(sorted(found.items(), key=lambda item: (item[1].rule.outcome != "reject", item[0])))


def _loaded(name: str) -> Rule:
    rule = plugins.load("rules", name)
    if getattr(rule, "rule_name", None) != name or getattr(rule, "outcome", None) not in {"flag", "reject"}:
        raise PluginError(f"the plug-in '{name}' is not a rule of that name; mark it with @rule('{name}', …)")
    return rule  # type: ignore[no-any-return]  # what an entry point yields has no static type


def _checked(name: str, rule: Rule, table: Mapping[str, Any]) -> dict[str, Any]:
    options = {p.name: p for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for key, value in table.items():
        where = f"curate.rules.{name}.{key}"
        if key not in options:
            raise RecipeError(f"unknown setting '{where}'; {_nearest(key, ['enabled', *options])}")
        default = options[key].default
        wanted = (int, float) if isinstance(default, float) else type(default)
        if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, wanted):
            raise RecipeError(f"expected {where} to be a {type(default).__name__} like {default!r}, got {value!r}")
    return dict(table)


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}."
