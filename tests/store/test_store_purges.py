"""Erasure in the store: every table is thought of, and what was erased is told when it comes again."""

from __future__ import annotations

import pytest

from samloop.store.purge_finds import BY_EXAMPLE, TEXTS
from samloop.store.purges import QUOTING
from samloop.store.tables import metadata, near_pairs, redacted_identifiers, stats_cache
from samloop.text.tombstones import ORIGIN, RECORD, origin_of, tombstone

NO_TEXT = {
    # Names, figures, hashes and times alone; or what keeps the count of erasure itself.
    *("store_meta", "source_state", "run_examples", "purges", "tombstones"),
}


def test_every_table_is_thought_of():
    known = {table.name for table, _, _ in TEXTS.values()} | {table.name for table, _ in (*BY_EXAMPLE, *QUOTING)}
    known |= {near_pairs.name, redacted_identifiers.name, stats_cache.name} | NO_TEXT
    assert set(metadata.tables) == known, "say in store/purges.py what a purge does to the table"
    hanging = {name for name, table in metadata.tables.items() if "example_id" in table.c}
    assert hanging <= {table.name for table, _ in BY_EXAMPLE} | {"near_pairs", "redacted_identifiers", "run_examples"}


def stone(store, kind, value):
    return tombstone(store.home.identifier_key(), kind, value), kind


def buried(store, *stones):
    store.begin_purge("purge-1", journal={}, receipt={}, stones=[stone(store, *one) for one in stones])


def test_a_record_that_was_erased_is_neither_added_nor_a_duplicate(store, make):
    buried(store, (RECORD, make(1).id))
    added = store.add_examples([make(1), make(2), make(1)])
    assert (added.inserted, added.new_ids) == ((False, True, False), (make(2).id,))
    assert store.add_batch([]).erased == ()
    from samloop.store.rows import from_example

    again = store.add_batch([from_example(make(number)) for number in (1, 2, 3)])
    assert (again.erased, again.duplicate, again.added) == ((0,), 1, 1)


def test_the_same_origin_told_otherwise_is_turned_away(store, make):
    old = make(1, source_id="m1", group_key="chat:7")
    kept = make(2, source_id="m2", group_key="chat:7")
    shared = make(3, source_id="m2", group_key="chat:7")
    store.add_examples([old, kept, shared])
    assert store.origins_of({old.id}) == {origin_of("manual", "m1", "chat:7")}
    assert store.origins_of({shared.id}) == set(), "another example comes from there, too"
    assert store.origins_of({make(4, source_id="file.jsonl:4").id}) == set()
    buried(store, (ORIGIN, origin_of("manual", "m1", "chat:7")))
    assert not store.add_example(make(5, source_id="m1", group_key="chat:7"))
    assert store.add_example(make(6, source_id="m1", group_key="chat:8"))


def test_lifting_forgets_the_stones_of_one_purge(store, make):
    buried(store, (RECORD, make(1).id))
    store.begin_purge("purge-2", journal={}, receipt={}, stones=[stone(store, RECORD, make(1).id)])
    assert store.lift("purge-1") == 1
    assert store.tombstoned([make(1).id, make(2).id]) == {make(1).id}
    assert store.lift("purge-2") == 1
    assert store.tombstoned([make(1).id]) == set() and store.add_example(make(1))


def test_what_is_deleted_leaves_no_byte_in_the_file(store, make):
    store.add_examples(make(number, output_text=f"answer {number} xylotomous " * 40) for number in range(200))
    ids = [make(number, output_text=f"answer {number} xylotomous " * 40).id for number in range(200)]
    buried(store)
    gone = store.erase("purge-1", ids, {}, receipt=dict)
    assert gone["examples"] == 200 and store.count() == 0
    assert store.compact()
    files = [path.read_bytes() for path in store.home.path.glob("samloop.db*")]
    assert files and not [data for data in files if b"xylotomous" in data]
    assert store.get_purge("latest")["state"] == "erased"


@pytest.mark.parametrize("given", ["purge-1", "purge", "latest"])
def test_a_purge_is_found_by_its_beginning(store, given):
    buried(store)
    assert store.get_purge(given)["purge_id"] == "purge-1"
