"""The deed of a purge, step by step, each of which can be killed and done again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from samloop.adapters.registry import Registry
from samloop.evaluate import cache
from samloop.example import to_json
from samloop.loop import purge_files
from samloop.loop.context import Context
from samloop.loop.near import forget
from samloop.loop.purge_quotes import Quotes, portions, strings_in

Progress = Callable[[str], None]

REASON: Final = "withdrawn: what it learnt from was erased"
JSON_TEXTS: Final = {"messages", "conversation_history", "metadata", "before", "steps"}


def go_on(context: Context, purge_id: str, tell: Progress) -> dict[str, Any]:
    """Bring a purge to its end from wherever it is; its receipt."""
    row = context.store.get_purge(purge_id)
    receipt: dict[str, Any] = row["receipt"]
    if row["state"] == "begun":
        receipt = _erase(context, row, tell)
        row["state"] = "erased"
    if row["state"] == "erased":
        tell("writing the database anew")
        if not context.store.compact():
            receipt["cannot_reach"].append(
                {"what": "the database server's files", "remedy": "VACUUM FULL, and its own backups and logs"}
            )
        receipt["finished_at"] = time.time()
        receipt["digest"] = digest_of(receipt)
        keep(context, purge_id, "done", receipt)
    return receipt


def _erase(context: Context, row: Mapping[str, Any], tell: Progress) -> dict[str, Any]:
    journal, receipt, home = row["journal"], dict(row["receipt"]), context.home
    keys: dict[str, list[Any]] = journal["keys"]
    ids = keys.get("examples", [])
    rows = {name: list(values) for name, values in keys.items() if name != "examples"}
    needles = journal["needles"]
    if receipt["retrain"]:
        tell("withdrawing adapters")
        withdraw(context, receipt, [one["adapter_id"] for one in receipt["adapters"]], receipt["runs"])
    tell("removing datasets, checkpoints and quotes")
    forget(context, ids)
    files: dict[str, Any] = {"datasets": purge_files.remove_datasets(journal["datasets"])}
    files["answers_forgotten"] = cache.forget(home.answers, ids)
    _stop_runs(context, journal["runs"])
    found = purge_files.exported(context, set(ids))
    files["exports_rewritten"] = purge_files.rewrite_exports(context, set(ids), found)
    cleaned, left, quoting = set[str](), set[str](), 0
    for portion in portions(_texts(context, ids, rows)):
        quotes = Quotes(portion, needles, ids)
        swept = purge_files.sweep_home(home, quotes, context.store.path())
        cleaned |= set(swept.changed)
        left |= set(swept.left)
        quoting += context.store.take_out(quotes.out_of_json)
    files["cleaned"] = len(cleaned)
    home.inventory.unlink(missing_ok=True)
    backups = purge_files.backups_of(home)
    if receipt["delete_backups"]:
        files["backups"] = purge_files.remove_paths(backups)
        backups = []
    receipt["files"] = files
    unreached = _out_of_reach(receipt, found, sorted(left), backups, journal["unknown"])
    receipt["cannot_reach"] = Quotes((), needles).out_of(unreached)
    tell("deleting rows")

    def told(gone: Mapping[str, int]) -> dict[str, Any]:
        return {**receipt, "removed": {name: count for name, count in {**gone, "quotes": quoting}.items() if count}}

    gone = context.store.erase(row["purge_id"], ids, rows, receipt=told)
    # A command of its own may have prepared one in the meantime.
    late = purge_files.datasets_with(home, set(ids)) if ids else {}
    files["datasets"] += purge_files.remove_datasets(late)
    return told(gone)


def _texts(context: Context, ids: list[str], rows: Mapping[str, list[Any]]) -> Iterator[str]:
    """The texts of all that goes; what introduces other examples as well is nobody's."""
    prompts: set[str] = set()
    for columns in context.store.texts_in(ids, rows):
        for name, value in columns.items():
            if value and name == "system_prompt":
                prompts.add(value)
            elif value and name in JSON_TEXTS:
                yield from strings_in(orjson.loads(value))
            elif value:
                yield value
    if prompts:
        yield from sorted(prompts - context.store.system_prompts_besides(set(ids), prompts))


def withdraw(context: Context, receipt: dict[str, Any], adapters: list[str], runs: list[str]) -> None:
    """Take adapters out of service for good, and delete what their runs remember; told in the receipt."""
    serving = Registry(context.home, context.store).withdraw(adapters, REASON)
    for run_id in runs:
        _forget_weights(context, run_id)
    before = receipt.get("serving", {})
    receipt |= {"withdrawn": sorted(adapters), "serving": before | serving}


def _forget_weights(context: Context, run_id: str) -> None:
    run = context.store.get_run(run_id)
    folder = Path(run["path"]) if run["path"] else context.home.runs / run_id
    if folder.is_dir():
        purge_files.remove_weights(folder)
    context.store.update_run(run_id, state="failed", error=REASON, finished_at=run["finished_at"] or time.time())


def _stop_runs(context: Context, runs: Mapping[str, bool]) -> None:
    """Delete the checkpoints of runs that did not end: without their dataset they never will."""
    known = {run["run_id"]: run for run in context.store.list_runs()}
    for run_id in runs:
        if run_id in known and known[run_id]["state"] != "completed":
            _forget_weights(context, run_id)


def _out_of_reach(
    receipt: Mapping[str, Any],
    exports: list[dict[str, Any]],
    left: list[str],
    backups: list[str],
    unknown: list[str],
) -> list[dict[str, str]]:
    found = []
    for one in exports:
        if one["state"] == "changed":
            remedy = (
                f"{one['lines']} lines in it are erased ones, but it is not as samloop wrote it: delete them or it"
            )
            found.append({"what": f"the export {one['path']}", "remedy": remedy})
        elif one["state"] == "copy":
            found.append(
                {"what": f"the dataset {one['path']}", "remedy": "it is a copy that holds some of it: delete it"}
            )
        elif one["state"] == "gone":
            found.append(
                {"what": f"the export {one['path']}", "remedy": "it is not there any more: look where it went"}
            )
    found += [
        {"what": f"the file {path} in the home", "remedy": "it is yours: take it out yourself"} for path in left
    ]
    found += [
        {"what": f"the backup {path}", "remedy": "delete it, with --delete-backups, and make a new one"}
        for path in backups
    ]
    if receipt["adapters"]:
        names = ", ".join(one["adapter_id"] for one in receipt["adapters"])
        remedy = "what was exported, converted, fused or pushed of them has to be deleted where it is"
        found.append({"what": f"copies of {names}", "remedy": remedy})
    if unknown:
        remedy = "nobody here knows what they learnt from: ask where they come from"
        found.append({"what": f"adapters of unknown lineage: {', '.join(unknown)}", "remedy": remedy})
    return found


def keep(context: Context, purge_id: str, state: str, receipt: Mapping[str, Any]) -> None:
    context.store.update_purge(purge_id, state=state, receipt=receipt)


def digest_of(receipt: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in receipt.items() if name != "digest"}
    return hashlib.sha256(to_json(plain).encode()).hexdigest()
