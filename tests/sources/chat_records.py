"""What the tests of the chat sources share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samloop.example import Example
from samloop.protocols import Mark, Reject

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "conversations"


class Found:
    """What a source yielded, by kind."""

    def __init__(self, read: Callable[..., Any], location: Path, since: Any = None, **options: Any) -> None:
        records = list(read(str(location), since, **options))
        assert isinstance(records[-1], Mark)
        self.examples = [record for record in records if isinstance(record, Example)]
        self.rejects = [record for record in records if isinstance(record, Reject)]
        self.marks = [json.loads(json.dumps(record.value)) for record in records if isinstance(record, Mark)]

    @property
    def since(self) -> Mapping[str, Any]:
        """The last mark, as the store hands it back."""
        return self.marks[-1]

    @property
    def reasons(self) -> list[str]:
        """Why records were turned away."""
        return [reject.reason for reject in self.rejects]

    @property
    def only(self) -> Example:
        """The only example."""
        (example,) = self.examples
        return example

    @property
    def pairs(self) -> list[tuple[str, str | None]]:
        """Chosen and rejected answer of each preference."""
        return [(e.output_text, e.rejected_output) for e in self.examples if e.format == "dpo"]

    @property
    def talks(self) -> list[list[str]]:
        """The texts of each conversation, in order."""
        return [texts(example) for example in self.examples if example.format != "dpo"]


def texts(example: Example) -> list[str]:
    """The texts of an example, in order."""
    return [*(turn["content"] for turn in example.conversation_history), example.input_text, example.output_text]
