"""Template variables in data files: identity sets say ``{{name}}`` where each user's assistant has its own name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from samloop.sources.drafts import Draft, Unfit

TEMPLATED_SHARE: Final = 0.25
"""A file in which this share of records holds the same variable is made to be filled in; in any other, braces are
code (Vue, Jinja, Handlebars) and stay as they are."""

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]{1,24})\s*\}\}")


def variables_in(sample: Sequence[Any]) -> frozenset[str]:
    """The variables that the file with these first records is made to be filled with."""
    counts: Counter[str] = Counter()
    for record in sample:
        try:
            counts.update(set(_VARIABLE.findall(orjson.dumps(record).decode())))
        except TypeError:
            continue  # nested deeper than can be written, and so no table of templates
    return frozenset(name for name, count in counts.items() if count >= max(3, len(sample) * TEMPLATED_SHARE))


def fill(drafts: Iterable[Draft], variables: Collection[str], values: Mapping[str, str]) -> None:
    """Put `values` in the place of `variables`.

    Raises:
        Unfit: there is no value for one that occurs.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in variables:
            return found[0]
        if name not in values:
            raise Unfit("template variable", f"expected a value for '{name}'; give one as variables = {{{name} = …}}")
        return values[name]

    for draft in drafts:
        draft.input_text = _VARIABLE.sub(value, draft.input_text)
        draft.output_text = _VARIABLE.sub(value, draft.output_text)
        draft.system_prompt = draft.system_prompt and _VARIABLE.sub(value, draft.system_prompt)
        draft.rejected = draft.rejected and _VARIABLE.sub(value, draft.rejected)
        draft.history = [{**turn, "content": _VARIABLE.sub(value, turn["content"])} for turn in draft.history]
