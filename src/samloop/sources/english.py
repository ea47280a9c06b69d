"""Whether a text is English, and how a title's words are written inside a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MIN_ENGLISH_SHARE: Final = 0.18
"""Share of function words above which a text is English: 0.3 to 0.5 in English prose, below 0.08 in other languages
written in Latin letters; documentation full of names lies between."""

MIN_FOREIGN_SHARE: Final = 0.1
"""The same for a part of a document, which may be full of names."""

_LOOKED_AT: Final = 20_000
_ENOUGH_WORDS: Final = 20
_FUNCTION_WORDS: Final = frozenset(
    "the of and to a in is that it for on as with are this be by or from you can an not your if at when we "
    "which have will "
    "but has all use do into how its then more so no than also these them".split()
)
_NAMES: Final = frozenset(
    "Android Apache Apple Arch Azure Babel Bash Chrome Cargo Clang Cloudflare Debian Django Docker Edge "
    "Elixir English "
    "Erlang Express Fedora Firefox Flask Git Go Google Gradle Haskell Heroku Homebrew Intel Java Julia "
    "Jupyter Kotlin "
    "Kubernetes Linux Lua Markdown Microsoft Mozilla Netlify Nginx Nix Node Perl Poetry Postgres Prometheus "
    "Python React "
    "Redis Ruby Rust Safari Scala Slack Svelte Swift Terraform Ubuntu Unicode Unix Vercel Vim Vue Webpack Windows "
    "I I’m I’ve".split()
)
_FENCED: Final = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]*`|<[^<>\n]*>|https?://\S+", re.DOTALL)
_INDENTED: Final = re.compile(r"^(?: {3}|\t|\.\. ).*$", re.MULTILINE)
"""Code of reStructuredText, and of Markdown without fences; and reStructuredText's link targets."""

_TITLE_CASED: Final = re.compile(r"[A-Z][a-z'’]+(?:-[A-Za-z]?[a-z]*)*")
_UNDERLINES: Final = ("===", "---", "~~~", "^^^", '"""')
_TITLES: Final = ("#", "title:", "- [", "* [", "1. [")
_AROUND: Final = re.compile(r"^[^\w`]+|[^\w`]+$")
_STOPS: Final = ",.:;)s"


_LANGUAGES: Final = frozenset(
    "af am ar az be bg bn bo bs ca cs cy da de el eo es et eu fa fi fil fr ga gl gu he hi hr hu hy id is it ja "
    "ka kk km "
    "kn ko ku ky lo lt lv mk ml mn mr ms my ne nl no nb nn pa pcm pl ps pt ro ru sa si sk sl so sq sr sv sw ta "
    "te tg th "
    "tk tl tr uk ur uz vi zh zu".split()
)
_LANGUAGE_TAG: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_@](?:[A-Za-z]{2}|[A-Z][a-z]{3}|\d{3}))?")
_ENGLISH: Final = frozenset(("en", "en-us", "en-gb", "english"))
MIN_LANGUAGES: Final = 3
"""So many folders named by languages beside one another are translations of one text."""


def translations(names: Iterable[str]) -> frozenset[str]:
    """Names of folders that hold translations into other languages: of several such, or of one beside English."""
    names = list(names)
    found = frozenset(name for name in names if re.split("[-_@]", name, maxsplit=1)[0].lower() in _LANGUAGES)
    beside_english = any(name.lower().replace("_", "-") in _ENGLISH for name in names)
    found = frozenset(filter(_LANGUAGE_TAG.fullmatch, found))
    return found if beside_english or len(found) >= MIN_LANGUAGES else frozenset()


def is_english(text: str, least: float = MIN_ENGLISH_SHARE) -> bool:
    """Whether the prose of a document is English, by its share of function words; False where it has no words."""
    text = text[:_LOOKED_AT].lower()
    words = text.partition("```")[0].split()
    # Marks count as words here, so that the share can only be higher without them.
    if len(words) >= _ENOUGH_WORDS and sum(map(_FUNCTION_WORDS.__contains__, words)) / len(words) >= least:
        return True
    unfenced = _FENCED.sub(" ", text)
    return _share(unfenced) >= least or _share(_INDENTED.sub("", unfenced)) >= least


def is_foreign(text: str, least: float = MIN_FOREIGN_SHARE) -> bool:
    """Whether the prose of a text is not English; few words beside code do not tell."""
    prose = _FENCED.sub(" ", text[:_LOOKED_AT])
    words = re.findall(r"[^\W\d_]+", prose)
    if len(words) < _ENOUGH_WORDS:
        return sum(not word.isascii() for word in words) > len(words) / 2
    return not is_english(text, least)


def _share(text: str) -> float:
    words = re.findall(r"[^\W\d_]+", text)
    return sum(map(_FUNCTION_WORDS.__contains__, words)) / len(words) if words else 0.0


class SentenceCase:
    """Writes a title's word as it stands inside a sentence of its document.

    "Slice" becomes "slice"; a word that the document writes with a capital inside its sentences, and never without,
    keeps it, as do acronyms, code and a few names that anybody capitalises.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        if word not in self._known:
            self._known[word] = self._written(word)
        return self._known[word]

    def _written(self, word: str) -> str:
        plain = _AROUND.sub("", word)
        if plain == "A":
            return word.lower()
        if not plain[:1].isupper() or not _TITLE_CASED.fullmatch(plain):
            return word
        if plain in _NAMES:
            return word
        return word if not self._has_small(plain.lower()) and self._is_name(plain) else word.lower()

    def _has_small(self, small: str) -> bool:
        """Whether the document has the word without a capital: looked for, since most are found soon."""
        text = self._text
        at = text.find(small)
        while at >= 0:
            end = at + len(small)
            after = text[end : end + 2]
            ends = not after or after[0].isspace() or (after[0] in _STOPS and (len(after) == 1 or after[1].isspace()))
            if ends and (at == 0 or text[at - 1].isspace()) and not self._in_title(at):
                return True
            at = text.find(small, end)
        return False

    def _is_name(self, plain: str) -> bool:
        """Whether the document has the word with its capital inside a sentence."""
        at = self._text.find(" " + plain)
        while at >= 0:
            before = self._text[at - 1] if at else ""
            if ("a" <= before <= "z" or before == ",") and not self._in_title(at):
                return True
            at = self._text.find(" " + plain, at + 1)
        return False

    def _in_title(self, at: int) -> bool:
        """Whether a place is in a heading or a table of contents, whose capitals tell nothing."""
        text = self._text
        start = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        line = text[start : end if end >= 0 else None]
        return line.lstrip(" ").startswith(_TITLES) or (end >= 0 and text.startswith(_UNDERLINES, end + 1))
