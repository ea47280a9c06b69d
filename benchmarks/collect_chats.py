"""How fast exports of chats are read, and how much memory a large one takes.

    python benchmarks/collect_chats.py [--large-gb 2] [--folder FOLDER]

Writes exports of its own, about 100 MB each: ChatGPT's conversations.json, plain and zipped, Claude.ai's, and Claude
Code sessions, with branches and tools in the shares that people have. Each is read in a process of its own, from the
file to the examples, before the rules. The last rows are the whole of `samloop collect`: read, redacted, judged and
stored, the memory of its workers counted. The aims are 30 MB/s for the reading, and 2 GB of conversations in under
500 MB of memory. MB are of the JSON read, unpacked; processor seconds stand beside the wall's.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import SAMLOOP, machine, median, publish, table, watched

MB = 1_000_000
SIZE_MB = 100
ROUNDS = 3
WORDS = """valve pump tank water level filter pressure pipe meter house garden winter summer pressure controller log
    sensor value table column index query function returns list string number default error message retry timeout
    because therefore when the of a in to and is it that for with as on by this from or be are not""".split()


class Writer:
    """Conversations of made-up text; the same ones each time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.texts = [" ".join(self.random.choices(WORDS, k=20_000)) for _ in range(4)]
        self.count = 0

    def id(self) -> str:
        self.count += 1
        return f"{self.random.getrandbits(64):016x}-{self.count:08x}"

    def text(self, characters: int) -> str:
        source = self.random.choice(self.texts)
        length = max(20, int(self.random.expovariate(1 / characters)))
        at = self.random.randrange(len(source) - 1_000)
        return f"{self.count} {source[at : at + length]}."

    def chatgpt(self) -> dict[str, Any]:
        """One conversation: a mapping with hidden nodes, a tool now and then, an answer made again now and then."""
        at, mapping = 1.7e9 + self.count, {}

        def node(parent: str | None, role: str, text: str | None, **more: Any) -> str:
            id = self.id()
            message = None
            if text is not None:
                content = {"content_type": more.pop("kind", "text")}
                content |= {"parts": [text]} if content["content_type"] == "text" else {"text": text}
                message = {
                    "id": id,
                    "author": {"role": role, "name": more.pop("name", None), "metadata": {}},
                    "create_time": at + len(mapping),
                    "update_time": None,
                    "content": content,
                    "status": "finished_successfully",
                    "end_turn": True,
                    "weight": 1.0,
                    "metadata": {
                        "model_slug": "gpt-4o",
                        "request_id": self.id(),
                        "timestamp_": "absolute",
                        "finish_details": {"type": "stop", "stop_tokens": [200002]},
                        "citations": [],
                        "content_references": [],
                        "is_complete": True,
                    },
                    "recipient": more.pop("recipient", "all"),
                    "channel": None,
                }
            mapping[id] = {"id": id, "message": message, "parent": parent, "children": []}
            if parent:
                mapping[parent]["children"].append(id)
            return id

        tip = node(node(None, "", None), "system", "")
        for _ in range(1 + int(self.random.expovariate(1 / 5))):
            tip = node(tip, "user", self.text(250))
            if self.random.random() < 0.1:
                tip = node(tip, "assistant", self.text(500), kind="code", recipient="python")
                tip = node(tip, "tool", self.text(500), kind="execution_output", name="python")
            if self.random.random() < 0.05:
                node(tip, "assistant", self.text(1_500))
            tip = node(tip, "assistant", self.text(1_500))
        head = {"title": self.text(30), "create_time": at, "update_time": at + 900, "mapping": mapping}
        return {**head, "current_node": tip, "conversation_id": self.id(), "id": self.id()}

    def claude_ai(self) -> dict[str, Any]:
        """One conversation: text twice (as the service has it), tools and thinking now and then."""
        messages = []
        for turn in range(2 + 2 * int(self.random.expovariate(1 / 5))):
            text = self.text(250 if turn % 2 == 0 else 1_500)
            blocks: list[dict[str, Any]] = [{"type": "text", "text": text, "citations": []}]
            if turn % 2 and self.random.random() < 0.2:
                blocks.insert(0, {"type": "thinking", "thinking": self.text(1_000), "summaries": []})
            time_ = f"2025-06-{1 + turn % 28:02}T10:00:00.000000Z"
            messages.append(
                {
                    "uuid": self.id(),
                    "text": text,
                    "content": blocks,
                    "sender": "assistant" if turn % 2 else "human",
                    "created_at": time_,
                    "updated_at": time_,
                    "attachments": [],
                    "files": [],
                }
            )
        time_ = "2025-06-01T10:00:00.000000Z"
        head = {"uuid": self.id(), "name": self.text(30), "created_at": time_, "updated_at": time_}
        return {**head, "account": {"uuid": "a"}, "chat_messages": messages}

    def claude_code(self) -> Iterator[dict[str, Any]]:
        """The lines of one session: most of them are results of tools."""
        session, parent = self.id(), None
        for _ in range(1 + int(self.random.expovariate(1 / 8))):
            steps: list[tuple[str, Any]] = [("user", self.text(250))]
            for _ in range(int(self.random.expovariate(1 / 6))):
                call = self.id()
                given = {"file_path": "/tmp/pump.py", "content": self.text(600)}
                steps.append(("assistant", [{"type": "tool_use", "id": call, "name": "Write", "input": given}]))
                steps.append(("user", [{"type": "tool_result", "tool_use_id": call, "content": self.text(4_000)}]))
            steps.append(("assistant", [{"type": "text", "text": self.text(800)}]))
            for kind, content in steps:
                message: dict[str, Any] = {"role": kind, "content": content}
                if kind == "assistant":
                    message |= {"id": self.id(), "model": "claude-sonnet-4", "stop_reason": None, "usage": {"n": 1}}
                uuid = self.id()
                yield {
                    "parentUuid": parent,
                    "isSidechain": False,
                    "userType": "external",
                    "cwd": "/tmp/pump",
                    "sessionId": session,
                    "version": "2.0.1",
                    "gitBranch": "main",
                    "type": kind,
                    "message": message,
                    "uuid": uuid,
                    "timestamp": "2025-06-01T10:00:00.000Z",
                }
                parent = uuid


def write_array(path: Path, make: Any, size_bytes: int) -> Path:
    """An array of conversations, about `size_bytes` long."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        while file.tell() < size_bytes:
            file.write((", " if file.tell() > 1 else "") + json.dumps(make(), ensure_ascii=False))
        file.write("]")
    return path


def write_sessions(folder: Path, writer: Writer, size_bytes: int) -> Path:
    """Session files, about `size_bytes` in all."""
    folder.mkdir()
    written = number = 0
    while written < size_bytes:
        path = folder / f"session{number}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in writer.claude_code()), encoding="utf-8")
        written, number = written + path.stat().st_size, number + 1
    return folder


def zipped(path: Path) -> Path:
    """The file at `path` in an archive beside it."""
    archive = path.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, "conversations.json")
    return archive


def measure(kind: str, location: str) -> dict[str, float]:
    """One reading, in this process."""
    import importlib

    from samloop.example import Example

    read = importlib.import_module(f"samloop.sources.{kind}").read
    before = resource.getrusage(resource.RUSAGE_SELF)
    started, examples, characters = time.perf_counter(), 0, 0
    for record in read(location, None):
        if isinstance(record, Example):
            examples += 1
            characters += len(record.output_text)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "examples": examples, "peak_mb": after.ru_maxrss / 1024}


def measured(kind: str, location: Path) -> dict[str, float]:
    """One reading, in a process of its own."""
    command = [sys.executable, __file__, "--measure", kind, str(location)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def collected(location: Path, home: Path) -> dict[str, float]:
    """One run of `samloop collect` into a new home."""
    command = [*SAMLOOP, "--home", str(home), "--json", "collect", "chatgpt", str(location)]
    output, peak, seconds, cpu = watched(command)
    totals = json.loads(output)["data"]["totals"]
    return {"seconds": seconds, "cpu": cpu, "examples": totals["read"], "peak_mb": peak / 2**20}


def json_bytes(location: Path) -> int:
    """Bytes of JSON at a location, unpacked."""
    if location.suffix == ".zip":
        with zipfile.ZipFile(location) as archive:
            return sum(info.file_size for info in archive.infolist())
    return sum(path.stat().st_size for path in ([location] if location.is_file() else location.iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large-gb", type=float, default=2.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", nargs=2)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, writer = Path(name), Writer(7)
        plain = write_array(folder / "conversations.json", writer.chatgpt, SIZE_MB * MB)
        inputs = {
            "ChatGPT, conversations.json": ("chatgpt", plain),
            "ChatGPT, the same as .zip": ("chatgpt", zipped(plain)),
            "Claude.ai, conversations.json": (
                "claude_ai",
                write_array(folder / "claude.json", writer.claude_ai, SIZE_MB * MB),
            ),
            "Claude Code, sessions": ("claude_code", write_sessions(folder / "projects", writer, SIZE_MB * MB)),
        }
        rows: list[list[object]] = [["input", "MB", "examples", "MB/s", "MB per CPU second", "peak MB"]]
        for title, (kind, location) in inputs.items():
            found = [measured(kind, location) for _ in range(ROUNDS)]
            rows.append(row(title, json_bytes(location), found))
        whole = {"ChatGPT, whole collect": plain}
        if arguments.large_gb:
            large = write_array(folder / "large.json", writer.chatgpt, int(arguments.large_gb * 1000 * MB))
            rows.append(row(f"ChatGPT, {arguments.large_gb:g} GB", json_bytes(large), [measured("chatgpt", large)]))
            whole[f"ChatGPT, whole collect, {arguments.large_gb:g} GB"] = large
        for title, location in whole.items():
            rows.append(row(title, json_bytes(location), [collected(location, folder / title)]))
    publish("collect_chats", f"{machine('samloop', 'orjson')}; medians of {ROUNDS}\n\n{table(rows)}")


def row(title: str, size: int, found: list[dict[str, float]]) -> list[object]:
    """One row of the table."""
    wall, cpu = median([f["seconds"] for f in found]), median([f["cpu"] for f in found])
    peak = max(f["peak_mb"] for f in found)
    examples = f"{int(found[0]['examples']):,}"
    return [title, f"{size / MB:,.0f}", examples, f"{size / MB / wall:.0f}", f"{size / MB / cpu:.0f}", f"{peak:.0f}"]


if __name__ == "__main__":
    main()
