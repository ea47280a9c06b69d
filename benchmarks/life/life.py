"""Ten days of a made-up life, each ended by one unattended turn on the bundled base; a table, a picture, invariants.

Commits and chats come every day; sixty corrections over time, some of them wrong, some contradicted later; from day 4
on a week of ratings for two adapters in an A/B trial; on day 6 a bad download, which is purged the day after; on day
8 the champion's file is damaged; on day 9 a conversation is erased, with --retrain. After every turn the invariants
of `invariants.py` are checked; a broken one ends the benchmark.

    python benchmarks/life/life.py [--days 10] [--home FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import world
from invariants import check
from picture import draw

from common import SAMLOOP, machine, publish, table
from samloop.adapters.traffic import arm_for

VISITS_A_DAY: Final = 40
GOOD: Final = {"champion": 0.8, "challenger": 0.35}
"""How often people like the answers of the two in the trial."""

RECIPE: Final = """\
[train]
model = "pocket"

[prepare]
test_share = 0.2
replay_share = 0.25

[gate]
# Nights of a model this small differ by 7 % in the perplexity of general text, whatever is replayed; at the default
# of 2 % it was refused every night from the second on, as it should be.
retention_margin = 0.1

[evaluate]
suites = ["perplexity", "routing", "retention", "corrections"]  # a toy repeats itself in long answers

[serve.trial]
share = 0.5

[[collect.sources]]
kind = "git"
location = "workshop"

[[collect.sources]]
kind = "dataset"
location = "chats"

[[collect.sources]]
kind = "dataset"
location = "downloads"

[[collect.sources]]
kind = "routing"
"""


@dataclass
class Day:
    """What one day brought, and what its turn made of it."""

    number: int
    events: list[str] = field(default_factory=list)
    added: int = 0
    verdict: str = ""
    champion: str = "base"
    given: int = 0
    learnt: int = 0
    kept_out: int = 0
    bits_per_byte: float | None = None
    routing: float | None = None
    produced: float | None = None
    seconds: float = 0.0


class Life:
    """One home, and the folders beside it that its recipe names."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        for name in ("chats", "downloads"):
            (folder / name).mkdir(parents=True)
        (folder / "samloop.toml").write_text(RECIPE, encoding="utf-8")
        self.corrections = world.corrections()
        self.erased: list[str] = []

    def run(self, *arguments: str) -> Any:
        """The document of one command."""
        command = [*SAMLOOP, "--home", str(self.home), "--config", str(self.folder / "samloop.toml"), "--json"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"samloop {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return json.loads(done.stdout)["data"]

    def day(self, number: int) -> Day:
        """Live through one day and its night."""
        day = Day(number)
        world.commit_day(self.folder / "workshop", number)
        world.write_jsonl(self.folder / "chats" / f"day-{number:02d}.jsonl", world.chats(number))
        self.correct(day)
        self.rate(day)
        self.happen(day)
        started = time.perf_counter()
        report = self.run("turn", "--force")
        day.seconds = time.perf_counter() - started
        self.note(day, report)
        self.after(day)
        day.champion = self.champion()
        check(self.home, self.erased)
        return day

    def correct(self, day: Day) -> None:
        """The day's corrections."""
        lines = [one.line() for one in self.corrections if one.day == day.number]
        if lines:
            self.feed(lines)
            day.events.append(f"{len(lines)} corrections")
        day.given = sum(one.day <= day.number for one in self.corrections)

    def rate(self, day: Day) -> None:
        """Ratings of the conversations that the two adapters of a running trial had."""
        running = [one for one in self.run("adapters", "ab", "status") if one["state"] == "running"]
        if not running:
            return
        trial, rng, lines = running[0], random.Random(700 + day.number), []
        for number in range(VISITS_A_DAY):
            conversation = f"visit-{day.number}-{number}"
            arm = arm_for(conversation, trial["test_id"], trial["share"])
            adapter = trial[arm]
            lines.append(
                {
                    "query": f"Visit {number}, day {day.number}: which pump for {rng.randint(2, 60)} metres?",
                    "response": f"Take the one for {rng.randint(2, 60)} metres, and mind the valve.",
                    "rating": 1 if rng.random() < GOOD[arm] else -1,
                    "conversation_id": conversation,
                    **({"adapter_id": adapter} if adapter != "base" else {}),
                }
            )
        self.feed(lines)
        day.events.append(f"{len(lines)} ratings")

    def happen(self, day: Day) -> None:
        """What comes in besides, before the turn."""
        downloads = self.folder / "downloads"
        if day.number == 5:
            world.write_jsonl(downloads / "farewell.jsonl", world.farewell())
            day.events.append("a secret is told")
        if day.number == 6:
            world.write_jsonl(downloads / "routing.jsonl", world.bad_routing())
            day.events.append("a bad download")
        if day.number == 7:
            (downloads / "routing.jsonl").unlink()
            self.run("purge", "--source-id", "routing.jsonl", "--yes")
            day.events.append("it is purged")
        if day.number == 9:
            found = self.run("purge", "--conversation", "farewell", "--retrain", "--yes")
            self.erased.append(world.PLANTED)
            (downloads / "farewell.jsonl").unlink()
            day.events.append(f"a conversation is erased, {len(found['withdrawn'])} adapters withdrawn")

    def after(self, day: Day) -> None:
        """What happens once the turn is over."""
        if day.number == 4:
            spare = [one for one in self.run("adapters", "list") if one["state"] in ("candidate", "retired")]
            if spare:
                self.run("adapters", "ab", "start", spare[0]["adapter_id"])
                day.events.append(f"{spare[0]['adapter_id'][:9]} on trial")
        if day.number == 8 and (champion := self.champion()) != "base":
            weights = next((self.home / "adapters" / "main" / champion).glob("*.safetensors"))
            weights.chmod(0o600)
            weights.write_bytes(weights.read_bytes()[:-4096])
            self.run("chat", "What is the set point of the hall circuit in summer mode?")
            day.events.append(f"{champion[:9]} is damaged, {self.champion()[:9]} answers")

    def note(self, day: Day, report: dict[str, Any]) -> None:
        """The figures of a turn."""
        day.added = report["totals"]["added"]
        decision, evaluation = report["decision"], report["evaluation"]
        day.verdict = decision["verdict"]
        scores = {one["name"]: one["mean"] for one in evaluation["suites"][evaluation["challenger"]]}
        day.bits_per_byte, day.routing = scores.get("bits_per_byte"), scores.get("routing_accuracy")
        day.produced = scores.get("corrections_produced")
        if report["learning"]:
            counts = report["learning"]["counts"]
            day.learnt = counts.get("learnt", 0) + counts.get("known before", 0)
            day.kept_out = counts.get("not trained", 0)

    def feed(self, lines: list[dict[str, Any]]) -> None:
        """Feedback, as JSON lines."""
        path = self.folder / "feedback.jsonl"
        world.write_jsonl(path, lines)
        self.run("feedback", "add", "--file", str(path))
        path.unlink()

    def champion(self) -> str:
        """Who serves."""
        link = self.home / "adapters" / "main" / "current"
        return link.readlink().name if link.is_symlink() else "base"


def shown(value: float | None, form: str) -> str:
    """A figure, or a dash."""
    return "-" if value is None else format(value, form)


def main() -> None:
    """Live, and tell of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=world.DAYS)
    parser.add_argument("--home", type=Path, default=None, help="where to live; else in a folder that is removed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        life = Life(options.home or Path(name) / "life")
        days = []
        for number in range(1, options.days + 1):
            days.append(life.day(number))
            print(days[-1], file=sys.stderr, flush=True)
    head = [
        "day",
        "added",
        "corrections",
        "learnt",
        "said",
        "bits/byte",
        "routing",
        "verdict",
        "serves",
        "s",
        "events",
    ]
    rows: list[list[object]] = [head]
    rows += [
        [
            day.number, day.added, day.given, day.learnt, shown(day.produced, ".0%"), shown(day.bits_per_byte, ".3f"),
            shown(day.routing, ".1%"), day.verdict, day.champion[:9], f"{day.seconds:.0f}", "; ".join(day.events),
        ]
        for day in days
    ]  # fmt: skip
    results = Path(__file__).parent / "results"
    about = (
        "learnt and said: corrections learnt by the night's adapter, and the share of held-out rewordings that it "
        "answers so; bits/byte and routing: of the night's adapter, on held-out items"
    )
    publish(
        "life",
        f"{machine('torch')}\n\n{table(rows)}\n\n{about}\nthe store's invariants held after each turn",
        results,
    )
    draw(days, results / "life.png")


if __name__ == "__main__":
    main()
