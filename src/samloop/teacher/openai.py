"""A teacher behind any endpoint that speaks the OpenAI protocol, through the official client."""

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
    import openai
except ImportError as error:
    raise MissingExtraError("teacher", "asking the teacher 'openai'") from error

KEY: str = "OPENAI_API_KEY"


def ask(messages: Sequence[Message], *, settings: Teacher) -> Answer:
    """What the model says to `messages`.

    Raises:
        RecipeError: a setting or the key is missing.
        TeacherError: there is no answer.
    """
    client, model = _client(settings.base_url, key_of(settings, KEY), settings.timeout_seconds), model_of(settings)
    said: list[Any] = [
        {"role": one["role"] if one["role"] != "tool" else "user", "content": one["content"]} for one in messages
    ]
    # The older name of the bound is the one that every endpoint knows; OpenAI's own newest models ask for the newer.
    bound = "max_tokens" if settings.base_url else "max_completion_tokens"
    more: dict[str, Any] = {bound: settings.max_output_tokens}

    def send() -> Any:
        return client.chat.completions.create(model=model, messages=said, **more)

    reply = tried(send, settings, openai)
    try:
        choice, usage = reply.choices[0], reply.usage
        return Answer(
            text=choice.message.content or "",
            model=str(reply.model or model),
            input_tokens=int(usage.prompt_tokens) if usage else None,
            output_tokens=int(usage.completion_tokens) if usage else None,
            metadata={"finish_reason": choice.finish_reason} if choice.finish_reason else {},
        )
    except (AttributeError, IndexError, TypeError, ValueError):  # the client does not hold an endpoint to its format
        raise no_answer(settings) from None


@lru_cache(maxsize=4)
def _client(base_url: str, key: str, timeout_seconds: float) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(follow_redirects=False, timeout=timeout_seconds)
    return openai.OpenAI(
        api_key=key, base_url=base_url or None, timeout=timeout_seconds, max_retries=0, http_client=http
    )
