"""The examples about a person are found by what was redacted from them, and the home holds it nowhere."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from samloop.errors import StoreError
from samloop.home import KEY_BYTES, Home
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.identifiers import examples_about, identifier_key
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.store import Store
from samloop.text.identifiers import PERSONAL, identifier_digest

JANE, JOHN = "jane.roe@mail.co.uk", "john.roe@mail.co.uk"
PHONE = "+49 30 901820"
SECRET = "tr0ub4dor" + "&3x"


def asked(question: str, answer: str) -> dict[str, str]:
    return {"instruction": question, "output": answer}


RECORDS = [
    asked(f"Who wrote the report? Ask {JANE}.", "It says Jane Roe on its first page, with the date below her name."),
    asked("How do I reach her by phone?", f"Her number is {PHONE}, and the office opens at nine in the morning."),
    asked("Which port does the server use?", f"It listens on 8080 and logs in with DB_PASSWORD={SECRET} at start."),
    # Once redacted, the same text as the first one, about somebody else.
    asked(f"Who wrote the report? Ask {JOHN}.", "It says Jane Roe on its first page, with the date below her name."),
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def collected(home: Home, **recipe: object) -> None:
    place = home.path.parent / "mails.jsonl"
    place.write_text("".join(json.dumps(record) + "\n" for record in RECORDS), encoding="utf-8")
    with Store.open(home) as store:
        context = Context(home, Recipe.parse(recipe), store, place.parent)
        collect(context, [SourceSettings(kind="dataset", location=str(place))])


def about(home: Home, identifier: str) -> list[str]:
    """The questions of the examples about somebody."""
    with Store.open(home) as store:
        ids = examples_about(Context(home, Recipe.parse({}), store, home.path), identifier)
        return [store.get_example(id).input_text for id in ids]


def test_examples_are_found_by_what_was_redacted_from_them(home: Home) -> None:
    collected(home)
    report = "Who wrote the report? Ask [REDACTED_EMAIL]."
    assert about(home, JANE) == about(home, f" {JANE.upper()} ") == [report]
    assert about(home, JOHN) == [report]
    assert about(home, PHONE) == about(home, PHONE.replace(" ", "-")) == ["How do I reach her by phone?"]
    assert about(home, "somebody@mail.co.uk") == []


def test_no_file_of_the_home_holds_a_value_or_a_hash_of_a_secret(home: Home) -> None:
    collected(home)
    key = home.identifier_key()
    held = b"".join(file.read_bytes() for file in home.path.rglob("*") if file.is_file())
    for value in (JANE, JOHN, PHONE, SECRET):
        assert value.encode() not in held
    assert identifier_digest(key, "EMAIL", JANE).encode() in held
    assert identifier_digest(key, "PASSWORD", SECRET).encode() not in held
    assert "PASSWORD" not in PERSONAL


def test_collecting_again_keeps_each_hash_once(home: Home) -> None:
    collected(home)
    with Store.open(home) as store:
        store.forget_watermark("dataset", str((home.path.parent / "mails.jsonl").resolve()))
    collected(home)
    assert len(about(home, JANE)) == 1


def test_another_homes_key_finds_nothing(home: Home, tmp_path: Path) -> None:
    collected(home)
    other = Home(tmp_path / "other").create()
    home.key.write_bytes(other.identifier_key())
    assert about(home, JANE) == []


def test_the_key_is_private_and_stays_the_same(home: Home) -> None:
    home.create()
    with ThreadPoolExecutor(4) as threads:
        keys = set(threads.map(lambda _: home.identifier_key(), range(8)))
    assert len(keys) == 1
    assert len(keys.pop()) == KEY_BYTES
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    home.key.chmod(0o644)
    home.identifier_key()
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert sorted(file.name for file in home.path.iterdir()) == [home.key.name]


def test_a_damaged_key_is_told_in_a_sentence(home: Home) -> None:
    home.create().key.write_bytes(b"short")
    with pytest.raises(StoreError, match=f"expected a key of {KEY_BYTES} bytes in .*, got 5; bring it back"):
        home.identifier_key()


def test_where_nothing_is_redacted_no_key_is_made(home: Home) -> None:
    recipe = Recipe.parse({"curate": {"redact": {"enabled": False}}})
    with Store.open(home) as store:
        assert identifier_key(Context(home, recipe, store, home.path)) is None
    assert not home.key.exists()
