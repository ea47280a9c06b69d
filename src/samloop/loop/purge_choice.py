"""Which records a purge means: examples and live rows found by origin, person, conversation, text or time."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import orjson

from samloop.errors import UsageError
from samloop.example import normalise
from samloop.files import absolute
from samloop.loop.context import Context
from samloop.loop.purge_quotes import folded
from samloop.store.purge_finds import TEXTS
from samloop.text.identifiers import PERSONAL, identifier_digest, identifier_digests
from samloop.text.patterns import Placeholders, Redactor
from samloop.text.tombstones import ORIGIN, PERSON, PLACE, RECORD, lies_in, tombstone

SHORTEST_TEXT: Final = 4
"""Characters a text must have to be looked for: a shorter one stands in half of everything."""

SHORTEST_PERSON: Final = 3

LIVE: Final = ("captures", "feedback")
"""Tables that examples are made of, beside the examples themselves."""

Keys = dict[str, set[Any]]
"""Keys of rows by name of the table; those of examples under "examples"."""

_PLACEHOLDER = re.compile(r"\\\[redacted_([a-z_]+?)(?:_[0-9]+)?\\\]")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to erase; where several conditions are given, all hold at once.

    Attributes:
        source_id: where it came from: the id of a commit, message or row, or a place that holds many: a file, a
            repository (``git:NAME``, ``docs:NAME``), the path that it was collected from.
        person: an address, a number, a login or a name.
        conversation: the id of a conversation.
        text: characters that it holds, whatever their case and spacing.
        since, until: Unix seconds between which it was made, as its source tells.
    """

    source_id: str | None = None
    person: str | None = None
    conversation: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None

    @property
    def by(self) -> list[str]:
        """The names of the conditions that are given."""
        return [one.name for one in fields(self) if getattr(self, one.name) is not None]


@dataclass(slots=True)
class Chosen:
    """What a choice means.

    Attributes:
        keys: of what is to go.
        needles: strings that must not stay anywhere.
        stones: (kind, value) of what must not come back, beside the records themselves.
        persons: hashes of identifiers that must not come back.
        notes: what the person should know about how it was understood.
    """

    keys: Keys = field(default_factory=dict)
    needles: list[str] = field(default_factory=list)
    stones: set[tuple[str, str]] = field(default_factory=set)
    persons: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        """Ids of examples."""
        return self.keys.get("examples", set())

    def rows(self) -> dict[str, list[Any]]:
        """Keys of the other rows by table."""
        return {name: sorted(keys) for name, keys in sorted(self.keys.items()) if name != "examples" and keys}


def choose(context: Context, choice: Choice) -> Chosen:
    """The records that are meant, with all that was derived from them or they from it.

    Raises:
        UsageError: nothing is given to choose by, or something too short to choose by.
    """
    if not choice.by:
        raise UsageError(
            "expected something to choose by, got nothing; name --source-id, --person, --conversation, --text "
            "or --since"
        )
    chosen, found = Chosen(), list[Keys]()
    for name, search in _SEARCHES.items():
        if getattr(choice, name) is not None:
            found.append(search(context, getattr(choice, name), chosen))
    if choice.since is not None or choice.until is not None:
        found.append(_within(context, choice.since or 0.0, choice.until))
    tables = set.intersection(*({name for name, keys in one.items() if keys} for one in found))
    chosen.keys = {name: set.intersection(*(one[name] for one in found)) for name in tables}
    if len(choice.by) > 1:  # a part of a place or of what is about somebody: the rest may come again
        chosen.stones, chosen.persons, chosen.needles = set(), set(), []
    _follow(context, chosen)
    return chosen


def stones_of(context: Context, chosen: Chosen) -> Iterator[tuple[str, str]]:
    """Digest and kind of each tombstone."""
    key, store = context.home.identifier_key(), context.store
    ids = chosen.ids
    records = [*ids, *(id for name in LIVE for id in chosen.keys.get(name, ()))]
    yield from ((tombstone(key, RECORD, str(id)), RECORD) for id in records)
    yield from ((tombstone(key, kind, value), kind) for kind, value in chosen.stones)
    yield from ((digest, PERSON) for digest in chosen.persons)
    yield from ((tombstone(key, ORIGIN, origin), ORIGIN) for origin in store.origins_of(ids))


# --- one way to search each --------------------------------------------------------------------------------------


def _by_source(context: Context, given: str, chosen: Chosen) -> Keys:
    store = context.store
    places = [given]
    path = os.path.realpath(absolute(given, context.folder))
    collected = {location for _, location in store.locations() if location}
    if path in collected or given in collected:
        name = Path(given if given in collected and "://" in given else path).name
        places += [f"{kind}:{name}" for kind in ("git", "docs", "code")] + [name]
        chosen.notes.append(f"{given} was collected; all that came from a place called {name} is meant")
    ids = {one["id"] for one in store.outlines() if _lies_in_one(one, places)}
    rows = store.live_rows([given])
    chosen.stones |= {(PLACE, place) for place in places}
    return {"examples": ids, **rows}


def _lies_in_one(outline: Mapping[str, Any], places: Iterable[str]) -> bool:
    names = [outline["source_id"], outline["group_key"]]
    if '"repository"' in outline["metadata"] or '"dataset"' in outline["metadata"]:
        metadata = orjson.loads(outline["metadata"])
        names += [metadata.get("repository"), metadata.get("dataset")]
    return any(isinstance(name, str) and lies_in(name, place) for name in names for place in places)


def _by_person(context: Context, given: str, chosen: Chosen) -> Keys:
    wanted = folded(given)
    if len(wanted) < SHORTEST_PERSON:
        raise UsageError(
            f"expected at least {SHORTEST_PERSON} characters that name a person, got {len(wanted)}; give the whole "
            "name, an address, a number or a login"
        )
    digests = identifier_digests(context.home.identifier_key(), given)
    about = context.store.about(digests)
    rows = context.store.live_rows(about)
    found: Keys = {name: set(keys) for name, keys in rows.items()}
    found["examples"] = about.difference(*rows.values())
    pattern = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
    for name, keys in _holding(context, wanted, lambda text: pattern.search(text) is not None).items():
        found.setdefault(name, set()).update(keys)
    chosen.persons |= set(digests)
    chosen.needles.append(given)
    return found


def _by_conversation(context: Context, given: str, chosen: Chosen) -> Keys:
    redactor = Redactor(context.recipe.curate.redact.names)
    names = {given, normalise(given), redactor.redact(normalise(given), Placeholders())}
    ends = tuple(f":{name}" for name in names)
    ids, groups = set(), set()
    for one in context.store.outlines():
        group = one["group_key"] or ""
        if group in names or group.endswith(ends):
            ids.add(one["id"])
            groups.add(group)
    rows: Keys = {}
    for table in LIVE:
        key = TEXTS[table][1]
        rows[table] = {row[key] for row in context.store.rows_of(table) if row["conversation_id"] in names}
    groups |= {f"conversation:{name}" for name in names} if any(rows.values()) else set()
    chosen.stones |= {(PLACE, group) for group in groups}
    return {"examples": ids, **rows}


def _by_text(context: Context, given: str, chosen: Chosen) -> Keys:
    wanted = folded(given)
    if len(wanted) < SHORTEST_TEXT:
        count = len(_holding(context, wanted, lambda text: wanted in text).get("examples", ())) if wanted else 0
        raise UsageError(
            f"expected a text of at least {SHORTEST_TEXT} characters, got {len(wanted)}, which stand in {count:,} of "
            f"{context.store.count():,} examples; give more of it"
        )
    found = _holding(context, wanted, lambda text: wanted in text)
    for name, keys in _as_redacted(context, given).items():
        found.setdefault(name, set()).update(keys)
    chosen.needles.append(given)
    return found


def _as_redacted(context: Context, given: str) -> Keys:
    """What holds the text as it is after redaction, and was about the same people."""
    placeholders = Placeholders()
    redacted = Redactor(context.recipe.curate.redact.names).redact(normalise(given), placeholders)
    if not placeholders.counts:
        return {}
    key = context.home.identifier_key()
    people = [identifier_digest(key, *one) for one in placeholders.values if one[0] in PERSONAL]
    about: set[Any] = context.store.about(people)
    pattern = re.compile(_PLACEHOLDER.sub(r"\\[redacted_\1(?:_[0-9]+)?\\]", re.escape(folded(redacted))))
    rest = folded(re.sub(r"\[REDACTED_[A-Z_0-9]+\]", " ", redacted))
    if len(rest) < SHORTEST_TEXT:  # nothing but somebody's address: whoever it was taken out of
        rows = context.store.live_rows(about)
        return {"examples": about.difference(*rows.values()), **rows}
    found = _holding(context, rest, lambda text: pattern.search(text) is not None)
    return {name: keys & about if people else keys for name, keys in found.items() if name in ("examples", *LIVE)}


def _within(context: Context, since: float, until: float | None) -> Keys:
    end = float("inf") if until is None else until
    found: Keys = {"examples": {one["id"] for one in context.store.outlines() if since <= one["created_at"] < end}}
    for table in LIVE:
        key = TEXTS[table][1]
        found[table] = {row[key] for row in context.store.rows_of(table) if since <= row["created_at"] < end}
    return found


_SEARCHES: Final[dict[str, Callable[[Context, str, Chosen], Keys]]] = {
    "source_id": _by_source,
    "person": _by_person,
    "conversation": _by_conversation,
    "text": _by_text,
}


def _holding(context: Context, wanted: str, holds: Callable[[str], bool]) -> Keys:
    """The keys of all rows whose texts hold something.

    Args:
        wanted: what has to stand in them: its longest word is looked for first, which is fast.
        holds: whether a text in `folded` form holds it.
    """
    word = max(_WORD.findall(wanted), key=len, default="")
    found: Keys = {}
    for table in TEXTS:
        for key, text in context.store.texts_of(table):
            if word in text.casefold() and holds(folded(_unescaped(text))):
                found.setdefault(table, set()).add(key)
    return found


def _unescaped(text: str) -> str:
    """What stands in JSON text as an escape, as it was; near enough to look for words in it."""
    if "\\" not in text:
        return text
    return text.replace("\\n", " ").replace("\\t", " ").replace('\\"', '"').replace("\\\\", "\\")


def _follow(context: Context, chosen: Chosen) -> None:
    """Add what was derived from what is chosen, and what that was made of, until nothing more is found."""
    store, keys = context.store, chosen.keys
    ids = keys.setdefault("examples", set())
    fresh, seen_rows = set(ids), set[str]()
    while True:
        rows = {id for table in LIVE for id in keys.get(table, ())} - seen_rows
        fresh |= store.made_of_rows(rows) - ids if rows else set()
        seen_rows |= rows
        ids |= fresh
        if not fresh:
            return
        made_of = {(one["source_id"] or "").partition("#")[0] for one in store.outlines(fresh)} - {""}
        for table, found in store.live_rows(made_of).items():
            keys.setdefault(table, set()).update(found)
        fresh = store.related(fresh) - ids
        if not fresh and not {id for table in LIVE for id in keys.get(table, ())} - seen_rows:
            return
