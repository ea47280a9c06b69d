"""What a repository says of its own files in ``.gitattributes``: which a program made, and which are of others.

Only `linguist-generated` and `linguist-vendored` are looked at, by which forges hide such files as well. Patterns are
those of gitattributes(5), and are as cheap to match as they are long, whatever a foreign repository writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from samloop.errors import SourceError
from samloop.files import readable
from samloop.sources.git_program import Repository

NAME: Final = ".gitattributes"
MAX_FILE_BYTES: Final = 64 * 1024
MAX_FILES: Final = 200
"""More files of attributes than that are those of a test suite."""

_LOOKED_AT: Final = ("linguist-generated", "linguist-vendored")
_SAYS: Final = re.compile(rf"([-!]?)({'|'.join(_LOOKED_AT)})(?:=(\w+))?")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_MAX_PATTERN: Final = 300
_MAX_DEEP: Final = 2
"""A pattern with more of ``**`` could take long to fail, and nobody writes one."""

_TOKEN: Final = re.compile(r"\\(.)|\[([!^]?)(\]?[^\]/]*)\]|(\?)|(.)", re.DOTALL)


@dataclass(slots=True)
class Attributes:
    """The attributes of one tree; files nearer to what they speak of are to be added later, as git reads them."""

    _rules: list[tuple[str, bool, re.Pattern[str], dict[str, bool]]] = field(default_factory=list)

    def add(self, folder: str, text: str) -> None:
        """Take what the file of attributes in `folder` says; the top folder is ""."""
        for line in text.split("\n"):
            if "linguist-" in line and (rule := _rule(line.strip())):
                self._rules.append((f"{folder}/" if folder else "", *rule))

    def leave_out(self, path: str) -> bool:
        """Whether the file at `path` is said to be generated, or of others."""
        said: dict[str, bool] = {}
        for folder, whole, pattern, values in self._rules:
            if path.startswith(folder):
                below = path[len(folder) :]
                if pattern.fullmatch(below if whole else below.rpartition("/")[2]):
                    said.update(values)
        return any(said.values())


def attributes_at(repository: Repository, commit: str) -> Attributes:
    """The attributes that the files of a commit have; none where they cannot be read."""
    found: list[tuple[str, str]] = []
    try:
        with repository.stream("ls-tree", "-r", "-z", commit) as out:
            for line in _between_nul(out.read):
                meta, _, raw = line.partition(b"\t")
                if raw.rpartition(b"/")[2] == NAME.encode() and meta.startswith(b"100") and len(found) < MAX_FILES:
                    found.append((readable(os.fsdecode(raw)), meta.split()[2].decode()))
        attributes = Attributes()
        for path, blob in sorted(found, key=lambda one: one[0].count("/")):
            text = repository.output("cat-file", "blob", blob, limit_bytes=MAX_FILE_BYTES)
            attributes.add(path.rpartition("/")[0], text.decode("utf-8", "replace"))
    except SourceError:
        return Attributes()
    return attributes


def _between_nul(read: Callable[[int], bytes]) -> Iterator[bytes]:
    left = b""
    while chunk := read(1 << 16):
        *whole, left = (left + chunk).split(b"\0")
        yield from whole


def _rule(line: str) -> tuple[bool, re.Pattern[str], dict[str, bool]] | None:
    """Whether a line is about whole paths or names, what it matches, and what it says; None for any other line."""
    if line.startswith(("#", "[attr]", "!")):
        return None
    quoted = _QUOTED.match(line)
    given, rest = (quoted[1], line[quoted.end() :]) if quoted else [*line.split(None, 1), ""][:2]
    values: dict[str, bool] = {}
    for word in rest.split():
        if said := _SAYS.fullmatch(word):
            values[said[2]] = not said[1] and (said[3] or "true").lower() not in ("false", "0", "no")
    if not values or given.endswith("/") or len(given) > _MAX_PATTERN:
        return None
    parts = given.removeprefix("/").split("/")
    if parts.count("**") > _MAX_DEEP:
        return None
    try:
        return "/" in given, re.compile(_regex(parts), re.DOTALL), values
    except re.error:
        return None


def _regex(parts: list[str]) -> str:
    text = ""
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if part == "**":
            text += ".+" if last else "(?:[^/]+/)*"
        else:
            text += _of_name(part) + ("" if last else "/")
    return text


def _of_name(part: str) -> str:
    """One name of a path. What stands between two stars is taken where it is found first, for good."""
    first, *others = re.split(r"(?<!\\)\*+", part)
    text = _plain(first)
    for at, other in enumerate(others):
        text += f"[^/]*{_plain(other)}" if at == len(others) - 1 else f"(?>[^/]*?{_plain(other)})"
    return text


def _plain(text: str) -> str:
    def written(token: re.Match[str]) -> str:
        escaped, negated, members, one, other = token.groups()
        if members is not None:
            inside = re.sub(r"([\\\]\[^&~|])", r"\\\1", members)
            return f"[{'^/' if negated else ''}{inside}]"
        return "[^/]" if one else re.escape(escaped or other)

    return _TOKEN.sub(written, text)
