"""Everything that lasts: tables, migrations and one file per noun, joined in `Store`."""

from samloop.store.duplicates import DuplicateGroup
from samloop.store.filters import Filters
from samloop.store.ingest import Added
from samloop.store.near import NearPair
from samloop.store.store import Store

__all__ = ["Added", "DuplicateGroup", "Filters", "NearPair", "Store"]
