"""The recipe: every setting of samloop, with its default and its unit, in one TOML file.

`Recipe.load(path)` reads samloop.toml; environment variables named SAMLOOP_SECTION__KEY override it (a database URL
with a password belongs there). `to_toml` writes it back, the whole or only what differs from the defaults.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import psutil
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from samloop.errors import RecipeError
from samloop.example import DOMAINS, Domain, Tier

ENVIRONMENT: Final = "SAMLOOP_"
"""What the names of environment variables that override settings begin with."""

POCKET: Final = "pocket"
"""The model name that stands for the tiny base shipped in the package."""

LAPTOP_BELOW_BYTES: Final = 12 * 2**30
"""Machines with less memory than this get the preset laptop-8gb by default."""


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, values are checked when set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sam(Section):
    """Who the assistant is."""

    name: str = Field("SAM", description="what the assistant calls itself")
    system_prompt: str = Field("", description="system prompt of examples that bring none; empty: none is added")


class StoreSettings(Section):
    """Where examples are kept."""

    url: str = Field("", description="database URL; empty: SQLite in the samloop home")
    busy_timeout_seconds: float = Field(10.0, gt=0, description="how long to wait for another writer")


class SourceSettings(BaseModel):
    """One configured origin of examples; further keys are options of the source itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(description="name of the source plug-in: git, code, docs, chatgpt, dataset, …")
    location: str = Field("", description="path or address; relative paths start at the recipe's folder")
    review: bool = Field(False, description="send all of it to review first")
    enabled: bool = Field(True, description="whether a turn reads it")
    allow_licences: tuple[str, ...] = Field(
        (), description="SPDX ids that this source may bring although [collect] refuses them"
    )

    @property
    def options(self) -> dict[str, Any]:
        """The keys that are not samloop's own: options of the source plug-in."""
        return dict(self.model_extra or {})


class Collect(Section):
    """What is read, and in which portions."""

    batch_examples: int = Field(8192, ge=1, description="examples curated and stored per transaction, at most")
    max_line_bytes: int = Field(64 * 2**20, ge=1024, description="longer lines of a file are turned away unread")
    workers: int = Field(2, ge=0, description="processes that judge examples of a large source; 0: none but this one")
    side_by_side: int = Field(4, ge=1, description="sources read at once, where the recipe names several")
    live: bool = Field(True, description="whether a turn reads captures and feedback without being told to")
    licences: tuple[str, ...] = Field((), description="SPDX ids to let in; empty: all; 'unknown' stands for none")
    noncommercial: bool = Field(True, description="whether to let in what a licence forbids to use commercially")
    sources: tuple[SourceSettings, ...] = Field((), description="the origins, one table each")


class Redact(Section):
    """What is taken out before anything is stored."""

    enabled: bool = Field(True, description="whether anything is taken out at all")
    names: tuple[str, ...] = Field((), description="names of people or projects to take out as well")


class Near(Section):
    """Near-duplicates: what `curate` leaves out, and `dedupe --strategy near` rejects."""

    enabled: bool = Field(True, description="whether curation in bulk looks for them")
    jaccard: float = Field(0.8, ge=0.5, le=1, description="share of three-word sequences that two have in common")
    template_examples: int = Field(
        80, ge=1, le=200, description="sequences in more examples than this are a template's, and count for nothing"
    )


class Curate(Section):
    """How examples are judged."""

    rubric: str = Field("sound", description="sound, unified, pipeline or distillation")
    reject_below: float = Field(0.3, ge=0, le=1, description="quality score under which an example is rejected")
    domains: str = Field(
        "model", description="what tells domain and complexity: model, keywords, or the whole path of a model's file"
    )
    decontaminate: tuple[str, ...] = Field(
        ("routing",),
        description="evaluation items that no example may contain: names of suites that bring their own, JSONL files",
    )
    redact: Redact = Redact()
    near: Near = Near()
    rules: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="per rule: enabled = false, or its own options"
    )


class Prepare(Section):
    """What goes into a dataset, and how it is split."""

    tiers: tuple[Tier, ...] = Field(("gold", "silver", "bronze"), description="quality tiers to admit")
    domains: tuple[Domain, ...] = Field(DOMAINS, description="domains to admit")  # type: ignore[arg-type]
    sources: tuple[str, ...] = Field((), description="names of sources to admit; empty: all")
    licences: tuple[str, ...] = Field((), description="SPDX ids to admit; empty: all; 'unknown' stands for none")
    valid_share: float = Field(0.05, gt=0, lt=0.5, description="share of groups held out for validation")
    test_share: float = Field(0.05, gt=0, lt=0.5, description="share of groups held out for the gate")
    token_budget: int = Field(0, ge=0, description="training tokens per dataset; 0: no bound")
    source_caps: dict[str, float] = Field(default_factory=dict, description="largest share of tokens, by source")
    correction_weight: float = Field(3.0, gt=0, description="how much more a user's correction counts in the loss")
    replay_share: float = Field(
        0.05, ge=0, lt=0.9, description="share of tokens replayed against forgetting; 0: none"
    )
    replay_file: str = Field("", description="JSONL file of messages to replay; empty: the exchanges of the package")
    seed: int = Field(0, description="seed of the draw where a budget or a cap leaves something out")


class Train(Section):
    """How an adapter is trained. Keys left out come from the preset."""

    preset: str = Field("auto", description="auto, laptop-8gb, standard, laptop-3b or pocket")
    backend: Literal["auto", "torch", "mlx"] = Field(
        "auto", description="auto, torch or mlx; auto: MLX on Apple silicon"
    )
    model: str = Field("", description="folder or hub name of the base model; 'pocket': the bundled one")
    method: Literal["auto", "sft", "dpo", "sft+dpo"] = Field(
        "auto", description="sft, dpo, sft+dpo or auto; auto: sft+dpo where there are min_pairs, else sft"
    )
    min_pairs: int = Field(20, ge=1, description="preference pairs to train on that make auto take sft+dpo")
    beta: float = Field(0.1, gt=0, description="how strongly dpo holds the model to the base; lower is looser")
    preference_epochs: float = Field(3.0, gt=0, description="times dpo sees each pair")
    preference_learning_rate: float = Field(1e-5, gt=0, description="peak learning rate of dpo")
    curriculum: bool = Field(False, description="sft in phases: complexity to 3, to 6, all")
    budget_minutes: float = Field(0.0, ge=0, description="longest that a run shall take; 0: no bound")
    rank: int = Field(8, ge=1, description="LoRA rank")
    alpha: float = Field(16.0, gt=0, description="LoRA alpha; the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="LoRA dropout")
    layers: int = Field(0, ge=0, description="how many of the last layers get LoRA; 0: all")
    targets: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), description="modules with LoRA")
    batch_examples: int = Field(4, ge=1, description="sequences per step of one device")
    accumulation_steps: int = Field(4, ge=1, description="batches per optimiser step")
    max_seq_tokens: int = Field(512, ge=16, description="longest training sequence")
    quantise: Literal["none", "4bit", "nf4", "affine4"] = Field(
        "none",
        description="how the base is held: none (as it is), 4bit (nf4 on torch, affine4 on MLX), or one of these",
    )
    packing: Literal["auto", "on", "off"] = Field(
        "auto", description="sequences end to end without padding; auto: on torch, where the base allows it"
    )
    gradient_checkpointing: bool = Field(
        False, description="keep less for the backward pass and compute it twice: less memory, a third slower"
    )
    epochs: float = Field(1.0, gt=0, description="times each example is seen")
    learning_rate: float = Field(1e-4, gt=0, description="peak; it rises, then falls along a cosine")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps with rising learning rate")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients with a larger norm are scaled down to it")
    seed: int = Field(0, description="seed of the order of examples, of LoRA's start and of dropout")
    report_steps: int = Field(10, ge=1, description="optimiser steps between metric lines")
    evaluate_steps: int = Field(50, ge=1, description="optimiser steps between validation losses")
    checkpoint_steps: int = Field(100, ge=1, description="optimiser steps between checkpoints")
    patience: int = Field(3, ge=0, description="validations without improvement before stopping; 0: never stop")
    quick_steps: int = Field(10, ge=1, description="optimiser steps of --quick")
    cluster: str = Field(
        "", description="Ray cluster that trains, ray://local or ray://HOST:PORT; empty: this machine does"
    )
    cluster_workers: int = Field(
        0, ge=0, description="workers of the cluster that train; 0: one per GPU, or one per machine without any"
    )
    report_to: tuple[Literal["mlflow", "wandb", "trackio"], ...] = Field(
        (), description="trackers that get a run's figures by their own clients; empty: none"
    )
    refuse_beyond_memory: bool = Field(True, description="refuse a run whose estimate exceeds the available memory")
    pause_below_gb: float = Field(0.3, ge=0, description="available memory, in 10⁹ bytes, below which a run pauses")
    go_on_at_gb: float = Field(0.5, ge=0, description="available memory, in 10⁹ bytes, at which it goes on")
    memory_wait_minutes: float = Field(
        120.0, ge=0, description="longest pause for memory; then the run is stopped, and kept; 0: no bound"
    )
    min_new_examples: int = Field(100, ge=1, description="new accepted examples that make a run due")

    @model_validator(mode="after")
    def _goes_on_above_the_pause(self) -> Train:
        if self.go_on_at_gb < self.pause_below_gb:
            raise ValueError(
                f"go_on_at_gb = {self.go_on_at_gb:g} is below pause_below_gb = {self.pause_below_gb:g}; raise it"
            )
        return self


class Teacher(Section):
    """The stronger model that may be asked. Its key comes from the environment alone."""

    kind: str = Field("", description="anthropic, openai (any endpoint of its protocol), or a plug-in's; empty: none")
    model: str = Field("", description="name of the model, as the endpoint knows it")
    base_url: str = Field("", description="address of the endpoint; empty: its maker's")
    key_variable: str = Field(
        "", description="environment variable with the key; empty: ANTHROPIC_API_KEY or OPENAI_API_KEY"
    )
    redact: bool = Field(True, description="whether personal data and secrets are taken out of what is sent")
    requests_per_day: int = Field(200, ge=0, description="requests in a day (UTC); 0: no bound")
    tokens_per_day: int = Field(500_000, ge=0, description="tokens in a day, sent and received; 0: no bound")
    max_output_tokens: int = Field(1024, ge=1, description="longest answer")
    timeout_seconds: float = Field(60.0, gt=0, description="how long to wait for an answer")
    retries: int = Field(3, ge=0, le=20, description="further tries after a failure that may pass")
    max_wait_seconds: float = Field(60.0, ge=0, description="longest wait between tries that an endpoint may ask for")


class Evaluate(Section):
    """What is measured on held-out items."""

    suites: tuple[str, ...] = Field(("perplexity", "routing"), description="names of suite plug-ins")
    max_items: int = Field(400, ge=1, description="items per suite, drawn by hash")
    resamples: int = Field(2000, ge=100, description="bootstrap resamples")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the intervals that are shown")


class Gate(Section):
    """When a challenger becomes champion. Figures are starting points of the contract."""

    min_items: int = Field(200, ge=2, description="held-out answers needed for a decision on bits per byte")
    max_worse_chance: float = Field(0.05, gt=0, lt=0.5, description="doubt allowed in a promotion, over all measures")
    not_worse_margin: float = Field(0.01, ge=0, description="relative loss of the primary still 'not worse'")
    routing_margin: float = Field(0.02, ge=0, description="loss of routing accuracy allowed (points / 100)")
    retention_margin: float = Field(0.02, ge=0, description="relative rise of retention perplexity allowed")


class Recipe(BaseSettings):
    """All settings. `Recipe()` is a working default; `Recipe.load(path)` reads a file.

    Raises:
        RecipeError: from `load`, when a key is unknown (with the nearest known one), or a value does not fit.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=ENVIRONMENT, env_nested_delimiter="__")

    sam: Sam = Sam()
    store: StoreSettings = StoreSettings()
    collect: Collect = Collect()
    curate: Curate = Curate()
    prepare: Prepare = Prepare()
    train: Train = Train()
    teacher: Teacher = Teacher()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; nothing else is read."""
        return env_settings, init_settings

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """The recipe in the TOML file at `path`."""
        try:
            data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        except FileNotFoundError:
            raise RecipeError(f"there is no recipe at {path}; 'samloop init' writes one") from None
        except OSError as error:
            raise RecipeError(
                f"the recipe {path} cannot be read ({error.strerror}); name a TOML file that you may read"
            ) from error
        except UnicodeDecodeError as error:
            raise RecipeError(
                f"the recipe {path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"the recipe {path} is not valid TOML: {error}; correct that line") from error
        except RecursionError:
            raise RecipeError(f"the recipe {path} is nested too deeply; correct it") from None
        return cls.parse(data, where=str(path))

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """A recipe from plain data, preset applied; `where` names its origin in errors."""
        try:
            recipe = cls(**dict(data))
        except ValidationError as error:
            raise RecipeError(_explain(error, where)) from None
        except SettingsError as error:
            section = str(error).split('"')[1]  # the message: error parsing value for field "train" from source …
            raise RecipeError(
                f"the environment variable {ENVIRONMENT}{section.upper()} is not a JSON object; "
                f"set one key of it, such as {ENVIRONMENT}{section.upper()}__KEY, or correct it"
            ) from None
        return recipe.with_preset()

    def with_preset(self) -> Recipe:
        """The same recipe with the preset's values under every training key that was not set explicitly.

        Raises:
            RecipeError: there is no such preset.
        """
        name = self.train.preset
        if name == "auto":
            name = "laptop-8gb" if psutil.virtual_memory().total < LAPTOP_BELOW_BYTES else "standard"
            if self.train.model == POCKET:
                name = "pocket"
        if name not in PRESETS:
            raise RecipeError(f"expected train.preset to be one of auto, {', '.join(PRESETS)}, got '{name}'")
        explicit = {key: getattr(self.train, key) for key in self.train.model_fields_set}
        train = Train(**{**PRESETS[name], **explicit, "preset": name})
        return self.model_copy(update={"train": train})

    def changed(self, **sections: Mapping[str, Any]) -> Recipe:
        """A copy with some values replaced: ``recipe.changed(train={"rank": 4})``.

        Raises:
            RecipeError: a key is unknown or a value does not fit.
        """
        data = self.to_dict(full=False)
        for name, values in sections.items():
            data[name] = {**data.get(name, {}), **values}
        return Recipe.parse(data)

    def to_dict(self, *, full: bool) -> dict[str, Any]:
        """Plain data: every setting, or only those that were set."""
        return self.model_dump(mode="json", exclude_unset=not full, exclude_none=True)

    def to_keep(self) -> dict[str, Any]:
        """Every setting, as a run keeps it for its record: without the database's address, which may hold a password,
        and without the names that are taken out of texts."""
        kept = self.to_dict(full=True)
        kept["store"]["url"] = ""
        kept["curate"]["redact"]["names"] = []
        return kept

    def to_toml(self, *, full: bool) -> str:
        """TOML text that `load` reads back to an equal recipe; with `full`, each key has its meaning as a comment."""
        if not full:
            return tomli_w.dumps(self.to_dict(full=False))
        return "\n".join(_section_toml(name, getattr(self, name)) for name in type(self).model_fields)


PRESETS: Final[dict[str, dict[str, Any]]] = {
    "laptop-8gb": {
        "model": "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "rank": 4,
        "alpha": 8.0,
        "layers": 8,
        "batch_examples": 1,
        "accumulation_steps": 4,
        "max_seq_tokens": 512,
        "quantise": "4bit",
        "epochs": 1.0,
        "learning_rate": 1e-4,
    },
    "standard": {
        "model": "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "rank": 8,
        "alpha": 16.0,
        "layers": 0,
        "dropout": 0.05,
        "batch_examples": 4,
        "accumulation_steps": 4,
        "max_seq_tokens": 2048,
        "epochs": 3.0,
        "learning_rate": 1e-4,
    },
    "laptop-3b": {
        "model": "Qwen/Qwen2.5-Coder-3B-Instruct",
        "rank": 4,
        "alpha": 8.0,
        "layers": 2,
        "batch_examples": 1,
        "accumulation_steps": 4,
        "max_seq_tokens": 384,
        "quantise": "4bit",
        "epochs": 1.0,
        "learning_rate": 1e-4,
    },
    "pocket": {
        "model": POCKET,
        "rank": 16,
        "alpha": 32.0,
        "layers": 0,
        "targets": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        "batch_examples": 16,
        "accumulation_steps": 1,
        "max_seq_tokens": 256,
        "epochs": 3.0,
        "learning_rate": 2e-3,
        "preference_learning_rate": 5e-4,
    },
}


def _section_toml(name: str, section: BaseModel) -> str:
    plain = section.model_dump(mode="json", exclude_none=True)
    lines, tables = [f"[{name}]"], []
    for key, info in type(section).model_fields.items():
        value, nested = plain[key], getattr(section, key)
        if isinstance(nested, BaseModel):
            tables.append(_section_toml(f"{name}.{key}", nested))
        elif isinstance(value, dict) and value and all(isinstance(table, dict) for table in value.values()):
            tables += [_table_toml(f"[{name}.{key}.{inner}]", table) for inner, table in value.items()]
        elif isinstance(value, dict):
            header = f"[{name}.{key}]"
            tables.append(_table_toml(f"{header}  # {info.description}" if info.description else header, value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables += [_table_toml(f"[[{name}.{key}]]", table) for table in value]
        else:
            text = _assignment_toml(key, value)
            lines.append(f"{text}  # {info.description}" if info.description else text)
    return "\n".join(lines) + "\n" + "".join("\n" + table for table in tables)


def _table_toml(header: str, table: Mapping[str, Any]) -> str:
    return "\n".join([header, *(_assignment_toml(key, value) for key, value in table.items())]) + "\n"


def _assignment_toml(key: str, value: Any) -> str:
    lines = [line.strip() for line in tomli_w.dumps({key: value}).splitlines()]
    return " ".join(lines).replace("[ ", "[", 1).removesuffix(", ]") + ("]" if lines[-1] == "]" else "")


def _explain(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), _known_keys(first["loc"][:-1]), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(_known_keys(first['loc'][:-1]))}."
        return f"unknown setting '{path}' in {where}; {hint}"
    variable = ENVIRONMENT + "__".join(str(part) for part in first["loc"]).upper()
    if variable in os.environ:
        where = f"the environment variable {variable}"
    if first["type"] == "missing":
        return f"expected the setting '{path}' in {where}, found none; add it"
    if first["type"] == "value_error":
        return f"settings of '{path}' in {where} do not fit together: {first['ctx']['error']}"
    got = repr(first["input"])[:80]
    return f"setting '{path}' in {where}: {first['msg'][0].lower()}{first['msg'][1:]}, got {got}"


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    model: Any = Recipe
    for part in path:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        args = getattr(annotation, "__args__", ())
        model = next((a for a in (annotation, *args) if isinstance(a, type) and issubclass(a, BaseModel)), None)
        if model is None:
            return []
    return sorted(model.model_fields)
