"""ChatGPT exports as a source: conversations.json, several conversations-*.json, or the .zip they come in.

Each conversation is a tree of messages, its ``mapping``. The branch that ends at ``current_node`` is the
conversation; an answer that was made again is a preference, an edited question a conversation of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from samloop.protocols import Record, source
from samloop.sources import exports
from samloop.sources.branches import Turn
from samloop.sources.chats import Conversation, attachment, dicts, kind_in, kind_of_file, known_text, note
from samloop.sources.conversation import WINDOW_CHARACTERS, tool_call
from samloop.sources.drafts import Unfit, digest_of, kind_of
from samloop.sources.exchanges import shortened
from samloop.sources.origin import seconds_of

TOOL_CHARACTERS: Final = 2_000
"""Of a tool's result; a web page or a table of data says enough for the answer below it."""

BESIDE: Final = {
    r"user(_settings)?\.json": "the account and not conversations",
    r"message_feedback\.json": "ratings without the text they rate",
    r"model_comparisons\.json": "comparisons in a shape of their own",
    r"shared_conversations\.json": "links to conversations and not their text",
    r"(group_chats|sora|shopping|library_files|export_manifest)\.json": "no conversations",
}


@source("chatgpt", needs_location=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    thinking: bool = False,
    tool_characters: int = TOOL_CHARACTERS,
    window_characters: int = WINDOW_CHARACTERS,
    licence: str | None = None,
    max_line_bytes: int = 64 * 2**20,
) -> Iterator[Record]:
    """The conversations in the ChatGPT exports at `location` that were not read before.

    Args:
        location: conversations.json, the .zip, or a folder of exports, old and new.
        since: the last mark: which conversations were told, and where they ended.
        thinking: keep what the model thought, as ``<think>`` before the answer.
        tool_characters: longer results of tools lose their middle.
        window_characters: longer conversations are told exchange by exchange, each with the earlier ones that fit.
        licence: SPDX id of the examples.
        max_line_bytes: longer conversations (bytes of JSON) are turned away without being held in memory.

    Raises:
        SourceError: nothing there is a ChatGPT export; nothing was yielded.
    """

    def conversation(record: Mapping[str, Any]) -> Conversation:
        return _Reader(record, thinking, tool_characters).conversation()

    shape = exports.Shape(
        source="chatgpt",
        kind="chatgpt",
        title="a ChatGPT export",
        keys=("mapping",),
        foreign={"chat_messages": "claude-ai", "parentUuid": "claude-code", "sessionId": "claude-code"},
        beside=BESIDE,
        read=conversation,
    )
    return exports.read(location, since, shape, exports.Limits(max_line_bytes, window_characters, licence))


_HIDDEN_TEXT: Final = frozenset({"model_editable_context", "reasoning_recap"})
"""Content that only the model or the page's decoration uses."""

_MEMORY: Final = "bio"
"""The tool that writes down what the service shall remember of the user: nothing to learn to call."""

_CUT: Final = frozenset({"max_tokens", "length"})
_CITED = re.compile("\ue200[^\ue201]{0,2000}\ue201|[\ue200-\ue206]|【\\d+(?::\\d+)?†[^】]{0,200}】")
_ENTITY = re.compile('\ue200entity\ue202\\["[^"]*","([^"]*)"[^\ue201]*\ue201')


@dataclass(slots=True)
class _Reader:
    """One conversation's record on its way to turns."""

    record: Mapping[str, Any]
    thinking: bool
    tool_characters: int
    unknown: Counter[str] = field(default_factory=Counter)

    def conversation(self) -> Conversation:
        record, mapping = self.record, self.record.get("mapping")
        if not isinstance(mapping, dict):
            raise Unfit("wrong type", f"expected 'mapping' to be an object, got {kind_of(mapping)}")
        turns = [self._turn(str(key), node) for key, node in mapping.items() if isinstance(node, dict)]
        told = {"title": note(record.get("title")), "gizmo": note(record.get("gizmo_id"))}
        first = next(iter(mapping), "")
        id = record.get("conversation_id") or record.get("id")
        return Conversation(
            id if isinstance(id, str) and id else digest_of(str(record.get("title")), first),
            turns,
            current if isinstance(current := record.get("current_node"), str) else None,
            seconds_of(record.get("create_time")),
            seconds_of(record.get("update_time")),
            {key: value for key, value in told.items() if value},
            unknown=self.unknown,
        )

    def _turn(self, key: str, node: Mapping[str, Any]) -> Turn:
        parent = node.get("parent")
        turn = Turn(key, parent if isinstance(parent, str) else None, "user")
        message = node.get("message")
        if not isinstance(message, dict):
            return turn
        author, content = message.get("author"), message.get("content")
        author = author if isinstance(author, dict) else {}
        role = author.get("role")
        metadata = found if isinstance(found := message.get("metadata"), dict) else {}
        if not isinstance(content, dict) or message.get("status") == "in_progress":
            return turn
        turn.at = seconds_of(message.get("create_time"))
        if instructions := _instructions(content, metadata):
            turn.role, turn.text = "system", instructions
        elif _is_silent(message, metadata) or (role == "tool" and author.get("name") == _MEMORY):
            return turn
        elif role == "user":
            turn.text = self._text(content, metadata).strip()
        elif role == "tool":
            turn.role, turn.text = "tool", self._result(content, metadata)
        elif role == "assistant":
            turn.role = "assistant"
            self._answer(turn, message, content, metadata)
        elif role != "system":
            self.unknown[f"role_{role}"] += 1
        return turn

    def _answer(self, turn: Turn, message: Mapping[str, Any], content: Mapping[str, Any], metadata: Any) -> None:
        recipient, kind = message.get("recipient"), kind_in(content.get("content_type"))
        if kind == "thoughts" or message.get("channel") == "analysis":
            turn.text = self._thoughts(content, metadata)
            turn.final = False
            return
        if isinstance(recipient, str) and recipient not in ("all", ""):
            text = self._text(content, metadata)
            turn.text = _canvas(recipient, text) or tool_call(recipient, _arguments(recipient, text))
            turn.final = turn.text[:1] != "<"
        else:
            turn.text = _without_citations(self._text(content, metadata)).strip()
        finish = metadata.get("finish_details")
        ended = known_text(finish.get("type")) if isinstance(finish, dict) else ""
        turn.final = turn.final and ended != "interrupted"
        turn.joint = "" if ended in _CUT else "\n\n"
        if model := note(metadata.get("model_slug")):
            turn.facts = {"model": model}

    def _thoughts(self, content: Mapping[str, Any], metadata: Any) -> str:
        if not self.thinking:
            return ""
        thoughts = content.get("thoughts")
        if isinstance(thoughts, list):
            parts = [known_text(one.get("content")) for one in thoughts if isinstance(one, dict)]
        else:
            parts = [self._text(content, metadata)]
        text = "\n\n".join(part.strip() for part in parts if part.strip())
        return f"<think>\n{text}\n</think>" if text else ""

    def _result(self, content: Mapping[str, Any], metadata: Any) -> str:
        text = _without_citations(self._text(content, metadata)).strip() or "(no output)"
        return shortened(text, self.tool_characters)

    def _text(self, content: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
        """What a message says, whatever type of content it has; marks stand for what is no text."""
        kind = kind_in(content.get("content_type"))
        if kind in ("text", "multimodal_text"):
            return self._parts(content.get("parts"), metadata)
        if kind in ("code", "execution_output"):
            text = known_text(content.get("text")).replace("\r\n", "\n")
            return text.replace("<<ImageDisplayed>>", "[image]").strip()
        if kind in ("tether_browsing_display", "browsing_display"):
            return known_text(content.get("result")) or known_text(content.get("summary"))
        if kind in ("tether_quote", "sonic_webpage"):
            title = content.get("title") or content.get("domain") or content.get("url")
            text = known_text(content.get("text")) or known_text(content.get("snippet"))
            return f"{attachment('page', title)}\n{text}".strip()
        if kind == "system_error":
            return f"{known_text(content.get('name'))}: {known_text(content.get('text'))}".strip(": ")
        if kind in ("computer_output", "computer_initialize_state"):
            return attachment("screenshot")
        if kind not in _HIDDEN_TEXT:
            self.unknown[kind] += 1
        return ""

    def _parts(self, parts: Any, metadata: Mapping[str, Any]) -> str:
        if not isinstance(parts, list):
            return known_text(parts)
        files = {str(one.get("id")): known_text(one.get("name")) for one in dicts(metadata.get("attachments"))}
        told: list[str] = []
        named: set[str] = set()
        heard = any(isinstance(part, dict) and part.get("content_type") == "audio_transcription" for part in parts)
        for part in parts:
            if isinstance(part, str):
                told.append(part)
            elif isinstance(part, dict):
                told.append(self._part(part, files, named, heard))
            elif part is not None:
                self.unknown[kind_of(part).removeprefix("a ")] += 1
        marks = [attachment(kind_of_file(name), name) for id, name in files.items() if id not in named]
        return "\n".join(text for text in (*marks, *told) if text.strip())

    def _part(self, part: Mapping[str, Any], files: Mapping[str, Any], named: set[str], heard: bool) -> str:
        kind = kind_in(part.get("content_type"))
        if kind == "image_asset_pointer":
            id = known_text(part.get("asset_pointer")).rpartition("/")[2]
            named.add(id)
            return attachment("image", files.get(id))
        if kind == "audio_transcription":
            return known_text(part.get("text"))
        if kind in ("audio_asset_pointer", "real_time_user_audio_video_asset_pointer"):
            return "" if heard else attachment("voice")
        if kind == "video_container_asset_pointer":
            return attachment("video")
        if isinstance(text := part.get("text"), str) and kind in ("none", "text"):
            return text
        self.unknown[kind] += 1
        return ""


def _is_silent(message: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether the page does not show the message."""
    hidden = metadata.get("is_visually_hidden_from_conversation")
    return message.get("weight") == 0 or bool(hidden) or message.get("recipient") == _MEMORY


def _instructions(content: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """The user's own instructions for all conversations, without the frame they are sent in."""
    if not metadata.get("is_user_system_message") and content.get("content_type") != "user_editable_context":
        return ""
    plain = metadata.get("user_context_message_data")
    if isinstance(plain, dict):
        about = [plain.get("about_user_message"), plain.get("about_model_message")]
    else:
        about = [_unframed(content.get("user_profile")), _unframed(content.get("user_instructions"))]
    return "\n\n".join(text.strip() for text in about if isinstance(text, str) and text.strip())


def _unframed(value: Any) -> str:
    """What stands in the fence of a framed text, or the whole of one without."""
    text = known_text(value)
    fenced = re.search(r"```(?:\w*\n)?(.*)```", text, re.DOTALL)
    return fenced[1] if fenced else text


def _arguments(tool: str, text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        return found
    return {"code": text} if tool.startswith(("python", "container")) else {"input": text}


def _canvas(recipient: str, text: str) -> str:
    """A document written in the canvas is the answer itself, not a call."""
    if recipient != "canmore.create_textdoc":
        return ""
    document = _arguments(recipient, text)
    kind, content = known_text(document.get("type")), known_text(document.get("content"))
    if not content.strip() or not kind.startswith("code"):
        return content if content.strip() and content[:1] != "<" else ""
    fence = "````" if "```" in content else "```"
    return f"{fence}{kind.partition('/')[2]}\n{content}\n{fence}"


def _without_citations(text: str) -> str:
    if "\ue200" not in text and "†" not in text:
        return text
    return _CITED.sub("", _ENTITY.sub(r"\1", text))
