"""Opening a store: made where it is missing, recognised where it is, refused in one sentence where it is none."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from samloop.errors import StoreBusyError, StoreError
from samloop.example import Example
from samloop.home import Home
from samloop.settings import StoreSettings
from samloop.store import Store
from samloop.store.rows import from_example
from samloop.store.tables import EXAMPLE_COLUMNS, SCHEMA, metadata, training_examples
from samloop.store.upgrade import MIGRATIONS

TABLES = {
    *("training_examples", "validation_log", "export_history", "stats_cache", "source_state", "run_examples"),
    *("captures", "feedback", "reviews", "review_queue"),
    *("training_runs", "adapters", "evaluations", "decisions", "jobs", "job_runs"),
    *("reasoning_patterns", "corrections", "principles"),
}


def raw(home, statement):
    with closing(sqlite3.connect(home.database, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def one_sentence(error):
    return "\n" not in str(error) and len(str(error)) < 300


def test_a_new_store_is_private_and_durable(home, make):
    with Store.open(home) as store:
        store.add_example(make(1))
        for file in home.path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
        with store._database.read() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert [p.name for p in home.path.iterdir()] == ["samloop.db"]


def test_a_file_that_others_could_read_is_made_private(home):
    Store.open(home).close()
    home.database.chmod(0o644)
    Store.open(home).close()
    assert stat.S_IMODE(home.database.stat().st_mode) == 0o600


def test_examples_outlive_the_store(home, make):
    with Store.open(home) as store:
        store.add_example(make(1))
    with Store.open(home) as store:
        assert store.get_example(make(1).id).input_text == "question 1"


def test_opening_an_up_to_date_store_does_not_load_alembic(home):
    Store.open(home).close()
    code = f"""
import sys
from pathlib import Path
from samloop.home import Home
from samloop.store import Store
Store.open(Home(Path({str(home.path)!r}))).close()
print([m for m in ("alembic", "torch", "mlx", "pyarrow") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_columns_are_the_fields_of_an_example():
    names = {f.name for f in fields(Example)}
    assert set(EXAMPLE_COLUMNS) == names
    assert set(training_examples.c.keys()) == names | {"revision"}
    assert set(from_example(Example(source="s", format="chat", input_text="i", output_text="o"))) == names


def test_the_contract_names_these_tables_and_indexes(home):
    Store.open(home).close()
    tables = {name for (name,) in raw(home, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables >= TABLES
    indexed = {
        raw(home, f"PRAGMA index_info('{row[1]}')")[0][2]
        for row in raw(home, "PRAGMA index_list('training_examples')")
    }
    assert indexed >= {"source", "format", "domain", "quality_tier", "content_hash", "input_hash", "group_key"}


def test_the_migrations_build_exactly_the_tables(home):
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    Store.open(home).close()
    engine = create_engine(f"sqlite:///{home.database}")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert differences == []
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA


def test_a_store_of_a_newer_samloop_is_refused_and_untouched(home):
    Store.open(home).close()
    raw(home, "UPDATE alembic_version SET version_num = '0999'")
    before = home.database.read_bytes()
    with pytest.raises(StoreError, match=r"newer samloop .*0999.*pip install") as caught:
        Store.open(home)
    assert one_sentence(caught.value)
    assert home.database.read_bytes() == before


def test_the_database_of_another_program_is_refused(home):
    home.create()
    raw(home, "CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreError, match="another program"):
        Store.open(home)
    assert raw(home, "SELECT name FROM sqlite_master") == [("songs",)]
    raw(home, "CREATE TABLE alembic_version (version_num TEXT)")
    raw(home, "INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    with pytest.raises(StoreError, match="another program"):
        Store.open(home)


def test_a_file_that_is_no_database_is_refused_and_untouched(home):
    home.create()
    home.database.write_bytes(b"just some text, long enough to look like something " * 40)
    before = home.database.read_bytes()
    with pytest.raises(StoreError, match="no database") as caught:
        Store.open(home)
    assert str(home.database) in str(caught.value)
    assert one_sentence(caught.value)
    assert home.database.read_bytes() == before


def test_a_damaged_store_says_so(home, make):
    with Store.open(home) as store:
        store.add_examples(make(n, output_text="x" * 900) for n in range(500))
    with home.database.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(16384)
        file.write(b"\xff" * (size - 16384))
    with pytest.raises(StoreError, match="damaged"), Store.open(home) as store:
        list(store.select())


def test_a_home_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        Store.open(Home(tmp_path / "file" / "home"))


def test_a_database_that_is_a_folder_is_refused(home):
    home.create()
    home.database.mkdir()
    with pytest.raises(StoreError, match=r"cannot be opened.*--home"):
        Store.open(home)


READ_ONLY = """
import sys
from pathlib import Path
from samloop.errors import StoreError
from samloop.home import Home
from samloop.store import Store
try:
    Store.open(Home(Path(sys.argv[1])))
except StoreError as error:
    print(error)
"""


def test_a_read_only_home_is_refused(make):
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root may write everything, and setpriv to run as another user is missing")
    folder = Path(tempfile.mkdtemp())
    try:
        home = Home(folder / "home")
        with Store.open(home) as store:
            store.add_example(make(1))
        before = home.database.read_bytes()
        for mode, path in ((0o755, folder), (0o444, home.database), (0o555, home.path)):
            path.chmod(mode)
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*other, sys.executable, "-c", READ_ONLY, str(home.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "read-only" in done.stdout
        home.path.chmod(0o777)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "cannot be opened for writing" in done.stdout
        assert home.database.read_bytes() == before
    finally:
        home.path.chmod(0o700)
        shutil.rmtree(folder)


def test_a_full_disk_keeps_what_was_there(home, make):
    with Store.open(home) as store:
        store.add_examples(make(n) for n in range(10))
        with store._database.engine.connect() as connection:
            # SQLite's own bound on the size of a database gives the error that a full disk gives.
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        rows = [from_example(make(n, output_text="x" * 5000)) for n in range(100, 600)]
        with pytest.raises(StoreError, match=r"disk .* is full.*free some space") as caught:
            store.add_batch(rows, mark=("git", "/repo", {"n": 1}))
        assert one_sentence(caught.value)
        assert (store.count(), store.revision(), store.watermark("git", "/repo")) == (10, 1, None)


def test_a_locked_store_says_so_and_works_afterwards(home, make):
    Store.open(home).close()
    hasty = StoreSettings(busy_timeout_seconds=0.05)
    with closing(sqlite3.connect(home.database, isolation_level=None)) as other, Store.open(home, hasty) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="another process") as caught:
            store.add_example(make(1))
        assert one_sentence(caught.value)
        assert store.count() == 0
        assert store.statistics()["overall"]["total_examples"] == 0
        other.execute("ROLLBACK")
        assert store.add_example(make(1)) is True


def test_a_store_locked_while_it_is_made_says_so(home):
    home.create()
    with closing(sqlite3.connect(home.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE t (x)")
        with pytest.raises(StoreBusyError):
            Store.open(home, StoreSettings(busy_timeout_seconds=0.05))


def test_no_error_shows_the_text_of_a_record(store, make):
    row = {**from_example(make(1)), "output_text": "a private sentence", "domain": None}
    with pytest.raises(StoreError) as caught:
        store.add_batch([row])
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "private" not in str(seen)
        seen = seen.__cause__


@pytest.mark.parametrize(
    "url", ["no url at all", "nosuch://u:hunter@localhost/db", "postgresql+nosuch://u:hunter@localhost/db"]
)
def test_a_wrong_url_is_refused_without_its_password(home, url):
    with pytest.raises(StoreError, match=r"store\.url") as caught:
        Store.open(home, StoreSettings(url=url))
    assert "hunter" not in str(caught.value)


def test_a_url_can_name_the_file(home, tmp_path, make):
    settings = StoreSettings(url=f"sqlite:///{tmp_path}/elsewhere.db")
    with Store.open(home, settings) as store:
        store.add_example(make(1))
    assert not home.database.exists()
    assert stat.S_IMODE((tmp_path / "elsewhere.db").stat().st_mode) == 0o600
