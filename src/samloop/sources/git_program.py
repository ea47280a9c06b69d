"""The git program, run so that nothing in a foreign repository can run a program of its own.

A repository's configuration may name programs: pagers, external diffs, text converters, hooks, file monitors. Only
plumbing commands are used, which read the least configuration, and each way to a program is closed besides.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import xxhash

from samloop.errors import SourceError
from samloop.sources.licences import MAX_LICENCE_BYTES, is_licence_name, licence_of_files

BIG_FILE_BYTES: Final = 1024 * 1024
"""Larger files count as binary: git then compares them by hash and never loads them."""

# What a user may have set about finding and trusting repositories stays; the rest of GIT_* could redirect us.
_KEPT: Final = frozenset(
    "GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_CONFIG_NOSYSTEM GIT_EXEC_PATH GIT_CEILING_DIRECTORIES "
    "GIT_DISCOVERY_ACROSS_FILESYSTEM GIT_TEST_ASSUME_DIFFERENT_OWNER".split()
)
_SAFE: Final = (
    "--no-pager",
    "--literal-pathspecs",
    "-c", "core.fsmonitor=false",
    "-c", f"core.hooksPath={os.devnull}",
    "-c", f"core.attributesFile={os.devnull}",
    "-c", f"core.bigFileThreshold={BIG_FILE_BYTES}",
    "-c", "core.quotePath=false",
    "-c", "gc.auto=0",
)  # fmt: skip
_NO_NAMES: Final = frozenset({"", "repo", "repository", "git", "checkout", "clone"})
"""Folders that are called after what they are and not after what is in them."""

UNNAMED: Final = "this repository"
"""What a repository is called whose address and folder tell no name."""

_OUTSIDE_NAME: Final = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that was found and can be read.

    Attributes:
        location: as the user named it, for messages.
        folder: the git directory.
        name: what people call it: the last part of its origin's address, else of its folder.
    """

    location: str
    folder: Path
    name: str

    def output(self, *arguments: str, limit_bytes: int = 1 << 20) -> bytes:
        """Standard output of a git command, at most `limit_bytes` of it.

        Raises:
            SourceError: git ended with an error.
        """
        with self.stream(*arguments) as out:
            return out.read(limit_bytes)

    @contextmanager
    def stream(self, *arguments: str, lines: Sequence[str] = ()) -> Iterator[IO[bytes]]:
        """Standard output of a git command that reads `lines`, while it runs; it is ended with the block.

        Both ends pass through files of their own where waiting for each other could never end: git reads `lines`
        from one and writes its complaints to another.

        Raises:
            SourceError: the output was read to its end, and git ended with an error.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaints:
            given.write("".join(f"{line}\n" for line in lines).encode())
            given.seek(0)
            process = subprocess.Popen(
                ["git", *_SAFE, "-c", "core.bare=true", *arguments],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=_environment(self.folder),
                cwd=self.folder,
            )
            assert process.stdout is not None  # noqa: S101
            try:
                yield process.stdout
                if not process.stdout.read(1) and process.wait():
                    complaints.seek(0)
                    raise SourceError(_explain(self.location, complaints.read(1 << 16)))
            finally:
                process.kill()
                process.stdout.close()
                process.wait()

    def commit(self, revision: str) -> str | None:
        """The full hash of the commit that `revision` names, or None."""
        try:
            found = self.output("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        except SourceError:
            return None
        return found.decode().strip() or None

    def cut_off(self) -> str:
        """Where a shallow clone ends, in a few characters; "" for any other."""
        ends = self.folder / os.fsdecode(self.output("rev-parse", "--git-path", "shallow").rstrip(b"\n"))
        return xxhash.xxh3_64_hexdigest(b"\n".join(sorted(ends.read_bytes().split()))) if ends.is_file() else ""

    def absent(self, head: str) -> frozenset[bytes]:
        """The hashes of files in the history of `head` that a partial clone was made without; none in any other."""
        try:
            self.output("config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.partialclonefilter)$")
        except SourceError:
            return frozenset()
        with self.stream("rev-list", "--objects", "--no-object-names", "--missing=print", head) as out:
            return frozenset(bytes.fromhex(line[1:].decode()) for line in out if line[:1] == b"?")

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether every commit reachable from `old` is reachable from `new`; False where `old` is gone."""
        try:
            self.output("merge-base", "--is-ancestor", "--end-of-options", old, new)
        except SourceError:
            return False
        return True

    def root(self, head: str) -> str:
        """The first commit of the first-parent chain of `head`.

        The same in every full clone, and merging another history in does not change it.
        """
        return self.output("rev-list", "--first-parent", "--max-parents=0", head).decode().split()[0]

    def told_apart(self) -> str:
        """The name, with the first commit where it is none: two that are called nothing are two all the same."""
        if self.name != UNNAMED:
            return self.name
        try:
            return f"{self.name}@{self.root('HEAD')[:12]}"
        except (SourceError, IndexError):  # it has no commits
            return f"{self.name}@{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}"

    def licence(self, head: str) -> str | None:
        """SPDX expression of the licence files in the top folder at `head`; None where none is recognised."""
        texts = {}
        for entry in self.output("ls-tree", "-z", head).decode("utf-8", "replace").split("\0"):
            meta, _, name = entry.partition("\t")
            if is_licence_name(name) and " blob " in meta:
                with suppress(SourceError):  # missing in a partial clone, or damaged
                    blob = self.output("cat-file", "blob", meta.split()[2], limit_bytes=MAX_LICENCE_BYTES)
                    texts[name] = blob.decode("utf-8", "replace")
        return licence_of_files(texts)


class Objects:
    """A git that stays, and gives one object after the other: starting one for each takes longer than reading it."""

    def __init__(self, repository: Repository) -> None:
        self._process = subprocess.Popen(
            ["git", *_SAFE, "-c", "core.bare=true", "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(repository.folder),
            cwd=repository.folder,
        )

    def ask(self, name: str) -> IO[bytes]:
        """What git says of the object that is called so, to be read to its end before the next is asked for.

        Raises:
            OSError: git has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(f"{name}\n".encode())
        self._process.stdin.flush()
        return self._process.stdout

    def close(self) -> None:
        """End it."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # what it was not told yet is of no use to it
                pipe.close()  # type: ignore[union-attr]  # both are pipes
        self._process.wait()


def find(location: str, *, name: str | None = None) -> Repository:
    """The repository at `location`: a work tree, any folder in one, or a bare repository.

    Raises:
        SourceError: there is none, git is missing, or git does not trust its owner.
    """
    if shutil.which("git") is None:
        raise SourceError(
            f"reading {location} needs the git program, which is not installed; install git and try again"
        )
    try:
        path = Path(location).expanduser().absolute()
        known = path.is_dir()
    except (OSError, ValueError, RuntimeError):
        raise SourceError(
            "expected the path of a git repository, got one that cannot be a path; correct it"
        ) from None
    if not known:
        what = "a file" if path.exists() else "nothing"
        raise SourceError(f"expected a git repository at {location}, found {what}; name the folder of a repository")
    try:
        asked = subprocess.run(
            ["git", *_SAFE, "rev-parse", "--absolute-git-dir"],
            cwd=path,
            env=_environment(None),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise SourceError(
            f"the repository at {location} cannot be read ({error.strerror}); check its permissions"
        ) from error
    if asked.returncode:
        raise SourceError(_explain(location, asked.stderr))
    folder = Path(os.fsdecode(asked.stdout.rstrip(b"\n")))
    return Repository(location, folder, name or _name(folder))


def _name(folder: Path) -> str:
    repository = Repository("", folder, "")
    try:
        address = repository.output("config", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
    except SourceError:
        address = ""
    # The last part alone: the rest of an address may hold a user's name or token.
    last = re.split(r"[/:\\]", address.rstrip("/\\"))[-1] or _folder_name(folder)
    name = _OUTSIDE_NAME.sub("-", last.removesuffix(".git")).strip("-.")[:80]
    return UNNAMED if name.lower() in _NO_NAMES else name


def _folder_name(folder: Path) -> str:
    if folder.name == ".git":
        return folder.parent.name
    shared = folder / "commondir"  # a linked work tree: .git/worktrees/NAME
    if shared.is_file():
        return _folder_name((folder / shared.read_text().strip()).resolve())
    return folder.name


def _environment(folder: Path | None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key in _KEPT}
    kept.update(
        LC_ALL="C",
        LANGUAGE="",
        GIT_TERMINAL_PROMPT="0",
        GIT_OPTIONAL_LOCKS="0",
        GIT_NO_REPLACE_OBJECTS="1",
        GIT_NO_LAZY_FETCH="1",
        GIT_ALLOW_PROTOCOL="none",  # a partial clone must not fetch what is missing, not even by a local program
        GIT_ATTR_NOSYSTEM="1",
    )
    if folder is not None:
        kept["GIT_DIR"] = str(folder)
    return kept


def _explain(location: str, error: bytes) -> str:
    text = error.decode("utf-8", "replace")
    if "dubious ownership" in text:
        return (
            f"{location} belongs to another user, and git does not read it; if you trust it: "
            f"git config --global --add safe.directory {Path(location).absolute()}"
        )
    if "not a git repository" in text:
        return (
            f"expected a git repository at {location}, found a folder without one; name a repository or run git init"
        )
    lines = [line for line in text.splitlines() if line.startswith(("fatal:", "error:"))] or ["git failed"]
    return f"git cannot read {location} ({lines[-1][:200]}); run git fsck there and repair it"
