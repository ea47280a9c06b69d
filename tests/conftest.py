"""What every test gets: no settings, no home and no terminal of the person who runs it."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith("SAMLOOP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAMLOOP_HOME", str(tmp_path_factory.mktemp("home") / "samloop"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is set every system program is installed, so a skip is a failure, but for data beside the checkout."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail") and "shared" not in item.keywords:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid}: no skip is allowed in CI. {reason}"
    return report


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A samloop home that is not there yet."""
    return tmp_path / "home"
