"""The licence of a data file as an SPDX id, from what lies beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

LONGEST_FILE: Final = 256 * 1024
"""Bytes of a licence or README that are looked at."""

_SPDX: Final = {
    name.lower(): name
    for name in (
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Unlicense",
        "CC0-1.0",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-SA-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-NC-3.0",
        "CC-BY-NC-SA-4.0",
        "CC-BY-NC-SA-3.0",
        "CC-BY-NC-ND-4.0",
        "CC-BY-ND-4.0",
        "GPL-2.0-only",
        "GPL-3.0-only",
        "LGPL-3.0-only",
        "AGPL-3.0-only",
        "MPL-2.0",
        "ODC-By-1.0",
        "ODbL-1.0",
        "PDDL-1.0",
    )
}
_ALIASES: Final = {
    "apache 2.0": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "mit license": "MIT",
    "bsd": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "gpl-3.0": "GPL-3.0-only",
    "gpl-2.0": "GPL-2.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
}
_TEXTS: Final = (
    ("Apache-2.0", r"Apache License\s+Version 2\.0"),
    ("MIT", r"Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("CC-BY-NC-SA-4.0", r"Attribution-NonCommercial-ShareAlike 4\.0 International"),
    ("CC-BY-NC-ND-4.0", r"Attribution-NonCommercial-NoDerivatives 4\.0 International"),
    ("CC-BY-NC-4.0", r"Attribution-NonCommercial 4\.0 International"),
    ("CC-BY-SA-4.0", r"Attribution-ShareAlike 4\.0 International"),
    ("CC-BY-4.0", r"Attribution 4\.0 International"),
    ("CC-BY-SA-3.0", r"Attribution-ShareAlike 3\.0"),
    ("CC0-1.0", r"CC0 1\.0 Universal"),
    ("AGPL-3.0-only", r"GNU AFFERO GENERAL PUBLIC LICENSE\s+Version 3"),
    ("LGPL-3.0-only", r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-3.0-only", r"GNU GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-2.0-only", r"GNU GENERAL PUBLIC LICENSE\s+Version 2"),
    ("MPL-2.0", r"Mozilla Public License,?\s+[Vv]ersion 2\.0"),
    ("BSD-3-Clause", r"Redistribution and use in source and binary forms[\s\S]+Neither the name of"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("ODC-By-1.0", r"Open Data Commons Attribution License"),
    ("Unlicense", r"This is free and unencumbered software released into the public domain"),
)
_TAG = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?: (?:OR|AND|WITH) [A-Za-z0-9.+-]+)*)")
_CARD = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---", re.DOTALL)
_CARD_LICENCE = re.compile(r"^licen[cs]e:[ \t]*([^\n#]*(?:\n[ \t]*-[ \t]*[^\n#]+)*)", re.MULTILINE)
_CARD_NAME = re.compile(r"^licen[cs]e_name:[ \t]*([^\n#]+)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
_NO_LICENCE: Final = frozenset({"other", "unknown", "none", "n", "a", "null"})


def spdx_of(value: Any) -> str | None:
    """`value` as an SPDX id, where it is the name of a licence."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not 2 <= len(value) <= 100 or "\n" in value:
        return None
    name = value.strip()
    known = _SPDX.get(name.lower()) or _ALIASES.get(name.lower())
    return known or (name if re.fullmatch(r"[A-Za-z][A-Za-z0-9.+-]*-[0-9.]+(-[A-Za-z-]+)?", name) else None)


def licence_of(path: Path, top: Path | None = None) -> str | None:
    """The licence of the data file at `path`: its own sidecar (FILE.license), the dataset card (the front matter of
    README.md) or the licence text in its folder or one above. None where there is none, or none that is known.

    Args:
        top: the uppermost folder that belongs to the data; by default, that of the file, or the one above ``data``.
    """
    for name in (f"{path.name}.license", f"{path.name}.licence", f"{path.name}.LICENSE", f"{path.stem}.LICENSE"):
        text = _text(path.with_name(name))
        if text and (found := licence_in(text)):
            return found
    folders = [path.parent]
    if top is not None and top in path.parent.parents:
        folders += path.parent.parents[: len(path.parent.parts) - len(top.parts)]
    elif top in (None, path.parent) and path.parent.name == "data":
        folders.append(path.parent.parent)
    for folder in folders:
        for name in ("README.md", "README", "dataset_card.md"):
            card = _CARD.match(_text(folder / name))
            if card and (stated := _CARD_LICENCE.search(card[1])):
                return _stated(stated[1], card[1])
        for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING"):
            text = _text(folder / name)
            if text and (found := licence_in(text)):
                return found
    return None


def _stated(names: str, card: str) -> str | None:
    """What a card states, as an SPDX expression; several licences hold all at once, unless somebody says otherwise.

    A licence that SPDX does not know ("llama3") keeps its name, as SPDX has it: ``LicenseRef-llama3``.
    """
    words = _WORD.findall(names)
    if words == ["other"] and (named := _CARD_NAME.search(card)):
        name = "-".join(_WORD.findall(named[1]))
        return _SPDX.get(name.lower()) or f"LicenseRef-{name}"
    stated = [word for word in words if word.lower() not in _NO_LICENCE]
    known = [spdx_of(word) or f"LicenseRef-{word.replace('_', '-')}" for word in stated]
    return " AND ".join(dict.fromkeys(known)) or None


def licence_in(text: str) -> str | None:
    """The licence that `text` names by an SPDX tag, or is."""
    if tag := _TAG.search(text):
        return tag[1]
    if named := spdx_of(text.strip()):
        return named
    return next((name for name, pattern in _TEXTS if re.search(pattern, text)), None)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_FILE).decode("utf-8", "replace")
    except OSError:
        return ""
