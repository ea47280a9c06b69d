"""A tokenizer as GGUF has it: tokens with their types, merges, special tokens, the chat template."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from samloop.errors import MissingExtraError, ModelError

try:
    import gguf as gguf
except ImportError:
    raise MissingExtraError("gguf", "writing GGUF") from None

_LETTERS: Final = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST: Final = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

SPLITS: Final[Mapping[str, str]] = {
    rf"{_ENDINGS}|{_LETTERS}|\p{{N}}|{_REST}": "qwen2",
    rf"{_ENDINGS}|{_LETTERS}|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
}
"""Patterns that text is split by before merges, and what llama.cpp calls them."""

_BYTE: Final = re.compile("<0x[0-9A-F]{2}>")
_SPACE: Final = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_TRAINERS_MARK: Final = re.compile(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})")


def add_vocabulary(writer: Any, folder: Path, rows: int, template: str) -> None:
    """Add the tokenizer of the model in `folder`.

    Args:
        rows: of the embedding; places without a token are filled up.
        template: the chat template.

    Raises:
        ModelError: it is of another kind, or splits text in a way that llama.cpp has no name for.
    """
    plain = orjson.loads((folder / "tokenizer.json").read_bytes())
    pieces = bool(plain["model"].get("byte_fallback"))
    if pieces:
        _check_pieces(plain, folder)
        writer.add_tokenizer_model("llama")
        writer.add_add_space_prefix(False)
        writer.add_token_scores(_scores(plain["model"], rows))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_split(plain, folder))
    tokens, types = [f"[PAD{at}]" for at in range(rows)], [gguf.TokenType.UNUSED] * rows
    for token, at in plain["model"]["vocab"].items():
        tokens[at], types[at] = token, gguf.TokenType.NORMAL
        if pieces and _BYTE.fullmatch(token):
            types[at] = gguf.TokenType.BYTE
    for added in plain.get("added_tokens", ()):
        control = gguf.TokenType.CONTROL if added.get("special") else gguf.TokenType.USER_DEFINED
        if pieces and added["content"] == plain["model"].get("unk_token"):
            control = gguf.TokenType.UNKNOWN
        tokens[added["id"]], types[added["id"]] = added["content"], control
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    logging.getLogger("gguf.vocab").setLevel(logging.ERROR)  # it remarks on templates for pairs of texts
    special = gguf.SpecialVocab(folder, load_merges=not pieces, n_vocab=rows)
    special.chat_template = for_answering(template)
    special.add_special_token.setdefault("bos", False)
    special.add_to_gguf(writer, quiet=True)


def for_answering(template: str) -> str:
    """A chat template without the marks that say what is trained, which other programs do not know.

    The tag is replaced and not taken out, for it may eat the white space around it.
    """
    return _TRAINERS_MARK.sub(lambda tag: f"{tag[1]}{'endif' if tag[2] else 'if true'}{tag[3]}", template)


def _check_pieces(plain: Mapping[str, Any], folder: Path) -> None:
    """See that a tokenizer of pieces, with bytes for what it has no piece for, does as llama.cpp does: blanks become
    pieces of their own kind, and none is put before the text.

    Raises:
        ModelError: it does otherwise, as that of Llama 2 does.
    """
    normaliser = plain.get("normalizer") or {}
    steps = normaliser.get("normalizers", [normaliser])
    kinds = [step.get("type") for step in _steps(plain.get("pre_tokenizer"))]
    if plain["model"].get("type") != "BPE" or steps != [_SPACE] or kinds not in ([], ["Split"]):
        raise ModelError(
            f"the tokenizer in {folder} puts blanks where llama.cpp would not; fuse the adapter ('samloop adapters "
            "fuse') and convert the folder with llama.cpp's convert_hf_to_gguf.py"
        )


def _scores(model: Mapping[str, Any], rows: int) -> list[float]:
    """The earlier two pieces merge, the higher scores what they make: llama.cpp merges the best first."""
    scores = [-1e6] * rows
    for rank, merge in enumerate(model["merges"]):
        made = model["vocab"].get("".join(merge.split(" ", 1) if isinstance(merge, str) else merge))
        if made is not None and scores[made] == -1e6:
            scores[made] = -float(rank)
    return scores


def _split(plain: Mapping[str, Any], folder: Path) -> str:
    """What llama.cpp calls the way a byte-level tokenizer splits text before it merges.

    Raises:
        ModelError: the tokenizer is of another kind, or it has no name for it.
    """
    model, steps = plain["model"], _steps(plain.get("pre_tokenizer"))
    kinds = [str(step.get("type")) for step in steps]
    if model.get("type") != "BPE" or "ByteLevel" not in kinds:
        raise ModelError(
            f"the tokenizer in {folder} is not of the byte-level kind, and GGUF is written for no other; fuse the "
            "adapter ('samloop adapters fuse') and convert the folder with llama.cpp's convert_hf_to_gguf.py"
        )
    found = None
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex"):
        found = SPLITS.get(steps[0].get("pattern", {}).get("Regex", ""))
    elif kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        found = "gpt-2"
    elif kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex", True):
        found = "smollm"
    if found is None or any(step.get("add_prefix_space") for step in steps):
        raise ModelError(
            f"the tokenizer in {folder} splits text in a way that llama.cpp has no name for here; fuse the adapter "
            "('samloop adapters fuse') and convert the folder with llama.cpp's convert_hf_to_gguf.py"
        )
    return found


def _steps(pre: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if pre is None:
        return []
    return list(pre["pretokenizers"]) if pre.get("type") == "Sequence" else [pre]
