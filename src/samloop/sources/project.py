"""What a tree of documents belongs to: its name, what it is, and under which licence each folder stands."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from samloop.sources.documents import Document
from samloop.sources.licences import MAX_LICENCE_BYTES, is_licence_name, licence_of_files
from samloop.sources.markdown import parse
from samloop.sources.stock import is_empty, is_stock

_BEGINNING_BYTES: Final = 1 << 16

_MANIFESTS: Final = (
    ("mkdocs.yml", re.compile(r"^site_name:\s*['\"]?([^'\"\n#]+)", re.MULTILINE), "site_description"),
    ("book.toml", re.compile(r"^title\s*=\s*\"([^\"\n]+)", re.MULTILINE), "description"),
    ("pyproject.toml", re.compile(r"^\[project\][^\[]*?^name\s*=\s*[\"']([^\"'\n]+)", re.MULTILINE), "description"),
    ("Cargo.toml", re.compile(r"^\[package\][^\[]*?^name\s*=\s*\"([^\"\n]+)", re.MULTILINE), "description"),
    ("package.json", re.compile(r"^\s*\"name\"\s*:\s*\"(?:@[\w.-]+/)?([^\"\n]+)", re.MULTILINE), "description"),
)
_NO_NAMES: Final = frozenset("docs documentation website site www root monorepo workspace app web manual".split())
_SAYS: Final = re.compile(
    r"\b(?:is|are|lets|allows|provides|helps|makes|gives|turns|builds|runs|contains|explains|offers)\b"
)
_CALLS: Final = re.compile(
    r"^\W*note\b|\b(?:click|star|sponsor|follow|join|donate|please|welcome|check out)\b|[!?]", re.IGNORECASE
)
_SENTENCE: Final = re.compile(r"[^.!?]{15,240}[.!?](?=\s|$)|[^.!?]{15,160}$")


@dataclass(frozen=True, slots=True)
class Project:
    """What the documents under one root are about.

    Attributes:
        name: as its README or manifest gives it; None where none does.
        tagline: one sentence on what it is.
    """

    name: str | None
    tagline: str | None = None

    @property
    def short_name(self) -> str | None:
        """The name where it is short enough to stand in a question."""
        return self.name if self.name and len(self.name.split()) <= 2 else None

    @property
    def introduced(self) -> str | None:
        """Name and tagline in a line."""
        if not self.name or not self.tagline:
            return self.name
        return self.tagline if self.name in self.tagline else f"{self.name}: {self.tagline}"


def project_of(root: Path, name: str | None = None) -> Project:
    """The project whose documents lie under `root`: told by the README's title, else by the manifest; by those of the
    repository above where it has none. A title that is a sentence or a stock word ("Documentation") is no name.

    Args:
        name: what it is called, where that is known.
    """
    top = next((above for above in (root, *root.parents) if (above / ".git").exists()), root)
    found, tagline = name, None
    for folder in dict.fromkeys((root, top)):
        readme = _readme(folder)
        found = found or (_name_in(readme) if readme else None)
        for manifest, pattern, key in _MANIFESTS:
            if (found and tagline) or not (folder / manifest).is_file():
                continue
            text = _beginning(folder / manifest)
            named = pattern.search(text)
            if named:
                found = found or (None if named[1].lower() in _NO_NAMES else bare_name(named[1]))
                tagline = tagline or _described(text, key)
        tagline = tagline or (_first_sentence(readme) if readme else None)
        if found:
            break
    return Project(found, tagline)


def bare_name(title: str) -> str:
    """A name without what is often added to it: "ripgrep (rg)" → "ripgrep", "acme-docs" → "acme"."""
    name = re.split(r"\s+[–—|:-]\s+", re.sub(r"\s*\([^)]*\)", "", title).strip())[0].strip("`")
    return re.sub(r"[ -](?:web ?site|docs|documentation|doc|manual|readme|wiki)$", "", name, flags=re.IGNORECASE)


def _readme(folder: Path) -> Document | None:
    names = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True) if path.is_file()}
    for wanted in ("readme.md", "summary.md", "index.md", "readme.mdx", "index.mdx"):
        if wanted in names:
            document = parse(_beginning(names[wanted]))
            if _name_in(document):
                return document
    return None


def _name_in(document: Document) -> str | None:
    title = document.title
    good = (
        title
        and not title.endswith("?")
        and len(title.split()) <= 5
        and not is_empty(title)
        and not is_stock(title)
        and "{" not in title
    )
    return bare_name(title) if title and good else None


def _first_sentence(document: Document) -> str | None:
    for section in document.sections[:2]:
        for block in section.blocks[:8]:
            if block.kind in ("prose", "quote") and not block.missing:
                sentence = _SENTENCE.match(block.text.removeprefix("> ").replace("\n", " "))
                if sentence and _SAYS.search(sentence[0]) and not _CALLS.search(sentence[0]):
                    return sentence[0].strip()
    return None


def _described(text: str, key: str) -> str | None:
    found = re.search(rf"^\s*[\"']?{key}[\"']?\s*[:=]\s*[\"']?([^\"'\n]{{10,240}})", text, re.MULTILINE)
    return found[1].strip() if found else None


def _beginning(path: Path) -> str:
    try:
        return first_bytes(path, _BEGINNING_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def first_bytes(path: Path, count: int) -> bytes:
    """At most `count` bytes of a file."""
    with path.open("rb", buffering=0) as file:
        # No larger buffer than the file needs; what is written to it meanwhile is read as well.
        data = file.read(min(count, os.fstat(file.fileno()).st_size + 1))
        while len(data) < count and (more := file.read(min(count - len(data), 1 << 16))):
            data += more
    return data


@dataclass(slots=True)
class Licences:
    """The licence of each folder under `root`, looked up once: the nearest one, up to the repository's top."""

    root: Path
    _known: dict[Path, str | None] = field(default_factory=dict)

    def of(self, folder: Path) -> str | None:
        """The licence beside a document in `folder`, or the nearest one above."""
        asked, found = list[Path](), None
        for above in (folder, *folder.parents):
            if above in self._known:
                found = self._known[above]
                break
            asked.append(above)
            found, stop = self._here(above)
            if found or stop:
                break
        self._known.update(dict.fromkeys(asked, found))
        return found

    def _here(self, folder: Path) -> tuple[str | None, bool]:
        """The licence that lies in `folder`, and whether to look no further."""
        texts = {}
        try:
            for entry in sorted(os.scandir(folder), key=lambda e: e.name):
                if is_licence_name(entry.name) and entry.is_file(follow_symlinks=False):
                    texts[entry.name] = first_bytes(Path(entry.path), MAX_LICENCE_BYTES).decode("utf-8", "replace")
            stop = (folder / ".git").exists()
        except OSError:
            return None, True
        if folder == self.root and not stop:
            stop = not any((above / ".git").exists() for above in folder.parents)
        return licence_of_files(texts), stop
