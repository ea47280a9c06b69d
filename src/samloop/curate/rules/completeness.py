"""Rules that flag an answer whose form is broken: cut off, unbalanced, repetitive, an echo of the prompt."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa

from samloop.curate.measure import BY_PROGRAM, beyond_ascii, equals, fences, finding, texts_of, where
from samloop.curate.words import MIX, is_number, ngrams, repeats, words_of
from samloop.protocols import Finding, rule

_END_CHARACTERS = 160
_CLOSED = frozenset(".!?。！？`}>)]\"'”’*|_;0123456789")
_ELLIPSIS = re.compile(r"(?:[^.\s]|[.!?] )(?:\.\.\.|…)(?:<\|\w{1,20}\|>)?$|[^.]…$")
_DANGLING = re.compile(
    r"\b(?:the|a|an|of|and|or|to|with|for|in|on|by|from|that|which|is|are|was|as|at|into|than|its|their)$",
    re.IGNORECASE,
)
_OPEN_END = re.compile(r"(?:[\w)\"'\]],|[^:;=8xX\-(]\(|\w ?\{|\w ?\[)$")
_SIGN_OFF = re.compile(
    r"(?:^|\n)(?:best|kind|warm|many|yours|sincerely|regards|cheers|thanks|thank you|love|with)[ \w]{0,24},$",
    re.IGNORECASE,
)
_PROGRAM = re.compile(r"[{};=<>]|://")
_SENTENCE_END = re.compile(r"""[.!?。！？]["'”’)\]*_]{0,3}\s.{20}""", re.DOTALL)
_PROSE_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)?")
_NOT_PROSE = re.compile(r"^\s*(?:[-*+•>|#]|(?:[0-9]+|[A-Za-z])[.)]|[A-Za-z-]+:\s)|[{}=<>|\\_`@#]|\w\(|://|\)$")
_CLAUSE_BEFORE = re.compile(r"""[a-z0-9)]{2}[.!?]["'”’)]{0,2} +[A-Z"'“(]""")
_ITEM = re.compile(r"\s*(?:[-*•]|[0-9]{1,2}[.)])\s+(?=.{20})")
_CODE_STOPS = re.compile(
    r"^\s*(?:(?:if|for|while|def|class|elif|with|except|switch)\b[^\n]*:|else:|try:"
    r"|(?:[^\n]*(?:[\w)\]] ?(?:=|\+|&&|\|\||==)|\breturn|\bdef|\bimport|\bnew|\bconst|\blet|\bvar)))$"
)
_CODE_LINE = re.compile(
    r"(?m)^\s*(?:def |class |import |from |#include|public |function |const |let |var |for |if ?\()"
)


@rule("incomplete", outcome="flag", reason="answer is cut off")
def incomplete(batch: pa.RecordBatch, *, prose_characters: int = 60) -> Finding:
    """The answer stops in the middle. Measure: how many of these signs it shows.

    It ends with "…" or "..." after a word; it ends with a comma or an opening bracket; it ends with a word that
    cannot end a sentence ("the", "of", "and"); it is code that ends with what must be followed ("return", "=",
    "else:"); it is a list of sentences whose last one alone is open; or it is prose of at least `prose_characters`
    whose other sentences are closed and whose last one has no closing mark. Labels, titles, commit subjects, lists
    of phrases, tables and whole code do not end with a full stop and are left alone.

    C4 drops every line without a final mark (Raffel et al. 2020, section 2.2), which would cost all code and lists;
    hence signs. 60 characters: under that an answer is a phrase as often as a sentence.
    """
    signs = np.zeros(batch.num_rows)
    by_program = equals(batch.column("source"), BY_PROGRAM)
    for i, text in enumerate(texts_of(batch, "output_text")):
        if text and (text[-1] not in _CLOSED or text.endswith(("...", "|>"))):
            signs[i] = _open_signs(text.rstrip(), 0 if by_program[i] else prose_characters)
    return finding(signs > 0, signs)


def _open_signs(text: str, prose_characters: int) -> int:
    """How many signs of a cut `text` shows; sentences without an end are looked for if `prose_characters` is "
    "not 0."""
    end = text[-_END_CHARACTERS:]
    if _CODE_STOPS.search(text[text.rfind("\n") + 1 :][-400:]) and _CODE_LINE.search(text[-4000:]):
        return 1
    dangling = len(text) >= 40 and _DANGLING.search(end) is not None and not _PROGRAM.search(end)
    open_end = len(text) >= 20 and _OPEN_END.search(end) is not None and not _SIGN_OFF.search(end)
    prose = prose_characters and len(text) >= prose_characters and end[-1:].isalpha() and not dangling
    return (_ELLIPSIS.search(end) is not None) + dangling + open_end + bool(prose and _stops_in_prose(text))


def _stops_in_prose(text: str) -> bool:
    """Whether the last line reads as a sentence without an end, in a text whose other sentences have one."""
    if "```" in text:
        return False
    before, _, last = text[-4000:].rpartition("\n")
    if _ITEM.match(last):
        items = [line.rstrip() for line in before.split("\n") if _ITEM.match(line)]
        return len(items) >= 2 and all(item[-1] in ".!?" for item in items)
    if _NOT_PROSE.search(last[-400:]) or before.rstrip().endswith(":"):
        return False
    if last.rstrip()[-1:].islower() and _CLAUSE_BEFORE.search(last) and len(_PROSE_WORD.findall(last)) >= 5:
        return True
    return len(text) >= 200 and len(_PROSE_WORD.findall(last)) >= 5 and _SENTENCE_END.search(text[-4000:]) is not None


_BRACKET_SUM = np.zeros(256, dtype=np.int64)
for _place, _pair in enumerate(("()", "[]", "{}")):
    _BRACKET_SUM[ord(_pair[0])], _BRACKET_SUM[ord(_pair[1])] = 1 << (20 * _place), -(1 << (20 * _place))

_HARMLESS = re.compile(
    r"""(?m)"(?:[^"\\\n]|\\.){0,200}"|'(?:[^'\\\n]|\\.){0,8}'|`[^`\n]{0,200}`|\\."""  # quoted, escaped
    r"""|^\s*(?:[0-9]{1,3}|[A-Za-z]|[ivxIVX]{1,5})\)|\s(?:[0-9]{1,2}|[a-zA-Z])\)\s"""  # 1) or a) of a list
    r"""|(?:^|\s)[:;]['\-]?[()\[\]]|/(?:[^/\n\\ ]|\\.){1,80}/"""  # smileys, regular expressions
    r"""|[\[(]\s*-?[\w.∞]{1,20}\s*,\s*-?[\w.∞]{1,20}\s*[\])]|(?m:#.*$|//.*$)"""  # half-open intervals, comments
)


@rule("unbalanced", outcome="flag", reason="brackets or code fences are not closed")
def unbalanced(batch: pa.RecordBatch) -> Finding:
    """Brackets or code fences of the answer are not closed. Measure: how many are left over.

    Fences count in any text. Brackets count where more are opened than closed, after quoted text, list markers
    such as "1)", smileys, half-open intervals and comments are set aside; one that was closed without being opened
    is a matter of style (``case x)`` of a shell).
    """
    column = batch.column("output_text")
    left = where(_bracket_sums(column) != 0, lambda i: _left_open(column[i].as_py()), len(column))
    measure = left + fences(column) % 2
    return finding(measure > 0, measure)


def _bracket_sums(column: pa.Array) -> np.ndarray:
    """Openings minus closings of the three kinds of brackets, packed into one number; 0: all balanced."""
    _, offsets, data = column.buffers()
    if data is None:
        return np.zeros(len(column), dtype=np.int64)
    bounds = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    raw = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]]
    places = np.flatnonzero(np.frombuffer(raw.tobytes().translate(_IS_BRACKET), np.bool_))
    total = np.concatenate([[0], np.cumsum(_BRACKET_SUM[raw[places]])])
    at = np.searchsorted(places, bounds - bounds[0])
    return np.diff(total[at])


_IS_BRACKET = (_BRACKET_SUM != 0).tobytes()


def _left_open(text: str) -> int:
    """How many brackets stay open when quoted and conventional ones are set aside; 0 where the plain text has none.

    A bracket must be left open in the text as it stands and in the text without its harmless parts, because taking
    out a part can break a pair.
    """
    if all(text.count(opening) <= text.count(closing) for opening, closing in ("()", "[]", "{}")):
        return 0
    plain = _HARMLESS.sub(" ", text)
    return sum(max(0, min(t.count(pair[0]) - t.count(pair[1]) for t in (text, plain))) for pair in ("()", "[]", "{}"))


@rule("echo", outcome="flag", reason="answer repeats the prompt")
def echo(batch: pa.RecordBatch, *, characters: int = 20, share: float = 0.1) -> Finding:
    """The answer begins with the whole prompt. Measure: the prompt's share of the answer.

    Prompts under `characters` do not count ("Hello" may be answered with "Hello!"), nor a share below `share`,
    where the answer restates a question before a long reply.
    """
    asked, answered = texts_of(batch, "input_text"), texts_of(batch, "output_text")
    measure = np.zeros(batch.num_rows)
    for i, (prompt, answer) in enumerate(zip(asked, answered, strict=True)):
        if len(prompt) >= characters and answer[:8].lower() == prompt[:8].lower():
            same = answer[: len(prompt)].casefold() == prompt.casefold()
            measure[i] = len(prompt) / len(answer) if same else 0.0
    return finding(measure > share, measure)


@rule("near_identical_pair", outcome="flag", reason="chosen and rejected answer hardly differ")
def near_identical_pair(batch: pa.RecordBatch, *, share: float = 0.95, words: int = 8) -> Finding:
    """The two answers of a dpo example share more than `share` of their words. Measure: words in common (with
    their number) over words in all. Answers under `words` words are left alone: there one word is the difference."""
    pair = np.flatnonzero(equals(batch.column("format"), ["dpo"]))
    measure = np.zeros(batch.num_rows)
    for i in pair:
        chosen = batch.column("output_text")[i].as_py().split()
        rejected = (batch.column("rejected_output")[i].as_py() or "").split()
        if len(chosen) >= words:
            common: int = (Counter(chosen) & Counter(rejected)).total()
            measure[i] = common / (len(chosen) + len(rejected) - common)
    return finding((measure > share) & (measure < 1), measure)


LEAST_WORDS = 30
"""Answers with fewer words are too short to repeat themselves."""

QUICK_NGRAM = 5
QUICK_SHARE = 0.8
"""Where the quick look, at five words in a row without numbers and signs, sees this part of the share and more, the
exact count is taken. Ten of the exact tokens are five words as a rule; of real answers one in sixty needs it."""

AT_ONCE = 256
"""Answers looked at together, so that all of it stays in the processor's cache."""


@rule("repetition", outcome="flag", reason="answer repeats itself")
def repetition(batch: pa.RecordBatch, *, share: float = 0.3, ngram: int = 10) -> Finding:
    """The answer repeats itself. Measure: the share of its words that lie in an n-gram seen before.

    Words are runs of letters and digits with a letter, and single ideographs, so that tables of numbers, rules and
    indentation do not count, and sentences after one pattern share no ten words in a row. Answers under 30 words
    are left alone. Duplicate n-grams are Gopher's measure (Rae et al. 2021, table A1, which bounds 10-grams at 10 %
    of the characters of a web page); 30 % is the contract's; over 40 % the rubrics take off more.
    """
    column = batch.column("output_text")
    suspect = _words_again(batch) > QUICK_SHARE * share
    suspect |= beyond_ascii(column) > 0.2  # scripts that write no blanks between words
    measure = np.zeros(batch.num_rows)
    for i in np.flatnonzero(suspect):
        measure[i] = repeated_share(column[i].as_py(), ngram)
    return finding(measure > share, measure)


def _words_again(batch: pa.RecordBatch) -> np.ndarray:
    """The share of each answer's words that lie in an n-gram which stands in it elsewhere too."""
    found, bounds = words_of(batch, "output_text"), np.append(np.arange(0, batch.num_rows, AT_ONCE), batch.num_rows)
    places = np.searchsorted(found.row, bounds)
    return np.concatenate(
        [
            _again(found.row[begin:end] - row, found.key[begin:end], next_row - row)
            for row, next_row, begin, end in zip(bounds, bounds[1:], places, places[1:], strict=False)
        ]
    )


def _again(row: np.ndarray, key: np.ndarray, n: int) -> np.ndarray:
    told = ~is_number(key)
    row, key = row[told], key[told]
    at, grams = ngrams(row, key, QUICK_NGRAM)
    again = at[repeats(grams + row[at].astype(np.uint64) * MIX)]
    covered = np.zeros(len(row), dtype=bool)
    for place in range(QUICK_NGRAM):
        covered[again + place] = True
    sizes, many = np.bincount(row, minlength=n), np.bincount(row[covered], minlength=n)
    return np.where(sizes >= LEAST_WORDS, many / np.maximum(sizes, 1), 0.0)


LOOP_CHARACTERS = 60
"""The end of an answer that stands in it again and again is a loop. 60 characters are about ten words."""


@rule("loop", outcome="flag", reason="answer ends in a loop")
def loop(batch: pa.RecordBatch, *, times: int = 3) -> Finding:
    """The last 60 characters stand at least `times` times in the answer. Measure: how often.

    A model that falls into a loop stays in it until it is cut off (Holtzman et al. 2020, "The curious case of neural
    text degeneration"), so looking at the end is enough; a long answer hides it from the share that `repetition`
    measures. Ends with fewer than eight words (tables, ornaments, closing braces) are left alone.
    """
    measure = np.zeros(batch.num_rows)
    for i, text in enumerate(texts_of(batch, "output_text")):
        if len(text) >= LOOP_CHARACTERS * times:
            found = text.count(text[-LOOP_CHARACTERS:])
            if found >= times and len(_PROSE_WORD.findall(text[-LOOP_CHARACTERS:])) >= 8:
                measure[i] = found
    return finding(measure > 0, measure)


_MARKER = re.compile(r"(?m)^[ \t]*(?:[A-Za-z]{1,8} )?[0-9]{1,3}[.):](?=\s)")
_TOKEN = re.compile(r"[0-9]+|[^\W\d_㐀-䶿一-鿿぀-ヿ][\w']*|[㐀-䶿一-鿿぀-ヿ]|[+\-*/%=<>!&|^]+")


def repeated_share(text: str, ngram: int, least_words: int = LEAST_WORDS) -> float:
    """The share of words of `text` covered by n-grams that occurred before; 0 under `least_words` words.

    Numbers and operators are tokens of an n-gram, so that ``a + b`` and ``a - b`` differ, and ten hours from five,
    but are not counted as words. The numbers of a list's items are neither.
    """
    tokens: list[str] = _TOKEN.findall(_MARKER.sub("", text).lower())
    grams = [*zip(*(tokens[k:] for k in range(ngram)), strict=False)]
    if len(set(grams)) == len(grams):
        return 0.0
    is_word = [token[0].isalpha() for token in tokens]
    words = sum(is_word)
    if words < least_words:
        return 0.0
    seen: set[tuple[str, ...]] = set()
    covered, covered_to = 0, 0
    for i, gram in enumerate(grams):
        if gram in seen:
            covered += sum(is_word[max(i, covered_to) : i + ngram])
            covered_to = i + ngram
        else:
            seen.add(gram)
    return covered / words
