"""The store: everything that lasts, behind one object."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from samloop.home import Home
from samloop.settings import StoreSettings
from samloop.store.adapters import Adapters
from samloop.store.database import Database
from samloop.store.decisions import Decisions
from samloop.store.duplicates import Duplicates
from samloop.store.export import Export
from samloop.store.ingest import Ingest
from samloop.store.lineage import Lineage
from samloop.store.live import Live
from samloop.store.near import Near
from samloop.store.purges import Purges
from samloop.store.runs import Runs
from samloop.store.statistics import Statistics
from samloop.store.trials import Trials
from samloop.store.upgrade import bring_up_to_date

DEFAULTS: Final = StoreSettings()


class Store(Ingest, Live, Export, Duplicates, Near, Statistics, Runs, Adapters, Decisions, Trials, Lineage, Purges):
    """Everything samloop keeps. Each base class is one noun, in the file of its name.

    Plain data goes in and comes out; nothing of SQLAlchemy shows. Every method is one transaction. A store may be
    used by several threads, and by several processes, each with its own.

    >>> with Store.open(Home.find()) as store:
    ...     store.add_example(example)
    """

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self._database = database

    @classmethod
    def open(cls, home: Home, settings: StoreSettings = DEFAULTS) -> Store:
        """Open the store of `home`; home, file and tables are made where they are missing.

        Raises:
            StoreError: the home or database cannot be used, or belongs to a newer samloop.
            StoreBusyError: another process holds the database.
        """
        home.create()
        database = Database(home, settings)
        try:
            bring_up_to_date(database)
        except BaseException:
            database.close()
            raise
        return cls(home, database)

    def close(self) -> None:
        """Let go of the database; a closed store must not be used again."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
