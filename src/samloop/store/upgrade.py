"""Bringing a database to the tables of this samloop. An up-to-date store is recognised without loading Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from samloop.errors import StoreError
from samloop.store.database import Database, create_file, use_wal
from samloop.store.tables import SCHEMA

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def bring_up_to_date(database: Database) -> None:
    """Create or upgrade the tables, in one transaction, where that is needed.

    Raises:
        StoreError: the database belongs to a newer samloop or to another program, or cannot be written.
    """
    if database.path is not None:
        create_file(database.path)
    with database.translated():
        if database.path is not None:
            use_wal(database)
        with database.read() as connection:
            if _version(connection, database) == SCHEMA:
                return
        with database.write() as connection:
            # Another process may have done it while this one waited for the lock.
            if _version(connection, database) != SCHEMA:
                _migrate(connection)


def _version(connection: Connection, database: Database) -> str | None:
    """The migration the database is at; None for an empty one."""
    names = set(inspect(connection).get_table_names())
    if "alembic_version" not in names:
        if names:
            raise StoreError(
                f"expected a samloop store at {database.place}, got the database of another program; "
                "choose another home with --home"
            )
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version is not None and not version.isdecimal():
        raise StoreError(
            f"expected a samloop store at {database.place}, got the database of another program; "
            "choose another home with --home"
        )
    if version is not None and int(version) > int(SCHEMA):
        raise StoreError(
            f"the store {database.place} was written by a newer samloop (schema {version}, this one knows {SCHEMA}); "
            "upgrade with pip install -U samloop"
        )
    return version


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
