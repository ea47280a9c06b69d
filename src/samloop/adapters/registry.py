"""The registry: every adapter in its folder, and which of them serves in each slot.

    adapters/<slot>/<adapter_id>/    weights, configuration, manifest.json, README.md; named by its weights
    adapters/<slot>/current          a link to the folder of the adapter in service; none: the bare base serves
    adapters/<slot>/history.jsonl    who served when; see `samloop.adapters.service`

The link is the truth for serving: it is replaced in one step, so whoever follows it finds a whole adapter. The
store's rows follow the link and its history; where a process died in between, or the store was busy, `reconcile`
brings them to what the link says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson

from samloop.adapters import folders
from samloop.adapters.service import REJECTED, WITHDRAWN, Served, Service
from samloop.errors import GateError, ModelError, NotFoundError, StoreBusyError, StoreError
from samloop.files import private_folder, storing, sweep, write_json
from samloop.home import Home
from samloop.settings import MAIN
from samloop.store import Store
from samloop.store.adapters import BARRED

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
ALIASES: Final = (CHAMPION, CHALLENGER)
"""Names that stand for an adapter wherever its id does, alone for slot "main", or as champion@SLOT."""


FOLLOW_SECONDS: Final = 0.5
"""How long a change in service waits for a store that another process writes; the rows follow later then."""

UNKNOWN: Final = "unknown"
"""Lineage and licence of an adapter that came from elsewhere: nobody here knows what it learnt from."""

IMPORTED: Final = "imported"
"""Lineage of an adapter that came with a manifest from another home."""

LINEAGE: Final = ("run_id", "recipe", "samloop_version", "lineage", "origin", "files")
"""What the store keeps of an adapter's manifest."""

log = logging.getLogger(__name__)


def is_alias(name: str | None) -> bool:
    """Whether `name` stands for whoever is champion or challenger at the moment."""
    return (name or "").partition("@")[0] in ALIASES


def slot_of_champion(name: str) -> str:
    """The slot whose champion `name` stands for ("champion", "champion@complex"); empty for any other name."""
    alias, _, slot = name.partition("@")
    return (slot or MAIN) if alias == CHAMPION else ""


class Registry:
    """Adapters of one home.

    Opening brings the store's rows to what is in service, unless another process is just changing it.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self.home, self.store, self.service = home, store, Service(home)
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
        with storing("the adapter", target):
            sweep(private_folder(target.parent))
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
        with storing("the adapter", target):
            sweep(private_folder(target.parent))
            known = target.exists()
            if not known:
                folders.copy_adapter(files, target, lineage)
            self._record(target)
        if self.state(name) == WITHDRAWN:
            raise GateError(
                f"adapter {name} was withdrawn, because what it learnt from was erased; it is not taken in"
            )
        return known, name

    def find(self, name: str, slot: str = MAIN) -> str:
        """The id that `name` is, or is the only beginning of; "champion" and "challenger", also with "@SLOT".

        The challenger is the adapter on trial in its slot, else the newest candidate. Without "@SLOT" these two are
        those of `slot`.

        Raises:
            NotFoundError: there is none.
            UsageError: several ids begin so.
        """
        alias, _, named = name.partition("@")
        slot = named or slot
        if alias == CHAMPION:
            if found := self.champion(slot):
                return found
            raise NotFoundError(
                f"the base is in service, no adapter, in slot {slot}; 'samloop adapters list' shows those that wait"
            )
        if alias == CHALLENGER:
            if trial := self.store.running_trial(slot):
                return str(trial["challenger"])
            for row in self.store.list_adapters(slot=slot, state="candidate"):
                return str(row["adapter_id"])
            raise NotFoundError(f"no adapter waits in slot {slot}; 'samloop turn' trains one")
        return str(self.store.get_adapter(name)["adapter_id"])

    def path(self, adapter_id: str) -> Path:
        """The folder of a registered adapter.

        Raises:
            NotFoundError: there is no such adapter, or its folder is gone.
        """
        row = self.store.get_adapter(adapter_id)
        folder = self._slot(row["slot"]) / str(row["adapter_id"])
        if not folder.is_dir() and not row["path"]:
            raise NotFoundError(f"adapter {folder.name} was pruned; only its lineage is kept, so train again")
        if not folder.is_dir():
            raise NotFoundError(
                f"the folder of adapter {folder.name} is gone from {folder.parent}; bring it back from an export or "
                "a backup, or train again"
            )
        return folder

    def on_disk(self, row: Mapping[str, Any]) -> bool:
        """Whether the folder of an adapter's row is there: not pruned, nor taken away."""
        return (self._slot(str(row["slot"])) / str(row["adapter_id"])).is_dir()

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
        """What is wrong with the adapter, one sentence each: changed files, or weights that are no numbers.

        Raises:
            NotFoundError: there is no such adapter.
        """
        return self._faults(self.path(adapter_id))

    def reject(self, adapter_id: str, reason: str = "rejected by hand") -> None:
        """Bar an adapter from ever serving.

        Raises:
            NotFoundError: there is no such adapter.
            GateError: it is in service.
        """
        row = self.store.get_adapter(adapter_id)
        name, slot = str(row["adapter_id"]), str(row["slot"])
        if self.champion(slot) == name:
            raise GateError(f"adapter {name} is in service in slot {slot}; roll back first")
        if row["state"] not in BARRED:
            self.service.bar(slot, [name], REJECTED, reason)
        self._follow(slot)

    def withdraw(self, adapter_ids: Collection[str], reason: str) -> dict[str, str | None]:
        """Take adapters out for good and delete their weights: what they learnt from was erased.

        Where one of them serves, the newest predecessor that is none of them does from now on, or the bare base. The
        folder stays with its manifest, which says that it was withdrawn also to a store that does not know.

        Returns:
            who serves now, by each slot in which that changed.

        Raises:
            StoreBusyError: a promotion is under way.
            StoreError: it cannot be written.
        """
        now: dict[str, str | None] = {}
        rows = [row for row in self.store.list_adapters() if row["adapter_id"] in adapter_ids]
        for slot in sorted({str(row["slot"]) for row in rows}):
            names = [str(row["adapter_id"]) for row in rows if row["slot"] == slot]
            if changed := self.service.bar(slot, names, WITHDRAWN, reason):
                now[slot] = changed.now
            for name in names:
                folders.withdraw(self._slot(slot) / name, reason)
            self._follow(slot)
        return now

    # --- in service ----------------------------------------------------------------------------------------------

    def champion(self, slot: str) -> str | None:
        """The id of the adapter in service; None: the bare base."""
        return self.service.champion(slot)

    def predecessor(self, slot: str) -> str | None:
        """The id of the adapter that a rollback goes back to; None: the bare base."""
        return self.service.predecessor(slot)[0]

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

    def serving(self, slot: str) -> str | None:
        """The id of the adapter that is fit to answer: the champion, after a look at its files; None: the base.

        A champion that is damaged, gone or holds NaN is taken out of service and the one before it answers, with a
        warning and a row that says why. Where that cannot be written down, the one before answers all the same.
        """
        name = self.champion(slot)
        while name is not None:
            folder = self._slot(slot) / name
            found = self._faults(folder) if folder.is_dir() else [f"its folder {folder} is gone"]
            if not found:
                return name
            why = f"adapter {name} is damaged: {found[0]}"
            try:
                now = self.rollback(slot, reason=why)
                if folder.is_dir():
                    self.service.bar(slot, [name], REJECTED, why)
                    self._follow(slot)
            except StoreError as error:
                now = self.predecessor(slot)
                log.warning("%s", error)
                log.warning("%s; %s answers instead", why, now or "the bare base")
                return now
            log.warning("%s; %s is in service in slot %s instead", why, now or "the bare base", slot)
            name = now
        return None

    def promote(self, slot: str, adapter_id: str, reason: str = "promoted by hand") -> None:
        """Put an adapter into service, in one step; again for the one that serves, nothing happens.

        Raises:
            NotFoundError: there is no such adapter.
            GateError: it was made for another slot, was rejected or withdrawn, its files are damaged or hold NaN.
            StoreBusyError: another promotion is under way.
            StoreError: the link cannot be written.
        """
        row = self.store.get_adapter(adapter_id)
        name = str(row["adapter_id"])
        if row["slot"] != slot:
            raise GateError(f"adapter {name} was made for slot '{row['slot']}', not '{slot}'; promote it there")
        state = self.service.barred(slot).get(name, row["state"])
        if state in BARRED:
            raise GateError(f"adapter {name} was {state} and cannot serve in slot '{slot}'; train another one")
        if found := self.verify(name):
            raise GateError(
                f"adapter {name} cannot serve, its files are damaged: {found[0]}; bar it with "
                f"'samloop adapters reject {name}' and train again"
            )
        with self.service.locked(slot):
            self.service.serve(slot, name, reason)
            self._follow(slot)

    def rollback(self, slot: str, reason: str = "rolled back by hand") -> str | None:
        """Put the champion before the present one into service again, or the base where there was none.

        A predecessor whose files are damaged is rejected and passed over. The store is told afterwards; where it is
        busy or damaged, the next command tells it.

        Returns:
            the id of the adapter that serves now; None: the bare base.

        Raises:
            GateError: the bare base is in service already.
            StoreBusyError: a promotion is under way.
        """
        done = self.service.rollback(slot, reason)
        self._follow(slot)
        return done.now

    def reconcile(self) -> None:
        """Bring the store's rows to what the links and their histories say.

        That is the end of a change that was killed half way, or made while the store was busy.
        """
        for slot in self.service.slots():
            served, states = self.store.service_rows(slot)
            if self.service.known(slot) and self._agrees(slot, served, states):
                continue
            try:
                with self.service.locked(slot, seconds=0):
                    if not self.service.known(slot):
                        barred = {name: state for name, state in states.items() if state in BARRED}
                        self.service.note(slot, [Served(*one) for one in served], barred)
                    self._follow(slot)
            except StoreBusyError:
                log.info("a promotion in slot %s is under way; it brings the store up to date itself", slot)
            except StoreError as error:  # the home is read-only: nothing is lost, and who serves is known
                log.info("%s", error)

    # --- inside --------------------------------------------------------------------------------------------------

    def _slot(self, slot: str) -> Path:
        return self.home.adapters / slot

    def _faults(self, folder: Path) -> list[str]:
        from samloop.adapters.finite import not_finite  # numpy takes a tenth of a second, and only looking needs it

        return folders.damage(folder) or not_finite(folder)

    def agrees(self) -> bool:
        """Whether the store's rows say of every slot what its link and history say."""
        return all(self._agrees(slot, *self.store.service_rows(slot)) for slot in self.service.slots())

    def _agrees(self, slot: str, served: Sequence[tuple[str | None, str, float]], states: Mapping[str, str]) -> bool:
        """Whether the store's rows say what the link, its history and the list of the barred say."""
        now = self.champion(slot)
        champions = [name for name, state in states.items() if state == CHAMPION]
        barred = {name: state for name, state in states.items() if state in BARRED}
        history = [one.adapter_id for one in self.service.served(slot)]
        return (
            champions == ([now] if now else [])
            and [one[0] for one in served][-len(history) :] == history
            and barred == {name: state for name, state in self.service.barred(slot).items() if name in states}
        )

    def _follow(self, slot: str) -> None:
        """Bring the store's rows of a slot to its link, now or, where the store cannot be written, later."""
        try:
            for name in {one.adapter_id for one in self.service.served(slot)} - {None}:
                self._record_missing(slot, str(name))
            told = [(one.adapter_id, one.reason, one.at) for one in self.service.served(slot)]
            newly = self.store.follow_service(slot, told, self.service.barred(slot), wait_seconds=FOLLOW_SECONDS)
        except StoreBusyError:
            log.info("the store is busy; the next command tells it who serves in slot %s", slot)
            return
        except StoreError as error:
            log.warning("the store will be told later who serves in slot %s: %s", slot, error)
            return
        if newly:
            self.service.note(slot, (), newly)

    def _record_missing(self, slot: str, name: str) -> None:
        """The row of an adapter that served and that the store does not know: it was restored from a backup."""
        try:
            self.store.get_adapter(name)
        except NotFoundError:
            try:
                self._record(self._slot(slot) / name)
            except ModelError as error:
                log.warning("slot %s: %s", slot, error)

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
