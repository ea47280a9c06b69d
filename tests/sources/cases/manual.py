"""A file of filled forms, and what a person gets wrong in one."""

from __future__ import annotations

from pathlib import Path

from cases import EMAIL, KEY, Case


def form(number: int) -> str:
    return (
        f"--- asked ---\nWhich tap belongs to pipe {number}?\n\n"
        f"--- answer ---\nTap {number + 3}, on the wall behind the stairs, with the blue handle.\n"
    )


FORMS = [
    form(1),
    form(2) + "\n--- context ---\nThe house has nine taps.\n\n--- licence ---\nCC0-1.0\n",
    "--- system ---\nYou help with pumps.\n--- earlier user ---\nThe pump hums.\n--- earlier assistant ---\n"
    f"Clean the intake.\n--- asked ---\nI did. Tell {EMAIL}, the token is {KEY}.\n--- answer ---\n"
    "Done. Run the pump for a minute:\n\n\\--- help ---\nis what it says when it needs you.\n",
    "--- asked ---\nHow often is the filter washed?\n--- answer ---\nEvery two weeks in summer, else once a month.\n"
    "--- worse answer ---\nFilters are important.\n--- because ---\nnothing is answered\n",
    "--- asked ---\nThis one has no answer.\n--- answer ---\n\n",
    "--- asked ---\n\n--- answer ---\n\n--- help ---\nAn empty form is no example.\n",
]


def make(folder: Path) -> Path:
    path = folder / "made_up_forms.txt"
    path.write_text("--- next example ---\n".join(FORMS))
    return path


def add_one(location: Path) -> None:
    with location.open("a") as file:
        file.write("--- next example ---\n" + form(3))


CASE = Case(name="manual", make=make, add_one=add_one)
