"""Examples from Markdown documents: what a reader could ask → what the document answers.

One document at a time; a `Mark` holds size, time and digest of each file read so far, so that the next call reads
only what has changed since.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.errors import SourceError
from samloop.example import Example, normalise
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources.answers import Pair, answer_of, asked_in_bold, definitions, explained_code, is_thin
from samloop.sources.licences import MAX_LICENCE_BYTES, is_licence_name, licence_of_files
from samloop.sources.markdown import Document, Section, parse
from samloop.sources.questions import is_empty, is_stock, question

SOURCE: Final = "knowledge"
SUFFIXES: Final = (".md", ".markdown", ".mdown", ".mkd", ".mdx")
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""Larger Markdown files are generated; hand-written ones stay under half a megabyte."""

MARK_FILES: Final = 200
"""Files between two Marks: a Mark holds all files, so that one per file would cost the square of their number."""

MIN_ENGLISH_SHARE: Final = 0.18
"""Share of function words above which a text is English: 0.3 to 0.5 in English prose, below 0.08 in other languages
written in Latin letters; documentation full of names lies between."""

_SKIPPED_FOLDERS: Final = frozenset(
    "node_modules bower_components vendor third_party site-packages __pycache__ venv env target dist build "
    "blog blogs _posts "
    "news".split()
)
_NOT_PROSE: Final = re.compile(
    r"^(?:change(?:s|log|_log|-log)?|history|news|releases?|release[-_]?notes|licen[cs]e.*|copying|notice"
    r"|authors|contributors"
    r"|maintainers|codeowners|code[-_]of[-_]conduct|backers|sponsors|summary|_?sidebar|_?navbar|toc"
    r"|pull_request_template"
    r"|issue_template|bug_report|feature_request|copyright|third[-_]party.*|acknowledge?ments|credits"
    r"|governance|todo)$",
    re.IGNORECASE,
)
_FUNCTION_WORDS: Final = frozenset(
    "the of and to a in is that it for on as with are this be by or from you can an not your if at when we "
    "which have will "
    "but has all use do into how its then more so no than also these them".split()
)
_NAMES: Final = frozenset(
    "Android Apache Apple Arch Azure Babel Bash Chrome Cargo Clang Cloudflare Debian Django Docker Edge "
    "Elixir English "
    "Erlang Express Fedora Firefox Flask Git Go Google Gradle Haskell Heroku Homebrew Intel Java Julia "
    "Jupyter Kotlin "
    "Kubernetes Linux Lua Markdown Microsoft Mozilla Netlify Nginx Nix Node Perl Poetry Postgres Prometheus "
    "Python React "
    "Redis Ruby Rust Safari Scala Slack Svelte Swift Terraform Ubuntu Unicode Unix Vercel Vim Vue Webpack Windows "
    "I I’m I’ve".split()
)
_FENCED: Final = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]*`|<[^>\n]*>|https?://\S+", re.DOTALL)


@source(SOURCE, needs_location=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    max_answer_characters: int = 1600,
    subject: str | None = None,
) -> Iterator[Record]:
    """Yield question and answer pairs from the Markdown under `location`, a Reject for what teaches nothing.

    Args:
        location: a folder (hidden, vendored and generated folders in it are left out, links are not followed) or one
            file.
        since: the value of the last Mark, or None.
        max_answer_characters: an answer ends at the last block's end before this. The default lets question and
            answer fit into the 512 tokens of the smallest preset, at about four characters of prose a token.
        subject: what the documents are about ("ripgrep"); by default the title of the folder's README or index.

    Raises:
        SourceError: the location does not exist or is neither a folder nor a Markdown file.
    """
    root, paths = _found(location)
    known = dict(since.get("files", {})) if since else {}
    done: dict[str, list[Any]] = {}
    tree = _Tree(root, subject if subject is not None else _subject(root), max_answer_characters)
    for count, path in enumerate(paths, 1):
        if isinstance(path, Reject):
            yield path
            continue
        relative = readable(path.relative_to(root).as_posix())
        yield from tree.file(path, relative, known.get(relative), done)
        if count % MARK_FILES == 0:
            yield Mark({"files": {**known, **done}})
    yield Mark({"files": done})


def _found(location: str) -> tuple[Path, Iterator[Path | Reject]]:
    try:
        path = Path(location).expanduser().absolute()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError):
        raise SourceError("expected the path of a folder or Markdown file, got one that cannot be a path") from None
    if is_folder:
        if not os.access(path, os.R_OK | os.X_OK):
            raise SourceError(f"the folder {location} cannot be read; check its permissions")
        return path, _walk(path)
    if not is_file:
        raise SourceError(f"expected a folder or Markdown file at {location}, found nothing; correct the path")
    if path.suffix.lower() not in SUFFIXES:
        raise SourceError(
            f"expected a Markdown file ({', '.join(SUFFIXES)}) at {location}, got '{path.suffix}'; "
            "name a Markdown file or a folder with some"
        )
    return path.parent, iter((path,))


def _walk(folder: Path) -> Iterator[Path | Reject]:
    """Markdown files in and below `folder` in a fixed order; a folder that cannot be listed is a Reject."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_dir(follow_symlinks=False), entry.name))
    except OSError as error:
        yield Reject(readable(folder), "folder cannot be read", error.strerror or "")
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name.lower() not in _SKIPPED_FOLDERS:
                yield from _walk(Path(entry.path))
        elif entry.is_file() and entry.name.lower().endswith(SUFFIXES):
            yield Path(entry.path)


_MANIFESTS: Final = (
    ("mkdocs.yml", re.compile(r"^site_name:\s*['\"]?([^'\"\n#]+)", re.MULTILINE)),
    ("book.toml", re.compile(r"^title\s*=\s*\"([^\"\n]+)", re.MULTILINE)),
    ("pyproject.toml", re.compile(r"^\[project\][^\[]*?^name\s*=\s*[\"']([^\"'\n]+)", re.MULTILINE)),
    ("Cargo.toml", re.compile(r"^\[package\][^\[]*?^name\s*=\s*\"([^\"\n]+)", re.MULTILINE)),
    ("package.json", re.compile(r"^\s*\"name\"\s*:\s*\"(?:@[\w.-]+/)?([^\"\n]+)", re.MULTILINE)),
)


def _subject(root: Path) -> str | None:
    """What a tree is about: its README's title, else its manifest's name; of the repository above where it has none.

    A title that is a sentence or a stock word ("Documentation") is no name.
    """
    top = next((above for above in (root, *root.parents) if (above / ".git").exists()), root)
    for folder in dict.fromkeys((root, top)):
        names = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True) if path.is_file()}
        for wanted in ("readme.md", "summary.md", "index.md"):
            title = parse(_beginning(names[wanted])).title if wanted in names else None
            if title and len(title.split()) <= 5 and not is_empty(title) and not is_stock(title):
                return _bare(title)
        for manifest, pattern in _MANIFESTS:
            found = pattern.search(_beginning(folder / manifest)) if (folder / manifest).is_file() else None
            if found:
                return _bare(found[1])
    return None


def _bare(title: str) -> str:
    """A name without what is often added to it: "ripgrep (rg)" → "ripgrep", "acme-docs" → "acme"."""
    name = re.split(r"\s+[–—|:-]\s+", re.sub(r"\s*\([^)]*\)", "", title).strip())[0].strip("`")
    return re.sub(r"[ -](?:web ?site|docs|documentation|doc|manual|readme|wiki)$", "", name, flags=re.IGNORECASE)


def _beginning(path: Path) -> str:
    try:
        return _first_bytes(path, 1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


@dataclass(slots=True)
class _Tree:
    """The documents under one root."""

    root: Path
    subject: str | None
    max_answer_characters: int

    def file(
        self, path: Path, relative: str, before: list[Any] | None, done: dict[str, list[Any]]
    ) -> Iterator[Record]:
        """The records of one file, none where it is as it was; `done` gets what is now known of it."""
        try:
            status = path.stat()
            if before is not None and before[:2] == [status.st_size, status.st_mtime_ns]:
                done[relative] = before
                return
            data = _first_bytes(path, MAX_FILE_BYTES + 1)
        except OSError as error:
            yield Reject(readable(path), "file cannot be read", error.strerror or "")
            return
        digest = xxhash.xxh3_64_hexdigest(data)
        done[relative] = [status.st_size, status.st_mtime_ns, digest]
        if before is not None and before[2] == digest:
            return
        reason, text = _readable(path, data)
        if reason is None:
            document = parse(text)
            document.is_top_readme = path.parent == self.root and path.stem.lower() == "readme"
            yield from self._document(document, path, relative, status.st_mtime)
        else:
            yield Reject(readable(path), reason, f"{status.st_size} bytes")

    def _document(self, document: Document, path: Path, relative: str, modified: float) -> Iterator[Record]:
        licence = _licence(path.parent, self.root)
        lower = sentence_case(document)
        for section in document.sections:
            reason, pairs = self._pairs(document, section, lower)
            if reason is not None and (section.level or section.blocks):
                yield Reject(readable(path), reason, line=section.line, id=f"{relative}#{section.anchor}")
            for pair in pairs:
                yield Example(
                    source=SOURCE,
                    format="instruction",
                    input_text=normalise(pair.question),
                    output_text=normalise(pair.answer),
                    context=self._context(document, section, pair.question),
                    metadata={"path": relative, "headings": list(section.path), "part": pair.part or "section"},
                    created_at=modified,
                    updated_at=modified,
                    source_id=f"{relative}#{section.anchor}" + (f":{pair.part}" if pair.part else ""),
                    group_key=f"docs:{self.root.name}:{relative}",
                    licence=licence,
                    language="en",
                )

    def _pairs(
        self, document: Document, section: Section, lower: Callable[[str], str]
    ) -> tuple[str | None, list[Pair]]:
        """What one section yields, with the reason where that is nothing."""
        heading = section.path[-1] if section.path else document.title or ""
        if any(is_empty(part) for part in section.path):
            return "section teaches nothing (links, credits, licence, releases)", []
        name = self.subject if self.subject and len(self.subject.split()) <= 2 else None
        pairs = [*asked_in_bold(section), *definitions(section, name), *explained_code(section)]
        answer = answer_of(section, self.max_answer_characters)
        if len(answer) > 300 and not is_english(answer, 0.1):
            return "section is not in English", []
        if is_thin(answer):
            missing = any(block.missing for block in section.blocks)
            return (
                None if pairs else "section's text stands elsewhere" if missing else "section is empty or a stub"
            ), pairs
        if self._is_overview(document, section):
            asked = question("Overview", (), self.subject or document.title, lower)
        else:
            asked = question(heading, section.path[:-1], self.subject or document.title, lower)
        if asked is None:
            return (None if pairs else "heading leads to no question"), pairs
        return None, [Pair("", asked, answer), *pairs]

    def _is_overview(self, document: Document, section: Section) -> bool:
        """Whether a section introduces the whole: under the name itself, or before the first heading of a README."""
        if section.path:
            return len(section.path) == 1 and self.subject is not None and _bare(section.path[0]) == self.subject
        return document.is_top_readme and not document.front.get("title")

    def _context(self, document: Document, section: Section, asked: str) -> str | None:
        """Where in which document this stands, if the question does not name what it is about."""
        words = set(re.findall(r"\w{3,}", asked.lower()))
        above = [part for part in (self.subject or document.title, *section.path[:-1]) if part]
        missing = [part for part in dict.fromkeys(above) if not words & set(re.findall(r"\w{3,}", part.lower()))]
        return " > ".join(missing) or None


def _readable(path: Path, data: bytes) -> tuple[str | None, str]:
    """The text of a file, or the reason why it is turned away whole."""
    if len(data) > MAX_FILE_BYTES:
        return "file is too large", ""
    if _NOT_PROSE.match(path.stem):
        return "file holds no documentation (changelog, licence, contents)", ""
    if b"\0" in data:
        return "file is not text", ""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "file is not UTF-8", ""
    if not text.strip():
        return "file is empty", ""
    return (None, text) if is_english(text) else ("file is not in English", "")


def is_english(text: str, least: float = MIN_ENGLISH_SHARE) -> bool:
    """Whether the prose of a document is English, by its share of function words; False where it has no words."""
    words = re.findall(r"[^\W\d_]+", _FENCED.sub(" ", text[:20_000]).lower())
    if not words:
        return False
    return sum(word in _FUNCTION_WORDS for word in words) / len(words) >= least


def _licence(folder: Path, root: Path) -> str | None:
    """The licence beside a document: in its folder, or the nearest one above up to `root` or the repository's top."""
    for above in (folder, *folder.parents):
        texts = {}
        try:
            for entry in sorted(os.scandir(above), key=lambda e: e.name):
                if is_licence_name(entry.name) and entry.is_file(follow_symlinks=False):
                    texts[entry.name] = _first_bytes(Path(entry.path), MAX_LICENCE_BYTES).decode("utf-8", "replace")
        except OSError:
            return None
        found = licence_of_files(texts)
        if found or (above / ".git").exists():
            return found
        if above == root and not any((p / ".git").exists() for p in above.parents):
            return None
    return None


def sentence_case(document: Document) -> Callable[[str], str]:
    """A function that writes a title's word as it stands inside a sentence of this document.

    "Slice" becomes "slice"; a word that the document writes with a capital inside its sentences, and never without,
    keeps it, as do acronyms, code and a few names that anybody capitalises.
    """
    small: set[str] = set()
    names: set[str] = set(_NAMES)
    for section in document.sections:
        for block in section.blocks:
            if block.kind != "code":
                small.update(re.findall(r"(?<![\w`./-])[a-z][a-z'’-]+(?![\w`./(])", block.text))
                names.update(re.findall(r"(?<=[a-z,] )[A-Z][a-z'’-]+", block.text))

    def lower(word: str) -> str:
        plain = re.sub(r"^[^\w`]+|[^\w`]+$", "", word)
        if plain == "A":
            return word.lower()
        if not plain[:1].isupper() or not re.fullmatch(r"[A-Z][a-z'’]+(?:-[A-Za-z]?[a-z]*)*", plain):
            return word
        return word.lower() if plain.lower() in small or plain not in names else word

    return lower
