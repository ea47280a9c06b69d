"""What every stage of the loop works on: a home, a recipe and the open store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from samloop.home import Home
from samloop.recipe import Recipe
from samloop.settings import MAIN
from samloop.store import DuplicateGroup, Store


@dataclass(frozen=True, slots=True)
class Context:
    """A home, its recipe and its open store.

    Attributes:
        folder: where relative paths of the recipe start: the folder the recipe lies in.
        slot: the place in service that is worked for; the recipe's [train] is that slot's.
    """

    home: Home
    recipe: Recipe
    store: Store
    folder: Path
    slot: str = MAIN

    def for_slot(self, slot: str) -> Context:
        """The same home and store, at work for another slot.

        Raises:
            RecipeError: the recipe has no such slot.
        """
        return self if slot == self.slot else replace(self, recipe=self.recipe.for_slot(slot), slot=slot)


@contextmanager
def open_context(home: Home, config: Path | None = None) -> Iterator[Context]:
    """Open `home` with the recipe at `config`, else the home's own, else the defaults.

    Raises:
        RecipeError: the recipe does not fit, or `config` does not exist.
        StoreError: the home or the store cannot be used.
    """
    recipe, folder = load_recipe(home, config)
    home.create()
    with Store.open(home, recipe.store) as store:
        context = Context(home, recipe, store, folder)
        store.find_near = lambda dry_run: _near(context, dry_run)
        yield context


def _near(context: Context, dry_run: bool) -> list[DuplicateGroup]:
    from samloop.loop.near import dedupe  # which needs a context itself

    return dedupe(context, dry_run=dry_run).groups


def load_recipe(home: Home, config: Path | None = None) -> tuple[Recipe, Path]:
    """The recipe in force, and the folder its relative paths start at."""
    path = config or (home.recipe if home.recipe.exists() else None)
    if path is None:
        return Recipe.parse({}), Path.cwd()
    return Recipe.load(path), path.absolute().parent
