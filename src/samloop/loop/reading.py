"""What is checked of a source before it reads, and of what it yields while it does."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from samloop import plugins
from samloop.errors import PluginError, RecipeError
from samloop.example import Example
from samloop.protocols import Mark, Record, Reject, Source, Withdrawal
from samloop.settings import SourceSettings


def source_of(settings: SourceSettings) -> Source:
    """The source that `settings` name, checked to fit them before anything is read.

    Raises:
        PluginError: there is no such source, it cannot be loaded, or it is not marked as one.
        RecipeError: it needs a location and has none, or an option is unknown (with the nearest known one) or of
            another type than the source says.
    """
    kind, read = settings.kind, plugins.load("sources", settings.kind)
    if not callable(read) or not isinstance(getattr(read, "source_name", None), str):
        raise PluginError(f"the plug-in '{kind}' is not a source; mark its function with @source('{kind}')")
    if not settings.location and getattr(read, "needs_location", False):
        raise RecipeError(
            f"the source '{kind}' needs a location, got none; say what to read: samloop collect {kind} LOCATION, "
            "or location = … in the recipe"
        )
    known, types = known_options(read), _types(read)
    for option, value in settings.options.items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}."
            raise RecipeError(f"the source '{kind}' has no option '{option}'; {hint}")
        try:
            TypeAdapter(types.get(option, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise RecipeError(
                f"option '{option}' of the source '{kind}': {first['msg'][:1].lower()}{first['msg'][1:]}, "
                f"got {first['input']!r:.80}"
            ) from None
    source: Source = read
    return source


def known_options(read: Source) -> list[str]:
    """Names of a source's own options: its keyword-only parameters, but for those that the loop hands in."""
    parameters, given = inspect.signature(read).parameters.items(), given_to(read)
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return [name for name, parameter in parameters if parameter.kind is keyword_only and name not in given]


def given_to(read: Source) -> tuple[str, ...]:
    """The parameters of a source that the loop hands in."""
    return tuple(getattr(read, "given", ()))


def _types(read: Source) -> dict[str, Any]:
    """The types of the parameters; none where the names in a plug-in cannot be resolved from here."""
    try:
        return get_type_hints(read)
    except (NameError, TypeError):
        return {}


def reading(read: Source, kind: str, place: str) -> Source:
    """`read`, bound to the path as the system knows it, and held to what a source may yield.

    Whatever is stored or shown names the place in text; a path may hold bytes that are none.
    """

    @functools.wraps(read)
    def checked(_location: str, since: Mapping[str, Any] | None, **options: Any) -> Iterator[Record]:
        for record in read(place, since, **options):
            if not isinstance(record, (Example, Reject, Mark, Withdrawal)):
                raise PluginError(
                    f"expected examples, rejects and marks from the source '{kind}', got {type(record).__name__}; "
                    "tell its makers"
                )
            yield record

    return checked  # type: ignore[return-value]  # wraps() carries source_name over
