"""Rules that flag what a person should look at: refusals, wrong language, outdated or unsupported claims."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.measure import characters, finding, head, matches, non_ascii, where
from samloop.protocols import Finding, rule

_REFUSAL: Final = (
    r"(?i)^\W{0,3}(?:(?:i['’]?m|i am|we are|we['’]re) (?:very |truly |really |so )?(?:sorry|afraid)[,.]? (?:but )?"
    r"(?:as an? (?:ai|language)|(?:that )?i (?:can['’]?t|cannot|can not|am (?:not able|unable)"
    r"|['’]?m (?:not able|unable)"
    r"|do(?:n['’]t| not) have|won['’]t|will not))"
    r"|(?:i |we )?apologi[sz]e[,.]? but (?:as an? (?:ai|language)|i (?:can|am|do))"
    r"|(?:unfortunately,? )?i (?:can['’]?t|cannot|can not|am unable to|am not able to|won['’]t|will not"
    r"|must decline to) "
    r"(?:help|assist|provide|fulfil|comply|answer|do that|support|engage|generate|create|write|discuss|offer)"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.]{0,60}?(?:can['’]?t|cannot|not able"
    r"|unable"
    r"|do(?:n['’]t| not) have|am not|won['’]t))"
)
_SELF_AI: Final = r"(?i)\bas an? (?:ai|artificial intelligence)(?: language)? (?:model|assistant)\b,? i\b"


@rule("refusal", outcome="flag", reason="answer refuses", doubt=True)
def refusal(batch: pa.RecordBatch, *, characters: int = 300) -> Finding:
    """The answer begins as a refusal does ("I'm sorry, but I can't", "As an AI language model, I"). Measure: 1.

    Only the first `characters` are read: further on, such words are a quotation or a limit that the answer names.
    The wordings are those that filters of public instruction sets (ShareGPT's and UltraChat's) take out.
    """
    start = head(batch.column("output_text"), characters)
    hit = matches(start, _REFUSAL) | matches(start, _SELF_AI)
    return finding(hit, hit)


_OUTDATED: Final = (
    r"(?i)\b(?:knowledge cut-?off|training (?:data )?cut-?off|my training data|as of my last (?:update|training"
    r"|knowledge)"
    r"|as of (?:early |mid-?|late )?20[01][0-9]\b|my (?:last|latest) (?:knowledge )?update"
    r"|i (?:do not|don['’]t) have (?:access to )?(?:real-?time|current|up-to-date) (?:data|information))"
)


@rule("outdated", outcome="flag", reason="answer speaks of its own date", doubt=True)
def outdated(batch: pa.RecordBatch) -> Finding:
    """The answer ties itself to a past state of knowledge ("as of my last update", "as of 2019"). Measure: 1."""
    hit = matches(batch.column("output_text"), _OUTDATED)
    return finding(hit, hit)


_UNSUPPORTED: Final = (
    r"(?i)\b(?:(?:studies|research|experts?|scientists|surveys|statistics) (?:have |has )?(?:shown?|shows"
    r"|prove[sn]?|agree"
    r"|found|confirm(?:ed|s)?) (?:that )?|according to (?:a |some |several |many |recent |the latest )+"
    r"(?:stud(?:y|ies)|experts?|research|surveys?|reports?)\b|\[(?:citation needed|insert [a-z ]{1,40}|source)\]"
    r"|i (?:just |have just |['’]ve just )?(?:checked|looked (?:it )?up|searched|browsed|visited) (?:the |your )?"
    r"(?:web|internet|online|website|site)\b|i have personally|in my (?:own )?years of experience)"
)
_SUPPORT: Final = r"(?i)https?://|\bdoi\b|\bet al\b|\([A-Z][\p{L}]+,? (?:19|20)[0-9]{2}\)|\[[0-9]{1,3}\]"


@rule("hallucination_risk", outcome="flag", reason="answer makes claims it cannot support", doubt=True)
def hallucination_risk(batch: pa.RecordBatch) -> Finding:
    """The answer rests on nameless authority ("studies show", "according to some experts"), on acts a text model
    cannot have done ("I checked the website"), or leaves a gap for its source. Measure: 1.

    An answer that names a source (link, DOI, citation), or whose context or input says the same words, is let be.
    """
    column = batch.column("output_text")
    hit = matches(column, _UNSUPPORTED)
    if hit.any():
        hit &= ~matches(column, _SUPPORT)
        for name in ("context", "input_text"):
            hit &= ~matches(batch.column(name), _UNSUPPORTED)
    return finding(hit, hit)


_SCRIPTS: Final = {
    "Han": "㐀-䶿一-鿿", "Kana": "぀-ヿ", "Hangul": "가-힣ᄀ-ᇿ", "Cyrillic": "Ѐ-ӿ", "Arabic": "؀-ۿ",
    "Hebrew": "֐-׿", "Greek": "Ͱ-Ͽ", "Devanagari": "ऀ-ॿ", "Thai": "฀-๿",
}  # fmt: skip
_SCRIPT_OF: Final = {
    "zh": ("Han",), "ja": ("Kana", "Han"), "ko": ("Hangul", "Han"), "ru": ("Cyrillic",), "uk": ("Cyrillic",),
    "bg": ("Cyrillic",), "sr": ("Cyrillic", "Latin"), "ar": ("Arabic",), "fa": ("Arabic",), "ur": ("Arabic",),
    "he": ("Hebrew",), "el": ("Greek",), "hi": ("Devanagari",), "mr": ("Devanagari",), "th": ("Thai",),
    **dict.fromkeys(("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "no", "fi", "pl", "cs", "tr", "id",
                     "vi", "ro", "hu"), ("Latin",)),
}  # fmt: skip
_COUNTED: Final = {name: re.compile(f"[{chars}]") for name, chars in _SCRIPTS.items()}
_LATIN: Final = re.compile("[A-Za-zÀ-ɏ]")
_FOREIGN: Final = "[" + "".join(_SCRIPTS.values()) + "]"
_TRANSLATES: Final = (
    r"(?i)translat|\b(?:chinese|mandarin|japanese|korean|russian|ukrainian|arabic|persian|hebrew|greek|hindi|thai|cyrillic"
    r"|bulgarian|kanji|hiragana|unicode|language|languages|alphabet|character|characters|emoji)\b"
)


@rule("wrong_language", outcome="flag", reason="answer is in another language", doubt=True)
def wrong_language(batch: pa.RecordBatch, *, share: float = 0.5, letters: int = 20) -> Finding:
    """The answer is written in another script than it should be. Measure: the share of its letters that are.

    It should be in a script of the declared language, or, where none is declared, in one of the prompt's, unless
    the prompt speaks of languages. Counted from `letters` letters on. Languages that share a script are not told
    apart; a programming language is no language here.
    """
    output, prompt, n = batch.column("output_text"), batch.column("input_text"), batch.num_rows
    declared = [_SCRIPT_OF.get((tag or "").lower().partition("-")[0]) for tag in batch.column("language").to_pylist()]
    foreign = matches(output, _FOREIGN, non_ascii(output))
    expects_foreign = np.fromiter((d is not None and "Latin" not in d for d in declared), dtype=bool, count=n)
    undeclared = np.fromiter((d is None for d in declared), dtype=bool, count=n)
    candidates = foreign | (expects_foreign & (characters(output) >= letters))
    candidates |= undeclared & matches(prompt, _FOREIGN, non_ascii(prompt))
    if not candidates.any():
        return finding(candidates, np.zeros(n))
    candidates &= ~matches(prompt, _TRANSLATES, candidates & undeclared)

    def strange(i: int) -> float:
        expected = declared[i] or _scripts_in(prompt[i].as_py())
        return _share_outside(output[i].as_py(), expected, letters)

    measure = where(candidates, strange, n)
    return finding(measure > share, measure)


def _script_counts(text: str) -> dict[str, int]:
    found = {name: len(pattern.findall(text)) for name, pattern in _COUNTED.items()}
    return {**found, "Latin": len(_LATIN.findall(text))}


def _scripts_in(text: str) -> tuple[str, ...]:
    """The scripts that make up at least a tenth of the letters of `text`, with those that go along with them."""
    found = _script_counts(text[:4000])
    total = sum(found.values())
    scripts = tuple(name for name, count in found.items() if count * 10 >= total) if total else ()
    # Code, formulas and terms in Latin letters are an answer to a prompt in any script.
    together = ("Han",) if {"Kana", "Hangul"} & set(scripts) else ()
    return scripts + together + (("Latin",) if scripts and "Latin" not in scripts else ())


def _share_outside(text: str, expected: tuple[str, ...], letters: int) -> float:
    found = _script_counts(text)
    total = sum(found.values())
    if total < letters or not expected:
        return 0.0
    return 1 - sum(found[name] for name in expected) / total
