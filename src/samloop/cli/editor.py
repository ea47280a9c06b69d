"""The user's editor on a form, like that of git commit."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from samloop.errors import InputError, SamloopError, UsageError
from samloop.files import private_folder, storing, write_atomic
from samloop.home import Home
from samloop.text.form import Form, parse, render

T = TypeVar("T")

STANDARD_ERROR: Final = 2

USUAL: Final = ("editor", "nano", "vim", "vi")
"""Editors to try where neither VISUAL nor EDITOR names one."""


def edited(home: Home, form: Form, take: Callable[[Form], T], *, as_json: bool = False) -> T | None:
    """What `take` makes of `form` after the user has edited it; None where they emptied it.

    The form lies in the home, for its owner alone, and is removed when it was taken. One that was refused is kept,
    and the error says where.

    Raises:
        UsageError: there is no editor.
        InputError: the editor failed, or the form is not filled in as expected.
        SamloopError: whatever `take` raises.
    """
    command, path = _editor(), home.forms / f"example-{secrets.token_hex(4)}.txt"
    with storing("the form", path):
        private_folder(home.path)
        private_folder(home.forms)
        write_atomic(path, render(form).encode())
    with _kept(path, render(form)):
        _run(command, path, as_json=as_json)
        forms = parse(path.read_text(encoding="utf-8-sig", errors="strict"))
        if len(forms) > 1:
            raise InputError(f"expected one example in the form, got {len(forms)}; add the others by themselves")
        return take(forms[0]) if forms else None


@contextmanager
def _kept(path: Path, before: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f"the form {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except SamloopError as error:
        if path.is_file() and path.read_bytes() != before.encode():
            error.args = (f"{error}. What you wrote is kept in {path}",)
        else:
            path.unlink(missing_ok=True)
        raise
    else:
        path.unlink(missing_ok=True)


def _editor() -> list[str]:
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if named and named.strip():
        try:
            return shlex.split(named)
        except ValueError as error:
            raise UsageError(f"expected a command in $EDITOR, got one that cannot be read ({error})") from None
    for name in USUAL:
        if shutil.which(name):
            return [name]
    raise UsageError("expected an editor in $VISUAL or $EDITOR, found none; name one, or give the text as arguments")


def _run(command: list[str], path: Path, *, as_json: bool) -> None:
    try:
        # Standard output belongs to a JSON document then; a terminal is reached through standard error as well.
        done = subprocess.run([*command, str(path)], check=False, stdout=STANDARD_ERROR if as_json else None)
    except OSError as error:
        raise InputError(f"the editor '{command[0]}' cannot be started ({error.strerror}); see $EDITOR") from error
    if done.returncode:
        raise InputError(f"the editor '{command[0]}' ended with {done.returncode}; nothing was changed")
