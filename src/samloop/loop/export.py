"""Take an adapter along: into another layout, merged into its base, or as a file for llama.cpp and Ollama."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from samloop.adapters.fuse import Fused, see_room, write_model
from samloop.adapters.modelfile import modelfile
from samloop.adapters.registry import Registry
from samloop.errors import ModelError, StoreError, UsageError
from samloop.files import absolute, storing, whole_folder, write_atomic
from samloop.loop.context import Context
from samloop.text.base import resolve_base
from samloop.text.tokens import Tokenizer, chat_template
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.layouts import CONFIG, LAYOUTS
from samloop.train.quantise import FORMS, NONE
from samloop.train.rounding import rounding

BOTH: Final = "both"
KINDS: Final[Mapping[str, str | None]] = {"base": None, "float32": "F32"}
"""What the merged weights are rounded to: the base's own kind of numbers, or nothing."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An adapter, where it lies and what is known of it.

    Attributes:
        name: its id, or the name of its folder.
        base: what its base is called: of the registry, else of its own configuration; may be empty.
        licences: of what it learnt from; empty: not known.
        registered: whether it is in the registry.
    """

    name: str
    folder: Path
    adapter: Adapter
    base: str
    licences: tuple[str, ...]
    registered: bool


def choose(context: Context, name: str) -> Chosen:
    """The adapter that is meant: a folder that holds one, a registered id or its beginning, or e.g. "champion".

    Raises:
        NotFoundError: there is no such adapter.
        ModelError: its files are damaged, or no adapter that samloop knows.
    """
    folder = absolute(name)
    if folder.is_dir() and (folder / CONFIG).is_file():
        adapter = Adapter.read(folder)
        return Chosen(folder.name, folder, adapter, adapter.base_name, (), registered=False)
    registry = Registry(context.home, context.store)
    row = context.store.get_adapter(registry.find(name))
    found = str(row["adapter_id"])
    if damage := registry.verify(found):
        raise ModelError(f"adapter {found} is damaged: {damage[0]}; take another adapter")
    folder = registry.path(found)
    adapter = Adapter.read(folder)
    known = str(row["base"] or "")
    base = adapter.base_name if known in ("", "unknown") else known
    return Chosen(found, folder, adapter, base, tuple(row["licences"]), registered=True)


def base_of(context: Context, chosen: Chosen, base: str | None = None) -> Base:
    """The base that an adapter belongs to.

    Args:
        base: a folder or name to take instead of the one that is kept with the adapter.

    Raises:
        ModelError: it is not on this machine, or the adapter was trained on another one.
    """
    found = Base.open(resolve_base(base or chosen.base or context.recipe.train.model))
    chosen.adapter.check_base(found.fingerprint, chosen.name)
    return found


def convert(context: Context, name: str, *, to: str, out: str) -> dict[str, Any]:
    """Write an adapter in PEFT's layout, MLX's, or both, into a new folder.

    Returns:
        {adapter, to, path, files, modules, rank}.

    Raises:
        UsageError: `to` is no layout, or something is at `out`.
        NotFoundError, ModelError: see `choose`.
        StoreError: it cannot be written.
    """
    if to not in (*LAYOUTS, BOTH):
        raise UsageError(f"expected --to to be one of {', '.join(LAYOUTS)}, {BOTH}, got '{to}'")
    chosen = choose(context, name)
    target = new_path(out)
    with _writing("the adapter", target) as folder:
        chosen.adapter.write(folder, LAYOUTS if to == BOTH else (to,))
        files = sorted(path.name for path in folder.iterdir())
    return {
        "adapter": chosen.name,
        "to": to,
        "path": str(target),
        "files": files,
        "modules": len(chosen.adapter.weights),
        "rank": chosen.adapter.rank,
    }


def fused(context: Context, name: str, *, base: str | None = None, kind: str | None = None) -> tuple[Chosen, Fused]:
    """An adapter merged into its base, tensor by tensor.

    Args:
        kind: of numbers (F32) to round to; None: the base's own.

    Raises:
        NotFoundError, ModelError: see `choose` and `base_of`.
        MissingExtraError: the library that the base was held in four bits with is not installed.
    """
    chosen = choose(context, name)
    found = base_of(context, chosen, base)
    form = chosen.adapter.quantise or NONE
    rounded: Callable[..., Any] | None = None
    if form != NONE:
        plain = Fused(found.folder, found.weight_files, found.config, None)
        rows = (shape[-1] for name, (_, shape) in plain.kinds.items() if len(shape) == 2 and name.endswith(".weight"))
        rounded = rounding(form, rows)
    merged = Fused(
        found.folder,
        found.weight_files,
        found.config,
        chosen.adapter,
        rounded=rounded,
        round_embeddings=form == FORMS["mlx"],
        kind=kind,
    )
    return chosen, merged


def fuse(context: Context, name: str, *, out: str, base: str | None = None, dtype: str = "base") -> dict[str, Any]:
    """Write the base with an adapter merged into it, as a whole Hugging Face folder.

    Returns:
        {adapter, base, path, bytes, dtype, rounding, quantise}: rounding is the share of the adapter's update that
        rounding to the base's numbers took (root mean square), quantise how the base was held in training.

    Raises:
        UsageError: `dtype` is not known, or something is at `out`.
        NotFoundError, ModelError, MissingExtraError: see `fused`.
        StoreError: the disk has no room, or cannot be written.
    """
    if dtype not in KINDS:
        raise UsageError(f"expected --dtype to be one of {', '.join(KINDS)}, got '{dtype}'")
    target = new_path(out)
    chosen, merged = fused(context, name, base=base, kind=KINDS[dtype])
    called = base or chosen.base or context.recipe.train.model
    with _writing("the fused model", target) as folder:
        size = write_model(merged, folder, _card(chosen, called))
    kinds = {kind for tensor, (kind, shape) in merged.kinds.items() if len(shape) == 2}
    return {
        "adapter": chosen.name,
        "base": called,
        "path": str(target),
        "bytes": size,
        "dtype": ", ".join(sorted(kinds)),
        "rounding": merged.rounding(),
        "quantise": chosen.adapter.quantise or NONE,
    }


def gguf(
    context: Context, name: str, *, out: str, outtype: str = "f16", base: str | None = None, lora: bool = False
) -> dict[str, Any]:
    """Write the base with an adapter merged into it as one GGUF file, and a Modelfile for Ollama beside it.

    Args:
        outtype: f32, f16 or q8_0.
        lora: write the adapter alone, to be used with a GGUF file of its base; there is no Modelfile then.

    Returns:
        {adapter, base, path, bytes, outtype, modelfile, quantise}.

    Raises:
        UsageError: `outtype` is not known, or something is at `out`.
        NotFoundError, ModelError: see `fused`; or llama.cpp would not answer as the model does.
        MissingExtraError: the gguf package is not installed.
        StoreError: the disk has no room, or cannot be written.
    """
    from samloop.adapters.gguf import OUT_TYPES, write_adapter, write_gguf  # an extra of its own

    if outtype not in OUT_TYPES:
        raise UsageError(f"expected --outtype to be one of {', '.join(OUT_TYPES)}, got '{outtype}'")
    target = new_path(out)
    beside = new_path(f"{out.removesuffix('.gguf')}.Modelfile")
    chosen, merged = fused(context, name, base=base)
    called = base or chosen.base or context.recipe.train.model
    title = f"{called} with {chosen.name}"
    with storing("the GGUF file", target):
        if lora:
            size = write_adapter(merged, chosen.adapter, target, outtype=outtype, name=title)
        else:
            tokenizer = Tokenizer.load(merged.folder)
            see_room(target.parent, merged.bytes())
            size = write_gguf(
                merged,
                target,
                outtype=outtype,
                name=title,
                template=chat_template(merged.folder),
                licences=chosen.licences,
            )
            ends = [tokenizer.decode([end]) for end in tokenizer.end_ids]
            prompt = context.recipe.sam.system_prompt
            text = modelfile(target.name, render=tokenizer.render, ends=ends, system_prompt=prompt)
            write_atomic(beside, text.encode())
    return {
        "adapter": chosen.name,
        "base": called,
        "path": str(target),
        "bytes": size,
        "outtype": outtype,
        "modelfile": None if lora else str(beside),
        "quantise": chosen.adapter.quantise or NONE,
    }


def new_path(out: str) -> Path:
    """Where something new is to go.

    Raises:
        UsageError: something is there already, or the folder around it is not.
    """
    target = absolute(out)
    if target.exists():
        raise UsageError(f"there is something at {target} already; name another place, or take it away first")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}; make it, or name another place")
    return target


@contextmanager
def _writing(what: str, target: Path) -> Iterator[Path]:
    with storing(what, target), whole_folder(target) as folder:
        yield folder
        if target.exists():
            raise StoreError(f"something came to be at {target} in the meantime; name another place")


def _card(chosen: Chosen, base: str) -> str:
    """The README.md of a fused model."""
    licences = ", ".join(chosen.licences) or "not recorded"
    held = chosen.adapter.quantise or NONE
    trained = f"The adapter was trained on the base held as {held}; these weights are that base, spelt out.\n\n"
    return (
        f"# {base} with {chosen.name}\n\n"
        f"The base model {base} with the LoRA adapter {chosen.name} merged into it by samloop.\n\n"
        f"{trained if held != NONE else ''}"
        f"Licences of what the adapter learnt from: {licences}. The base has its own licence.\n"
    )
