"""Which file's code a file of tests is about, by its name and by what it imports."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

MOST_PARTNERS: Final = 4
_MARKS: Final = re.compile(r"^(?:tests?[_-])|(?:[_.-](?:tests?|specs?)|Tests?|Specs?)$")
_MAY_BE: Final = re.compile(r"tests?[_./-]|specs?[_./-]|tests__|Tests?\.|Specs?\.")
_PYTHON: Final = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import\s+\(?([\w\s,]+)|import\s+([\w.]+))", re.MULTILINE)
_SCRIPT: Final = re.compile(
    r"(?:\bfrom\s+|\brequire\(\s*|\bimport\(\s*|^import\s+)['\"](\.[^'\"]+)['\"]", re.MULTILINE
)
_SCRIPT_SUFFIXES: Final = (".js", ".ts", ".tsx", ".jsx", ".mjs", ".cjs", ".vue")


class Index:
    """The code files of a tree by their names."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        for path in paths:
            self._by_name.setdefault(path.rpartition("/")[2], []).append(path)

    def by_name(self, test: str) -> str | None:
        """The file that a test file is named after: "tests/test_dates.py" → "dates.py", the nearest one."""
        if not _MAY_BE.search(test):
            return None
        pure = PurePosixPath(test)
        stem = _MARKS.sub("", pure.stem)
        if not stem or (stem == pure.stem and "__tests__" not in test):
            return None
        suffixes = _SCRIPT_SUFFIXES if pure.suffix in _SCRIPT_SUFFIXES else (pure.suffix,)
        found = [path for suffix in suffixes for path in self._by_name.get(stem + suffix, ())]
        found = [path for path in found if path != test]
        near = pure.parent.parts
        return min(found, key=lambda path: (-_common(near, PurePosixPath(path).parent.parts), path), default=None)

    def partners(self, test: str, text: str) -> list[str]:
        """The files that a test file is about, the surest first."""
        named = self.by_name(test)
        found = [named] if named else []
        imported = self._python(text) if test.endswith(".py") else self._script(test, text)
        found += [path for path in imported if path != test]
        return list(dict.fromkeys(found))[:MOST_PARTNERS]

    def _python(self, text: str) -> list[str]:
        found = []
        for module, names, whole in _PYTHON.findall(text):
            base = (module or whole).strip(".").replace(".", "/")
            found += self._ending(f"{base}.py")
            found += [
                path for name in re.findall(r"\w+", names) for path in self._ending(f"{base}/{name}.py".lstrip("/"))
            ]
        return found

    def _ending(self, ending: str) -> list[str]:
        """The files whose path ends so, if that is one only."""
        name = ending.rpartition("/")[2]
        found = [path for path in self._by_name.get(name, ()) if path == ending or path.endswith("/" + ending)]
        return found if len(found) == 1 else []

    def _script(self, test: str, text: str) -> list[str]:
        found = []
        for target in _SCRIPT.findall(text):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(test), target))
            plain = path.removesuffix(".js")
            tries = [path, *(plain + suffix for suffix in _SCRIPT_SUFFIXES)]
            tries += [f"{path}/index{suffix}" for suffix in _SCRIPT_SUFFIXES]
            found += [each for each in tries if each in self._by_name.get(each.rpartition("/")[2], ())][:1]
        return found


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many folders two paths share, from the root on or by name further below."""
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    return 2 * shared + len(set(one[shared:]) & set(other[shared:]))
