"""What the command line prints: one JSON document, or text for people, and never a control character.

Text from examples, files and models is untrusted. It reaches the terminal through `safe`, on consoles that read no
markup, so that an escape sequence or ``[bold]`` in it is shown and not obeyed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TextIO

from samloop.files import readable

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH: Final = 400
"""Columns of text output that is no terminal: wide enough that no table is folded for the program that reads it."""

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def safe(text: object) -> str:
    """`text` with every character that could steer a terminal or reorder the line made visible.

    Control characters become their pictures (ESC becomes ``␛``); C1 controls, bidirectional marks and lone
    surrogates become ``\\u…``. Line ends and tabs stay.
    """
    return _UNSAFE.sub(_picture, str(text))


def one_line(text: object) -> str:
    """`text` as `safe` gives it, on one line: line ends and tabs are shown as well."""
    return safe(text).translate({9: "␉", 10: "␊"})


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"\\u{code:04x}"


def shorten(text: object, width: int) -> str:
    """The beginning of `text` on one line of at most `width` characters, safe to print."""
    line = " ".join(safe(text).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 example``, ``1,200 examples``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def figure(value: float | None, digits: int = 4) -> str:
    """A measured number for a table; ``-`` where there is none."""
    if value is None or value != value:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}g}"


class Output:
    """Where one invocation prints.

    Args:
        as_json: standard output carries exactly one JSON document, and everything else goes to standard error.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.stdout: TextIO = sys.stdout
        self.answered = False

    @cached_property
    def console(self) -> Console:
        """For people: standard output, or standard error where that belongs to a JSON document."""
        return _console(sys.stderr if self.as_json else self.stdout)

    @cached_property
    def errors(self) -> Console:
        """Standard error: messages, logs, progress."""
        return _console(sys.stderr)

    def result(self, data: Any, show: Callable[[], None]) -> None:
        """The command's one answer: `data` in the envelope with --json, else whatever `show` prints."""
        if self.as_json:
            self._document({"success": True, "data": data})
        else:
            self.answered = True
            show()

    def failure(self, code: str, message: str, data: Any = None) -> None:
        """The command's one error. `data` stands beside it where a failed check has findings to tell."""
        message = readable(message)
        if self.as_json:
            more = {} if data is None else {"data": data}
            self._document({"success": False, "error": {"code": code, "message": message}, **more})
        else:
            self.note(f"samloop: {one_line(message)}", style="bold red")

    def line(self, text: object = "", style: str = "") -> None:
        """One paragraph for people on standard output."""
        self.console.print(safe(text), style=style or None)

    def note(self, text: object, style: str = "") -> None:
        """One paragraph for people on standard error."""
        self.errors.print(safe(text), style=style or None, soft_wrap=True)

    def pairs(self, values: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
        """Names and values in two columns; values of None are left out."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        for name, value in values.items() if isinstance(values, Mapping) else values:
            if value is not None:
                grid.add_row(Text(safe(name), style="dim"), Text(safe(value)))
        self.console.print(grid)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
        """Rows under a header. A column whose name starts with ``>`` is set flush right."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        if title:
            self.line(title, style="bold")
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
        for name in columns:
            right = name.startswith(">")
            table.add_column(name.removeprefix(">"), justify="right" if right else "left", no_wrap=right)
        for row in rows:
            table.add_row(*(Text("-" if cell is None else safe(cell)) for cell in row))
        self.console.print(table)

    def _document(self, envelope: Mapping[str, Any]) -> None:
        self.answered = True
        self.stdout.write(dump(envelope, pretty=self.stdout.isatty()) + "\n")
        self.stdout.flush()


def dump(value: Any, *, pretty: bool = False) -> str:
    """Strict JSON text of plain data; NaN and infinity become null, paths become text."""
    import orjson

    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if pretty else 0)
    try:
        return orjson.dumps(value, default=str, option=options).decode()
    except TypeError:  # text with lone surrogates, e.g. a path that is not UTF-8
        import json

        return json.dumps(value, default=str, indent=2 if pretty else None)


def _console(file: TextIO) -> Console:
    from rich.console import Console

    if hasattr(file, "reconfigure"):  # a terminal that cannot show a letter is no reason to fail
        file.reconfigure(errors="backslashreplace")
    width = None if file.isatty() else PIPE_WIDTH
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False)
