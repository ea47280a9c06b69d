"""What every command is given: the home, the recipe, and where to print."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samloop.cli.output import Output
from samloop.home import Home

if TYPE_CHECKING:
    from samloop.loop.context import Context
    from samloop.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Session:
    """One invocation of the command line, as the options before the command set it up."""

    home: Home
    config: Path | None
    out: Output

    @property
    def recipe_path(self) -> Path:
        """The recipe in use: --config, else the home's."""
        return self.config or self.home.recipe

    @property
    def program(self) -> str:
        """How the user calls samloop on this home, for the commands that are recommended to them."""
        called = Path(sys.argv[0])
        words = ["samloop"]
        if called.name == "samloop" and shutil.which("samloop") is None:
            words = [_short(called)]
        if self.home != Home.find(None):
            words += ["--home", _short(self.home.path)]
        if self.config:
            words += ["--config", _short(self.config)]
        return shlex.join(words)

    def recipe(self) -> Recipe:
        """The recipe in use; the defaults where the home has none.

        Raises:
            RecipeError: the file is not a recipe, or --config names none.
        """
        from samloop.loop.context import load_recipe

        return load_recipe(self.home, self.config)[0]

    def context(self) -> AbstractContextManager[Context]:
        """The open store with the recipe, for commands that work on examples, runs or adapters."""
        from samloop.loop.context import open_context

        return open_context(self.home, self.config)


def _short(path: Path) -> str:
    """From where the user stands, unless that leads outside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
