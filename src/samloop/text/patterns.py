"""The one table of what is taken out of text before anything is stored, for bulk and for a single captured text.

Each `Pattern` has three stages of rising cost, and each stage may only let through what the next one needs:

1. `keyword`: an RE2 expression that a bulk engine runs over all rows at once (`PREFILTER` joins them all);
2. `needles` and `gate`: literals, and an expression shared by several patterns, looked for in the rows that are left;
3. `pattern` and `check`: the exact shape, and a checksum or plausibility test on each match.

All expressions keep to the syntax that RE2 and Python's `re` share, with ASCII classes and bounded repetition in
front of any required literal, so that both engines agree and none takes more than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from samloop.text import checks

PLACEHOLDER: Final = re.compile(r"\[REDACTED_([A-Z]+(?:_[A-Z]+)*)(?:_([0-9]{1,6}))?\]")
"""What stands where a value was: [REDACTED_EMAIL], [REDACTED_EMAIL_2]."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of value to take out.

    Attributes:
        type: what the placeholder says, e.g. ``EMAIL``.
        keyword: RE2 expression that matches every text `pattern` matches; cheap, for the bulk pre-filter.
        pattern: the exact shape; the group named ``v``, where there is one, is what is replaced.
        needles: lower-case literals of which one stands in every text that matches; empty: always look.
        gate: an expression, cheaper than `pattern`, that matches every text `pattern` matches; looked for once per
            text where several patterns share it. Empty: always look.
        check: whether a match is a real one; None accepts all.
    """

    type: str
    keyword: str
    pattern: str
    needles: tuple[str, ...] = ()
    check: Callable[[re.Match[str]], bool] | None = None
    gate: str = ""
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", re.compile(self.pattern, re.ASCII))


_LONG_RUN = r"[A-Za-z0-9_+/=\-]{15}"


def _token(keyword: str, pattern: str, *needles: str) -> Pattern:
    """A provider's key: `pattern` begins at a word boundary, and what it matched must look random."""
    needles = needles or (keyword.lower(),)
    return Pattern("API_KEY", keyword, rf"\b{pattern}", needles, checks.random_looking, gate=_LONG_RUN)


_SENSITIVE_NAME = (
    r"(?i:passw(?:or)?d|passwd|passphrase|pwd|secret|api[_\-]?key|access[_\-]?key|account[_\-]?key"
    r"|auth[_\-]?key|private[_\-]?key|encryption[_\-]?key|token|credentials?)"
)
_ASSIGNED = r"(?:_?[0-9]{1,3}|(?i:_(?:value|id|prod|dev|test|live|base64)))?[\"']?\s{0,3}(?:=>|:=|==|=|:)\s{0,3}"
_ASSIGNMENT = _SENSITIVE_NAME + r"[A-Za-z0-9_]*[\"']?\s*[=:]"
_FOUR_NUMBERS = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
_HEX_GROUPS = "[23][0-9a-fA-F]{3}:[0-9a-fA-F]{0,4}:"
_SEVEN_DIGITS = r"[0-9](?:[ ().\-/]{0,2}[0-9]){6}"

PATTERNS: Final[tuple[Pattern, ...]] = (
    Pattern(
        "PRIVATE_KEY",
        "-----BEGIN",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s\\:,.]|-[A-Za-z0-9])*"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
        ("-----begin",),
        checks.key_block,
    ),
    # Providers' own token formats, as they document them or as public secret scanners know them.
    _token(
        "(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)",
        r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b",
        "akia",
        "asia",
        "agpa",
        "aida",
        "aroa",
        "anpa",
    ),
    _token("gh[pousr]_", r"gh[pousr]_[A-Za-z0-9]{36,255}\b", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _token("github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}\b"),
    _token("glpat-", r"glpat-[A-Za-z0-9_\-]{20,64}"),
    _token(r"\bsk-", r"sk-[A-Za-z0-9_\-]{20,250}", "sk-"),
    _token(
        "xox[abeoprs]-",
        r"xox[abeoprs]-[A-Za-z0-9\-]{10,250}",
        "xoxa-",
        "xoxb-",
        "xoxe-",
        "xoxo-",
        "xoxp-",
        "xoxr-",
        "xoxs-",
    ),
    _token("xapp-", r"xapp-[0-9]-[A-Za-z0-9\-]{20,250}"),
    _token("hooks.slack", r"hooks\.slack\.com/(?P<v>services/[A-Za-z0-9/]{30,80})"),
    _token("AIza", r"AIza[A-Za-z0-9_\-]{35}"),
    _token("ya29", r"ya29\.[A-Za-z0-9_\-]{20,500}"),
    _token("GOCSPX-", r"GOCSPX-[A-Za-z0-9_\-]{28}"),
    _token("[srp]k_(?:live|test)_", r"[srp]k_(?:live|test)_[A-Za-z0-9]{16,200}\b", "k_live_", "k_test_"),
    _token("whsec_", r"whsec_[A-Za-z0-9+/=]{24,100}"),
    _token(r"\bhf_", r"hf_[A-Za-z0-9]{30,60}\b", "hf_"),
    _token("npm_", r"npm_[A-Za-z0-9]{36}\b"),
    _token("pypi-", r"pypi-[A-Za-z0-9_\-]{50,500}"),
    _token(r"\bSG\.", r"SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,64}", "sg."),
    _token("(?:AC|SK)[0-9a-f]{4}", r"(?:AC|SK)[0-9a-f]{32}\b", "ac", "sk"),
    _token("do[opr]_v1_", r"do[opr]_v1_[0-9a-f]{64}\b", "doo_v1_", "dop_v1_", "dor_v1_"),
    _token("dapi[0-9a-f]", r"dapi[0-9a-f]{32}\b", "dapi"),
    _token("shp(?:at|ca|pa|ss)_", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b", "shpat_", "shpca_", "shppa_", "shpss_"),
    _token("gsk_", r"gsk_[A-Za-z0-9]{40,80}\b"),
    _token("r8_", r"r8_[A-Za-z0-9]{37,40}\b"),
    _token("[0-9]:AA", r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}", ":aa"),
    Pattern(
        "TOKEN",
        "eyJ",
        r"\beyJ[A-Za-z0-9_\-]{8,1000}\.eyJ[A-Za-z0-9_\-]{8,1000}\.[A-Za-z0-9_\-]{8,1000}",
        ("eyj",),
    ),
    Pattern(
        "PASSWORD",
        r"://[^\s@]*@",
        r"\b[A-Za-z][A-Za-z0-9+.\-]{1,30}://[^\s:/@\"'<>\[\]]{0,100}:(?P<v>[^\s@\"'<>\[\]]{1,200})@",
        ("://",),
        checks.not_a_stand_in,
    ),
    Pattern(
        "TOKEN",
        r"(?i:bearer|basic)\s+[A-Za-z0-9._~+/=\-]{16}",
        r"(?i:\b(?:bearer|basic))\s{1,4}(?P<v>[A-Za-z0-9._~+/=\-]{16,1000})",
        ("bearer", "basic"),
        checks.random_looking,
    ),
    Pattern(
        "PASSWORD",
        _ASSIGNMENT,
        f"(?P<k>{_SENSITIVE_NAME}){_ASSIGNED}(?:\"(?P<v>[^\"\\n]{{1,300}})\"|'(?P<w>[^'\\n]{{1,300}})'|`(?P<x>[^`\\n]{{1,300}})`)",
        checks.SECRET_NEEDLES,
        checks.quoted_secret,
    ),
    Pattern(
        "PASSWORD",
        _ASSIGNMENT,
        f"(?P<k>{_SENSITIVE_NAME}){_ASSIGNED}(?P<v>[^\\s\"'`,;\\[\\](){{}}<>]{{4,300}})",
        checks.SECRET_NEEDLES,
        checks.bare_secret,
    ),
    Pattern(
        "PASSWORD",
        r"(?i:--(?:password|token|api-?key|secret) |passw(?:or)?d is )",
        r"(?i:--(?:password|token|api-?key|secret) |\b(?P<k>passw(?:or)?d) is )[\"'`]?"
        r"(?P<v>[^\s\"'`,;\[\](){}<>]{4,300})",
        ("--password ", "--token ", "--api", "--secret ", "passwd is ", "password is "),
        checks.bare_secret,
    ),
    Pattern(
        "EMAIL",
        "[A-Za-z0-9_%+.-]@[A-Za-z0-9]",
        r"\b[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9\-]{0,62}\.){1,8}[A-Za-z]{2,24}\b",
        ("@",),
        checks.email,
    ),
    Pattern(
        "IBAN",
        _SEVEN_DIGITS,
        r"(?i:\b[a-z]{2}[0-9]{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?\b)",
        (),
        checks.iban,
        gate=_SEVEN_DIGITS,
    ),
    Pattern(
        "CREDIT_CARD",
        _SEVEN_DIGITS,
        r"\b[0-9](?:[ -]?[0-9]){11,18}\b",
        (),
        checks.card,
        gate=_SEVEN_DIGITS,
    ),
    Pattern("SSN", _SEVEN_DIGITS, r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", ("-",), checks.ssn, gate=_SEVEN_DIGITS),
    Pattern(
        "PHONE",
        r"\+[0-9]{1,3}[ .\-(/]?[ (0-9]",
        r"\+[0-9]{1,3}(?:[ .\-/]?\(?[0-9]{1,5}\)?){2,6}",
        ("+",),
        checks.phone_international,
    ),
    Pattern(
        "PHONE",
        _SEVEN_DIGITS,
        r"(?:\b1[ .\-])?(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .\-])[0-9]{3}[ .\-][0-9]{4}\b",
        (),
        checks.phone_local,
        gate=_SEVEN_DIGITS,
    ),
    Pattern(
        "PHONE",
        _SEVEN_DIGITS,
        r"\b0[1-9][0-9]{0,3}(?:[ \-][0-9]{2,4}){2,4}\b",
        ("0",),
        checks.phone_trunk,
        gate=_SEVEN_DIGITS,
    ),
    Pattern(
        "PHONE",
        _SEVEN_DIGITS,
        r"(?i:\b(?:(?:tele|cell)?phone|tel|mobile|cell|fax|whatsapp|desk|answering|call (?:me|us)|reach (?:me"
        r"|us)|messages?))"
        r"(?: (?i:number|no))?(?: (?i:is|at|on|to))?[ .:#=\n]{0,3}(?P<v>[(]?[0-9](?:[ ().\-/]{0,2}[0-9]){6,14})\b",
        ("phone", "tel", "mobile", "cell", "fax", "whatsapp", "desk", "answer", "call", "reach", "message"),
        checks.phone_named,
        gate=_SEVEN_DIGITS,
    ),
    Pattern(
        "IP_ADDRESS",
        _FOUR_NUMBERS,
        r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b",
        (),
        checks.public_ip,
        gate=_FOUR_NUMBERS,
    ),
    Pattern(
        "IP_ADDRESS",
        _HEX_GROUPS,
        r"\b[23][0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7}",
        (":",),
        checks.public_ip,
        gate=_HEX_GROUPS,
    ),
    Pattern(
        "USER",
        r"(?:/Users/|/home/|[A-Za-z]:\\{1,2}Users\\)",
        r"(?:/Users/|/home/|\b[A-Za-z]:\\{1,2}Users\\{1,2})(?P<v>[A-Za-z0-9_][A-Za-z0-9._\-]{0,63})",
        ("users", "home"),
        checks.user_name,
    ),
)
"""In the order they are applied: what is most specific first, so that a token in a URL is a token and not a path."""

PREFILTER: Final = "|".join(dict.fromkeys(p.keyword for p in PATTERNS))
"""RE2 expression that matches every text in which any pattern could."""

_TOUCHING = re.compile(
    r"[0-9A-Za-z_]\[REDACTED_|\[REDACTED_[A-Z0-9_]{1,40}\][0-9A-Za-z_\[]"
    r"|[0-9][ ._/#+\-]\[REDACTED_|\[REDACTED_[A-Z0-9_]{1,40}\][ ._\-][0-9]"
)
MAX_PASSES: Final = 4
"""How often a text that changes is looked at: more than four values run together without a break are no prose."""

SECRET_FIELD: Final = re.compile(rf"{_SENSITIVE_NAME}$", re.ASCII)
"""The names of JSON fields whose whole value is a secret."""


class Placeholders:
    """The placeholders of one example: the same value gets the same one, a further distinct value the next number.

    Numbers go on after those that already stand in `texts`, so that text redacted earlier keeps its meaning.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.counts: dict[str, int] = {}
        self._given: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}
        for text in texts:
            for kind, number in PLACEHOLDER.findall(text) if "[REDACTED_" in text else ():
                self._last[kind] = max(self._last.get(kind, 0), int(number or 1))

    def put(self, kind: str, value: str) -> str:
        """The placeholder for `value`, counted once per occurrence."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        key = (kind, checks.canonical(kind, value))
        if key not in self._given:
            number = self._last[kind] = self._last.get(kind, 0) + 1
            self._given[key] = f"[REDACTED_{kind}]" if number == 1 else f"[REDACTED_{kind}_{number}]"
        return self._given[key]


class Redactor:
    """Takes personal data and secrets out of text.

    Args:
        names: further names to take out, whole words in any case.
        extra: further patterns, after the built-in ones.

    Attributes:
        prefilter: RE2 expression; a text it does not match is left as it is by `redact`.
    """

    def __init__(self, names: Sequence[str] = (), extra: Sequence[Pattern] = ()) -> None:
        self.patterns = (*PATTERNS, *extra)
        self.prefilter = "|".join(dict.fromkeys(p.keyword for p in self.patterns))
        wanted = sorted({n.strip() for n in names if n.strip()}, key=lambda n: (-len(n), n))
        self._names = _whole_words(wanted) if wanted else None
        if wanted:
            self.prefilter += "|(?i:" + "|".join(_re2_literal(n) for n in wanted) + ")"

    def redact(self, text: str, placeholders: Placeholders) -> str:
        """`text` with every value the table knows replaced by its placeholder.

        A value that begins where another one ends is only seen when that one is gone, so a text in which something
        touches a placeholder is looked at again, a bounded number of times.
        """
        for _ in range(MAX_PASSES):
            done = self._passed(text, placeholders)
            if done == text or _TOUCHING.search(done) is None:
                return done
            text = done
        return text

    def _passed(self, text: str, placeholders: Placeholders) -> str:
        seen, lowered = text, text.lower()
        open_gates: dict[str, bool] = {"": True}
        here: dict[tuple[str, ...], bool] = {(): True}
        for pattern in self.patterns:
            if pattern.gate not in open_gates:
                open_gates[pattern.gate] = re.search(pattern.gate, seen) is not None
            if not open_gates[pattern.gate]:
                continue
            if pattern.needles not in here:
                here[pattern.needles] = _any_in(pattern.needles, lowered)
            if not here[pattern.needles]:
                continue
            text = pattern.compiled.sub(partial(_replaced, pattern, placeholders), text)
        return text if self._names is None else _outside(self._names, text, placeholders)


def redact(text: str, names: Sequence[str] = ()) -> tuple[str, dict[str, int]]:
    """A single text without personal data and secrets, and how many values of each type were taken out."""
    placeholders = Placeholders([text])
    return Redactor(names).redact(text, placeholders), placeholders.counts


def _any_in(needles: tuple[str, ...], text: str) -> bool:
    for needle in needles:  # noqa: SIM110  a generator costs more than the look itself
        if needle in text:
            return True
    return False


def _replaced(pattern: Pattern, placeholders: Placeholders, match: re.Match[str]) -> str:
    if pattern.check is not None and not pattern.check(match):
        return match[0]
    group: int | str = next((name for name, found in match.groupdict().items() if found and name != "k"), 0)
    value, start = match[group], match.start(group) - match.start()
    kind = pattern.type
    if kind == "PASSWORD" and not checks.is_password_key(match):
        kind = "SECRET"
    return match[0][:start] + placeholders.put(kind, value) + match[0][start + len(value) :]


def _outside(names: re.Pattern[str], text: str, placeholders: Placeholders) -> str:
    """Replace `names` everywhere but inside placeholders, so that a name such as "Email" cannot break them."""
    parts, end = [], 0
    for held in PLACEHOLDER.finditer(text):
        parts += [names.sub(lambda m: placeholders.put("NAME", m[0]), text[end : held.start()]), held[0]]
        end = held.end()
    return "".join([*parts, names.sub(lambda m: placeholders.put("NAME", m[0]), text[end:])])


def _whole_words(names: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)


def _re2_literal(name: str) -> str:
    """`name` for RE2: ASCII escaped, any other character as "one or two characters", for case folds that differ."""
    return "".join(re.escape(c) if c.isascii() else ".{1,2}" for c in name)
