"""Talk to the champion, to any adapter, or to the bare base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from samloop import plugins
from samloop.adapters.registry import CHAMPION, Registry, slot_of_champion
from samloop.example import Message
from samloop.loop.context import Context
from samloop.loop.evaluate import BASE
from samloop.loop.serving import base_form, reference
from samloop.loop.train import backend_name
from samloop.protocols import AdapterRef, Model
from samloop.text.base import resolve_base
from samloop.text.template import encode_prompt

MAX_PERIOD_TOKENS: Final = 32
REPEATS: Final = 4
"""A run of up to 32 tokens said four times in a row is a loop, not an answer."""

SINGLE_REPEATS: Final = 16
"""Single tokens repeat in honest text (rules, indentation), so a loop of one has to be longer."""

CUT_NOTE: Final = " […]"


@dataclass(frozen=True, slots=True)
class Chat:
    """A loaded model and who is answering.

    Attributes:
        answering: the adapter's id, or "base".
    """

    model: Model
    answering: str
    system_prompt: str

    def reply(
        self, messages: Sequence[Message], *, max_new_tokens: int = 256, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[str]:
        """The answer to `messages`, in pieces as it is generated; a loop is cut and marked."""
        turns = list(messages)
        if self.system_prompt and turns[0]["role"] != "system":
            turns.insert(0, Message(role="system", content=self.system_prompt))
        prompt = encode_prompt(self.model.tokenizer, turns)
        said: list[int] = []
        shown = ""
        for token in self.model.generate(prompt, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed):
            said.append(token)
            if looping(said):
                yield CUT_NOTE
                return
            text = self.model.tokenizer.decode(said)
            # A character of several bytes can be spread over tokens; it is shown when it is whole.
            if not text.endswith("\ufffd") and len(text) > len(shown):
                yield text[len(shown) :]
                shown = text


def looping(tokens: Sequence[int]) -> bool:
    """Whether `tokens` end with the same run said `REPEATS` times, or the same token `SINGLE_REPEATS` times."""
    for period in range(1, MAX_PERIOD_TOKENS + 1):
        span = period * REPEATS
        if len(tokens) < span:
            return False
        tail = tokens[-span:]
        repeats = all(tail[at] == tail[at % period] for at in range(span))
        if repeats and (span >= SINGLE_REPEATS or len(set(tail)) > 1):
            return True
    return False


def open_chat(context: Context, adapter: str | None = None) -> Chat:
    """Load the base with the champion, or with `adapter` ("base" for none).

    A champion that is damaged is taken out of service, and the one before it answers.

    Raises:
        NotFoundError: there is no such adapter.
        ModelError: the base or the adapter cannot be used.
    """
    registry = Registry(context.home, context.store)
    slot = context.slot if adapter in (None, CHAMPION) else slot_of_champion(adapter)
    chosen = registry.serving(slot) or BASE if slot else adapter or BASE
    if slot:
        context = context.for_slot(slot)
    refs: list[AdapterRef] = []
    if chosen != BASE:
        chosen = registry.find(chosen)
        refs.append(reference(context, chosen, registry.path(chosen)))
    backend = plugins.load("backends", backend_name(context.recipe.train.backend))()
    form = refs[0].quantise if refs else base_form(context)
    model: Model = backend.load(resolve_base(context.recipe.train.model), refs, quantise=form)
    model.use(None if chosen == BASE else chosen)
    return Chat(model, chosen, context.recipe.sam.system_prompt)
