"""Examples from Markdown and reStructuredText: what a reader could ask → what the document answers.

One document at a time; a `Mark` holds size, time and digest of each file read so far, so that the next call reads
only what has changed since.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from samloop.errors import SourceError
from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources.english import translations
from samloop.sources.in_order import answered, processors
from samloop.sources.project import project_of
from samloop.sources.taught import Ask, Asked, asked_in_turn, sections_of
from samloop.sources.tree import SOURCE, SUFFIXES, Entry, Job, Tree
from samloop.sources.tree_workers import TreeWorkers

TRANSLATED: Final = "folder holds a translation"
ALONE_BYTES: Final = 3 * 1024 * 1024
"""So much is read before other processes are started, which takes each a third of a second."""

BYTES_OF_A_FILE: Final = 3_000
"""What opening a file costs, as so many bytes of it."""

MARK_FILES: Final = 200
"""Files between two Marks: a Mark holds all files, so that one per file would cost the square of their number."""

_SKIPPED_FOLDERS: Final = frozenset(
    "node_modules bower_components vendor third_party site-packages __pycache__ venv env target dist build "
    "blog blogs _posts "
    "news fixtures snapshots __snapshots__ testdata".split()
)


@source(SOURCE, needs_location=True, given=("ask",))
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    max_answer_characters: int = 1600,
    subject: str | None = None,
    workers: int | None = None,
    ask: Ask | None = None,
    ask_teacher: int = 0,
) -> Iterator[Record]:
    """Yield question and answer pairs from the documents under `location`, a Reject for what teaches nothing.

    Args:
        location: a folder (hidden, vendored, generated and translated folders in it are left out, links are not
            followed) or one file.
        since: the value of the last Mark, or None.
        max_answer_characters: an answer ends at the last block's end before this. The default lets question and
            answer fit into the 512 tokens of the smallest preset, at about four characters of prose a token.
        subject: what the documents are about ("ripgrep"); by default the title of the folder's README or index.
        workers: processes that read a large tree beside this one; by default one per processor.
        ask: asks the recipe's teacher; None: there is none.
        ask_teacher: how many questions a teacher is asked for per section, beside the plain ones; 0: it is not asked.

    Raises:
        SourceError: the location does not exist or is neither a folder nor a document, or a teacher shall be asked
            and there is none.
    """
    if ask_teacher and ask is None:
        raise SourceError(
            "ask_teacher needs a teacher, and the recipe names none; name one as teacher.kind, or leave it out"
        )
    root, paths = _found(location)
    known: dict[str, Entry] = dict(since.get("files", {})) if since else {}
    done: dict[str, Entry] = {}
    tree = Tree(root, project_of(root, subject), max_answer_characters)
    count = processors() if workers is None else workers
    beside = (lambda: TreeWorkers(tree, count)) if count else None
    marked = 0
    with closing(answered(_jobs(root, paths, known, done), tree.read, beside, ALONE_BYTES)) as files:
        for file in files:
            if isinstance(file, Reject):
                yield file
                continue
            job, (records, entry) = file
            yield from records
            if entry is not None:
                done[job[1]] = entry
            if len(done) >= marked + MARK_FILES:
                marked = len(done)
                yield Mark({"files": {**known, **done}} | _questions(since))
    if not ask_teacher or ask is None:
        yield Mark({"files": done} | _questions(since))
        return
    before = _questions(since).get("questions", {})
    asked = {name: before.get(name, {}) for name in done}
    yield Mark({"files": done, "questions": dict(asked)})
    for record in _taught(tree, done, asked, ask, ask_teacher):
        yield Mark({"files": done, "questions": dict(asked)}) if isinstance(record, Asked) else record


def _taught(
    tree: Tree, files: Mapping[str, Entry], asked: dict[str, Any], ask: Ask, count: int
) -> Iterator[Example | Reject | Asked]:
    """What the teacher asks about each section of `files` that it was not asked about; `asked` tells which it was."""
    for name, entry in files.items():
        before = asked.get(name, {})
        if before.get("of") == entry[2] or name.endswith("/"):  # the whole file, as it is now; or a folder
            continue
        records, _ = tree.read((str(tree.root / name), name, None))
        sections = dict(sections_of(records))
        done = {digest: True for digest in before.get("done", ()) if digest in sections}
        for record in asked_in_turn(iter(sections.items()), done, ask, count):
            if isinstance(record, Asked):
                done[record.digest] = True
                asked[name] = {"done": list(done)}
            yield record
        if len(done) < len(sections):  # the teacher had enough
            return
        asked[name] = {"of": entry[2], "done": list(done)}
    yield Asked("")


def _questions(since: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a mark tells of questions, handed on while plain ones are read."""
    return {"questions": since["questions"]} if since and "questions" in since else {}


def _jobs(
    root: Path, paths: Iterator[Path | Reject], known: Mapping[str, Entry], done: dict[str, Entry]
) -> Iterator[tuple[Job, int] | Reject]:
    """The files to read with their sizes; `done` gets those that are as they were."""
    for path in paths:
        if isinstance(path, Reject):
            name = readable(path.id or "")
            if path.reason == TRANSLATED:  # told once, like a file that is turned away
                done[name] = [0, 0, ""]
                if name in known:
                    continue
            yield path
            continue
        relative = readable(path.relative_to(root).as_posix())
        before = known.get(relative)
        size = 0
        try:
            status = path.stat()
            size = status.st_size
            if before is not None and before[:2] == [size, status.st_mtime_ns]:
                done[relative] = before
                continue
        except OSError:
            pass  # reading it will tell why
        yield (str(path), relative, before), size + BYTES_OF_A_FILE


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
        raise SourceError(
            f"expected a folder, a Markdown or a reStructuredText file at {location}, found nothing; correct the path"
        )
    if path.suffix.lower() not in SUFFIXES:
        raise SourceError(
            f"expected a Markdown file ({', '.join(SUFFIXES)}) at {location}, got '{path.suffix}'; "
            "name a Markdown file or a folder with some"
        )
    return path.parent, iter((path,))


def _walk(folder: Path) -> Iterator[Path | Reject]:
    """Documents in and below `folder` in a fixed order; a folder that cannot be listed is a Reject."""
    waiting = [str(folder)]
    while waiting:
        above = waiting.pop()
        try:
            entries = sorted(os.scandir(above), key=lambda entry: entry.name)
        except OSError as error:
            yield Reject(readable(above), "folder cannot be read", error.strerror or "")
            continue
        folders = []
        translated = translations(entry.name for entry in entries)
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                if entry.name in translated:
                    relative = Path(entry.path).relative_to(folder).as_posix() + "/"
                    yield Reject(readable(entry.path), TRANSLATED, entry.name, id=relative)
                elif entry.name.lower() not in _SKIPPED_FOLDERS:
                    folders.append(entry.path)
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                yield Path(entry.path)
        waiting += reversed(folders)
