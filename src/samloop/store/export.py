"""Examples written to a file, in the formats other tools read."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
from sqlalchemy import Connection, func, insert, select, update

from samloop.errors import StoreError
from samloop.files import absolute, readable
from samloop.store.examples import Examples
from samloop.store.filters import Filters
from samloop.store.noun import to_plain, to_row
from samloop.store.runs import mark_used
from samloop.store.tables import export_history

ACCEPTED: Final = Filters(states=("accepted",))


class Export(Examples):
    """Export of examples."""

    def export_to_jsonl(
        self,
        path: str | os.PathLike[str],
        format: str = "auto",
        filters: Filters = ACCEPTED,
        mark_as_used: bool = False,
    ) -> int:
        """Write the chosen examples as JSON lines; the file is there when it is whole, and not before.

        Args:
            path: the file; an existing one is replaced. Its folder must exist.
            format: one of the written formats, or "auto" for each example's own; see `samloop.text.lines.to_line`.
            filters: which examples; by default the accepted ones.
            mark_as_used: mark what was written as used, so that `exclude_used` leaves it out next time.

        Returns:
            how many examples were written.

        Raises:
            StoreError: the file cannot be written; nothing was marked, and an older file is as it was.
            InputError: an example cannot be written in that format.
        """
        from samloop.text.lines import to_line

        target = absolute(path)
        ids: list[str] = []
        digest = hashlib.sha256()
        with _beside(target) as file:
            for example in self.select(filters):
                line = orjson.dumps(to_line(example, format), option=orjson.OPT_APPEND_NEWLINE)
                file.write(line)
                digest.update(line)
                ids.append(example.id)
        with self._database.write() as connection:
            if mark_as_used:
                mark_used(connection, ids, None)
            _record(
                connection,
                target,
                format,
                len(ids),
                digest=digest.hexdigest(),
                filters=filters.to_dict(),
                marked_used=mark_as_used,
            )
        return len(ids)

    def add_export(self, path: str | os.PathLike[str], *, format: str, examples: int, digest: str) -> None:
        """Record that examples were written to `path` in another way, e.g. as a copy of a dataset."""
        with self._database.write() as connection:
            _record(connection, absolute(path), format, examples, digest=digest)

    def export_rewritten(self, path: str, digest: str, examples: int) -> None:
        """Record that the file of an export was written anew, with fewer examples."""
        c = export_history.c
        with self._database.write() as connection:
            last = connection.execute(select(func.max(c.number)).where(c.path == path)).scalar_one()
            connection.execute(
                update(export_history).where(c.number == last).values(digest=digest, examples=examples)
            )

    def exports(self, limit: int | None = None) -> list[dict[str, Any]]:
        """What was exported, newest first: path, format, filters, examples, marked_used, created_at, digest."""
        statement = select(export_history).order_by(export_history.c.number.desc()).limit(limit)
        with self._database.read() as connection:
            return [to_plain(row) for row in connection.execute(statement)]


def _record(
    connection: Connection,
    path: Path,
    format: str,
    examples: int,
    *,
    digest: str,
    filters: Mapping[str, Any] | None = None,
    marked_used: bool = False,
) -> None:
    row = {
        "path": readable(path),
        "format": format,
        "filters": filters or {},
        "examples": examples,
        "marked_used": marked_used,
        "created_at": time.time(),
        "digest": digest,
    }
    connection.execute(insert(export_history).values(**to_row(export_history, row)))


@contextmanager
def _beside(target: Path) -> Iterator[BinaryIO]:
    """A private file beside `target` that takes its name, flushed to disk, when the block ends well.

    Where `target` is no file (a pipe, a terminal, /dev/stdout), it is written as it stands and never replaced.
    """
    if target.is_relative_to("/dev") or (target.exists() and not target.is_file() and not target.is_dir()):
        try:
            with target.open("wb") as stream:
                yield stream
        except BrokenPipeError:
            raise  # the reader has what it wanted
        except OSError as error:
            raise _unwritable(target, error) from error
        return
    target = Path(os.path.realpath(target))  # a link stays, and what it leads to is replaced
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from error
        raise


def _unwritable(target: Path, error: OSError) -> StoreError:
    return StoreError(f"the export {target} cannot be written ({error.strerror}); choose another file or make space")
