"""Arrow does not load pandas for nothing, and still works with it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import samloop.curate.measure
import pyarrow as pa
pa.array(["a list becomes a column"])
assert "pandas" not in sys.modules
try:
    import pandas
except ModuleNotFoundError:
    raise SystemExit
assert pa.table({"a": [1]}).to_pandas()["a"].tolist() == [1]
assert pa.array(pandas.Series([1, 2])).to_pylist() == [1, 2]
"""


def test_pandas_is_loaded_only_by_who_asks_for_it() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
