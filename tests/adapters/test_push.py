"""Adapters pushed to registries elsewhere, by their own clients: a small hub on a socket, and a real MLflow."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from adapter_world import add_adapter

from samloop import pocket
from samloop.adapters.registry import Registry
from samloop.home import Home
from samloop.loop.context import open_context
from samloop.loop.push import destination

NEEDS_HUB = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed"
)
NEEDS_MLFLOW = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow-skinny is not installed")


class Hub(BaseHTTPRequestHandler):
    """What of the hub its client speaks to: make a repository, look at it, say how to upload, take a commit."""

    repositories: dict[str, dict[str, Any]]
    asked: list[str]

    def log_message(self, *_: object) -> None: ...

    def _answer(self, document: Any, code: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def do_GET(self) -> None:
        self.asked.append(f"GET {self.path}")
        name = self.path.removeprefix("/api/models/").split("/revision/")[0].split("?")[0]
        if name not in self.repositories:
            self._answer({"error": "Repository not found"}, 404)
            return
        found = self.repositories[name]
        siblings = [{"rfilename": file} for file in found["files"]]
        self._answer({"id": name, "private": found["private"], "sha": "0" * 40, "siblings": siblings})

    def do_POST(self) -> None:
        self.asked.append(f"POST {self.path}")
        body = self._body()
        if self.headers.get("Authorization") != "Bearer " + "some-token":
            self._answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}" if told.get("organization") else told["name"]
            private = bool(told.get("private")) or told.get("visibility") == "private"
            if name in self.repositories:
                self._answer({"error": "You already created this model repo", "url": self._url(name)}, 409)
                return
            self.repositories[name] = {"private": private, "files": {}, "commits": []}
            self._answer({"url": self._url(name), "id": name})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            self._answer({"files": files})
        elif "/commit/" in self.path:
            name = self.path.removeprefix("/api/models/").split("/commit/")[0]
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    self.repositories[name]["files"][value["path"]] = base64.b64decode(value["content"])
                else:
                    self.repositories[name]["commits"].append(entry["value"]["summary"])
            oid = hashlib.sha1(body).hexdigest()
            self._answer({"commitUrl": f"{self._url(name)}/commit/{oid}", "commitOid": oid, "success": True})
        else:
            self._answer({"error": f"not spoken here: {self.path}"}, 404)

    def _url(self, name: str) -> str:
        return f"http://{self.headers['Host']}/{name}"


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    class Fresh(Hub):
        repositories: dict[str, dict[str, Any]] = {}  # noqa: RUF012
        asked: list[str] = []  # noqa: RUF012

    server = ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Fresh
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with open_context(Home(tmp_path / "home")) as context:
        context.store.add_run(
            "run-1", dataset_digest="d" * 32, backend="torch", base="/home/somebody/models/small", revision=1
        )
        folder = context.home.runs / "run-1" / "adapter"
        folder.parent.mkdir(parents=True)
        add_adapter(pocket.path(), folder, name="/home/somebody/models/small")
        Registry(context.home, context.store).register("run-1", "main")
    return tmp_path / "home"


def push(home: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """`samloop adapters push` as a process of its own: the clients read their settings when they are loaded."""
    command = [sys.executable, "-m", "samloop", "--home", str(home), "--json", "adapters", "push", "challenger"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MLFLOW_"))}
    settings = {"HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, **settings},
        cwd=home,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@NEEDS_HUB
def test_an_adapter_goes_to_a_private_repository_with_its_card(home: Path, hub: tuple[str, type[Hub]]) -> None:
    address, server = hub
    login = {"HF_ENDPOINT": address, "HF_TOKEN": "some-token"}
    code, told, said = push(home, "--to", "hf:sam/night", "--yes", **login)
    assert code == 0, (told, said)
    repository = server.repositories["sam/night"]
    assert repository["private"] is True
    assert set(repository["files"]) == {
        "README.md",
        "manifest.json",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert told["data"]["url"] == f"{address}/sam/night"
    assert repository["commits"] == [f"Add {told['data']['adapter']}, made by samloop"]
    assert b"base_model:" in repository["files"]["README.md"]
    for content in repository["files"].values():
        assert b"somebody" not in content
        assert str(home).encode() not in content
    # A second time it is a further commit into the same repository.
    assert push(home, "--to", "hf:sam/night", "--yes", **login)[0] == 0
    assert not list(home.glob(".push*"))


@NEEDS_HUB
def test_nothing_goes_to_a_public_repository_unless_it_is_said(home: Path, hub: tuple[str, type[Hub]]) -> None:
    address, server = hub
    server.repositories["sam/open"] = {"private": False, "files": {}, "commits": []}
    login = {"HF_ENDPOINT": address, "HF_TOKEN": "some-token"}
    code, told, _ = push(home, "--to", "hf:sam/open", "--yes", **login)
    assert code == 2
    assert "sam/open is public" in told["error"]["message"]
    assert server.repositories["sam/open"]["files"] == {}
    assert push(home, "--to", "hf:sam/open", "--yes", "--public", **login)[0] == 0
    assert server.repositories["sam/open"]["files"]


@NEEDS_HUB
def test_a_wrong_login_is_one_sentence_without_the_token(home: Path, hub: tuple[str, type[Hub]]) -> None:
    address, server = hub
    code, told, said = push(home, "--to", "hf:sam/x", "--yes", HF_ENDPOINT=address, HF_TOKEN="wrong-token")
    assert code == 1
    assert "did not take the adapter" in told["error"]["message"]
    assert "wrong-token" not in json.dumps(told) + said
    assert server.repositories == {}


@pytest.mark.slow
def test_nothing_leaves_without_a_word(home: Path, hub: tuple[str, type[Hub]]) -> None:
    address, server = hub
    code, told, said = push(home, "--to", "hf:sam/x", HF_ENDPOINT=address)
    assert code == 2
    assert "say --yes" in told["error"]["message"]
    assert "would go to the private hub repository sam/x" in said
    assert server.asked == []
    for wrong in ("hf:sam", "s3:bucket", "night", "mlflow:", "hf:../x/y"):
        assert push(home, "--to", wrong)[0] == 2
    assert push(home, "--to", "mlflow:sam", "--public")[0] == 2
    assert str(destination("hf:sam/night", public=True)) == "the public hub repository sam/night"


READ = """
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient()
print(json.dumps([
    {"version": v.version, "tags": v.tags, "card": v.description,
     "files": sorted(f.path for f in client.list_artifacts(v.run_id, "adapter"))}
    for v in client.search_model_versions("name='sam'")]))
"""


@NEEDS_MLFLOW
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_an_adapter_becomes_a_version_of_an_mlflow_model(home: Path, tmp_path: Path, kind: str) -> None:
    place = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"} if kind == "sqlite" else {}
    if kind == "sqlite":
        place["MLFLOW_ARTIFACT_ROOT"] = ""
    for version in ("1", "2"):
        code, told, said = push(home, "--to", "mlflow:sam", "--yes", **place)
        assert code == 0, (told, said)
        assert told["data"]["version"] == version
        assert told["data"]["url"] == f"models:/sam/{version}"
    where = place.get("MLFLOW_TRACKING_URI") or (home / "mlruns").as_uri()
    settings = {"MLFLOW_TRACKING_URI": where, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-W", "ignore", "-c", READ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **settings}, cwd=tmp_path
    )
    found = json.loads(done.stdout)
    assert len(found) == 2
    assert found[0]["tags"]["samloop_adapter"] == told["data"]["adapter"]
    assert found[0]["card"].startswith("---\nlicense:")
    assert found[0]["files"] == [
        f"adapter/{name}"
        for name in ("README.md", "adapter_config.json", "adapter_model.safetensors", "manifest.json")
    ]
