"""Ways to spoil an example: each takes an example and the others of its set, and gives a spoilt one, or None."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from samloop.example import Example

Corruption = Callable[[Example, Sequence[Example], random.Random], Example | None]

FOREIGN = {
    "de": "Das Wetter war in dieser Woche sehr schlecht, und deshalb sind wir nicht ans Meer gefahren. Wir "
    "haben das Haus aufgeräumt und ein Buch gelesen. Am Ende kam die Sonne noch heraus, aber da war "
    "es schon Abend.",
    "fr": "La semaine dernière il faisait très mauvais, et nous ne sommes donc pas allés à la mer. Nous "
    "avons rangé la maison et lu un livre. À la fin le soleil est revenu, mais c'était déjà le soir.",
    "es": "La semana pasada hizo muy mal tiempo y por eso no fuimos al mar. Ordenamos la casa y leímos un "
    "libro. Al final salió el sol, pero ya era de noche cuando nos dimos cuenta.",
    "it": "La settimana scorsa il tempo era molto brutto e quindi non siamo andati al mare. Abbiamo "
    "riordinato la casa e letto un libro. Alla fine è uscito il sole, ma ormai era sera.",
    "pt": "Na semana passada o tempo estava muito ruim e por isso não fomos à praia. Arrumamos a casa e "
    "lemos um livro. No fim o sol saiu, mas já era noite quando percebemos.",
    "nl": "Het weer was deze week heel slecht en daarom zijn we niet naar de zee gegaan. We hebben het "
    "huis opgeruimd en een boek gelezen. Aan het einde kwam de zon nog, maar toen was het al avond.",
    "ru": "На прошлой неделе была очень плохая погода, и поэтому мы не поехали на море. Мы убрали дом и "
    "читали книгу. В конце вышло солнце, но был уже вечер.",
    "zh": "上个星期天气很不好，所以我们没有去海边。我们打扫了房子，还看了一本书。最后太阳出来了，但是已经是晚上了。",
    "ja": "先週は天気がとても悪かったので、海には行きませんでした。家を片付けて、本を読みました。最後に太陽"
    "が出ましたが、もう夕方でした。",
    "ar": "كان الطقس سيئا جدا في الأسبوع الماضي ولذلك لم نذهب إلى البحر. رتبنا البيت وقرأنا كتابا. وفي "
    "النهاية ظهرت الشمس لكن المساء كان قد حل.",
}
"""A few plain sentences per language, written for this benchmark."""


def swapped(example: Example, others: Sequence[Example], rng: random.Random) -> Example | None:
    """The answer of another example of the same set, one that reads differently."""
    for _ in range(20):
        other = rng.choice(others)
        if other.input_text != example.input_text and other.output_text != example.output_text:
            return replace(example, output_text=other.output_text)
    return None


def truncated(example: Example, _: Sequence[Example], rng: random.Random) -> Example | None:
    """An answer of 100 characters and more, cut at 30 to 80 % of its length, wherever that falls."""
    text = example.output_text
    return None if len(text) < 100 else replace(example, output_text=text[: int(len(text) * rng.uniform(0.3, 0.8))])


def shuffled(example: Example, _: Sequence[Example], rng: random.Random) -> Example | None:
    """The turns of a conversation, with their roles, in another order; the last two become question and answer."""
    turns = [*example.conversation_history, {"role": "user", "content": example.input_text}]
    turns.append({"role": "assistant", "content": example.output_text})
    if sum(turn["role"] != "system" for turn in turns) < 4:
        return None
    mixed = turns[:]
    while mixed == turns:
        rng.shuffle(mixed)
    *history, asked, answered = mixed
    return replace(
        example, conversation_history=tuple(history), input_text=asked["content"], output_text=answered["content"]
    )


def exchanged(example: Example, _: Sequence[Example], rng: random.Random) -> Example | None:
    """The assistant's turns in another order among themselves: every role is in its place."""
    answers = [t["content"] for t in example.conversation_history if t["role"] == "assistant"] + [example.output_text]
    if len(set(answers)) < 2 or any(t["role"] == "tool" for t in example.conversation_history):
        return None
    mixed = answers[:]
    while mixed == answers or mixed[-1] == answers[-1]:
        rng.shuffle(mixed)
    left = iter(mixed)
    history = tuple(
        {**t, "content": next(left)} if t["role"] == "assistant" else t for t in example.conversation_history
    )
    return replace(example, conversation_history=history, output_text=next(left))


def repeated(example: Example, _: Sequence[Example], rng: random.Random) -> Example | None:
    """A sentence or line of the answer, of ten words and more, said three to six times more at its end."""
    parts = [part for part in re.split(r"(?<=[.!?])\s+|\n", example.output_text) if len(part.split()) >= 10]
    if not parts:
        return None
    return replace(example, output_text=example.output_text + (" " + rng.choice(parts)) * rng.randint(3, 6))


def foreign(example: Example, _: Sequence[Example], rng: random.Random) -> Example | None:
    """The answer in one of ten other languages, six of them in Latin letters."""
    text = FOREIGN[rng.choice(sorted(FOREIGN))]
    return replace(example, output_text=text)


CORRUPTIONS: dict[str, Corruption] = {
    "swapped answers": swapped,
    "truncated": truncated,
    "turns shuffled": shuffled,
    "answers exchanged within": exchanged,
    "repeated text": repeated,
    "wrong language": foreign,
}
