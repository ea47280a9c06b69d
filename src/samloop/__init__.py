"""samloop: the learning loop of a local assistant.

The public names below are the whole of the Python interface; each is loaded when it is first used, so that
``import samloop`` is quick and needs neither torch nor MLX.

>>> with samloop.open_context(samloop.Home.find()) as context:
...     print(samloop.turn(context).to_text())
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samloop.errors import (
        GateError,
        InputError,
        MissingExtraError,
        ModelError,
        NotFoundError,
        PluginError,
        RecipeError,
        SamloopError,
        SourceError,
        StoreBusyError,
        StoreError,
        TeacherBudgetError,
        TeacherError,
        TrainingError,
        UsageError,
    )
    from samloop.example import Example
    from samloop.home import Home
    from samloop.loop.capture import capture_correction, capture_escalation, capture_preference
    from samloop.loop.collect import collect
    from samloop.loop.context import Context, open_context
    from samloop.loop.curate import curate
    from samloop.loop.decide import decide
    from samloop.loop.evaluate import evaluate
    from samloop.loop.prepare import prepare
    from samloop.loop.train import train
    from samloop.loop.turn import turn
    from samloop.recipe import Recipe
    from samloop.store import Store

    __version__: str

__all__ = [
    "Context",
    "Example",
    "GateError",
    "Home",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "NotFoundError",
    "PluginError",
    "Recipe",
    "RecipeError",
    "SamloopError",
    "SourceError",
    "Store",
    "StoreBusyError",
    "StoreError",
    "TeacherBudgetError",
    "TeacherError",
    "TrainingError",
    "UsageError",
    "capture_correction",
    "capture_escalation",
    "capture_preference",
    "collect",
    "curate",
    "decide",
    "evaluate",
    "open_context",
    "prepare",
    "train",
    "turn",
]

_ELSEWHERE = {
    "Context": "samloop.loop.context",
    "Example": "samloop.example",
    "Home": "samloop.home",
    "Recipe": "samloop.recipe",
    "Store": "samloop.store",
    "capture_correction": "samloop.loop.capture",
    "capture_escalation": "samloop.loop.capture",
    "capture_preference": "samloop.loop.capture",
    "collect": "samloop.loop.collect",
    "decide": "samloop.loop.decide",
    "open_context": "samloop.loop.context",
    "turn": "samloop.loop.turn",
}
"""Where the public names stand; errors stand in `samloop.errors`."""

_ROOMS = ("curate", "evaluate", "prepare", "train")
"""Public verbs that share their name with a room of the house."""


class _Room(ModuleType):
    """A room that, called, does what the verb of its name in `samloop.loop` does.

    Importing ``samloop.train.job`` makes the import system bind the room as ``samloop.train``; so that this name
    always is the same thing, it is always the room, and the room can be called.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._verb(*args, **kwargs)

    @property
    def _verb(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(f"samloop.loop.{name}"), name)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._verb)


class _Facade(ModuleType):
    """This module: what the import system binds under the name of a verb becomes callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ROOMS and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Facade


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("samloop")
    if name not in __all__:
        raise AttributeError(f"module 'samloop' has no attribute '{name}'")
    if name in _ROOMS:
        return import_module(f"samloop.{name}")
    return getattr(import_module(_ELSEWHERE.get(name, "samloop.errors")), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
