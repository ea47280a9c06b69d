"""Rules that flag what a person should look at: refusals, wrong language, outdated or unsupported claims."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.looks import OUTDATED, UNSUPPORTED, in_answers, seen
from samloop.curate.measure import characters, finding, head, matches, non_ascii, texts_of, where
from samloop.protocols import Finding, rule
from samloop.text.watch import Watch

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


_REFUSALS: Final = Watch((f"(?m:{_REFUSAL})", _SELF_AI))


@rule("refusal", outcome="flag", reason="answer refuses", doubt=True)
def refusal(batch: pa.RecordBatch, *, characters: int = 300) -> Finding:
    """The answer begins as a refusal does ("I'm sorry, but I can't", "As an AI language model, I"). Measure: 1.

    Only the first `characters` are read: further on, such words are a quotation or a limit that the answer names.
    The wordings are those that filters of public instruction sets (ShareGPT's and UltraChat's) take out.
    """
    hit = seen(_REFUSALS, [text[:characters] for text in texts_of(batch, "output_text")])
    if hit.any():  # a line further on may begin so, too
        start = head(batch.column("output_text"), characters)
        hit = matches(start, _REFUSAL, hit) | matches(start, _SELF_AI, hit)
    return finding(hit, hit)


@rule("outdated", outcome="flag", reason="answer speaks of its own date", doubt=True)
def outdated(batch: pa.RecordBatch) -> Finding:
    """The answer ties itself to a past state of knowledge ("as of my last update", "as of 2019"). Measure: 1."""
    hit = in_answers(batch, OUTDATED)
    return finding(hit, hit)


_SUPPORT: Final = r"(?i)https?://|\bdoi\b|\bet al\b|\([A-Z][\p{L}]+,? (?:19|20)[0-9]{2}\)|\[[0-9]{1,3}\]"


@rule("hallucination_risk", outcome="flag", reason="answer makes claims it cannot support", doubt=True)
def hallucination_risk(batch: pa.RecordBatch) -> Finding:
    """The answer rests on nameless authority ("studies show", "according to some experts"), on acts a text model
    cannot have done ("I checked the website"), or leaves a gap for its source. Measure: 1.

    An answer that names a source (link, DOI, citation), or whose context or input says the same words, is let be.
    """
    hit = in_answers(batch, UNSUPPORTED)
    if hit.any():
        hit = hit & ~matches(batch.column("output_text"), _SUPPORT, hit)
        for name in ("context", "input_text"):
            hit &= ~matches(batch.column(name), UNSUPPORTED)
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
    r"|bulgarian|french|german|spanish|italian|portuguese|dutch|latin|kanji|hiragana|unicode|language|languages|alphabet|character|characters|emoji)\b"
)


@rule("wrong_language", outcome="flag", reason="answer is in another language", doubt=True)
def wrong_language(batch: pa.RecordBatch, *, share: float = 0.5, letters: int = 20) -> Finding:
    """The answer is written in another script than it should be. Measure: the share of its letters that are.

    It should be in a script of the declared language, or, where none is declared, in one of the prompt's, unless
    the prompt speaks of languages. Counted from `letters` letters on. Of the languages in Latin letters, seven are
    told apart by their function words (Grefenstette 1995, "Comparing two language identification schemes": short
    words suffice for a sentence): the answer is strange where it has at least five of another language's, twice as
    many as of English, and the prompt has none of them. A programming language is no language here.
    """
    output, prompt, n = batch.column("output_text"), batch.column("input_text"), batch.num_rows
    tags = [tag.lower().partition("-")[0] if tag else None for tag in batch.column("language").to_pylist()]
    declared = [_SCRIPT_OF.get(tag or "") for tag in tags]
    foreign = matches(output, _FOREIGN, non_ascii(output))
    expects_foreign = np.fromiter((d is not None and "Latin" not in d for d in declared), dtype=bool, count=n)
    undeclared = np.fromiter((d is None for d in declared), dtype=bool, count=n)
    candidates = foreign | (expects_foreign & (characters(output) >= letters))
    candidates |= undeclared & matches(prompt, _FOREIGN, non_ascii(prompt))
    latin = seen(_OTHERS, [text[:400] for text in texts_of(batch, "output_text")]) & ~expects_foreign
    if latin.any():
        latin &= ~matches(prompt, _ROMANCE_OR_GERMANIC, latin)
        latin &= ~matches(prompt, _TRANSLATES, latin) & np.array([d in (None, "en") for d in tags])
    if not (candidates.any() or latin.any()):
        return finding(candidates, np.zeros(n))
    candidates &= ~matches(prompt, _TRANSLATES, candidates & undeclared)

    def strange(i: int) -> float:
        expected = declared[i] or _scripts_in(prompt[i].as_py())
        return _share_outside(output[i].as_py(), expected, letters)

    measure = where(candidates, strange, n)
    measure = np.maximum(measure, where(latin, lambda i: _share_of_others(output[i].as_py()), n))
    return finding(measure > share, measure)


_FUNCTION_WORDS: Final = {
    "de": "der die das und ist nicht ein eine einen mit sich auf für dem den des wir sie auch wird wurde haben "
    "kann von zu im am ins bei nach wie aus es ich sehr sind noch nur oder deshalb",
    "fr": "le les des est une que qui dans pour pas sur avec vous nous sont ont cette ces mais aux être leur",
    "es": "el los las una que por para con del está son pero más como sus muy fue ser cuando también porque y",
    "it": "il gli una che per con non della sono anche nel più questo come alla delle dei essere è ma si",
    "pt": "os uma que para com não dos das mais como mas foi ser são está também pelo pela ao em na e",
    "nl": "het een van en dat niet zijn voor met op aan ook maar worden wordt bij naar kan werd deze we",
    "en": "the of and to is that in it for with as are this be on was by you not have from or can will",
}
_FUNCTION_SETS: Final = {tag: frozenset(words.split()) for tag, words in _FUNCTION_WORDS.items()}
_ROMANCE_OR_GERMANIC: Final = (
    r"(?i)\b(?:der|das|und|nicht|eine|einen|wir|les|des|une|dans|pour|avec|nous|vous|los|las|una|del|por|para|muy|como"
    r"|gli|della|sono|anche|che|uma|dos|foi|não|mais|het|een|niet|voor|zijn|van)\b.{0,40}\b(?:der|die|das|und|ist|nicht"
    r"|ein|eine|mit|le|les|des|est|que|dans|el|los|las|y|con|por|para|il|gli|di|che|non|os|uma|em|ao|não|mais|het|een"
    r"|van|en|niet|we|op|de|la)\b"
)
_OTHERS: Final = Watch((_ROMANCE_OR_GERMANIC,))
_WORD: Final = re.compile(r"[^\W\d_]+")


def _share_of_others(text: str) -> float:
    """Of the function words in `text`, the share that one other language has and English has not; 0 under five."""
    found = [word for word in _WORD.findall(text[:2000].lower()) if len(word) > 1 or word in "yeè"]
    counts = {tag: sum(word in known for word in found) for tag, known in _FUNCTION_SETS.items()}
    english = counts.pop("en")
    most = max(counts.values())
    return most / (most + english) if most >= 5 and most >= 2 * english and most * 8 >= len(found) else 0.0


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
