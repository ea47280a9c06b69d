"""Processes that judge examples beside this one, each with one `Curator`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from samloop.beside import Beside, packed, serve
from samloop.curate.engine import Curated, Curator
from samloop.example import Example
from samloop.settings import Curate

_MODULE: Final = "samloop.curate.workers"


class Unsendable(Exception):  # noqa: N818 - an outcome, not an error
    """A batch that cannot be sent; the caller judges it itself."""


class Workers(Beside):
    """Some workers, which judge as a `Curator` of the same arguments does.

    They start in the background; `curate` may be called as soon as they are `ready`. Use it as a context, so that
    they are gone at its end.

    Args:
        count: how many processes; each takes about 200 MB of memory.
    """

    def __init__(
        self,
        settings: Curate,
        count: int,
        items: Mapping[str, Sequence[str]] | None = None,
        identifier_key: bytes | None = None,
    ) -> None:
        super().__init__(
            _MODULE,
            (settings, items, identifier_key),
            count,
            died="a process that judges examples ended before it answered; all that was stored stays, so collect "
            "again, with collect.workers = 0 in the recipe if memory is short",
            threads="samloop-curate",
        )

    def curate(self, examples: Sequence[Example], *, review: bool) -> Future[Curated]:
        """Have `examples` judged by the next worker that is free, as `Curator.curate` does it.

        The future's result raises PluginError where `Curator.curate` does, and SamloopError where the worker died.

        Raises:
            Unsendable: metadata holds something that cannot be sent to another process.
        """
        try:
            question = packed((examples, review))
        except Exception as error:  # pickle lets through whatever a foreign object raises
            raise Unsendable from error
        return self.ask(question)


def _begin(about: Any) -> Callable[[tuple[Sequence[Example], bool]], Curated]:
    settings, items, key = about
    curator = Curator(settings, items=items, identifier_key=key)

    def judge(question: tuple[Sequence[Example], bool]) -> Curated:
        examples, review = question
        return curator.curate(examples, review=review)

    return judge


if __name__ == "__main__":
    serve(_begin)
