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
from typing import Any, Final

import psutil
import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from samloop.errors import RecipeError
from samloop.recipe_toml import section_toml
from samloop.settings import Collect, Curate, Evaluate, Gate, Prepare, Sam, StoreSettings, Teacher, Train

ENVIRONMENT: Final = "SAMLOOP_"
"""What the names of environment variables that override settings begin with."""

POCKET: Final = "pocket"
"""The model name that stands for the tiny base shipped in the package."""

LAPTOP_BELOW_BYTES: Final = 12 * 2**30
"""Machines with less memory than this get the preset laptop-8gb by default."""


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
            return cls(**dict(data)).with_preset()
        except ValidationError as error:
            raise RecipeError(_explain(error, where)) from None
        except SettingsError as error:
            section = str(error).split('"')[1]  # the message: error parsing value for field "train" from source …
            raise RecipeError(
                f"the environment variable {ENVIRONMENT}{section.upper()} is not a JSON object; "
                f"set one key of it, such as {ENVIRONMENT}{section.upper()}__KEY, or correct it"
            ) from None

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
        # What the preset says counts as not set: with another base or preset, that one's values take its place.
        chosen = set(explicit) - ({"preset"} if self.train.preset == "auto" else set())
        return self.model_copy(update={"train": Train.model_construct(chosen, **train.__dict__)})

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
        return "\n".join(section_toml(name, getattr(self, name)) for name in type(self).model_fields)


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
        return f"settings of '{path or 'train'}' in {where} do not fit together: {first['ctx']['error']}"
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
