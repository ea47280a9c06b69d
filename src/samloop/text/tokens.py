"""A base model's tokenizer, read from its folder without transformers or torch.

Text of users is never parsed for special tokens here: `<|im_end|>` in a captured conversation is seven harmless
pieces, not the end of a turn. Only what a chat template wrote itself is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tokenizers

from samloop.errors import ModelError
from samloop.text.rendering import Render, TemplateRefusal, compile_template

ANCHOR: Final = "\n"
"""What a continuing piece of text is encoded after, with tokenizers that put a blank before every text."""

_PROBE: Final = "\ue000"


class Tokenizer:
    """Text ⇄ token ids of one base model, and its chat template.

    Attributes:
        folder: the model folder it was read from.
        vocab_size: number of tokens, special ones included; the model's embedding may be larger.
        pad_id: what fills up a batch; never trained on.
        end_ids: the tokens that end an answer.
    """

    def __init__(
        self, folder: Path, backend: tokenizers.Tokenizer, render: Render, named: Mapping[str, str], ends: set[int]
    ) -> None:
        """Use `load`.

        Args:
            backend: the parsed tokenizer.json.
            render: the compiled chat template.
            named: special tokens by name, e.g. ``{"eos_token": "<|im_end|>"}``.
            ends: ids that the model's settings name as ends of an answer.
        """
        self.folder = folder
        self._backend = backend
        self._render = render
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True
        eos = _id_of(backend, named.get("eos_token"))
        pad = _id_of(backend, named.get("pad_token"))
        ends = ends | ({eos} if eos is not None else set())
        self._guard_ends(ends)
        ends |= self._end_of_turn()
        if not ends:
            raise ModelError(f"{folder} names no token that ends an answer: set eos_token in tokenizer_config.json")
        self.end_ids = frozenset(ends)
        self.pad_id: int = pad if pad is not None else eos if eos is not None else min(ends)
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer and the chat template of the model in `folder`.

        Raises:
            ModelError: there is no such folder, no tokenizer.json, no chat template, or one of them is broken.
        """
        if not folder.is_dir():
            raise ModelError(f"expected a model folder at {folder}, found none; check the model's name in the recipe")
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(
                f"{folder} holds no tokenizer.json; save the model's tokenizer there in the fast format "
                "(AutoTokenizer.from_pretrained(…).save_pretrained(…))"
            )
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception
            raise ModelError(f"{path} is not a tokenizer that can be read; download it again") from error
        config = _read_json(folder / "tokenizer_config.json")
        named = _special_tokens(_read_json(folder / "special_tokens_map.json"), config)
        render = compile_template(_template_source(folder, config), str(folder), named, datetime.now())
        return cls(folder, backend, render, named, _configured_ends(folder))

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; the text of special tokens in it is taken literally."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens shown as they are written."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    def render(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = False) -> str:
        """The text of a conversation in the model's chat template, to the letter what transformers gives.

        Raises:
            ModelError: the template refuses these messages.
        """
        try:
            return self._render(messages, add_generation_prompt)
        except TemplateRefusal as refusal:
            roles = ", ".join(str(m.get("role")) for m in messages) or "none"
            raise ModelError(
                f"the chat template of {self.folder} refuses a conversation with the roles {roles}"
            ) from refusal

    def accepts(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the chat template takes `messages` and leaves the content of none of them out."""
        try:
            text = self._render(messages, False)
        except TemplateRefusal:
            return False
        return all(m["content"] in text for m in messages)

    def encode_rendered(self, text: str, guard: str = "", previous: int | None = None) -> list[int]:
        """Token ids of text that `render` gave, special tokens parsed.

        Args:
            text: rendered text or a piece of it.
            guard: a character that marks literal text: it is taken out, and a special token that it stood in is
                not one.
            previous: the token before this piece, where it is not the first.
        """
        ids: list[int] = []
        position = 0
        for match in self.special_pattern.finditer(text):
            ids += self._encode_literal(text[position : match.start()], guard, previous)
            previous = self.special_ids[match.group().strip()]
            ids.append(previous)
            position = match.end()
        return ids + self._encode_literal(text[position:], guard, previous)

    @cached_property
    def special_ids(self) -> dict[str, int]:
        """Special tokens by their text (without surrounding white space)."""
        return {t.content.strip(): i for i, t in self._backend.get_added_tokens_decoder().items() if t.special}

    @cached_property
    def special_pattern(self) -> re.Pattern[str]:
        """Matches the text of any special token, with the white space it swallows."""
        added = [t for t in self._backend.get_added_tokens_decoder().values() if t.special and t.content.strip()]
        added.sort(key=lambda t: len(t.content), reverse=True)
        blanks = r"\s*"
        each = (blanks * t.lstrip + re.escape(t.content) + blanks * t.rstrip for t in added)
        return re.compile("|".join(each) or r"(?!)")

    def _encode_literal(self, text: str, guard: str, previous: int | None) -> list[int]:
        if guard:
            text = text.replace(guard, "")
        if not text:
            return []
        if previous is None:
            return self.encode(text)
        prepends = self._prepends_first_only if previous in self.special_ids.values() else self._prepends
        return self.encode(ANCHOR + text)[len(self.encode(ANCHOR)) :] if prepends else self.encode(text)

    @cached_property
    def _prepends(self) -> bool:
        """Whether this tokenizer puts a blank before a text that has none (SentencePiece's dummy prefix)."""
        return self.encode("a") != self.encode(ANCHOR + "a")[len(self.encode(ANCHOR)) :]

    @cached_property
    def _prepends_first_only(self) -> bool:
        """Whether it does so at the beginning alone, and not after each special token."""
        if not self._prepends or not self.special_ids:
            return False
        self._backend.encode_special_tokens = False
        try:
            after = self.encode(next(iter(self.special_ids)) + "a")
        finally:
            self._backend.encode_special_tokens = True
        return after[1:] != self.encode("a")

    def _guard_ends(self, ends: set[int]) -> None:
        """Have the tokens that end an answer treated as special even where tokenizer.json forgot to say so."""
        added = self._backend.get_added_tokens_decoder()
        forgotten = [added[i].content for i in ends if i in added and not added[i].special]
        if forgotten:
            self._backend.add_special_tokens(
                [tokenizers.AddedToken(t, special=True, normalized=False) for t in forgotten]
            )

    def _end_of_turn(self) -> set[int]:
        """The special token that the template writes behind an answer; none where it writes none."""
        try:
            text = self._render([{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE}], False)
        except TemplateRefusal:
            return set()
        match = self.special_pattern.search(text, text.rfind(_PROBE) + 1)
        return {self.special_ids[match.group().strip()]} if match else set()


def _id_of(backend: tokenizers.Tokenizer, token: str | None) -> int | None:
    found = backend.token_to_id(token) if token else None
    return None if found is None else int(found)


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty where there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is not readable JSON; download the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"expected a JSON object in {path}, got {type(content).__name__}")
    return content


def _special_tokens(*maps: Mapping[str, Any]) -> dict[str, str]:
    """Special tokens by name; later maps win. A token is written as text or as an object with "content"."""
    named: dict[str, str] = {}
    for each in maps:
        for key, value in each.items():
            if key.endswith("_token"):
                content = value.get("content") if isinstance(value, Mapping) else value
                if isinstance(content, str):
                    named[key] = content
    return named


def chat_template(folder: Path) -> str:
    """The text of the chat template of the model in `folder`.

    Raises:
        ModelError: it has none.
    """
    return _template_source(folder, _read_json(folder / "tokenizer_config.json"))


def _template_source(folder: Path, config: Mapping[str, Any]) -> str:
    """The chat template's text: chat_template.jinja first, as in transformers, else tokenizer_config.json."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} is not readable text; download the model again") from error
    found = config.get("chat_template")
    if isinstance(found, list):
        found = {t.get("name"): t.get("template") for t in found if isinstance(t, Mapping)}.get("default")
    if not isinstance(found, str) or not found.strip():
        raise ModelError(
            f"{folder} has no chat template, so samloop cannot talk to it; take the instruct version of the model"
        )
    return found


def _configured_ends(folder: Path) -> set[int]:
    """Ids that generation_config.json and config.json name under eos_token_id."""
    ends: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        value = _read_json(folder / name).get("eos_token_id")
        ends.update(i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int))
    return ends
