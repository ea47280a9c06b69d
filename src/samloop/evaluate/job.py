"""The evaluation job: everything a grading process needs to know, as plain data that survives JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from samloop.errors import InputError
from samloop.protocols import AdapterRef

BASE: Final = "base"
"""The target that is the base model without any adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateJob:
    """One evaluation: a base, adapters and items in, scores out.

    Attributes:
        base: folder of the base model.
        backend: name of the backend plug-in that loads it.
        quantise: how the base is held when it is graded without an adapter; each adapter says so itself.
        adapters: every adapter among the targets.
        targets: what to grade, in order: "base" or names of adapters; empty: the base, then each adapter.
        suites: by suite name the JSONL file of its items.
        base_digest: of the base's files; with `cache`, what was answered before is found again.
        cache: file of what models said before; None: each evaluation asks for itself.
        cache_bytes: the most that it may hold.
        samples: JSONL file of questions to answer in full, ``{"id", "messages", "expected"}``; None: none.
        max_new_tokens: bound on such an answer.
    """

    base: Path
    backend: str
    quantise: str = "none"
    adapters: tuple[AdapterRef, ...] = ()
    targets: tuple[str, ...] = ()
    suites: Mapping[str, Path]
    base_digest: str = ""
    cache: Path | None = None
    cache_bytes: int = 0
    samples: Path | None = None
    max_new_tokens: int = 48

    def __post_init__(self) -> None:
        known = {BASE, *(adapter.name for adapter in self.adapters)}
        strange = [target for target in self.targets if target not in known]
        if strange:
            raise InputError(f"expected targets out of {', '.join(sorted(known))}, got '{strange[0]}'")
        if not self.targets:
            object.__setattr__(self, "targets", (BASE, *(adapter.name for adapter in self.adapters)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data with ``"kind": "evaluate"``."""
        return {
            "kind": "evaluate",
            "base": str(self.base),
            "backend": self.backend,
            "quantise": self.quantise,
            "adapters": [{"name": a.name, "path": str(a.path), "quantise": a.quantise} for a in self.adapters],
            "targets": list(self.targets),
            "suites": {name: str(path) for name, path in self.suites.items()},
            "base_digest": self.base_digest,
            "cache": str(self.cache) if self.cache else None,
            "cache_bytes": self.cache_bytes,
            "samples": str(self.samples) if self.samples else None,
            "max_new_tokens": self.max_new_tokens,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> EvaluateJob:
        """The inverse of `to_dict`; "kind" may be missing.

        Raises:
            InputError: a field is unknown or missing.
        """
        values = {name: value for name, value in plain.items() if name != "kind"}
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"expected the fields of an evaluation job, got '{unknown[0]}' as well")
        try:
            adapters = values.get("adapters", ())
            return cls(
                **{
                    **values,
                    "base": Path(values["base"]),
                    "adapters": tuple(AdapterRef(**{**one, "path": Path(one["path"])}) for one in adapters),
                    "targets": tuple(values.get("targets", ())),
                    "suites": {name: Path(path) for name, path in values["suites"].items()},
                    "cache": Path(values["cache"]) if values.get("cache") else None,
                    "samples": Path(values["samples"]) if values.get("samples") else None,
                }
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"the evaluation job is incomplete: {error}") from None
