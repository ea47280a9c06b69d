"""Conversations of any make as samloop's messages, and as examples.

OpenAI's role/content, ShareGPT's from/value, content in parts, tool calls. Calls and results take the form of the
Hermes and Qwen templates (`<tool_call>` in an assistant turn, role tool for the result), so that text trained on and
text rendered by the base model's own template are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from samloop.example import Message, Role
from samloop.sources.drafts import Draft, Unfit, answer_of, digest_of, kind_of, name_of, optional_text, text_of

WINDOW_CHARACTERS: Final = 32_000
"""Longer conversations are told as one window per assistant turn; the length bound of the contract's rubric."""

ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}

_CALL = "<tool_call>\n{}\n</tool_call>"
_RESULT = "<tool_response>\n{}\n</tool_response>"
_TOOLS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
"""The words Qwen's and Hermes' templates use: a prompt that differs from them would train for another situation."""


def messages_of(value: Any, key: str) -> list[Message]:
    """The messages in `value`, a list of role/content or from/value objects; empty ones are left out.

    Raises:
        Unfit: not a list of messages, or a role nobody knows.
    """
    if type(value) is not list:
        raise Unfit("wrong type", f"expected '{key}' to be a list of messages, got {kind_of(value)}")
    messages: list[Message] = []
    for item in value:
        message = _message(item, key)
        if message is not None:
            messages.append(message)
    return messages


def _message(item: Any, key: str) -> Message | None:
    if type(item) is not dict:
        raise Unfit("wrong type", f"expected each of '{key}' to be a message object, got {kind_of(item)}")
    name = item.get("role") or item.get("from")
    role = ROLES.get(name) if type(name) is str else None
    if role is None:
        role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
        if role is None:
            raise Unfit("unknown role", f"expected a role such as user or assistant in '{key}', got {name_of(name)}")
    content = item.get("content", item.get("value"))
    if type(content) is not str:
        content = _flatten(content, key)
    if name == "function_call":
        content = _CALL.format(content.strip())
    if calls := item.get("tool_calls") or item.get("function_call"):
        content = "\n".join(part for part in (content, *_calls(calls, key)) if part)
    return {"role": role, "content": content} if content and not content.isspace() else None


def _flatten(content: Any, key: str) -> str:
    """Content in parts as one text; what is not text leaves a mark of its kind."""
    if content is None:
        return ""
    if type(content) is dict:
        content = [content]
    if type(content) is not list:
        raise Unfit("wrong type", f"expected the content of a message in '{key}' to be text, got {kind_of(content)}")
    parts: list[str] = []
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif isinstance(part, dict):
            kind = str(part.get("type", "attachment")).partition("_")[0]
            parts.append(f"[{kind if kind.isalpha() else 'attachment'}]")
        elif part is not None:
            raise Unfit("wrong type", f"expected the content of a message in '{key}' to be text, got {kind_of(part)}")
    return "\n".join(parts)


def tool_call(name: str, arguments: Any) -> str:
    """A call of the tool `name` as assistant text, in the words of the template."""
    try:
        body = orjson.dumps({"name": name, "arguments": arguments}).decode()
    except orjson.JSONEncodeError:  # deeper than can be written
        body = orjson.dumps({"name": name, "arguments": {}}).decode()
    return _CALL.format(body)


def _calls(calls: Any, key: str) -> list[str]:
    told = []
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Unfit("wrong type", f"expected each tool call in '{key}' to name its function")
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            arguments = _json(arguments, arguments)
        told.append(tool_call(function["name"], arguments))
    return told


def tools_prompt(system: str | None, tools: Any) -> str | None:
    """The system prompt with the functions on offer, as the base model's template tells them."""
    if isinstance(tools, str):
        tools = _json(tools, None)
    if not isinstance(tools, list) or not tools:
        return system
    wrapped = (
        tool if isinstance(tool, dict) and "function" in tool else {"type": "function", "function": tool}
        for tool in tools
    )
    told = _TOOLS.format("\n".join(orjson.dumps(tool).decode() for tool in wrapped))
    return f"{system}\n\n{told}" if system else told


def _json(text: str, otherwise: Any) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return otherwise


LONGEST_FAREWELL: Final = 160
"""Characters of a turn that only closes a conversation."""

_THANKS = re.compile(r"\b(thank|thanks|thx|goodbye|bye|have a (nice|good|great|wonderful) \w+)\b", re.IGNORECASE)
_WELCOME = re.compile(
    r"\b(welcome|goodbye|bye|you too|glad|pleasure|any ?time|happy to|have a (nice|good|great|wonderful) \w+)\b",
    re.IGNORECASE,
)


def without_farewell(messages: list[Message]) -> list[Message]:
    """`messages` without a last "Thanks!", "You're welcome!": as an example's answer it would stand for the whole."""
    end = len(messages)
    while end and messages[end - 1]["role"] == "user":
        end -= 1
    while end >= 4 and [turn["role"] for turn in messages[end - 3 : end]] == ["assistant", "user", "assistant"]:
        asked, answer = messages[end - 2]["content"], messages[end - 1]["content"]
        if len(asked) > LONGEST_FAREWELL or len(answer) > LONGEST_FAREWELL or "?" in asked:
            break
        if not (_THANKS.search(asked) and _WELCOME.search(answer)):
            break
        end -= 2
    return messages[:end]


def conversation(
    messages: Sequence[Message], *, system: str | None = None, context: str | None = None, group: str | None = None
) -> list[Draft]:
    """The example (one, or one per assistant turn where the whole is longer than `WINDOW_CHARACTERS`) in `messages`.

    The last assistant turn is the answer, the turn before it is the input, the rest is history; turns after the last
    answer are left out. A tool's result right before the answer is the input, in the words the template gives it.

    Raises:
        Unfit: there is no assistant turn, or the turns before one do not lead to it.
    """
    start = 0
    if messages and messages[0]["role"] == "system":
        head = messages[0]["content"]
        system, start = (f"{system}\n\n{head}" if system else head), 1
    last = len(messages) - 1
    while last >= start and messages[last]["role"] != "assistant":
        last -= 1
    if last < start:
        raise Unfit("no answer", "expected an assistant turn, found none")
    turns = messages[start : last + 1]
    length = sum(len(turn["content"]) for turn in turns) + len(system or "")
    if length <= WINDOW_CHARACTERS:
        return [example_of(turns, system, context, group)]
    group = group or f"conversation:{digest_of(*(turn['content'] for turn in turns[:4]))}"
    drafts = []
    for end, turn in enumerate(turns):
        if turn["role"] == "assistant" and end and turns[end - 1]["role"] in ("user", "tool"):
            window = _window(turns[: end + 1], len(system or ""))
            if any(message["role"] == "user" for message in window):
                draft = example_of(window, system, context, group)
                draft.part = f"turn {end + 1}"
                drafts.append(draft)
    if not drafts:
        raise Unfit("role order", "expected a user turn before an assistant turn, found none")
    return drafts


def _window(turns: Sequence[Message], used: int) -> Sequence[Message]:
    """The latest turns that fit, from a user turn on; never less than the answer and what it answers."""
    first = len(turns) - 2
    used += len(turns[-1]["content"]) + len(turns[first]["content"])
    for index in range(first - 1, -1, -1):
        used += len(turns[index]["content"])
        if used > WINDOW_CHARACTERS:
            break
        if turns[index]["role"] == "user":
            first = index
    return turns[first:]


def example_of(turns: Sequence[Message], system: str | None, context: str | None, group: str | None) -> Draft:
    """The example whose answer is the last of `turns`, and whose input is the turn before it.

    Raises:
        Unfit: they do not end with an answer to a user or to a tool's result.
    """
    if len(turns) < 2:
        raise Unfit("role order", "expected a user turn before the answer, found none")
    asked, answer = turns[-2], turns[-1]
    users = sum(turn["role"] == "user" for turn in turns)
    if asked["role"] not in ("user", "tool") or not users:
        raise Unfit("role order", f"expected a user turn before the answer, got role {asked['role']}")
    text = text_of(asked["content"], "user")
    if asked["role"] == "tool" and not text.startswith("<tool_response>"):
        text = _RESULT.format(text)
    return Draft(
        "multi_turn" if users > 1 or context is not None else "chat",
        text,
        answer_of(answer["content"], "assistant"),
        system_prompt=optional_text(system, "system"),
        context=optional_text(context, "context"),
        history=tuple(turns[:-2]),
        group=group,
    )
