"""Asking: what is private is taken out, the budget is kept, then the teacher is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from samloop.example import Message
from samloop.teacher.answer import Answer
from samloop.teacher.budget import Budget, tokens_of

Ask = Callable[[Sequence[Message]], Answer]
Clean = Callable[[Sequence[Message]], list[Message]]


@dataclass(frozen=True, slots=True)
class Asking:
    """A teacher within its bounds; called like one.

    Attributes:
        clean: takes out of the messages what must not leave the machine; None where the recipe says so.
    """

    ask: Ask
    budget: Budget
    clean: Clean | None

    def __call__(self, messages: Sequence[Message]) -> Answer:
        """What the teacher says.

        Raises:
            TeacherBudgetError: today's budget is used up; nothing was sent.
            TeacherError: there is no answer.
        """
        said = list(messages) if self.clean is None else self.clean(messages)
        self.budget.take_request()
        answer = self.ask(said)
        told = "".join(one["content"] for one in said)
        self.budget.add_tokens(tokens_of(told, answer.input_tokens) + tokens_of(answer.text, answer.output_tokens))
        return answer
