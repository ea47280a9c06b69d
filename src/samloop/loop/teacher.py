"""The recipe's teacher, ready to be asked: redaction before anything leaves the machine, and a daily budget."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

from samloop import plugins
from samloop.example import Message
from samloop.loop.context import Context
from samloop.teacher.asking import Asking
from samloop.teacher.budget import Budget
from samloop.text.patterns import Placeholders, Redactor


def asking(context: Context) -> Asking | None:
    """The teacher that the recipe names, within its bounds; None where it names none.

    Raises:
        PluginError: there is no such teacher.
        MissingExtraError: its client is not installed.
    """
    settings = context.recipe.teacher
    if not settings.kind:
        return None
    ask: Any = plugins.load("teachers", settings.kind)
    if "settings" in inspect.signature(ask).parameters:
        ask = partial(ask, settings=settings)
    budget = Budget(context.home.teacher, settings.requests_per_day, settings.tokens_per_day)
    redactor = Redactor(context.recipe.curate.redact.names)
    return Asking(ask, budget, partial(_cleaned, redactor) if settings.redact else None)


def _cleaned(redactor: Redactor, messages: Sequence[Message]) -> list[Message]:
    """`messages` redacted; one value has one placeholder in all of them."""
    placeholders = Placeholders(one["content"] for one in messages)
    return [{"role": one["role"], "content": redactor.redact(one["content"], placeholders)} for one in messages]
