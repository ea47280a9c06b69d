"""Chat templates: Jinja programs that come with a model and turn messages into the text it was trained on.

They are rendered the way transformers does it, so that the text is the same to the letter, in a sandbox, because a
template is code from wherever the model came from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from samloop.errors import ModelError

Render = Callable[..., str]


class TemplateRefusal(Exception):  # noqa: N818
    """The template itself turned the messages away, by ``raise_exception`` or by an error of its own."""


class _Generation(Extension):
    """Renders what stands between ``{% generation %}`` and ``{% endgeneration %}``, a trainer's mark of an answer."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _PlainNamespace(Namespace):
    """Jinja's ``namespace()`` without underscore names, which lead out of the sandbox."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise jinja2.exceptions.SecurityError("a namespace in a chat template holds no underscore names")
        super().__setitem__(name, value)


def compile_template(source: str, where: str, special_tokens: Mapping[str, str], now: datetime) -> Render:
    """A function ``(messages, add_generation_prompt) -> text`` for the Jinja program `source`.

    Args:
        source: the template's text.
        where: the model folder, for error messages.
        special_tokens: what the template may call by name: ``bos_token``, ``eos_token``, ….
        now: the time that ``strftime_now`` tells; fixed, so that two renderings of one conversation agree.

    Raises:
        ModelError: the template is no valid Jinja.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals.update(raise_exception=_raise, strftime_now=now.strftime, namespace=_PlainNamespace)
    try:
        template = environment.from_string(source)
    except jinja2.TemplateError as error:
        raise ModelError(f"the chat template of {where} is not valid Jinja: {error.message}") from error

    def render(messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str:
        try:
            return template.render(
                messages=[dict(m) for m in messages],
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **special_tokens,
            )
        except Exception as error:  # a template is a foreign program: it may fail in any way
            raise TemplateRefusal(type(error).__name__) from error

    return render


def _raise(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which no model was trained on.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
