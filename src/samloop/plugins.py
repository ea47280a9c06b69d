"""Plug-ins by name, through entry points; samloop's own parts come in by the same door.

A name is resolved without importing anything, and the module behind it is imported on use, so that listing or
`--help` never loads torch or mlx.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from samloop.errors import PluginError, SamloopError

GROUPS: Final = ("sources", "rules", "backends", "suites", "teachers")


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"samloop.{group}")}


def names(group: str) -> list[str]:
    """The names of all installed plug-ins of `group` (one of `GROUPS`), sorted; imports none of them."""
    return sorted(_entries(group))


def load(group: str, name: str) -> Any:
    """The object behind the plug-in `name` of `group`.

    Raises:
        PluginError: no such name (with the nearest known one), or its module cannot be imported.
        MissingExtraError: the plug-in's own extra is not installed.
    """
    entries = _entries(group)
    if name not in entries:
        kind = group.removesuffix("s")
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(entries)) or 'none'}."
        raise PluginError(f"there is no {kind} called '{name}'; {hint}")
    entry = entries[name]
    try:
        return entry.load()
    except SamloopError:
        raise
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        what = str(error) if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"
        package = f"the package {entry.dist.name}" if entry.dist else "the package that brings it"
        raise PluginError(
            f"the {group.removesuffix('s')} '{name}' ({entry.value}) cannot be loaded ({' '.join(what.split())}); "
            f"mend, upgrade or uninstall {package}"
        ) from error
