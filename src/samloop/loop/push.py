"""Send an adapter with its card to the Hugging Face hub or to an MLflow registry, by their own clients.

What goes is what an archive holds: weights, configuration, manifest and card, without a word of this house. Where
it goes and as whom is the clients' own business (HF_ENDPOINT, `hf auth login`, MLFLOW_TRACKING_URI).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from samloop.adapters.archive import lay_out
from samloop.errors import MissingExtraError, StoreError, UsageError
from samloop.files import storing
from samloop.loop.cards import write_card
from samloop.loop.context import Context
from samloop.loop.export import choose

HUB: Final = "hf"
MLFLOW: Final = "mlflow"
EXPERIMENT: Final = "samloop"

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_MLFLOW_NAME: Final = re.compile(r"[^/:\s][^/:]{0,199}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an adapter goes: the kind of registry, its name there, and whether everybody may see it."""

    kind: str
    name: str
    public: bool = False

    def __str__(self) -> str:
        if self.kind == MLFLOW:
            return f"the MLflow model {self.name}"
        return f"the {'public' if self.public else 'private'} hub repository {self.name}"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes.

    Attributes:
        adapter: its id.
        folder: the files, as they leave.
        files: bytes by name.
        home: the samloop home, where an MLflow without an address of its own keeps things.
        tags: what a registry that has tags is told.
    """

    adapter: str
    folder: Path
    files: dict[str, int]
    home: Path
    tags: dict[str, str]


def destination(to: str, *, public: bool = False) -> Destination:
    """Read hf:OWNER/NAME or mlflow:NAME.

    Raises:
        UsageError: it is neither.
    """
    kind, _, name = to.partition(":")
    shape = {HUB: _HUB_NAME, MLFLOW: _MLFLOW_NAME}.get(kind)
    if shape is None or not shape.fullmatch(name):
        raise UsageError(f"expected --to to be hf:OWNER/NAME or mlflow:NAME, got '{to}'")
    if public and kind == MLFLOW:
        raise UsageError("an MLflow registry has no public models; leave --public away")
    return Destination(kind, name, public)


@contextmanager
def pack(context: Context, name: str) -> Iterator[Parcel]:
    """The files of a registered adapter as they leave the house, in a private folder that is gone afterwards.

    Raises:
        UsageError: `name` is a folder.
        NotFoundError: there is no such adapter.
        ModelError: its files are damaged.
        StoreError: it cannot be written.
    """
    chosen = choose(context, name)
    if not chosen.registered:
        raise UsageError(f"expected the id of a registered adapter, got the folder {chosen.folder}; import it first")
    write_card(context, chosen.name)
    with storing("the parcel", context.home.path):
        folder = Path(tempfile.mkdtemp(prefix=".push.", suffix=".part", dir=context.home.path))
    try:
        with storing("the parcel", folder):
            names = lay_out(chosen.folder, folder)
        row = context.store.get_adapter(chosen.name)
        tags = {"samloop_adapter": chosen.name, "samloop_state": str(row["state"]), "samloop_slot": str(row["slot"])}
        sizes = {file: (folder / file).stat().st_size for file in names}
        yield Parcel(chosen.name, folder, sizes, context.home.path, tags)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def send(parcel: Parcel, where: Destination) -> dict[str, Any]:
    """Send the parcel. The same adapter again is a commit that changes nothing, or a further version.

    Returns:
        {adapter, to, name, version, url}: `version` the commit, or the number of the model version.

    Raises:
        MissingExtraError: the client is not installed.
        UsageError: the repository is public, and nobody said that it should be.
        StoreError: the registry did not take it.
    """
    try:
        told = _to_hub(parcel, where) if where.kind == HUB else _to_mlflow(parcel, where)
    except (MissingExtraError, UsageError):
        raise
    except Exception as error:  # each client raises its own kinds
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
        remedy = "check 'hf auth login' and the name" if where.kind == HUB else "check MLFLOW_TRACKING_URI"
        raise StoreError(f"{where} did not take the adapter ({said}); {remedy}, and run it again") from error
    return {"adapter": parcel.adapter, "to": where.kind, "name": where.name, **told}


def _to_hub(parcel: Parcel, where: Destination) -> dict[str, Any]:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise MissingExtraError("hub", "pushing to the Hugging Face hub") from None
    api = HfApi(library_name="samloop")
    api.create_repo(where.name, private=not where.public, exist_ok=True)
    # A repository that was there before may be open to everybody.
    if not where.public and not api.repo_info(where.name).private:
        raise UsageError(f"the repository {where.name} is public; make it private there first, or say --public")
    commit = api.upload_folder(
        repo_id=where.name, folder_path=parcel.folder, commit_message=f"Add {parcel.adapter}, made by samloop"
    )
    return {"version": commit.oid, "url": f"{api.endpoint}/{where.name}"}


def _to_mlflow(parcel: Parcel, where: Destination) -> dict[str, Any]:
    os.environ.setdefault("MLFLOW_TRACKING_URI", (parcel.home / "mlruns").as_uri())
    if os.environ["MLFLOW_TRACKING_URI"].startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer clients want to be asked for it
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own, about its kinds of stores
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise MissingExtraError("mlflow", "pushing to an MLflow registry") from None
        client = MlflowClient()
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        run = client.create_run(experiment, run_name=parcel.adapter, tags=parcel.tags)
        client.log_artifacts(run.info.run_id, str(parcel.folder), "adapter")
        client.set_terminated(run.info.run_id)
        try:
            client.get_registered_model(where.name)
        except MlflowException:
            client.create_registered_model(where.name, tags={"samloop": "adapters"})
        version = client.create_model_version(
            where.name,
            source=f"{run.info.artifact_uri}/adapter",
            run_id=run.info.run_id,
            tags=parcel.tags,
            description=(parcel.folder / "README.md").read_text(encoding="utf-8"),
        )
    return {"version": str(version.version), "url": f"models:/{where.name}/{version.version}"}
