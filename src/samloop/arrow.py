"""Arrow, without what it loads for nothing."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from typing import Any


class _Absent:
    """Stands in front of all finders of modules and finds that there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG004
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return None


def without_pandas() -> None:
    """Have Arrow find that pandas is not there, unless it is loaded already.

    Where pandas is installed, Arrow loads it with the first list that becomes a column, to ask whether that list is
    one of its arrays: a quarter of a second in every process. Arrow asks once; whoever imports pandas later, and
    converts Arrow's tables to it, gets it as ever.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder: Any = _Absent
    sys.meta_path.insert(0, finder)
    try:
        pa.array(["asks for pandas"])
    finally:
        sys.meta_path.remove(finder)
