"""What the harness of `test_every_source.py` knows about each source: one module per source, with its `CASE`.

A case writes its own input, small and by hand. To add one, write ``cases/NAME.py``::

    CASE = Case(name="flashcards", make=make, add_one=add_one, grow=grow)

and let the harness write the golden file: ``python -m pytest tests/sources/test_every_source.py --update-golden``.
"""

from __future__ import annotations

import base64
import hashlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from samloop.home import Home
from samloop.loop.context import Context
from samloop.recipe import Recipe
from samloop.store import Store

EMAIL: Final = "@".join(("grace.waters", "waterworks-of-nowhere.net"))
"""An address that no store may hold; every input of a case does."""

KEY: Final = "gh" + "p_" + base64.b32encode(hashlib.sha256(b"opens nothing").digest()).decode()[:36]
"""A key in the shape of a provider's; made here, so that no file holds it."""

GOLDEN: Final = Path(__file__).parents[1] / "golden"

Make = Callable[[Path], Path | str]
Change = Callable[[Any], object]
Grow = Callable[[Path, int], Path | str]
Enter = Callable[[Context, str], object]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One source with an input of its own.

    Attributes:
        name: the source's kind, as in ``samloop collect NAME``.
        make: writes the input into a folder that exists and is empty, and returns the location to read. It holds at
            least three records that are not rejected, and everything in `secrets`. The same bytes every time: no
            clock, no chance. Only the last parts of the path may show in what comes out.
        add_one: adds one record to the input at that location.
        adds: how many examples that record becomes.
        alone: a plain question with its answer may go without a group: its split then hangs on what it resembles.
        options: of the source, as in its table of the recipe.
        secrets: what must not reach the store.
        grow: writes an input of about that many bytes of text, in records of usual size, and returns the location.
            None: the input cannot grow.
        grown_bytes: the two sizes between which memory must not grow with the input.
        enter: of a source that reads live rows: enters what the file at the location holds into the store of a home;
            doing so again changes nothing. The location collected is then none.
        golden: name of the file in golden/; NAME.jsonl by default.
    """

    name: str
    make: Make
    add_one: Change
    adds: int = 1
    alone: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = (EMAIL, KEY)
    grow: Grow | None = None
    enter: Enter | None = None
    grown_bytes: tuple[int, int] = (2 * 2**20, 10 * 2**20)
    golden: str = ""

    @property
    def golden_path(self) -> Path:
        """The file a reviewer reads."""
        return GOLDEN / (self.golden or f"{self.name}.jsonl")


def entered(case: Case, store: Store, location: str) -> str:
    """The location to collect, after what it holds went into the store where the case reads live rows."""
    if case.enter is None:
        return location
    case.enter(Context(store.home, Recipe.parse({}), store, Path.cwd()), location)
    return ""


def handed(case: Case, location: str, home: Path) -> tuple[str, dict[str, Any]]:
    """The location and the rows to read it with, from a store of its own in `home`; none for other cases."""
    if case.enter is None:
        return location, {}
    with Store.open(Home(home)) as store:
        place = entered(case, store, location)
        rows = {table: list(store.rows_of(table)) for table in ("captures", "feedback")}
    return place, {"rows": lambda table, after=0: iter([r for r in rows[table] if r["number"] > after])}


def cases() -> dict[str, Case]:
    """Every case in this folder, by the name of its module."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: import_module(f"{__name__}.{name}").CASE for name in names}
