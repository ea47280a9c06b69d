"""Which adapters a policy lets go: a pure function over what the registry lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

DAY_SECONDS: Final = 86_400.0


def to_prune(
    rows: Sequence[Mapping[str, Any]], *, keep: int, days: float, protected: Collection[str], now: float
) -> list[Mapping[str, Any]]:
    """The adapters among `rows` whose files may go, oldest first.

    An adapter stays that is protected, among the `keep` newest of its slot, or younger than `days`.

    Args:
        rows: adapters that are on disk: adapter_id, slot, created_at in Unix seconds.
        protected: ids of adapters that serve, served before, are on trial or are still in the making.
    """
    newest_first = sorted(rows, key=lambda row: (-float(row["created_at"]), str(row["adapter_id"])))
    counted: dict[str, int] = {}
    gone = []
    for row in newest_first:
        slot = str(row["slot"])
        counted[slot] = counted.get(slot, 0) + 1
        young = now - float(row["created_at"]) < days * DAY_SECONDS
        if counted[slot] > keep and not young and row["adapter_id"] not in protected:
            gone.append(row)
    return gone[::-1]
