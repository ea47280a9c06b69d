"""Recognise a licence by its text: the common ones, as SPDX ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MAX_LICENCE_BYTES: Final = 128 * 1024
"""The longest common licence (GPL-3.0) has 35 kB; more of a file is not read."""

_NAME: Final = re.compile(r"^(?:un)?licen[cs]e(?:\.(?:md|txt|rst|markdown))?$|^copying(?:\.(?:md|txt))?$", re.I)
_NAMED: Final = re.compile(
    r"^(?:licen[cs]e|copying)[-._](?:mit|apache(?:[-._]?2(?:\.0)?)?|bsd|isc|mpl|zlib|cc0|unlicense|boost)"
    r"(?:\.(?:md|txt))?$",
    re.I,
)
_TAG: Final = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?:\s+(?:OR|AND|WITH)\s+[A-Za-z0-9.+-]+)*)")

# Each id with phrases that all occur in its text (lower case, white space collapsed); the first match counts, so
# that a licence which contains the words of another stands before it. A text of the GNU family does not say whether
# later versions are allowed as well; "-only" claims the least.
_TEXTS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("AGPL-3.0-only", ("gnu affero general public license", "version 3, 19 november 2007")),
    ("LGPL-3.0-only", ("gnu lesser general public license", "version 3, 29 june 2007")),
    ("LGPL-2.1-only", ("gnu lesser general public license", "version 2.1, february 1999")),
    ("GPL-3.0-only", ("gnu general public license", "version 3, 29 june 2007")),
    ("GPL-2.0-only", ("gnu general public license", "version 2, june 1991")),
    ("Apache-2.0", ("apache license", "version 2.0, january 2004")),
    ("MPL-2.0", ("mozilla public license version 2.0",)),
    ("EPL-2.0", ("eclipse public license - v 2.0",)),
    ("BSL-1.0", ("boost software license - version 1.0",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("CC-BY-NC-SA-4.0", ("attribution-noncommercial-sharealike 4.0 international",)),
    ("CC-BY-NC-4.0", ("attribution-noncommercial 4.0 international",)),
    ("CC-BY-SA-4.0", ("attribution-sharealike 4.0 international",)),
    ("CC-BY-ND-4.0", ("attribution-noderivatives 4.0 international",)),
    ("CC-BY-4.0", ("attribution 4.0 international",)),
    ("Artistic-2.0", ("the artistic license 2.0",)),
    ("WTFPL", ("do what the fuck you want to public license",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("Zlib", ("this software is provided 'as-is', without any express or implied warranty", "misrepresented")),
    (
        "BSD-3-Clause",
        ("redistribution and use in source and binary forms", "neither the name", "this software is provided by"),
    ),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms", "this software is provided by")),
    (
        "MIT",
        ("permission is hereby granted, free of charge", "the above copyright notice and this permission notice"),
    ),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software", "the above copyright notice")),
    ("ISC", ("permission to use, copy, modify, and distribute this software", "the above copyright notice")),
    ("0BSD", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
)


def is_licence_name(name: str) -> bool:
    """Whether a file of that name (no folder) holds the licence of what lies beside it."""
    return bool(_NAME.match(name) or _NAMED.match(name))


def licence_of(text: str) -> str | None:
    """The SPDX id or expression of one licence text; None where it is not a common one."""
    tag = _TAG.search(text)
    if tag:
        return " ".join(tag[1].split())
    plain = " ".join(text.lower().replace("“", '"').replace("”", '"').replace("`", "'").split())
    return next((spdx for spdx, phrases in _TEXTS if all(phrase in plain for phrase in phrases)), None)


def licence_of_files(texts: Mapping[str, str]) -> str | None:
    """The SPDX expression of the licence files beside something, by file name.

    Several recognised files are the custom for a choice: "MIT OR Apache-2.0". A file that is not recognised beside
    ones that are (a COPYING that explains the choice) adds nothing.
    """
    found = {licence for name in sorted(texts) if (licence := licence_of(texts[name]))}
    return " OR ".join(sorted(found, key=str.lower)) or None
