"""What runs inside the sandbox: sets its own limits, then runs an answer's code, or the tests that call it.

It is a script of the standard library alone, and of few modules of it, because each answer pays for importing them
(`pickle` and `typing` would double its start). An answer and its tests run in two sandboxes, joined by two pipes: the
tests call the answer's function as if it stood beside them, and the arguments and results that cross are plain data.
So the answer can neither see the tests nor say that they passed: only the tests' own sandbox holds the pipe on which
that is said, and the word that says it.
"""

from __future__ import annotations

import builtins
import io
import os
import resource
import struct
import sys
import types
from _pickle import Unpickler, dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MESSAGE_BYTES = 16 * 2**20
"""The longest message between an answer and its tests."""

ITERATED = 100_000
"""How many values of a generator that was returned are taken over."""

PLAIN = frozenset(
    {
        *(("builtins", name) for name in "complex bytearray int float str list dict set frozenset range".split()),
        *(("collections", name) for name in "OrderedDict Counter deque defaultdict".split()),
        *(("datetime", name) for name in "date datetime time timedelta timezone".split()),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
    }
)
"""The types that may cross besides those that need no name."""


class Unfit(Exception):  # noqa: N818  a failure of an answer, not of ours
    """What crosses is no plain data, or the other side is gone."""


class _PlainOnly(Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in PLAIN:
            return super().find_class(module, name)
        raise Unfit(f"{name} is no plain data")


def load_plain(data: bytes) -> Any:
    """The plain data in a pickle; a pickle that names anything but `PLAIN` is refused.

    Raises:
        Unfit: it is none, or names something else.
    """
    try:
        return _PlainOnly(io.BytesIO(data)).load()
    except Unfit:
        raise
    except Exception as error:
        raise Unfit(f"what came is no message ({type(error).__name__})") from None


def dump_plain(value: Any) -> bytes:
    """`value` as a pickle that `load_plain` takes.

    Raises:
        Unfit: it is no plain data, or too large.
    """
    try:
        data = dumps(value, protocol=4)
    except Exception:
        raise Unfit(f"{type(value).__name__} is no plain data") from None
    if len(data) > MESSAGE_BYTES:
        raise Unfit(f"{len(data):,} bytes are more than a message may have")
    load_plain(data)
    return data


def send(fd: int, value: Any) -> None:
    """Write one message."""
    data = dump_plain(value)
    rest = memoryview(struct.pack(">I", len(data)) + data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def receive(fd: int) -> Any:
    """Read one message.

    Raises:
        Unfit: the other side is gone, or says something that is no message.
    """
    (size,) = struct.unpack(">I", _read(fd, 4))
    if size > MESSAGE_BYTES:
        raise Unfit("the message is too long")
    return load_plain(_read(fd, size))


def _read(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(fd, min(size - len(data), 65536))
        if not piece:
            raise Unfit("the code ended before the tests did")
        data += piece
    return bytes(data)


# --- the answer's side -------------------------------------------------------------------------------------------


def serve(requests: int, replies: int) -> None:
    """Run the first of the programs sent that compiles, then answer calls of the function it was asked for."""
    programs, name = receive(requests)
    function, failed = None, None
    try:
        function = _defined(programs, name)
    except BaseException as error:
        failed = _raised(error)
    _reply(replies, failed or ("ready", None))
    while failed is None:
        arguments, named = receive(requests)
        _reply(replies, _called(function, arguments, named))


def _defined(programs: list[str], name: str) -> Callable[..., Any]:
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    exec(_compiled(programs), module.__dict__)  # noqa: S102  what this sandbox is for
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        raise NameError(f"the answer defines no function {name}")
    return function


def _compiled(programs: list[str]) -> types.CodeType:
    first: SyntaxError | None = None
    for program in programs:
        try:
            return compile(program, "<answer>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            first = first or (error if isinstance(error, SyntaxError) else SyntaxError(str(error)))
    raise first or SyntaxError("the answer holds no code")


def _called(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, Any]:
    try:
        value = function(*arguments, **named)
        if isinstance(value, types.GeneratorType | map | filter | zip | enumerate | reversed):
            return "iterator", [one for one, _ in zip(value, range(ITERATED), strict=False)]
    except BaseException as error:
        return _raised(error)
    return "value", value


def _raised(error: BaseException) -> tuple[str, Any]:
    try:
        said = str(error)[:300]
    except BaseException:
        said = ""
    return "raised", (type(error).__name__, said)


def _reply(replies: int, reply: tuple[str, Any]) -> None:
    try:
        send(replies, reply)
    except Unfit as error:
        send(replies, ("raised", ("Unfit", f"the function returned what cannot be judged: {error}")))


# --- the tests' side ---------------------------------------------------------------------------------------------


def run_tests(orders: int, report: int, requests: int, replies: int) -> None:
    """Run a test against the answer in the other sandbox, and say on `report` how it ended.

    The order is (programs, name, prompt, test, values, word). The prompt's own definitions and `values` are there for
    the test, the answer's function by its name and as `candidate`; a function ``check`` that the test defines is
    called with it. Only when all of it is through, the word is said.
    """
    programs, name, prompt, test, values, word = receive(orders)
    os.close(orders)
    try:
        space: dict[str, Any] = {"__name__": "tests"}
        if name:
            _prompted(prompt, space)
            send(requests, (programs, name))
            kind, said = receive(replies)
            if kind != "ready":
                raise _as_exception(said)
            space["candidate"] = space[name] = _stand_in(name, requests, replies)
        space |= values
        exec(compile(test, "<test>", "exec", dont_inherit=True), space)  # noqa: S102  within its own sandbox
        if callable(space.get("check")):
            space["check"](space.get("candidate"))
    except BaseException as error:
        kind, said = _raised(error)[1]
        send(report, ("failed", f"{kind}: {said}".removeprefix("Unfit: ").removesuffix(": ")))
        return
    send(report, ("passed", word))


def _prompted(prompt: str, space: dict[str, Any]) -> None:
    """Run the prompt's imports and helpers; one that stops before the body of its function gets an empty one."""
    for end in ("", "\n    pass\n"):
        try:
            code = compile(prompt + end, "<prompt>", "exec", dont_inherit=True)
        except SyntaxError:
            continue
        exec(code, space)  # noqa: S102
        return


def _stand_in(name: str, requests: int, replies: int) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        send(requests, (arguments, named))
        kind, value = receive(replies)
        if kind == "value":
            return value
        if kind == "iterator":
            return iter(value)
        raise _as_exception(value)

    call.__name__ = call.__qualname__ = name
    return call


def _as_exception(said: Any) -> Exception:
    """What the answer raised: an exception of the same built-in type, so that a test may expect it."""
    kind, text = said
    found = getattr(builtins, str(kind), None)
    if isinstance(found, type) and issubclass(found, Exception):
        try:
            return found(str(text))
        except Exception:
            return Unfit(f"{kind}: {text}")
    return Unfit(f"{kind}: {text}" if kind != "Unfit" else str(text))


# --- both --------------------------------------------------------------------------------------------------------


def bind(cpu_seconds: int, memory_bytes: int, disk_bytes: int, open_files: int) -> None:
    """Set the limits of this process, for good."""
    bounds = {
        "RLIMIT_CPU": cpu_seconds,
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_DATA": memory_bytes,
        "RLIMIT_FSIZE": disk_bytes,
        "RLIMIT_NOFILE": open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    for name, bound in bounds.items():
        if hasattr(resource, name):
            try:
                resource.setrlimit(getattr(resource, name), (bound, bound))
            except (ValueError, OSError):
                if sys.platform == "linux":  # macOS keeps no bound on memory: the outside watches it there
                    raise


def main(arguments: list[str]) -> None:
    """``inside.py ROLE CPU_SECONDS MEMORY_BYTES DISK_BYTES OPEN_FILES [FD…]``."""
    role, *numbers = arguments
    cpu_seconds, memory_bytes, disk_bytes, open_files, *fds = map(int, numbers)
    bind(cpu_seconds, memory_bytes, disk_bytes, open_files)
    if role == "probe":
        print("sandboxed")  # noqa: T201
    elif role == "answer":
        serve(*fds)
    elif role == "test":
        run_tests(*fds)


if __name__ == "__main__":
    main(sys.argv[1:])
