"""Claude.ai exports as a source: conversations.json, one conversation on its own, or the .zip they come in.

Messages are lists of blocks: text, thinking, tool calls with their results, all within one message. Documents the
assistant wrote beside the conversation (artifacts) are told as its answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from samloop.protocols import Record, source
from samloop.sources import exports
from samloop.sources.branches import Turn
from samloop.sources.chats import Conversation, attachment, dicts, kind_in, kind_of_file, known_text, note
from samloop.sources.conversation import WINDOW_CHARACTERS, tool_call
from samloop.sources.drafts import Unfit, digest_of, kind_of
from samloop.sources.exchanges import shortened
from samloop.sources.origin import seconds_of

TOOL_CHARACTERS: Final = 2_000
"""Of a tool's result."""

ATTACHMENT_CHARACTERS: Final = 8_000
"""Of a text that the user attached: a quarter of a window."""

BESIDE: Final = {
    r"users\.json": "accounts and not conversations",
    r"projects\.json": "projects and their documents and not conversations",
    r"memories\.json": "what the service remembers of the user and not conversations",
    r"design_chats.*\.json": "no conversations",
}


@source("claude_ai", needs_location=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    thinking: bool = False,
    tool_characters: int = TOOL_CHARACTERS,
    attachment_characters: int = ATTACHMENT_CHARACTERS,
    window_characters: int = WINDOW_CHARACTERS,
    licence: str | None = None,
    max_line_bytes: int = 64 * 2**20,
) -> Iterator[Record]:
    """The conversations in the Claude.ai exports at `location` that were not read before.

    Args:
        location: conversations.json, the .zip, or a folder of exports, old and new.
        since: the last mark: which conversations were told, and where they ended.
        thinking: keep what the model thought, as ``<think>`` before the answer.
        tool_characters: longer results of tools lose their middle.
        attachment_characters: longer attached texts lose their middle; 0 leaves their names alone.
        window_characters: longer conversations are told exchange by exchange, each with the earlier ones that fit.
        licence: SPDX id of the examples.
        max_line_bytes: longer conversations (bytes of JSON) are turned away without being held in memory.

    Raises:
        SourceError: nothing there is a Claude.ai export; nothing was yielded.
    """

    def conversation(record: Mapping[str, Any]) -> Conversation:
        return _Reader(record, thinking, tool_characters, attachment_characters).conversation()

    shape = exports.Shape(
        source="claude_ai",
        kind="claude-ai",
        title="a Claude.ai export",
        keys=("chat_messages",),
        foreign={"mapping": "chatgpt", "parentUuid": "claude-code", "sessionId": "claude-code"},
        beside=BESIDE,
        read=conversation,
    )
    return exports.read(location, since, shape, exports.Limits(max_line_bytes, window_characters, licence))


_ROLES: Final = {"human": "user", "user": "user", "assistant": "assistant"}
_SILENT: Final = frozenset({"token_budget", "flag", "redacted_thinking"})
_STOPPED: Final = frozenset({"user_canceled", "cancelled", "interrupted"})
_ARTIFACT = re.compile(r"<antArtifact\b([^>]*)>\n?(.*?)\n?</antArtifact>", re.DOTALL)
_THOUGHT = re.compile(r"<antThinking>.*?</antThinking>\n*", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(slots=True)
class _Reader:
    """One conversation's record on its way to turns."""

    record: Mapping[str, Any]
    thinking: bool
    tool_characters: int
    attachment_characters: int
    unknown: Counter[str] = field(default_factory=Counter)

    def conversation(self) -> Conversation:
        record, messages = self.record, self.record.get("chat_messages")
        if not isinstance(messages, list):
            raise Unfit("wrong type", f"expected 'chat_messages' to be a list, got {kind_of(messages)}")
        turns = self._turns([one for one in messages if isinstance(one, dict)])
        model, current = note(record.get("model")), record.get("current_leaf_message_uuid")
        project = record.get("project")
        told = {
            "title": note(record.get("name")),
            "model": model,
            "project": note(project.get("name")) if isinstance(project, dict) else None,
        }
        id = record.get("uuid") or record.get("conversation_id")
        if not isinstance(id, str) or not id:
            id = digest_of(str(record.get("name")), str(record.get("created_at")), turns[0].text if turns else "")
        return Conversation(
            id,
            turns,
            self._ends.get(current) if isinstance(current, str) else None,
            seconds_of(record.get("created_at")),
            seconds_of(record.get("updated_at")),
            {key: value for key, value in told.items() if value},
            unknown=self.unknown,
        )

    _ends: dict[str, str] = field(default_factory=dict)
    """Each message's last turn, which is the parent of what follows it."""

    def _turns(self, messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
        """Each message as a chain of turns; one after the other where no message names its parent."""
        parents = [one.get("parent_message_uuid") for one in messages]
        linear = not any(isinstance(parent, str) for parent in parents)
        uuids = [str(one.get("uuid") or f"message {number}") for number, one in enumerate(messages)]
        known = set(uuids)
        chains = [self._message(uuid, one) for uuid, one in zip(uuids, messages, strict=True)]
        self._ends = {uuid: chain[-1].id for uuid, chain in zip(uuids, chains, strict=True)}
        turns: list[Turn] = []
        for number, (chain, parent) in enumerate(zip(chains, parents, strict=True)):
            if linear:
                parent = uuids[number - 1] if number else None
            elif not isinstance(parent, str) or parent.startswith("00000000-"):
                parent = None  # zeros are the service's sign for the beginning
            chain[0].parent = self._ends.get(parent, parent) if parent in known else parent
            turns += chain
        return turns

    def _message(self, uuid: str, message: Mapping[str, Any]) -> list[Turn]:
        sender, at = message.get("sender") or message.get("role"), seconds_of(message.get("created_at"))
        role = _ROLES.get(sender) if isinstance(sender, str) else None
        if role is None:
            self.unknown[f"sender_{sender}"] += 1
            return [Turn(uuid, None, "user")]
        if role == "user":
            return [Turn(uuid, None, "user", self._question(message), at)]
        facts = {"model": model} if (model := note(message.get("model"))) else {}
        chain: list[Turn] = []
        for role_, text, final in self._steps(message):
            last = chain[-1] if chain else None
            if last is not None and last.role == role_ == "assistant":
                last.text, last.final = f"{last.text}\n\n{text}", final
            else:
                id = f"{uuid}/{len(chain)}" if chain else uuid
                chain.append(Turn(id, last.id if last else None, role_, text, at, final, facts=facts))
        if not chain:
            return [Turn(uuid, None, "assistant", "", at)]
        chain[-1].final = chain[-1].final and known_text(message.get("stop_reason")) not in _STOPPED
        return chain

    def _steps(self, message: Mapping[str, Any]) -> Iterator[tuple[Any, str, bool]]:
        """What the assistant said and did, in order: role, text, whether it can end there."""
        called = False
        for block in _blocks(message):
            kind = kind_in(block.get("type"))
            if kind == "text":
                if text := _plain(known_text(block.get("text"))):
                    called = False
                    yield "assistant", text, True
            elif kind == "thinking":
                if self.thinking and (text := known_text(block.get("thinking")).strip()):
                    yield "assistant", f"<think>\n{text}\n</think>", False
            elif kind in ("tool_use", "server_tool_use"):
                name, given = known_text(block.get("name")) or "tool", block.get("input")
                document = _document(given) if name == "artifacts" else ""
                called = not document
                yield "assistant", document or tool_call(name, given if isinstance(given, dict) else {}), not called
            elif kind.endswith("tool_result"):
                if called:  # what answers an artifact is "OK"
                    yield "tool", self._result(block), True
            elif kind in ("image", "document", "file"):
                yield "assistant", attachment(kind, block.get("file_name")), True
            elif kind not in _SILENT:
                self.unknown[kind] += 1

    def _result(self, block: Mapping[str, Any]) -> str:
        content = block.get("content")
        parts = []
        for one in content if isinstance(content, list) else [content]:
            if isinstance(one, str):
                parts.append(one)
            elif isinstance(one, dict):
                found = "\n".join(text for key in ("title", "url") if (text := known_text(one.get(key))))
                parts.append(
                    known_text(one.get("text")) or found or attachment(known_text(one.get("type")) or "file")
                )
        text = "\n".join(part for part in parts if part.strip()).strip()
        return shortened(text, self.tool_characters) or "(no output)"

    def _question(self, message: Mapping[str, Any]) -> str:
        parts = []
        for one in dicts(message.get("attachments")):
            name = known_text(one.get("file_name")) or "pasted text"
            content = shortened(known_text(one.get("extracted_content")).strip(), self.attachment_characters)
            mark = attachment("file", name)
            parts.append(f"{mark}\n{content}" if content and self.attachment_characters else mark)
        for one in dicts(message.get("files_v2")) or dicts(message.get("files")):
            name = known_text(one.get("file_name"))
            what = "image" if one.get("file_kind") == "image" else kind_of_file(name)
            parts.append(attachment(what, name if name != what else None))
        for block in _blocks(message):
            kind = kind_in(block.get("type"))
            if kind in ("text", "voice_note"):
                parts.append(known_text(block.get("text")))
            elif kind in ("image", "document", "file"):
                parts.append(attachment(kind, block.get("file_name")))
            elif kind not in _SILENT and not kind.startswith(("tool_", "thinking")):
                self.unknown[kind] += 1
        return "\n\n".join(part.strip() for part in parts if part.strip())


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The blocks of a message; older exports have its text alone."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks = dicts(content)
    if any(block.get("type") != "text" or known_text(block.get("text")).strip() for block in blocks):
        return blocks
    return [{"type": "text", "text": message.get("text")}]


def _document(given: Any) -> str:
    """An artifact that is written whole, as the answer it is; "" for changes to one."""
    if not isinstance(given, dict) or given.get("command") not in ("create", "rewrite", None):
        return ""
    return _fenced(known_text(given.get("content")), known_text(given.get("type")), known_text(given.get("language")))


_PROSE: Final = frozenset({"text/markdown", "text/plain"})
_NAMES: Final = {
    "text/html": "html",
    "image/svg+xml": "svg",
    "application/vnd.ant.react": "jsx",
    "application/vnd.ant.mermaid": "mermaid",
}


def _fenced(content: str, kind: str, language: str) -> str:
    if not content.strip() or kind in _PROSE:
        return content.strip()
    fence = "````" if "```" in content else "```"
    return f"{fence}{language or _NAMES.get(kind, '')}\n{content.strip()}\n{fence}"


def _plain(text: str) -> str:
    """`text` without the tags that the page shows as documents."""
    if "<ant" not in text:
        return text.strip()

    def document(found: re.Match[str]) -> str:
        about = dict(_ATTRIBUTE.findall(found[1]))
        return _fenced(found[2], about.get("type", ""), about.get("language", ""))

    return _ARTIFACT.sub(document, _THOUGHT.sub("", text)).strip()
