"""What every command is given: the home, the recipe, and where to print."""

from __future__ import annotations

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
