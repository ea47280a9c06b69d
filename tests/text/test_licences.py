"""Which licences a person's list admits: SPDX ids, expressions, and what only looks like one."""

from __future__ import annotations

import pytest

from samloop.text.licences import admits


@pytest.mark.parametrize(
    ("licence", "admitted"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("MIT OR Unlicense", "Unlicense"),
        ("MIT or Unlicense", "mit"),
        ("MIT AND BSD-3-Clause", "MIT BSD-3-Clause"),
        ("MIT OR GPL-3.0-only AND ISC", "MIT"),
        ("GPL-3.0-only AND ISC OR MIT", "MIT"),
        ("(MIT OR GPL-3.0-only) AND ISC", "MIT ISC"),
        ("(MIT OR (Zlib AND 0BSD)) AND (ISC OR X11)", "Zlib 0BSD X11"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0"),
        ("MIT OR GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only"),
        ("(MIT)", "MIT"),
        ("a licence of our own", "a licence of our own"),
    ],
)
def test_what_is_admitted(licence: str, admitted: str) -> None:
    assert admits(licence, [admitted] if licence == admitted else admitted.split())


@pytest.mark.parametrize(
    ("licence", "admitted"),
    [
        ("GPL-3.0-only", "MIT"),
        ("MIT OR Unlicense", "ISC"),
        ("MIT AND BSD-3-Clause", "MIT"),
        ("MIT AND BSD-3-Clause", "BSD-3-Clause"),
        ("MIT OR GPL-3.0-only AND ISC", "ISC"),
        ("(MIT OR GPL-3.0-only) AND ISC", "MIT"),
        ("(MIT OR GPL-3.0-only) AND ISC", "ISC"),
        ("LGPL-3.0-only", "GPL-3.0-only"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "Classpath-exception-2.0"),
        ("MIT Unlicense", "MIT Unlicense"),
        ("MIT OR", "MIT"),
        ("OR MIT", "MIT"),
        ("(MIT", "MIT"),
        ("MIT)", "MIT"),
        ("MIT WITH", "MIT"),
        ("", "MIT"),
        ("()", "MIT"),
        ("(" * 100_000 + "MIT" + ")" * 100_000, "MIT"),
        ("not a licence", "licence"),
    ],
)
def test_what_is_not(licence: str, admitted: str) -> None:
    assert not admits(licence, admitted.split())
