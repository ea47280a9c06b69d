"""Which split an example belongs to: decided by a hash, so that it never changes.

The side of an example hangs on its group (conversation, document, wording …) alone, not on what else is in the store.
Examples that ask the same, though in different groups, form a cluster; the first of them, in the store's order,
decides the cluster's side, and a later one whose group lies on another side would leak: it is left out. The same
holds for near-duplicates: each goes where the earlier example lies that it resembles, and one that links two sides
is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import xxhash

Split = Literal["train", "valid", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "valid", "test")


def side_of(key: str, *, valid_share: float, test_share: float, seed: int = 0) -> Split:
    """The split of everything that carries `key`: test from the low end of the hash, then valid, else train."""
    position = xxhash.xxh3_64_intdigest(key.encode(), seed=seed) / 2**64
    if position < test_share:
        return "test"
    return "valid" if position < test_share + valid_share else "train"


@dataclass(slots=True)
class Splitter:
    """Assigns splits in the store's order and remembers which clusters lie where.

    Attributes:
        valid_share, test_share: expected shares of groups.
        seed: another seed gives another split of everything.
    """

    valid_share: float
    test_share: float
    seed: int = 0
    _clusters: dict[str, Split] = field(default_factory=dict)

    def assign(self, group_key: str | None, cluster_key: str, near: Sequence[str] = ()) -> Split | None:
        """The split of an example, or None if it straddles: its cluster already lies on another side.

        Args:
            near: keys of the clusters of earlier near-duplicates: what the side of the first example of each hangs
                on. Without a group of its own, the example goes where the first of them lies.
        """
        side = self._side(group_key or (near[0] if near else cluster_key))
        if any(self._side(key) != side for key in near):
            return None
        return side if self._clusters.setdefault(cluster_key, side) == side else None

    def _side(self, key: str) -> Split:
        return side_of(key, valid_share=self.valid_share, test_share=self.test_share, seed=self.seed)
