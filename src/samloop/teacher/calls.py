"""One request to an endpoint: tried again where that makes sense, and what goes wrong told in one sentence.

The makers' clients can try again by themselves; they wait as long as the endpoint tells them to, which may be days,
and say nothing of it. So their retries are off, and these are on.
"""

from __future__ import annotations

import email.utils
import ipaddress
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from samloop.errors import RecipeError, TeacherError
from samloop.settings import Teacher

T = TypeVar("T")

AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed: timeouts, too many requests, an overloaded or failing server."""

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 8.0
"""Between tries where the endpoint does not say how long: twice as long each time, up to this."""

NO_KEY: Final = "none"
"""Sent as the key to an endpoint on this machine that asks for none."""


def key_of(settings: Teacher, usual: str) -> str:
    """The key, from the environment alone.

    Args:
        usual: the variable that the endpoint's maker reads.

    Raises:
        RecipeError: there is none, or it would be sent in the clear to another machine.
    """
    name = settings.key_variable or usual
    local = _is_local(settings.base_url)
    if settings.base_url and not local and urlsplit(settings.base_url).scheme != "https":
        raise RecipeError(
            "expected teacher.base_url to begin with https://, or to name this machine, got "
            f"{_shown(settings.base_url)}; the key would be sent in the clear"
        )
    if key := os.environ.get(name, "").strip():
        return key
    if local:
        return NO_KEY
    raise RecipeError(f"the teacher '{settings.kind}' needs a key in the environment variable {name}; set it there")


def model_of(settings: Teacher) -> str:
    """The model to ask.

    Raises:
        RecipeError: the recipe names none.
    """
    if not settings.model:
        raise RecipeError(f"the teacher '{settings.kind}' needs a model; name one as teacher.model in the recipe")
    return settings.model


def tried(send: Callable[[], T], settings: Teacher, errors: Any, sleep: Callable[[float], None] = time.sleep) -> T:
    """What `send` returns; sent again after a failure that may pass, as often and as long as the recipe allows.

    Args:
        errors: the client's module, with its APIStatusError, APIConnectionError and APITimeoutError.

    Raises:
        TeacherError: it did not answer; the message says what it said and what to do.
    """
    for attempt in range(settings.retries + 1):
        try:
            return send()
        except errors.APIStatusError as error:
            status, asked = int(error.status_code), retry_after(error.response.headers)
            if status not in AGAIN or attempt == settings.retries:
                raise TeacherError(_refused(settings, status)) from None
            if asked is not None and asked > settings.max_wait_seconds:
                raise TeacherError(
                    f"{_place(settings)} asks to wait {asked:.0f} s before the next request, and "
                    f"teacher.max_wait_seconds is {settings.max_wait_seconds:g}; try again later"
                ) from None
            wait = asked
        except errors.APITimeoutError:
            if attempt == settings.retries:
                raise TeacherError(
                    f"{_place(settings)} did not answer within {settings.timeout_seconds:g} s; raise "
                    "teacher.timeout_seconds, or ask for less with teacher.max_output_tokens"
                ) from None
            wait = None
        except errors.APIConnectionError:
            if attempt == settings.retries:
                raise TeacherError(
                    f"{_place(settings)} cannot be reached; check teacher.base_url and the network"
                ) from None
            wait = None
        except (errors.APIError, ValueError):  # a page, rubbish, half a document, another protocol
            raise no_answer(settings) from None
        sleep(wait if wait is not None else min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**attempt))
    raise AssertionError("the last try returns or raises")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How long the endpoint asks to wait, in seconds (a number or a date, RFC 9110); None: it does not say."""
    told = headers.get("retry-after-ms")
    try:
        return max(0.0, float(told) / 1000) if told else max(0.0, float(headers.get("retry-after") or "x"))
    except ValueError:
        pass
    date = email.utils.parsedate_tz(headers.get("retry-after") or "")
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else None


def no_answer(settings: Teacher) -> TeacherError:
    """The error for a reply in which the endpoint's own format does not hold what it must."""
    return TeacherError(
        f"{_place(settings)} answered with something that is no answer; check teacher.kind and teacher.base_url"
    )


def _refused(settings: Teacher, status: int) -> str:
    remedy = {
        401: "check the key in the environment",
        402: "check the account's credit",
        403: "check the key in the environment and what it may do",
        404: "check teacher.model and teacher.base_url",
        413: "ask about less at a time",
        429: "it has had enough requests for now; try again later, or lower teacher.requests_per_day",
    }.get(status, "try again later" if status >= 500 else "check teacher.model and the settings beside it")
    return f"{_place(settings)} answered with status {status}; {remedy}"


def _place(settings: Teacher) -> str:
    where = f" at {_shown(settings.base_url)}" if settings.base_url else ""
    return f"the teacher '{settings.kind}'{where}"


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
