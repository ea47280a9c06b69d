"""The packaged prompts of the suite `instructions`: hand-written tasks, each with one to three instructions."""

from __future__ import annotations

from typing import Any, Final

ITEMS: Final = 60

_TASKS: Final = (
    "Tell me about the water cycle.",
    "Describe how a bicycle stays upright.",
    "Explain what a library card is good for.",
    "Write a note to a neighbour who watered the plants.",
    "Explain why bread dough rises.",
    "Describe a walk along the coast in winter.",
    "Give advice to someone who moves house.",
    "Explain what a compiler does.",
    "Describe the way from seed to apple tree.",
    "Write an invitation to a chess evening.",
    "Explain how to read a train timetable.",
    "Tell me what to pack for three days in the mountains.",
)

_INSTRUCTIONS: Final[tuple[tuple[str, str, list[dict[str, Any]]], ...]] = (
    ("words_at_most", "Use at most 40 words.", [{"check": "words", "at_most": 40}]),
    ("words_at_least", "Write at least 80 words.", [{"check": "words", "at_least": 80}]),
    ("sentences", "Answer in exactly 3 sentences.", [{"check": "sentences", "at_least": 3, "at_most": 3}]),
    ("bullets", "Give exactly 4 bullet points that begin with *.", [
        {"check": "bullets", "at_least": 4, "at_most": 4}]),
    ("paragraphs", "Write exactly 2 paragraphs, parted by an empty line.", [
        {"check": "paragraphs", "at_least": 2, "at_most": 2}]),
    ("contains", 'Use the words "today" and "because".', [
        {"check": "contains", "words": ["today", "because"], "whole": True}]),
    ("not_contains", 'Do not use the words "very" and "really".', [
        {"check": "not_contains", "words": ["very", "really"], "whole": True}]),
    ("keyword", 'Use the word "first" at least twice.', [{"check": "keyword", "word": "first", "at_least": 2}]),
    ("no_comma", "Do not use any commas.", [{"check": "not_contains", "words": [","]}]),
    ("lower_case", "Write in small letters only, without any capital.", [{"check": "lower_case"}]),
    ("upper_case", "Write in capital letters only.", [{"check": "upper_case"}]),
    ("capital_words", "Write at least 2 words in capital letters throughout.", [
        {"check": "capital_words", "at_least": 2}]),
    ("ends_with", 'End with the words "That is all."', [{"check": "ends_with", "text": "That is all."}]),
    ("starts_with", 'Begin with the words "Of course:"', [{"check": "starts_with", "text": "Of course:"}]),
    ("quotation", "Put your whole answer into double quotation marks.", [{"check": "quotation"}]),
    ("title", "Give it a title in double angular brackets, such as <<title>>.", [{"check": "title"}]),
    ("highlights", "Highlight at least 2 parts with asterisks, *like this*.", [
        {"check": "highlights", "at_least": 2}]),
    ("placeholders", "Leave at least 2 places open in square brackets, such as [name].", [
        {"check": "placeholders", "at_least": 2}]),
    ("sections", "Divide it into 2 sections that begin with Section 1 and Section 2.", [
        {"check": "sections", "mark": "Section", "at_least": 2}]),
    ("postscript", "Add a postscript that begins with P.S.", [{"check": "postscript"}]),
    ("json", 'Answer with a JSON object that has the keys "title" and "text", and nothing else.', [
        {"check": "json", "keys": ["title", "text"]}]),
    ("german", "Answer in German.", [{"check": "language", "language": "de"}]),
    ("french", "Answer in French.", [{"check": "language", "language": "fr"}]),
    ("two_answers", "Give two different answers, parted by six asterisks: ******", [{"check": "two_answers"}]),
)  # fmt: skip

_TOGETHER: Final = (
    ("words_at_most", "not_contains"),
    ("sentences", "no_comma"),
    ("bullets", "no_comma", "words_at_most"),
    ("paragraphs", "contains"),
    ("lower_case", "ends_with"),
    ("upper_case", "words_at_most"),
    ("title", "highlights", "postscript"),
    ("quotation", "not_contains"),
    ("german", "no_comma"),
    ("sections", "capital_words"),
    ("starts_with", "sentences"),
    ("words_at_least", "keyword"),
)
"""Instructions that can be followed at once."""


def packaged() -> list[dict[str, Any]]:
    """The prompts: each instruction alone, then those that go together, each with tasks in turn."""
    by_name = {name: (said, checks) for name, said, checks in _INSTRUCTIONS}
    groups = [(name,) for name in by_name] + list(_TOGETHER)
    items = []
    for at in range(ITEMS):
        names, task = groups[at % len(groups)], _TASKS[(at * 5 + at // len(groups)) % len(_TASKS)]
        prompt = " ".join([task, *(by_name[name][0] for name in names)])
        items.append(
            {
                "id": f"instructions/{at}",
                "messages": [{"role": "user", "content": prompt}],
                "instructions": [{"id": name, "checks": by_name[name][1]} for name in names],
                "wording": " ".join(names),
            }
        )
    return items
