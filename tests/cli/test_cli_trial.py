"""`samloop adapters ab`: what a person sees who puts an adapter on trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samloop.home import Home
from samloop.loop.context import open_context


@pytest.fixture
def candidate(home: Path) -> str:
    """An adapter that another installation trained, without any lineage."""
    from samloop.adapters.registry import Registry

    with open_context(Home(home)) as context:
        folder = home / "brought"
        folder.mkdir()
        data = b"\0" * 256
        header = b'{"a":{"dtype":"F32","shape":[64],"data_offsets":[0,256]}}'
        (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
        (folder / "adapter_config.json").write_text("{}")
        (home / "samloop.toml").write_text('[train]\nmodel = "pocket"\n')
        return Registry(context.home, context.store).adopt(folder, "main", base="pocket")[1]


def test_a_trial_is_started_shown_judged_and_stopped(run: Callable[..., Any], candidate: str) -> None:
    assert "No adapter is on trial" in run("adapters", "ab", "status").out
    started = run("--json", "adapters", "ab", "start", candidate[:7], "--share", "0.5").data
    assert (started["challenger"], started["champion"], started["share"]) == (candidate, "base", 0.5)
    run("feedback", "add", "Two and two?", "4", "--rating", "up", "--conversation", "c1", "--adapter", candidate)
    run("feedback", "add", "And three?", "5", "--rating", "up", "--conversation", "c2")
    (found,) = run("--json", "adapters", "ab", "status").data
    assert found["standing"]["challenger"]["conversations"] == 1
    shown = " ".join(run("adapters", "ab", "status").out.split())
    assert "1 not counted, names no adapter" in shown
    (judged,) = run("--json", "adapters", "ab", "judge").data
    assert judged["state"] == "running"
    assert run("--json", "adapters", "ab", "stop").data["state"] == "stopped"
    again = run("adapters", "ab", "stop")
    assert (again.code, again.err.count("\n")) == (1, 1)


def test_a_wrong_share_and_an_unknown_adapter_are_one_sentence(run: Callable[..., Any], candidate: str) -> None:
    assert run("adapters", "ab", "start", candidate, "--share", "2").code == 2
    missing = run("adapters", "ab", "start", "ad-nobody")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
