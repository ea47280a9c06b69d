"""kill -9 at random moments of a turn, then `samloop turn` again: the same final state as an undisturbed turn?

    python benchmarks/kill_turn.py [--kills 10] [--seed 7] [--stages training,deciding …] [--tiny] [--print]

Each trial has a home of its own. The parent is killed without warning, at a moment drawn over the length of a stage;
there is one trial in every stage, so that short ones are hit as well, and the others fall where time is spent. The
turn is repeated at once, as an impatient user would, while the killed turn's worker may still be there. Then all that
a turn leaves is compared, and a second undisturbed turn shows that the comparison itself is fair.
"""

import argparse
import hashlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import tomli_w

from common import ROOT, SAMLOOP, machine, publish, table
from samloop.home import Home
from samloop.recipe import Recipe
from samloop.store import Filters, Store
from samloop.train.metrics import read_metrics

STAGES = ("starting", "collecting", "preparing", "loading", "training", "evaluating", "deciding", "reporting")
SMALLER = {
    "demo": {"examples": 400, "epochs": 1.0, "checkpoint_steps": 5, "max_items": 60},
    "tiny": {"examples": 80, "epochs": 1.0, "checkpoint_steps": 2, "max_items": 12},
}
WORKER_MAY_TAKE_SECONDS = 10.0
TRIES = 5
"""A turn faster than the undisturbed one can be out of the stage when its moment comes. Then it does not count, and
the next one is killed earlier in the stage."""

TIMES = ("created_at", "updated_at", "started_at", "finished_at")


def write_recipe(folder: Path, kind: str) -> Path:
    """The demo's recipe with fewer examples and steps, on a copy of this repository that nobody changes meanwhile."""
    world = folder / "world"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, world], check=True)
    recipe = tomllib.loads((ROOT / "examples/recipes/demo.toml").read_text(encoding="utf-8"))
    less = SMALLER[kind]
    for source in recipe["collect"]["sources"]:
        if "location" in source:
            source["location"] = str(world)
        if source["kind"] == "routing":
            source["examples"] = less["examples"]
    if kind == "tiny":
        recipe["collect"]["sources"] = [s for s in recipe["collect"]["sources"] if s["kind"] == "routing"]
        recipe["train"] |= {"min_new_examples": 20}
    recipe["train"] |= {"epochs": less["epochs"], "checkpoint_steps": less["checkpoint_steps"]}
    recipe.setdefault("evaluate", {})["max_items"] = less["max_items"]
    recipe.setdefault("gate", {})["min_items"] = 10
    recipe.setdefault("prepare", {}).setdefault("test_share", 0.2)
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(recipe), encoding="utf-8")
    return path


def start(home: Home, recipe: Path) -> subprocess.Popen[bytes]:
    """Start one turn."""
    command = [*SAMLOOP, "--home", str(home.path), "--config", str(recipe), "-q", "turn"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a turn that must succeed."""
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"a turn failed: {errors.decode()[-500:]}")


def reached(home: Home) -> str:
    """How far a turn came, seen from its files alone."""
    marks: dict[str, Callable[[], bool]] = {
        "done": lambda: _any(home.reports, "*.md"),
        "reporting": lambda: _any(home.adapters, "main/current"),
        "deciding": lambda: _any(home.evaluations, "*/scores.json"),
        "evaluating": lambda: _any(home.adapters, "*"),
        "training": lambda: step(home)[0] > 0,
        "loading": lambda: _any(home.runs, "*"),
        "preparing": lambda: _any(home.datasets, "*"),
        "collecting": home.database.exists,
    }
    return next((stage for stage, seen in marks.items() if seen()), "starting")


def _any(folder: Path, pattern: str) -> bool:
    return next(iter(folder.glob(pattern)), None) is not None


def step(home: Home) -> tuple[int, int]:
    """The last step that a training told of, and how many there will be; (0, 0) before."""
    lines = [line for path in home.runs.glob("*/metrics.jsonl") for line in read_metrics(path)]
    return (lines[-1]["step"], lines[-1]["steps"]) if lines else (0, 0)


# --- what must be equal ---------------------------------------------------------------------


def fingerprint(home: Home) -> dict[str, Any]:
    """All that a turn leaves, without times, speeds and the home's own path."""
    with Store.open(home, Recipe().store) as store:
        examples = sorted(json.dumps(_timeless(e.to_dict()), sort_keys=True) for e in store.select(Filters()))
        runs = [_timeless(run, "recipe", "result", "path", "dataset_path") for run in store.list_runs()]
        results = [_timeless(run["result"], *VOLATILE) for run in store.list_runs()]
        decisions = [_timeless(decision) for decision in store.decisions()]
        champion = store.champion("main")
        history = [_timeless(entry) for entry in store.champion_history("main")]
        adapters = [_timeless(row, "path", "lineage") for row in store.list_adapters()]
    current = home.adapters / "main" / "current"
    return {
        "examples": digest(examples),
        "rows": rows(home.database),
        "runs": digest([runs, results]),
        "losses": digest(
            [
                [x["step"], x["loss"], x["validation_loss"]]
                for p in home.runs.glob("*/metrics.jsonl")
                for x in read_metrics(p)
            ]
        ),
        "datasets": hashes(home.path, "datasets/*/*.jsonl"),
        "weights": hashes(home.path, "adapters/main/*/*.safetensors"),
        "scores": hashes(home.path, "evaluations/*/scores.json"),
        "decisions": digest(decisions),
        "verdicts": [(d["verdict"], d["challenger"], d["champion"]) for d in decisions],
        "adapters": digest(adapters),
        "in service": [
            current.readlink().name if current.is_symlink() else None,
            champion and champion["adapter_id"],
        ],
        "history": digest(history),
        "reports": digest([_report(path) for path in sorted(home.reports.glob("*.json"))]),
        "files": files(home),
    }


VOLATILE = ("tokens_per_second", "peak_memory_bytes", "adapter", "curve")


def _timeless(plain: dict[str, Any], *more: str) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name not in (*TIMES, *more)}


def _report(path: Path) -> list[Any]:
    report = json.loads(path.read_bytes())
    return [
        _timeless(report["dataset"], "path"),
        _timeless(report["run"], *VOLATILE),
        _timeless(report["evaluation"], "path"),
        report["decision"],
    ]


def rows(database: Path) -> dict[str, int]:
    """The number of rows of each table that has some; the database must be sound."""
    with sqlite3.connect(database) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    connection.close()
    return {"integrity": sound, **{name: count for name, count in sorted(counts.items()) if count}}


def files(home: Home) -> list[str]:
    """Every file and folder of the home: a leftover, or something missing, shows here."""
    found = (path.relative_to(home.path).as_posix() for path in home.path.rglob("*"))
    return sorted(path for path in found if not path.endswith(("-wal", "-shm")))


def hashes(root: Path, pattern: str) -> dict[str, str]:
    """Short SHA-256 of each file that matches."""
    return {p.relative_to(root).as_posix(): digest(p.read_bytes()) for p in sorted(root.glob(pattern))}


def digest(value: Any) -> str:
    """Short SHA-256 of bytes, or of plain data as JSON."""
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(data).hexdigest()[:12]


def differences(found: dict[str, Any], calm: dict[str, Any]) -> list[str]:
    """What is not as in the undisturbed home, in a few words each."""
    told = []
    for name, value in found.items():
        if value != calm[name]:
            if isinstance(value, list):
                value = sorted(set(map(str, value)) ^ set(map(str, calm[name])))
            told.append(f"{name}: {str(value)[:300]} (undisturbed: {str(calm[name])[:200]})")
    return told


# --- trials ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after `stage` was entered."""

    seconds: float
    stage: str

    def wait(self, process: subprocess.Popen[bytes], home: Home) -> float:
        """Sleep until then, or until the turn has ended; seconds since the start."""
        started, place = time.monotonic(), STAGES.index(self.stage)
        while process.poll() is None and not _is_past(reached(home), place):
            time.sleep(0.0005)
        until = time.monotonic() + self.seconds
        while process.poll() is None and time.monotonic() < until:
            time.sleep(min(0.001, self.seconds))
        return time.monotonic() - started


def _is_past(stage: str, place: int) -> bool:
    return stage == "done" or STAGES.index(stage) >= place


def timeline(process: subprocess.Popen[bytes], home: Home) -> dict[str, float]:
    """How long each stage of a turn took, in seconds, by its files."""
    lengths, now, since = dict.fromkeys(STAGES, 0.0), "starting", time.monotonic()
    while process.poll() is None:
        stage, moment = reached(home), time.monotonic()
        if now in lengths:
            lengths[now] += moment - since
        now, since = stage, moment
        time.sleep(0.001)
    return lengths


def trial(home: Home, recipe: Path, moment: Moment, calm: dict[str, Any]) -> tuple[str, str, list[str]] | None:
    """Kill, repeat, compare: (when, stage reached, what is wrong); None where the turn was out of the stage."""
    process = start(home, recipe)
    when = moment.wait(process, home)
    workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    ended = process.wait() != -signal.SIGKILL
    if ended or reached(home) != moment.stage:
        return None
    again = start(home, recipe)
    _, alive = psutil.wait_procs(workers, timeout=WORKER_MAY_TAKE_SECONDS)
    wrong = [f"worker {worker.pid} outlived its parent by {WORKER_MAY_TAKE_SECONDS:.0f} s" for worker in alive]
    stage = moment.stage
    if stage == "training":
        stage += ", step {} of {}".format(*step(home))
    _, errors = again.communicate()
    if again.returncode:
        wrong.append(f"the second turn failed: {errors.decode()[-300:]}")
    else:
        wrong += differences(fingerprint(home), calm)
    return f"{when:.2f}", f"{stage}{f', {len(workers)} worker' if workers else ''}", wrong


def draw(kills: int, stages: Sequence[str], lengths: dict[str, float], chance: random.Random) -> list[Moment]:
    """One moment within each of `stages`, then moments over the whole length until there are `kills`.

    All are told as seconds within a stage, since the same stage takes longer on a busy machine.
    """
    chosen = [*stages, *chance.choices(list(lengths), list(lengths.values()), k=max(0, kills - len(stages)))]
    return [Moment(chance.uniform(0, lengths[stage]), stage) for stage in chosen[:kills]]


def main() -> int:
    parser = argparse.ArgumentParser(description="kill -9 at random moments of a turn")
    parser.add_argument("--kills", type=int, default=0, help="how many trials; 0: ten, or one per stage named")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--stages", default="", help="kill within these stages, comma-separated")
    parser.add_argument("--tiny", action="store_true", help="80 examples of one source, for a test")
    parser.add_argument("--print", action="store_true", help="print the result and keep no file")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    stages = options.stages.split(",") if options.stages else STAGES
    kills = options.kills or (len(stages) if options.stages else 10)
    kind = "tiny" if options.tiny else "demo"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_recipe(folder, kind)
        first = start(Home(folder / "calm"), recipe)
        lengths = timeline(first, Home(folder / "calm"))
        finish(first)
        calm = fingerprint(Home(folder / "calm"))
        finish(start(Home(folder / "calm2"), recipe))
        unfair = differences(fingerprint(Home(folder / "calm2")), calm)
        if unfair:
            raise SystemExit("two undisturbed turns differ, so nothing can be compared:\n" + "\n".join(unfair))
        found = [["killed after s", "stage reached", "same final state"]]
        problems = []
        for number, moment in enumerate(draw(kills, stages, lengths, chance)):
            for again in range(TRIES):
                home = Home(folder / f"trial{number}-{again}")
                ended = trial(home, recipe, replace(moment, seconds=moment.seconds / (again + 1)), calm)
                if ended:
                    break
            else:
                raise SystemExit(f"each of {TRIES} turns was out of the stage '{moment.stage}' too early")
            when, stage, wrong = ended
            found.append([when, stage, "yes" if not wrong else "NO"])
            problems += [f"{stage}: {one}" for one in wrong]
            print(*found[-1], *wrong, sep="  ", file=sys.stderr, flush=True)
    whole = sum(row[2] == "yes" for row in found[1:])
    text = "\n".join(
        [
            machine("torch"),
            f"seed {options.seed}; recipe: examples/recipes/demo.toml, but {_told(SMALLER[kind], kind)}",
            f"undisturbed turn: {sum(lengths.values()):.1f} s ("
            + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in lengths.items())
            + ")",
            "compared: " + ", ".join(calm),
            "",
            table(found),
            "",
            *problems,
            f"{whole} of {len(found) - 1} as if nothing had happened",
        ]
    )
    print(text) if options.print else publish("kill_turn", text)
    return 1 if problems else 0


def _told(less: dict[str, float], kind: str) -> str:
    sources = ", no other source" if kind == "tiny" else ""
    return (
        f"{less['examples']} routing examples{sources}, {less['epochs']:g} epoch, a checkpoint every "
        f"{less['checkpoint_steps']} steps, {less['max_items']} items per suite, min_items 10"
    )


if __name__ == "__main__":
    sys.exit(main())
