"""Conversations that branch: which way was kept, and where the user turned away from an answer or a question.

Exports and session files hold trees, because an answer can be asked for again and a question can be edited. Nothing
here walks by recursion, so that a tree may be as deep as it likes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from samloop.example import Role

MOST_WAYS: Final = 1_000
"""Ways through one tree that are told; people make a few dozen."""


@dataclass(slots=True)
class Turn:
    """One node of a tree.

    Attributes:
        text: what was said; "" where there is nothing to say, and the node only joins what lies around it.
        at: Unix seconds; 0.0 where unknown.
        final: the answer ends here; False where it calls a tool, was stopped, or is still being written.
        stops: the user stopped the answer before; its text is no question.
        joint: what stands between this text and that of the same speaker right after it.
        facts: what the metadata of an example says of this answer.
    """

    id: str
    parent: str | None
    role: Role
    text: str = ""
    at: float = 0.0
    final: bool = True
    stops: bool = False
    joint: str = "\n\n"
    facts: Mapping[str, Any] = field(default_factory=dict)


Branch = Literal["edited", "regenerated", "orphaned", "other"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way through a tree, from its first turn to a last one.

    Attributes:
        branch: how it left the way that was kept; None for that way itself.
        instead: what stands in its place on the kept way.
        shared: turns at its beginning that another way tells.
    """

    turns: Sequence[Turn]
    branch: Branch | None = None
    instead: Turn | None = None
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Two answers to one question: the one that was kept, and one the user had made again. Both with what follows."""

    asked: Sequence[Turn]
    kept: Sequence[Turn]
    left: Sequence[Turn]


class Tree:
    """The turns of one conversation.

    Args:
        turns: in the order of the file; of several with one id the first counts.
        current: id of the turn the user saw last; None: the latest.

    Attributes:
        looped: turns that lead back to themselves, or hang on such; they are left out.
        orphaned: turns below a parent that is missing and without a question of their own; left out as well.
        uncounted: ways beyond `MOST_WAYS`, left out.
    """

    def __init__(self, turns: Iterable[Turn], current: str | None = None) -> None:
        self._nodes: dict[str, Turn] = {}
        for turn in turns:
            self._nodes.setdefault(turn.id, turn)
        self._above: dict[str, Turn | None] = {}  # the nearest turn above that says something
        self._below: dict[str | None, list[Turn]] = defaultdict(list)
        self._orphans: list[Turn] = []
        self.orphaned = self.uncounted = 0
        self._link()
        self.looped = len(self._nodes) - len(self._above)
        self._kept = self._ids_above(self._current(current))
        if self._orphans:
            self._judge_orphans()

    def _link(self) -> None:
        children: dict[str, list[Turn]] = defaultdict(list)
        starts: list[tuple[Turn, bool]] = []
        for turn in self._nodes.values():
            if turn.parent is None or turn.parent not in self._nodes:
                starts.append((turn, turn.parent is not None))
            else:
                children[turn.parent].append(turn)
        for start, orphan in starts:
            self._above[start.id] = None
            if start.text:
                (self._orphans if orphan else self._below[None]).append(start)
            level = [start]
            while level:
                following: list[Turn] = []
                for turn in level:
                    above = turn if turn.text else self._above[turn.id]
                    for child in children.get(turn.id, ()):
                        self._above[child.id] = above
                        if child.text and above is not None:
                            self._below[above.id].append(child)
                        elif child.text:
                            (self._orphans if orphan else self._below[None]).append(child)
                        following.append(child)
                level = following

    def _current(self, wanted: str | None) -> Turn | None:
        turn = self._nodes.get(wanted) if wanted is not None else None
        if turn is not None and turn.id in self._above:
            return turn if turn.text else self._above[turn.id]
        leaves = [turn for turn in self._nodes.values() if turn.text and turn.id in self._above]
        leaves = [turn for turn in leaves if not self._below.get(turn.id)]
        return max(leaves, key=lambda turn: turn.at, default=None)

    def _judge_orphans(self) -> None:
        """The parent of all may be missing: then the first turns there are stand for the beginning."""
        if not self._below[None]:
            self._below[None], self._orphans = self._orphans, []
            return
        kept: list[Turn] = []
        for orphan in self._orphans:
            if orphan.role == "user" or orphan.id in self._kept:
                kept.append(orphan)
            else:
                self.orphaned += sum(1 for _ in self._at_and_below(orphan))
        self._orphans = kept

    def _at_and_below(self, turn: Turn) -> Iterator[Turn]:
        waiting = [turn]
        while waiting:
            turn = waiting.pop()
            yield turn
            waiting += self._below.get(turn.id, ())

    def _ids_above(self, turn: Turn | None) -> set[str]:
        ids: set[str] = set()
        while turn is not None and turn.id not in ids:
            ids.add(turn.id)
            turn = self._above[turn.id]
        return ids

    def above(self, ids: Iterable[str]) -> set[str]:
        """`ids`, as far as they are in the tree, and those of all turns above them."""
        found: set[str] = set()
        for one in ids:
            turn = self._nodes.get(one)
            while turn is not None and turn.id in self._above and turn.id not in found:
                found.add(turn.id)
                turn = self._above[turn.id]
        return found

    def ids(self) -> Iterable[str]:
        """The ids of all turns."""
        return self._nodes

    def leaves(self) -> list[str]:
        """The ids of the turns that nothing follows."""
        return [i for i, turn in self._nodes.items() if turn.text and i in self._above and not self._below.get(i)]

    def ways(self) -> Iterator[Way | Choice]:
        """The kept way, then every branch: a way of its own, or, for an answer that was made again, a choice."""
        first = self._below[None]
        count = 0
        if first:
            yield Way(self._path(self._last(self._preferred(first))))
        forks: list[tuple[list[Turn], bool]] = [(first, False)]
        forks += [([orphan], True) for orphan in self._orphans]
        forks += [(below, False) for above, below in self._below.items() if above is not None]
        for below, orphan in forks:
            kept = self._preferred(below) if below else None
            for turn in below:
                if turn is kept and not orphan:
                    continue
                count += 1
                if count >= MOST_WAYS:
                    self.uncounted += 1
                    continue
                yield self._branch(turn, None if orphan or kept is None else kept)

    def _branch(self, turn: Turn, kept: Turn | None) -> Way | Choice:
        last = self._last(turn)
        if kept is None:
            return Way(self._path(last), "orphaned")
        shared = len(self._path(turn)) - 1
        above = self._above[turn.id]
        if turn.role == kept.role == "assistant" and above is not None and above.role != "assistant":
            left = self._path(last, turn)
            if all(later.role != "user" for later in left):
                return Choice(self._path(above), self._path(self._last(kept), kept), left)
            return Way(self._path(last), "regenerated", kept, shared)
        edited = turn.role == kept.role == "user"
        return Way(self._path(last), "edited" if edited else "other", kept, shared)

    def _preferred(self, turns: Sequence[Turn]) -> Turn:
        for turn in turns:
            if turn.id in self._kept:
                return turn
        return max(reversed(turns), key=lambda turn: turn.at)

    def _last(self, turn: Turn) -> Turn:
        while below := self._below.get(turn.id):
            turn = below[0] if len(below) == 1 else self._preferred(below)
        return turn

    def _path(self, last: Turn, first: Turn | None = None) -> list[Turn]:
        """The turns from `first` (the beginning by default) down to `last`."""
        path: list[Turn] = []
        turn: Turn | None = last
        while turn is not None:
            path.append(turn)
            turn = None if turn is first else self._above[turn.id]
        path.reverse()
        return path
