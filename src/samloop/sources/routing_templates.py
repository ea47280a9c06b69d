"""Task templates of the routing source: wordings with slots, and what can stand in the slots.

The texts lie in routing_templates.toml. A wording or a filling is held out, or not, by a hash of its own text, so
that adding a line never moves another one from training to the test or back.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import xxhash

HELD_OUT_PERCENT: Final = 22
"""Share of wordings, and of each slot's fillings, that no example ever shows. With 90 wordings per label about 20
are held out: enough that an accuracy over them does not hang on one sentence."""

MISHAP_PERCENT: Final = 25
"""Share of tasks typed carelessly: all lower case and without the final full stop or question mark."""

_SALT: Final = "894"
"""Chosen once so that every label holds out 19 to 23 wordings and every slot at least 2 fillings; see the test."""

_SLOT = re.compile(r"\{([a-z]+)(\d?)\}")
_TRIES: Final = 400


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to put a task: a text with slots such as ``{file}``; ``{city2}`` is a second, different city."""

    label: str
    text: str
    held_out: bool

    @property
    def id(self) -> str:
        """The label and eight hex digits of the text's hash."""
        return f"{self.label}-{_hash('wording', self.text):016x}"[: len(self.label) + 9]

    @property
    def group_key(self) -> str:
        """What the split keeps together: all tasks of one wording."""
        return f"routing:{self.id}"

    def tasks(self, seed: int, *, unseen_fillings: bool) -> Iterator[str]:
        """Different tasks in this wording, deterministic in `seed`, until the fillings run out.

        Args:
            seed: of the pseudo-random order.
            unseen_fillings: fill every slot from the held-out fillings, else from the others only.
        """
        chance = random.Random(f"{seed}:{self.text}")  # noqa: S311  an order, not a secret
        seen: set[str] = set()
        for _ in range(_TRIES if _SLOT.search(self.text) else 1):
            task = self._filled(chance, unseen_fillings)
            if chance.randrange(100) < MISHAP_PERCENT:
                task = task.lower().rstrip(".?")
            plain = task.casefold().rstrip(" .?!:;")
            if plain not in seen:
                seen.add(plain)
                yield task

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots, in order of appearance."""
        return tuple(match[1] for match in _SLOT.finditer(self.text))

    def _filled(self, chance: random.Random, unseen: bool) -> str:
        values: dict[str, str] = {}
        for match in _SLOT.finditer(self.text):
            if match[0] not in values:
                taken = {values[key] for key in values if key.startswith("{" + match[1])}
                pool = [text for text in fillings(match[1], held_out=unseen) if text not in taken]
                values[match[0]] = chance.choice(pool)
        return _SLOT.sub(lambda match: values[match[0]], self.text)


def wordings(label: str, *, held_out: bool) -> list[Wording]:
    """The wordings of `label`, either the held-out ones or the others; none for a label samloop has no texts for."""
    texts: Sequence[str] = _data()["wordings"].get(label, ())
    every = [Wording(label, text, _is_held_out("wording", text)) for text in texts]
    return [wording for wording in every if wording.held_out == held_out]


@cache
def fillings(slot: str, *, held_out: bool) -> tuple[str, ...]:
    """What can stand in `slot`: the held-out part or the rest."""
    return tuple(text for text in _data()["slots"][slot] if _is_held_out(slot, text) == held_out)


def slots() -> list[str]:
    """The names of all slots."""
    return list(_data()["slots"])


@cache
def digest() -> str:
    """16 hex digits that change with any wording, filling or held-out share."""
    hasher = xxhash.xxh3_64(_raw())
    hasher.update(f"{_SALT}:{HELD_OUT_PERCENT}:{MISHAP_PERCENT}".encode())
    return hasher.hexdigest()


@cache
def _raw() -> bytes:
    return files("samloop.sources").joinpath("routing_templates.toml").read_bytes()


@cache
def _data() -> Mapping[str, Mapping[str, Sequence[str]]]:
    return tomllib.loads(_raw().decode("utf-8"))


def _is_held_out(kind: str, text: str) -> bool:
    return _hash(kind, text) % 100 < HELD_OUT_PERCENT


def _hash(kind: str, text: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{_SALT}\x1f{kind}\x1f{text}".encode())
