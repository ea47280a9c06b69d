"""Every error samloop raises on purpose, in one tree.

    SamloopError                  catch this to catch them all
    ├── UsageError                the command or call itself is wrong (exit code 2)
    │   └── RecipeError           a setting is unknown, of the wrong type or out of range
    ├── InputError                what was read is not what it should be
    │   ├── SourceError           a location cannot be read as the named kind of source
    │   └── ModelError            a base model or adapter folder is incomplete or does not fit
    ├── StoreError                the store cannot be opened, read or written
    │   ├── StoreBusyError        another process holds the store's write lock
    │   └── NotFoundError         no example, run, adapter or dataset has that name
    ├── MissingExtraError         an optional part is not installed
    ├── PluginError               a plug-in cannot be found or loaded
    ├── TeacherError              a teacher could not be asked, or gave no answer
    │   └── TeacherBudgetError    today's requests or tokens are used up
    ├── SandboxError              there is no sandbox to run model-written code in
    ├── TrainingError             a run could not start or did not finish
    └── GateError                 an adapter may not change state that way

Each message is one sentence or two: what was expected, what was found, where, and what to do about it. The
command line prints it after "samloop:" and exits with `exit_code`; nobody sees a traceback for these.
"""

from __future__ import annotations


class SamloopError(Exception):
    """Base of all errors samloop raises on purpose."""

    exit_code = 1
    code = "error"


class UsageError(SamloopError):
    """The command or call itself is wrong."""

    exit_code = 2
    code = "usage"


class RecipeError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""

    code = "recipe"


class InputError(SamloopError):
    """What was read is not what it should be."""

    code = "input"


class SourceError(InputError):
    """A location cannot be read as the named kind of source."""

    code = "source"


class ModelError(InputError):
    """A base model or adapter folder is incomplete or does not fit."""

    code = "model"


class StoreError(SamloopError):
    """The store cannot be opened, read or written."""

    code = "store"


class StoreBusyError(StoreError):
    """Another process holds the store's write lock."""

    code = "store_busy"


class NotFoundError(StoreError):
    """No example, run, adapter or dataset has that name."""

    code = "not_found"


class MissingExtraError(SamloopError):
    """An optional part is not installed.

    Args:
        extra: the extra's name in pyproject.toml, for instance ``torch``.
        needed_for: what the user wanted to do, as a noun ("training on torch").
    """

    code = "missing_extra"

    def __init__(self, extra: str, needed_for: str) -> None:
        self.extra, self.needed_for = extra, needed_for
        super().__init__(
            f"{needed_for} needs the extra '{extra}', which is not installed: pip install 'samloop[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.extra, self.needed_for)


class PluginError(SamloopError):
    """A plug-in cannot be found or loaded."""

    code = "plugin"


class TeacherError(SamloopError):
    """A teacher could not be asked, or gave no answer."""

    code = "teacher"


class TeacherBudgetError(TeacherError):
    """Today's requests or tokens are used up."""

    code = "teacher_budget"


class SandboxError(SamloopError):
    """There is no sandbox to run model-written code in; it is never run without."""

    code = "sandbox"


class TrainingError(SamloopError):
    """A run could not start or did not finish."""

    code = "training"


class GateError(SamloopError):
    """An adapter may not change state that way."""

    code = "gate"
