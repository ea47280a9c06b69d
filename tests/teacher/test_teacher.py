"""Teachers over real HTTP, through the makers' own clients."""

from __future__ import annotations

import email.utils
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from samloop import plugins
from samloop.errors import RecipeError, TeacherBudgetError, TeacherError
from samloop.home import Home
from samloop.loop.context import Context
from samloop.loop.teacher import asking
from samloop.recipe import Recipe
from samloop.settings import Teacher as Settings
from samloop.store import Store
from samloop.teacher.answer import Answer
from samloop.teacher.budget import Budget
from samloop.teacher.calls import retry_after
from teacher_server import TeacherServer, Trouble, serving

KINDS = ("anthropic", "openai")
EMAIL = "@".join(("ada.keeper", "waterworks-of-nowhere.net"))
MESSAGES: Any = [
    {"role": "system", "content": "You keep the waterworks."},
    {"role": "user", "content": "Is the basin full?"},
    {"role": "assistant", "content": "It is."},
    {"role": "user", "content": "And the lower one?"},
]

Ask = Callable[..., Answer]


@pytest.fixture
def server() -> Iterator[TeacherServer]:
    with serving() as teacher:
        yield teacher


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    return str(request.param)


@pytest.fixture
def settings(kind: str, server: TeacherServer) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        base = server.url + ("/v1" if kind == "openai" else "")
        given = {"kind": kind, "model": "a-stronger-model", "base_url": base, "timeout_seconds": 20.0}
        return Settings(**{**given, **changes})

    return make


@pytest.fixture
def ask(kind: str, settings: Callable[..., Settings]) -> Ask:
    def call(messages: Any = MESSAGES, **changes: Any) -> Answer:
        answer: Answer = plugins.load("teachers", kind)(messages, settings=settings(**changes))
        return answer

    return call


def test_an_answer_comes_with_its_model_and_its_tokens(ask: Ask, server: TeacherServer, kind: str) -> None:
    answer = ask()
    assert (answer.text, answer.model) == ("You said: And the lower one?", "a-stronger-model")
    assert (answer.input_tokens, answer.output_tokens) == (11, 7)
    assert answer.metadata["finish_reason"] in ("end_turn", "stop")
    ((path, _, body),) = server.requests
    assert path == ("/v1/messages" if kind == "anthropic" else "/v1/chat/completions")
    said = [(one["role"], one["content"]) for one in body["messages"]]
    whole = [(one["role"], one["content"]) for one in MESSAGES]
    assert said == (whole[1:] if kind == "anthropic" else whole)
    assert body.get("system") == ("You keep the waterworks." if kind == "anthropic" else None)
    assert body["max_tokens"] == 1024


def test_the_key_comes_from_the_environment(ask: Ask, server: TeacherServer, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "opens" + "-nothing"
    monkeypatch.setenv("MY_TEACHER", secret)
    ask(key_variable="MY_TEACHER")
    assert server.requests[0][1]["authorization"] == f"Bearer {secret}"


def test_without_a_key_only_this_machine_is_asked(ask: Ask, server: TeacherServer, kind: str) -> None:
    ask()
    with pytest.raises(RecipeError, match=rf"{kind.upper()}_API_KEY"):
        ask(base_url="")
    with pytest.raises(RecipeError, match="https://"):
        ask(base_url="http://teacher.example.org")
    with pytest.raises(RecipeError, match=r"teacher\.model"):
        ask(model="")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_what_may_pass_is_tried_again_after_the_wait_that_was_asked_for(
    ask: Ask, server: TeacherServer, status: int
) -> None:
    server.troubles = [Trouble(status, {"retry-after": "0.01"}), Trouble(status, {"retry-after-ms": "10"})]
    assert ask().text == "You said: And the lower one?"
    assert len(server.requests) == 3


def test_a_wait_that_is_too_long_is_not_waited_for(ask: Ask, server: TeacherServer) -> None:
    server.troubles = [Trouble(429, {"retry-after": "86400"})]
    with pytest.raises(TeacherError, match="asks to wait 86400 s"):
        ask()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("trouble", "part"),
    [
        (Trouble(401), "check the key"),
        (Trouble(404), r"check teacher\.model"),
        (Trouble(400), "status 400"),
        (Trouble(302, {"location": "http://127.0.0.1:9/elsewhere"}), "status 302"),
        (Trouble(body="<html>Good day</html>", headers={"content-type": "text/html"}), "is no answer"),
        (Trouble(body='{"choices": [], "content": 3}'), "is no answer"),
        (Trouble(body="{"), "is no answer"),
    ],
)
def test_what_will_not_pass_is_one_sentence_after_one_request(
    ask: Ask, server: TeacherServer, trouble: Trouble, part: str
) -> None:
    server.troubles = [trouble]
    with pytest.raises(TeacherError, match=part) as caught:
        ask()
    assert len(server.requests) == 1
    assert "\n" not in str(caught.value)


def test_retries_end(ask: Ask, server: TeacherServer) -> None:
    server.troubles = [Trouble(503, {"retry-after": "0"})] * 9
    with pytest.raises(TeacherError, match="status 503; try again later"):
        ask(retries=2)
    assert len(server.requests) == 3


def test_silence_and_absence_are_told_apart(ask: Ask, server: TeacherServer) -> None:
    server.troubles = [Trouble(seconds=1.5)]
    with pytest.raises(TeacherError, match=r"did not answer within 0\.3 s"):
        ask(timeout_seconds=0.3, retries=0)
    with pytest.raises(TeacherError, match="cannot be reached"):
        ask(base_url="http://127.0.0.1:9", retries=0)


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after": "-3"}) == 0
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    when = retry_after({"retry-after": email.utils.formatdate(time.time() + 100, usegmt=True)})
    assert when is not None and 90 < when <= 100
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


# --- within bounds -----------------------------------------------------------------------------------------------


@pytest.fixture
def opened(home: Path, settings: Callable[..., Settings]) -> Iterator[Callable[..., Context]]:
    with Store.open(Home(home)) as store:

        def make(**changes: Any) -> Context:
            teacher = settings(**changes).model_dump()
            names = {"curate": {"redact": {"names": ["Penstock"]}}}
            return Context(Home(home), Recipe.parse({"teacher": teacher, **names}), store, home)

        yield make


def test_nothing_private_leaves_the_machine_unless_the_recipe_says_so(
    opened: Callable[..., Context], server: TeacherServer
) -> None:
    private: Any = [{"role": "user", "content": f"Penstock, write to {EMAIL}!"}, *MESSAGES[2:]]
    for redact, seen in ((True, False), (False, True)):
        ask = asking(opened(redact=redact))
        assert ask is not None
        ask(private)
        sent = json.dumps(server.requests[-1][2])
        assert (EMAIL in sent, "Penstock" in sent) == (seen, seen)
        assert ("[REDACTED_EMAIL]" in sent) is not seen


def test_the_budget_of_a_day_is_kept_across_openings_and_nothing_is_sent_beyond_it(
    opened: Callable[..., Context], server: TeacherServer
) -> None:
    for _ in range(2):
        ask = asking(opened(requests_per_day=2))
        assert ask is not None
        ask(MESSAGES)
    with pytest.raises(TeacherBudgetError, match="2 of 2 requests"):
        ask(MESSAGES)
    by_tokens = asking(opened(requests_per_day=0, tokens_per_day=36))
    assert by_tokens is not None
    with pytest.raises(TeacherBudgetError, match="36 of 36 tokens"):
        by_tokens(MESSAGES)
    assert len(server.requests) == 2


def test_a_request_that_fails_counts_all_the_same(opened: Callable[..., Context], server: TeacherServer) -> None:
    server.troubles = [Trouble(401)]
    ask = asking(opened())
    assert ask is not None
    with pytest.raises(TeacherError):
        ask(MESSAGES)
    assert ask.budget.spent()["requests"] == 1


def test_an_endpoint_that_does_not_count_is_counted_for(
    opened: Callable[..., Context], server: TeacherServer
) -> None:
    server.counts = False
    ask = asking(opened())
    assert ask is not None
    ask(MESSAGES)
    assert ask.budget.spent()["tokens"] >= 18


def test_a_budget_is_shared_by_all_who_ask_at_once_and_begins_anew_each_day(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "teacher.json", 30, 0)

    def take(_: int) -> bool:
        try:
            budget.take_request()
        except TeacherBudgetError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(40))) == 30
    budget.path.write_text(json.dumps({"day": "2001-01-01", "requests": 30, "tokens": 5}))
    assert take(0)
    for rubbish in ("", "[]", '{"day": 3}'):
        budget.path.write_text(rubbish)
        assert take(0)


def test_a_missing_client_is_one_line_with_the_command(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['{0}'] = None\n"
        "from samloop import plugins\n"
        "try: plugins.load('teachers', '{0}')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    for kind in KINDS:
        done = subprocess.run(
            [sys.executable, "-c", code.format(kind)], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert done.stdout == (
            f"MissingExtraError asking the teacher '{kind}' needs the extra 'teacher', which is not installed: "
            "pip install 'samloop[teacher]'\n"
        )


def test_no_teacher_is_none(tmp_path: Path) -> None:
    with Store.open(Home(tmp_path / "home")) as store:
        assert asking(Context(Home(tmp_path / "home"), Recipe.parse({}), store, tmp_path)) is None
