"""Runs with small adapters, for the tests of the registry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from samloop.home import Home
from samloop.store import Store


def write_weights(path: Path, seed: int, value: float | None = None) -> None:
    """A safetensors file by the letter of its format: header length, header, data."""
    numbers = np.random.default_rng(seed).standard_normal(64).astype("<f4")
    if value is not None:
        numbers[seed] = value
    data = numbers.tobytes()
    header = json.dumps({"a": {"dtype": "F32", "shape": [64], "data_offsets": [0, len(data)]}}).encode()
    # Padded as by the library: the data begin at a multiple of eight bytes.
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def add_run(home: Home, store: Store, run_id: str, seed: int) -> Path:
    """A completed run that made an adapter; the adapter's folder."""
    store.add_run(run_id, dataset_digest="d" * 32, backend="torch", base="pocket", revision=1, recipe={"x": 1})
    folder = home.runs / run_id / "adapter"
    folder.mkdir(parents=True)
    write_weights(folder / "adapter_model.safetensors", seed)
    (folder / "adapter_config.json").write_text("{}")
    return folder
