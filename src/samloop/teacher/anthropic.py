"""A teacher that speaks the Anthropic protocol, through the official client."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from samloop.errors import MissingExtraError
from samloop.example import Message
from samloop.settings import Teacher
from samloop.teacher.answer import Answer
from samloop.teacher.calls import key_of, model_of, no_answer, tried

try:
    import anthropic
except ImportError as error:
    raise MissingExtraError("teacher", "asking the teacher 'anthropic'") from error

KEY: str = "ANTHROPIC_API_KEY"


def ask(messages: Sequence[Message], *, settings: Teacher) -> Answer:
    """What the model says to `messages`; system messages become its system prompt.

    Raises:
        RecipeError: a setting or the key is missing.
        TeacherError: there is no answer.
    """
    client, model = _client(settings.base_url, key_of(settings, KEY), settings.timeout_seconds), model_of(settings)
    system = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
    more: dict[str, Any] = {"system": system} if system else {}
    said: list[Any] = [
        {"role": "assistant" if one["role"] == "assistant" else "user", "content": one["content"]}
        for one in messages
        if one["role"] != "system"
    ]

    def send() -> Any:
        return client.messages.create(model=model, max_tokens=settings.max_output_tokens, messages=said, **more)

    reply = tried(send, settings, anthropic)
    try:
        text = "".join(block.text for block in reply.content if block.type == "text")
        usage, ended = reply.usage, reply.stop_reason
        return Answer(
            text=text,
            model=str(reply.model),
            input_tokens=int(usage.input_tokens),
            output_tokens=int(usage.output_tokens),
            metadata={"finish_reason": ended} if ended else {},
        )
    except (AttributeError, TypeError, ValueError):  # the client does not hold an endpoint to its own format
        raise no_answer(settings) from None


@lru_cache(maxsize=4)
def _client(base_url: str, key: str, timeout_seconds: float) -> anthropic.Anthropic:
    # No redirects: what is asked would go along to wherever they lead.
    http = anthropic.DefaultHttpxClient(follow_redirects=False, timeout=timeout_seconds)
    return anthropic.Anthropic(
        api_key=key,
        base_url=base_url or None,
        timeout=timeout_seconds,
        max_retries=0,
        http_client=http,
    )
