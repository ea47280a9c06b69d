"""Whether this machine can run code in a sandbox; tests that do are skipped where it cannot, with its reason."""

from __future__ import annotations

import pytest

from samloop.errors import SandboxError
from samloop.evaluate.sandbox import check_sandbox


def why_not() -> str:
    """The sentence that says why there is no sandbox; "" where there is one."""
    try:
        check_sandbox()
    except SandboxError as error:
        return str(error)
    return ""


REASON = why_not()
needs_sandbox = pytest.mark.skipif(bool(REASON), reason=REASON)
