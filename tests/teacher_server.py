"""A teacher's endpoint on this machine: real HTTP, in the protocols of Anthropic and OpenAI."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Said = list[dict[str, Any]]


@dataclass
class Trouble:
    """What the endpoint does instead of answering."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    seconds: float = 0.0


@dataclass
class TeacherServer:
    """The endpoint, what it was asked, and what goes wrong with the next requests.

    Attributes:
        answer: the answer to the messages of a request.
        troubles: used up from the front, one per request.
        requests: path, headers (names in lower case) and body of each.
        counts: whether it counts tokens.
    """

    url: str = ""
    answer: Callable[[Said], str] = lambda said: f"You said: {said[-1]['content']}"
    troubles: list[Trouble] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    counts: bool = True

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The document that answers a request, in the protocol of its path."""
        text = self.answer(body["messages"])
        if path.endswith("/messages"):
            return {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 11, "output_tokens": 7},
            }
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        document = {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
        }
        return document | ({"usage": usage} if self.counts else {})


@contextmanager
def serving() -> Iterator[TeacherServer]:
    """An endpoint that runs until the end of the block."""
    teacher = TeacherServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            teacher.requests.append((self.path, headers, body))
            trouble = teacher.troubles.pop(0) if teacher.troubles else Trouble()
            time.sleep(trouble.seconds)
            sent = trouble.body
            if sent is None:
                sent = json.dumps(teacher.reply(self.path, body) if trouble.status == 200 else {"error": {}})
            try:
                self.send_response(trouble.status)
                for name, value in {"content-type": "application/json", **trouble.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(sent.encode())))
                self.end_headers()
                self.wfile.write(sent.encode())
            except (BrokenPipeError, ConnectionResetError):  # whoever asked did not wait
                pass

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    teacher.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield teacher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
