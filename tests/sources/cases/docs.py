"""A folder of documents: a guide, a page with steps and a command, and settings in reStructuredText."""

from __future__ import annotations

from pathlib import Path

from cases import EMAIL, KEY, Case

README = f"""\
# Pump

The pump moves water from the well to the house, and it needs a valve that is open on both of its sides.

## Why does the pump stop at night?

The controller switches it off between ten and six, because the tariff of the well's owner forbids it to run while
people sleep. Set `night = true` to let it run all the same.

## Asking for help

Write to {EMAIL} with the log of the last hour. Put the access token into the file `pump.toml` first, as in
`token = "{KEY}"`, so that the log is sent along.

## License

MIT
"""
VALVE = """\
# Valve

## Replacing the valve

1. Turn off the water at the main tap and wait until the pressure is gone.
2. Unscrew the old valve with the large key.
3. Put the new one in its place, with the arrow pointing to the house.

## Testing the valve

Open and close it three times with the command, and look for drops under the pipe:

```sh
pump valve --cycle 3
```
"""
SETTINGS = """\
=========
Settings
=========

The settings of the pump stand in ``pump.toml``, and are read when it starts.

.. confval:: night

   Whether the pump may run between ten and six, when the tariff of the well's owner forbids it.

.. list-table::
   :header-rows: 1

   * - Option
     - Description
   * - ``--dry``
     - Runs the pump without any water in it, for tests of the motor

.. toctree::

   README
"""
FILTER = """
## When does the filter need washing?

Every two weeks in summer, and at once when the pressure behind it falls below one bar, since sand then passes it.
"""


def make(folder: Path) -> Path:
    (folder / "manual" / "parts").mkdir(parents=True)
    (folder / "manual" / "README.md").write_text(README, encoding="utf-8")
    (folder / "manual" / "parts" / "valve.md").write_text(VALVE, encoding="utf-8")
    (folder / "manual" / "settings.rst").write_text(SETTINGS, encoding="utf-8")
    return folder / "manual"


def add_one(location: Path) -> None:
    with (location / "parts" / "valve.md").open("a", encoding="utf-8") as file:
        file.write(FILTER)


def grow(folder: Path, size_bytes: int) -> Path:
    body = "It turns the water into the next tank as soon as the one before it is full, and says so in the log. " * 6
    for number in range(size_bytes // 20_000):
        sections = (
            f"## What does valve {number}-{part} do?\n\nValve {number}-{part}: {body}\n" for part in range(30)
        )
        (folder / f"page{number}.md").write_text(f"# Page {number}\n\n" + "\n".join(sections), encoding="utf-8")
    return folder


# Both sizes are read by processes beside the one that is measured, which start at three megabytes.
CASE = Case(name="docs", make=make, add_one=add_one, grow=grow, grown_bytes=(5 * 2**20, 15 * 2**20))
