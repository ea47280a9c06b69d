"""Files of a run as plain bytes by relative path, for the way between machines that share no disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from samloop.files import private_folder, whole_folder, write_atomic

Freight = Mapping[str, bytes]


def packed(path: Path, root: Path) -> dict[str, bytes]:
    """The file at `path`, or all files in the folder at `path`, by their paths under `root`.

    Nothing where there is nothing. Hidden files are left out: they are being written.
    """
    found = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in found
        if file.is_file() and not file.name.startswith(".")
    }


def unpack(freight: Freight, root: Path) -> None:
    """Write the files of `packed` under `root`."""
    for name, data in freight.items():
        path = root / name
        private_folder(path.parent)
        write_atomic(path, data)


def unpack_whole(freight: Freight, name: str, root: Path) -> None:
    """Write what was packed of the file or folder `name` under `root`: it appears whole, or not at all."""
    if name in freight:
        unpack(freight, root)
        return
    with whole_folder(root / name) as beside:
        unpack({str(Path(file).relative_to(name)): data for file, data in freight.items()}, beside)
