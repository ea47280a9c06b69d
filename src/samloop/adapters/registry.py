"""The registry: every adapter in its folder, and which of them serves in each slot.

    adapters/<slot>/<adapter_id>/    weights, configuration, manifest.json; named by content, never changed
    adapters/<slot>/current          a link to the folder of the adapter in service; none: the bare base serves

The link is the truth for serving: it is replaced in one step, so whoever follows it finds a whole adapter. The
store's rows follow the link; where a process died in between, `reconcile` brings them to what the link says.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
from filelock import FileLock, Timeout

from samloop.adapters import folders
from samloop.errors import GateError, ModelError, NotFoundError, StoreBusyError
from samloop.files import private_folder, storing, write_json
from samloop.home import Home
from samloop.store import Store
from samloop.store.adapters import BARRED

CURRENT: Final = "current"
LOCK_SECONDS: Final = 10.0

WITHDRAWN: Final = "withdrawn"

UNKNOWN: Final = "unknown"
"""Lineage and licence of an adapter that came from elsewhere: nobody here knows what it learnt from."""

IMPORTED: Final = "imported"
"""Lineage of an adapter that came with a manifest from another home."""

LINEAGE: Final = ("run_id", "recipe", "samloop_version", "lineage", "origin", "files")
"""What the store keeps of an adapter's manifest."""

log = logging.getLogger(__name__)


class Registry:
    """Adapters of one home.

    Opening brings the store's rows to what is in service, unless another process is just changing it.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self.home, self.store = home, store
        self.reconcile()

    # --- adapters ------------------------------------------------------------------------------------------------

    def register(self, run_id: str, slot: str) -> str:
        """Take the adapter that a run made into the registry, as a candidate; the same one twice is one.

        Returns:
            its id.

        Raises:
            NotFoundError: there is no such run.
            ModelError: the run has no adapter, or one that is not whole safetensors files.
            StoreError: it cannot be written.
        """
        run = self.store.get_run(run_id)
        files = folders.adapter_files(self.home.runs / run["run_id"] / "adapter")
        name = folders.adapter_id(files)
        target = self._slot(slot) / name
        with self._locked(slot), storing("the adapter", target):
            self._sweep(slot)
            if not target.exists():
                folders.copy_adapter(files, target, self._lineage(run, slot))
            self._record(target)
        return name

    def adopt(
        self, folder: Path, slot: str, *, base: str, origin: Mapping[str, Any] | None = None
    ) -> tuple[bool, str]:
        """Take an adapter that was not trained here into the registry, as a candidate with lineage "unknown".

        Args:
            folder: in PEFT's or MLX's layout; checkpoints beside the weights are left behind.
            base: what its base model is called.
            origin: what came with it about where it is from; its lineage is then "imported". Its scores count for
                nothing here.

        Returns:
            whether it was there already, and its id.

        Raises:
            ModelError: there is no adapter in `folder`, or not one of whole safetensors files.
            GateError: it was withdrawn.
            StoreError: it cannot be written.
        """
        files = folders.foreign_files(folder)
        name = folders.adapter_id(files)
        target = self._slot(slot) / name
        told = origin or {}
        lineage = {
            "slot": slot,
            "run_id": None,
            "dataset_digest": told.get("dataset_digest"),
            "base": base,
            "base_digest": told.get("base_digest"),
            "backend": "mlx" if any(path.name == folders.MLX_WEIGHTS for path in files) else "torch",
            "recipe": None,
            "lineage": UNKNOWN if origin is None else IMPORTED,
            "origin": dict(told),
            "licences": told.get("licences") or [UNKNOWN],
            "scores": [],
            "created_at": time.time(),
        }
        with self._locked(slot), storing("the adapter", target):
            self._sweep(slot)
            known = target.exists()
            if not known:
                folders.copy_adapter(files, target, lineage)
            self._record(target)
        if self.state(name) == WITHDRAWN:
            raise GateError(
                f"adapter {name} was withdrawn, because what it learnt from was erased; it is not taken in"
            )
        return known, name

    def find(self, name: str) -> str:
        """The id that `name` is, or is the only beginning of.

        Raises:
            NotFoundError: there is none.
            UsageError: several ids begin so.
        """
        return str(self.store.get_adapter(name)["adapter_id"])

    def path(self, adapter_id: str) -> Path:
        """The folder of a registered adapter.

        Raises:
            NotFoundError: there is no such adapter, or its folder is gone.
        """
        row = self.store.get_adapter(adapter_id)
        folder = self._slot(row["slot"]) / str(row["adapter_id"])
        if not folder.is_dir():
            raise NotFoundError(f"the folder of adapter {folder.name} is gone from {folder.parent}; register its run")
        return folder

    def state(self, adapter_id: str) -> str:
        """candidate, champion, retired, rejected or withdrawn.

        Raises:
            NotFoundError: there is no such adapter.
        """
        return str(self.store.get_adapter(adapter_id)["state"])

    def record_scores(self, adapter_id: str, scores: Sequence[Mapping[str, Any]]) -> None:
        """Keep what an evaluation measured with the adapter: in its row and in its manifest.

        Raises:
            NotFoundError: there is no such adapter.
            ModelError: its manifest is damaged.
        """
        folder = self.path(adapter_id)
        plain = [dict(score) for score in scores]
        with storing("the scores", folder):
            write_json(folder / folders.MANIFEST, {**folders.read_manifest(folder), "scores": plain})
        self.store.update_adapter(folder.name, scores={"suites": plain})

    def verify(self, adapter_id: str) -> list[str]:
        """What is wrong with the adapter's files, one sentence each; none: they are as they were made.

        Raises:
            NotFoundError: there is no such adapter.
        """
        return folders.damage(self.path(adapter_id))

    def reject(self, adapter_id: str) -> None:
        """Bar an adapter from ever serving.

        Raises:
            NotFoundError: there is no such adapter.
            GateError: it is in service.
        """
        row = self.store.get_adapter(adapter_id)
        if self.champion(row["slot"]) == row["adapter_id"]:
            raise GateError(f"adapter {row['adapter_id']} is in service in slot {row['slot']}; roll back first")
        self.store.update_adapter(row["adapter_id"], state="rejected")

    # --- in service ----------------------------------------------------------------------------------------------

    def champion(self, slot: str) -> str | None:
        """The id of the adapter in service; None: the bare base."""
        try:
            return (self._slot(slot) / CURRENT).readlink().name
        except OSError:
            return None

    def current(self, slot: str) -> Path | None:
        """The folder of the adapter in service; None: the bare base.

        Raises:
            NotFoundError: the folder was taken away from under the registry.
        """
        name = self.champion(slot)
        if name is None:
            return None
        folder = self._slot(slot) / name
        if not (folder / folders.MANIFEST).is_file():
            raise NotFoundError(
                f"adapter {name} is in service in slot {slot}, but its folder {folder} is gone or empty; "
                "'samloop adapters rollback' puts the one before into service"
            )
        return folder

    def promote(self, slot: str, adapter_id: str, reason: str = "promoted by hand") -> None:
        """Put an adapter into service, in one step; again for the one that serves, nothing happens.

        Raises:
            NotFoundError: there is no such adapter.
            GateError: it was made for another slot, was rejected or withdrawn, or its files are damaged.
            StoreBusyError: another promotion is under way.
        """
        row = self.store.get_adapter(adapter_id)
        name = str(row["adapter_id"])
        if row["slot"] != slot:
            raise GateError(f"adapter {name} was made for slot '{row['slot']}', not '{slot}'; promote it there")
        if row["state"] in BARRED:
            raise GateError(f"adapter {name} was {row['state']} and cannot serve in slot '{slot}'; train another one")
        if found := self.verify(name):
            raise GateError(
                f"adapter {name} cannot serve, its files are damaged: {found[0]}; bar it with "
                f"'samloop adapters reject {name}' and train again"
            )
        with self._locked(slot):
            self._serve(slot, name, reason)

    def rollback(self, slot: str, reason: str = "rolled back by hand") -> str | None:
        """Put the champion before the present one into service again, or the base where there was none.

        A predecessor whose files are damaged is rejected and passed over.

        Returns:
            the id of the adapter that serves now; None: the bare base.

        Raises:
            GateError: the bare base is in service already.
            StoreBusyError: a promotion is under way.
        """
        with self._locked(slot):
            if self.champion(slot) is None:
                raise GateError(f"nothing to roll back: the base is in service in slot '{slot}'")
            self._follow_link(slot)
            return self._serve_previous(slot, reason)

    def withdraw(self, adapter_ids: Collection[str], reason: str) -> dict[str, str | None]:
        """Take adapters out for good and delete their weights: what they learnt from was erased.

        Where one of them serves, the newest predecessor that is none of them does from now on, or the bare base. The
        folder stays with its manifest, which says that it was withdrawn also to a store that does not know.

        Returns:
            who serves now, by each slot in which that changed.

        Raises:
            StoreBusyError: a promotion is under way.
        """
        now: dict[str, str | None] = {}
        rows = [row for row in self.store.list_adapters() if row["adapter_id"] in adapter_ids]
        for slot in sorted({str(row["slot"]) for row in rows}):
            names = [str(row["adapter_id"]) for row in rows if row["slot"] == slot]
            with self._locked(slot):
                self._follow_link(slot)
                serving = self.champion(slot)
                for name in names:
                    if name != serving:
                        self.store.update_adapter(name, state=WITHDRAWN)
                if serving in names:
                    now[slot] = self._serve_previous(slot, reason)
                    self.store.update_adapter(serving, state=WITHDRAWN)
                for name in names:
                    folders.withdraw(self._slot(slot) / name, reason)
        return now

    def reconcile(self) -> None:
        """Bring the store's rows to what the links say: the end of a promotion that was killed half way."""
        slots = sorted(path.name for path in self.home.adapters.glob("*") if path.is_dir())
        for slot in slots:
            if self._agrees(slot):
                continue
            try:
                with self._locked(slot, seconds=0):
                    self._follow_link(slot)
            except StoreBusyError:
                log.info("a promotion in slot %s is under way; it brings the store up to date itself", slot)

    # --- inside --------------------------------------------------------------------------------------------------

    def _slot(self, slot: str) -> Path:
        return self.home.adapters / slot

    def _serve(self, slot: str, name: str | None, reason: str) -> None:
        """Swap the link, then the rows. The caller holds the slot's lock and has checked the adapter."""
        folder = self._slot(slot)
        link = folder / CURRENT
        with storing("the link to the adapter in service", link):
            if name is None:
                link.unlink(missing_ok=True)
            else:
                beside = folder / f".{CURRENT}.{secrets.token_hex(4)}.part"
                beside.symlink_to(name, target_is_directory=True)
                beside.replace(link)
            _sync_folder(folder)
        self.store.set_champion(slot, name, reason)

    def _serve_previous(self, slot: str, reason: str) -> str | None:
        """Put the newest whole predecessor, or the base, into service. The caller holds the slot's lock."""
        while previous := self.store.previous_champion(slot):
            name = str(previous["adapter_id"])
            found = folders.damage(self._slot(slot) / name)
            if not found:
                break
            log.warning("adapter %s is damaged and passed over in the rollback: %s", name, found[0])
            self.store.update_adapter(name, state="rejected")
        now = str(previous["adapter_id"]) if previous else None
        self._serve(slot, now, reason)
        return now

    def _agrees(self, slot: str) -> bool:
        row = self.store.champion(slot)
        return (str(row["adapter_id"]) if row else None) == self.champion(slot)

    def _follow_link(self, slot: str) -> None:
        """Make the store's champion of `slot` the one that the link names."""
        if self._agrees(slot):
            return
        name = self.champion(slot)
        if name is not None:
            try:
                self._record(self._slot(slot) / name)
            except ModelError as error:
                log.warning("slot %s: %s", slot, error)
                return
        self.store.set_champion(slot, name, "taken over from the link in service")

    def _record(self, folder: Path) -> None:
        """The store's row for a registered adapter, made from its manifest; one that is there stays."""
        manifest = folders.read_manifest(folder)
        self.store.add_adapter(
            folder.name,
            slot=folder.parent.name,
            base=manifest["base"],
            backend=manifest["backend"],
            run_id=self._known_run(manifest.get("run_id")),
            dataset_digest=manifest.get("dataset_digest"),
            base_digest=manifest.get("base_digest"),
            path=str(folder),
            licences=manifest.get("licences", ()),
            lineage={name: manifest[name] for name in LINEAGE if name in manifest},
        )
        if folders.WITHDRAWN in manifest and self.state(folder.name) not in (WITHDRAWN, "champion"):
            self.store.update_adapter(folder.name, state=WITHDRAWN)

    def _known_run(self, run_id: str | None) -> str | None:
        """`run_id` where the store has it: after a restore it may know less than the folders."""
        try:
            return str(self.store.get_run(run_id)["run_id"]) if run_id else None
        except NotFoundError:
            return None

    def _lineage(self, run: Mapping[str, Any], slot: str) -> dict[str, Any]:
        return {
            "slot": slot,
            "run_id": run["run_id"],
            "dataset_digest": run["dataset_digest"],
            "base": run["base"],
            "base_digest": run.get("base_digest"),
            "backend": run["backend"],
            "recipe": run["recipe"],
            "licences": self._licences(run["dataset_digest"]),
            "scores": [],
            "samloop_version": version("samloop"),
            "created_at": time.time(),
        }

    def _licences(self, dataset_digest: str) -> list[str]:
        """The licences of a dataset's examples; its folder is named by the beginning of its digest."""
        for folder in self.home.datasets.glob("*"):
            manifest = folder / folders.MANIFEST
            if dataset_digest.startswith(folder.name) and manifest.is_file():
                counts: Mapping[str, int] = orjson.loads(manifest.read_bytes()).get("counts", {}).get("licence", {})
                return sorted(counts)
        return []

    def _sweep(self, slot: str) -> None:
        """Remove what a killed registration or promotion left beside. The caller holds the slot's lock."""
        for left in self._slot(slot).glob(".*.part"):
            if left.is_symlink():
                left.unlink()
            else:
                shutil.rmtree(left)

    @contextmanager
    def _locked(self, slot: str, seconds: float | None = None) -> Iterator[None]:
        folder = self._slot(slot)
        with storing("the adapter's slot", folder):
            private_folder(folder)
        try:
            with FileLock(folder / ".lock", timeout=LOCK_SECONDS if seconds is None else seconds, mode=0o600):
                yield
        except Timeout:
            raise StoreBusyError(
                f"another process is changing what serves in slot '{slot}'; try again when it is done"
            ) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
