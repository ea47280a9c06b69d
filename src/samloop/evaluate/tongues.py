"""Which language a text is in, told by its script and its commonest words; no more than checks of an answer need."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BY_SCRIPT: Final = {
    "BENGALI": "bn",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "GREEK": "el",
    "HANGUL": "ko",
    "HEBREW": "he",
    "KANNADA": "kn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
}
"""Scripts that write one of our languages alone, by the first word of their letters' Unicode names."""

_SHARED: Final = {
    "CJK": ("ja", "zh"),
    "HIRAGANA": ("ja",),
    "KATAKANA": ("ja",),
    "CYRILLIC": ("ru", "bg", "uk"),
    "ARABIC": ("ar", "ur", "fa"),
    "DEVANAGARI": ("hi", "mr", "ne"),
}

_WORDS: Final = {
    "en": "the and of to in is that it for you with are this be as on have not was can or your by i we at from will",
    "de": "der die das und ist nicht ein eine zu den mit von sich auf für es ich sie dem im auch wird dass wir haben",
    "fr": "le la les et est un une des du de que dans pour pas vous qui sur je il ce au avec nous sont plus ne se",
    "es": "el la los las y es un una de que en por para no con se del su lo como más al este pero sus yo tu",
    "it": "il la le e è un una di che in per non con si del della sono come più al anche gli mi lo nel questo",
    "pt": "o a os as e é um uma de que em para não com se do da por mais como dos no na você ao são isso seu",
    "nl": "de het een en is niet van ik dat in te op voor met zijn je aan er maar ook om wordt door naar bij",
    "fi": "ja on ei että se hän oli olen ovat mutta kuin tai myös sen minä voi ole niin kun jos joka tämä mitä",
    "sv": "och är att en ett det som på av för inte med den jag du till har om vi kan de från men var så eller",
    "pl": "i w nie na się że jest do to z jak ale po co dla od za są czy tym lub być przez tego może oraz",
    "vi": "là và của có không được một cho những các trong với người để này đã tôi bạn khi về cũng như từ ở",
    "sw": "na ya wa ni kwa katika la za kuwa hii si yake cha hiyo ambayo pia kama watu lakini hivyo yetu huu",
    "ru": "и в не на что это с он как я по но к из у за от для так же вы мы все быть если или есть они",
    "bg": "и в не на че това с той как аз по но към от за се да са съм ще е които има като или със бъде",
    "uk": "і в не на що це з він як я по але до із у за від для так та ви ми всі бути якщо або є вони",
    "ar": "في من على إلى أن هذا هذه التي الذي كان لا ما هو هي مع عن كل أو ثم بين بعد قد لم يمكن",
    "ur": "میں کے کی ہے کا اور سے کو یہ ہیں پر نے اس کہ جو بھی ایک نہیں تھا لئے ہو کر آپ ہم",
    "fa": "در به از که این را با است برای آن یک می تا شود بر هم کرد خود های شما ما نیز اما یا",
    "hi": "है के में की का और से को पर यह हैं ने एक कि नहीं भी जो इस था लिए हो कर आप हम",
    "mr": "आहे आणि या चा ची चे मध्ये ते आहेत हे एक तो ती नाही पण की मी होते साठी करून आपण असे",
    "ne": "छ र को मा यो पनि हो छन् लाई ले गर्न एक तर भने हुन्छ गर्छ थियो लागि तपाईं हामी म छैन",
    "zh": "的 是 了 在 不 我 有 他 这 们",
    "ja": "の に は を が で と も です ます",
}
_SETS: Final = {name: frozenset(text.split()) for name, text in _WORDS.items()}
_LATIN: Final = ("en", "de", "fr", "es", "it", "pt", "nl", "fi", "sv", "pl", "vi", "sw")

KNOWN: Final = frozenset({*_BY_SCRIPT.values(), *_WORDS})
"""The languages that can be told, by their ISO 639-1 codes."""

_LETTERS_READ: Final = 4000


def likeliest(text: str) -> str:
    """The ISO 639-1 code of the language a text is in; "" where none of `KNOWN` speaks for itself."""
    scripts: dict[str, int] = {}
    for character in text[:_LETTERS_READ]:
        if character.isalpha():
            script = unicodedata.name(character, "?").split()[0]
            scripts[script] = scripts.get(script, 0) + 1
    if not scripts:
        return ""
    if scripts.get("HIRAGANA", 0) + scripts.get("KATAKANA", 0) > 0.1 * sum(scripts.values()):
        return "ja"
    script = max(scripts, key=lambda name: scripts[name])
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    if script == "CJK":
        return "zh"
    among = _SHARED.get(script, _LATIN if script == "LATIN" else ())
    found = [word.lower() for word in _words(text[:_LETTERS_READ])]
    shares = {name: sum(word in _SETS[name] for word in found) for name in among}
    best = max(shares, key=lambda name: shares[name], default="")
    return best if best and shares[best] else ""


def _words(text: str) -> list[str]:
    """Runs of letters and of the marks that Indian scripts write vowels with."""
    return re.findall(r"[\w\u0900-\u0dff\u0e00-\u0e7f]+", text)
