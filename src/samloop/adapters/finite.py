"""Whether an adapter's weights are numbers: one NaN in them makes every answer nonsense."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from samloop.adapters.tensors import FLOATS, read_tensors
from samloop.errors import ModelError


def not_finite(folder: Path) -> list[str]:
    """A sentence for each file of weights that holds NaN or infinity, or cannot be read; none: all is well."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            tensors = read_tensors(path)
        except (ModelError, OSError) as error:
            found.append(str(error))
            continue
        for name, tensor in tensors.items():
            if tensor.kind in FLOATS and tensor.end > tensor.begin and not np.isfinite(tensor.floats()).all():
                found.append(f"{path.name} holds NaN or infinity in {name}")
                break
    return found
