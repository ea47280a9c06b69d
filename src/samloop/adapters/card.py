"""The model card of an adapter: README.md in its folder, in the form that the Hugging Face hub reads.

A card goes out of the house with the adapter. It holds counts, names of sources, licences, settings and figures; no
text of any example, no path, no name of a person, no address. It is written anew when something new is known of the
adapter, and is no part of what names the adapter or of what `verify` checks.

Its form: https://huggingface.co/docs/hub/model-cards, with license, base_model, library_name, tags in front.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from samloop.adapters.archive import short_name

HUB_LICENCES: Final[Mapping[str, str]] = {
    name: name
    for name in (
        "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-2.0",
        "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
        "ecl-2.0", "epl-1.0", "epl-2.0", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0",
        "ms-pl", "ncsa", "ofl-1.1", "osl-3.0", "postgresql", "unlicense", "wtfpl", "zlib",
    )
} | {"odbl-1.0": "odbl", "odc-by-1.0": "odc-by", "pddl-1.0": "pddl"}  # fmt: skip
"""The hub's name of a licence by its SPDX id in small letters, without "-only" and "-or-later";
https://huggingface.co/docs/hub/repositories-licenses."""

LIBRARIES: Final[Mapping[str, str]] = {"torch": "peft", "mlx": "mlx"}

SETTINGS: Final = (
    *("method", "rank", "alpha", "dropout", "layers", "targets", "learning_rate", "epochs", "batch_examples"),
    *("accumulate", "max_seq_tokens", "quantise", "seed"),
)
"""Settings of [train] that a card tells, where the recipe has them."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+ -]{0,59}")
OTHER: Final = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a card is made of.

    Attributes:
        manifest: of the adapter's folder.
        data: {"source": {name: (examples, tokens)}, "licence": …} of what it was trained on; empty where that is not
            known or gone.
        splits: examples by split.
        scores, base_scores: intervals as an evaluation gives them, of the adapter and of the bare base.
        decision: the gate's last word on it; None: there was none.
        state: candidate, champion, retired, rejected or withdrawn.
    """

    manifest: Mapping[str, Any]
    data: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    scores: Sequence[Mapping[str, Any]] = ()
    base_scores: Sequence[Mapping[str, Any]] = ()
    decision: Mapping[str, Any] | None = None
    state: str = "candidate"


def card(facts: Facts) -> str:
    """The text of the card."""
    manifest = facts.manifest
    name, base = str(manifest["adapter_id"]), short_name(str(manifest.get("base") or "unknown"))
    parts = [
        _front_matter(facts, base),
        f"# {name}\n\nA LoRA adapter for {base}, made by [samloop](https://pypi.org/project/samloop/) "
        f"{manifest.get('samloop_version') or ''}".rstrip()
        + f". It was {facts.state} in its registry when this was written.",
        _data(facts),
        _recipe(manifest),
        _scores(facts),
        _decision(facts),
        _limits(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: Facts, base: str) -> str:
    backend = str(facts.manifest.get("backend"))
    licences = sorted({licence(one) for one in facts.manifest.get("licences") or ()})
    known = HUB_LICENCES.get(_on_the_hub(licences[0])) if len(licences) == 1 else None
    lines = [f"license: {known or OTHER}"]
    if not known:
        lines.append(f"license_name: {'mixed' if len(licences) > 1 else 'unknown'}")
    lines += [f"base_model: {_quoted(base)}", "base_model_relation: adapter"]
    lines += [f"library_name: {LIBRARIES.get(backend, 'peft')}", "pipeline_tag: text-generation"]
    lines += ["tags:", "- lora", "- samloop"]
    return "\n".join(["---", *lines, "---"])


def _data(facts: Facts) -> str:
    origin = facts.manifest.get("lineage")
    if origin:
        return f"## Training data\n\nNot known here: the adapter's lineage is {plain(origin)}.{_told_licences(facts)}"
    if not facts.data:
        return f"## Training data\n\nThe dataset is no longer on disk.{_told_licences(facts)}"
    splits = ", ".join(f"{number:,} {split}" for split, number in facts.splits.items())
    digest = str(facts.manifest.get("dataset_digest") or "")[:12]
    parts = [f"## Training data\n\nDataset {digest}: {splits} examples. What it was trained on:"]
    for heading, counts in facts.data.items():
        merged: dict[str, tuple[int, int]] = {}
        for value, (examples, tokens) in counts.items():
            shown = licence(value) if heading == "licence" else plain(value)
            before = merged.get(shown, (0, 0))
            merged[shown] = (before[0] + examples, before[1] + tokens)
        rows = [(value, f"{number:,}", f"{tokens:,}") for value, (number, tokens) in sorted(merged.items())]
        parts.append(_table((heading, "examples", "tokens"), rows))
    return "\n\n".join(parts)


def _told_licences(facts: Facts) -> str:
    licences = ", ".join(sorted({licence(one) for one in facts.manifest.get("licences") or ()}))
    return f" Licences told of it: {licences}." if licences else ""


def _recipe(manifest: Mapping[str, Any]) -> str:
    recipe = manifest.get("recipe") or {}
    settings = recipe.get("train") or {} if isinstance(recipe, Mapping) else {}
    rows = [(name.replace("_", " "), _value(settings[name])) for name in SETTINGS if name in settings]
    if not rows:
        return ""
    digest = str(manifest.get("base_digest") or "")[:12]
    base = f"\n\nThe base's files have the digest {digest}." if digest else ""
    return f"## Recipe\n\n{_table(('setting', 'value'), rows)}{base}"


def _scores(facts: Facts) -> str:
    if not facts.scores:
        return "## Scores\n\nIt was not evaluated yet."
    base = {str(score["name"]): score for score in facts.base_scores}
    rows = [
        (
            plain(str(score["name"]).replace("_", " ")),
            f"{score['items']:,}",
            _interval(base.get(str(score["name"]))),
            _interval(score),
            f"{plain(score.get('unit', ''))}, {plain(score.get('better', ''))} is better",
        )
        for score in facts.scores
    ]
    head = "## Scores\n\nOn held-out items that no adapter trains on; in brackets the bootstrap interval."
    return f"{head}\n\n{_table(('measure', 'items', 'base', 'adapter', 'unit'), rows)}"


def _decision(facts: Facts) -> str:
    if facts.decision is None:
        return "## Decision\n\nThe gate has not decided on it."
    reasons = "".join(f"\n- {_line(one)}" for one in facts.decision.get("reasons", ()))
    return f"## Decision\n\nThe gate's word: {plain(facts.decision.get('verdict', ''))}.\n{reasons}".rstrip()


def _limits(facts: Facts) -> str:
    examples = facts.splits.get("train")
    learnt = f"It learnt from {examples:,} examples of one house" if examples else "It learnt from one house's data"
    return (
        f"## Limits\n\n{learnt} and repeats their habits and mistakes. The scores hold for items like those "
        "it was measured on, and say nothing of other tasks or languages. Personal data was redacted by rules before "
        "training, which no rule does without a miss: treat the weights as confidential as the data. It inherits the "
        "licence and the limits of its base."
    )


def plain(value: object) -> str:
    """`value` where it is a plain name, such as a source or an SPDX id; "other" for what could be anything."""
    return str(value) if _PLAIN.fullmatch(str(value)) else OTHER


def licence(value: object) -> str:
    """A licence as a card tells it: SPDX ids that are known, alone or joined; "other" for what could be any text."""
    words = str(value).replace("(", " ").replace(")", " ").split()
    known = [word for word in words if _on_the_hub(word) in HUB_LICENCES]
    if known and all(word in known or word in ("AND", "OR") for word in words):
        return " ".join(words)
    return "unknown" if str(value) == "unknown" else OTHER


def _on_the_hub(spdx: str) -> str:
    return spdx.lower().removesuffix("-only").removesuffix("-or-later")


def _interval(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "-"
    figures = [_figure(score.get(name)) for name in ("mean", "low", "high")]
    return f"{figures[0]} [{figures[1]}, {figures[2]}]"


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def _value(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(one) for one in value) or "-"
    return plain(value) if isinstance(value, str) else str(value)


def _line(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _quoted(text: str) -> str:
    """As a YAML string: JSON's strings are YAML's."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_line(cell) for cell in line) + " |" for line in lines)
