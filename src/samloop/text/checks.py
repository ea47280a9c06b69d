"""Checksums and plausibility tests behind the redaction patterns: each takes a match and says whether it is real."""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STAND_INS: Final = _words(
    "password passwd pass pwd secret token key string str text none null nil true false undefined "
    "required optional changeme change_me your_password your-password yourpassword mypassword my_password "
    "example placeholder redacted "
    "hidden user username bytes int any varchar number object bool boolean self ssm vault env default "
    "your_api_key your-api-key api_key apikey your_token your_secret"
)
_TEMPLATE = re.compile(r"^(?:[$%<{*]|\.\.\.|[xX]{3,}|\[|your[_\-]|my[_\-])|\$\{|\{\{|REDACTED|EXAMPLE|[Ee]xample$")
_FILE_ENDINGS: Final = _words(
    "png jpg jpeg gif svg webp ico css js jsx ts tsx py rs go rb md txt json yml yaml html xml pdf zip gz so dll "
    "lock toml sh exe bin"
)
_RESERVED_DOMAIN = re.compile(
    r"(?:^|\.)(?:example\.(?:com|org|net)|test|example|invalid|localhost|local)$", re.IGNORECASE
)
_PUBLIC_USERS: Final = _words(
    "user username users name you yourname your_name your-name me shared public default runner runneradmin vscode "
    "node app ubuntu debian centos ec2-user vagrant git circleci travis linuxbrew jovyan admin root student "
    "guest xxx "
    "index.html ."
)
_IDENTIFIER = re.compile(r"[A-Za-z]+[0-9]?(?:[._]+[A-Za-z]+[0-9]{0,3})+|[A-Za-z]+Key[0-9]?|v[0-9.]+")
JUMBLED: Final = re.compile(r"[0-9]|[A-Z]{20}|(?:[a-z]{1,3}[A-Z]{1,3}){3}")
"""What random text has and words have not: digits, or capitals and small letters in turn, or nothing but capitals."""

_WORD_AND_NUMBER = re.compile(r"[A-Z]?[a-z]{2,14}[0-9]{0,4}|[A-Z]{2,14}[0-9]{0,4}|[0-9]{1,8}|[vV][0-9]+|[A-Za-z]")
_JOINTS = re.compile(r"[-_./:@+ ]")
_SIGNS = re.compile(r"[!@#$%^&*?~]")
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_\-]*$")
_DIGEST = re.compile(r"[0-9a-fA-F-]+|sha[0-9]{1,3}-.*")
_HARMLESS_KEYS: Final = _words(
    "public cache primary foreign partition sort row object s3 idempot hash dict index group order pub host "
    "lookup unique map translation search meta etag digest integrity mon tur don hot"
)
_SEVEN_DIGITS = re.compile(r"[0-9](?: ?[0-9]){6}")
_RESOLVERS: Final = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"})
_VERSION_BEFORE = re.compile(r"(?i:(?:\bv|version[ :=]{0,3}|\bver\.? ?|[=~^]=? ?|release |build |firmware |-|_))$")

IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
"""Length of an IBAN by country: SWIFT's IBAN registry."""


def canonical(kind: str, value: str) -> str:
    """The form in which two spellings of one value are equal: numbers without separators, names without case."""
    if kind in {"PHONE", "CREDIT_CARD", "SSN", "IBAN"}:
        return re.sub(r"[^0-9A-Za-z]", "", value).upper()
    return value.casefold() if kind in {"EMAIL", "NAME", "IP_ADDRESS"} else value


def digits_of(text: str) -> str:
    """The ASCII digits of `text`."""
    return "".join(c for c in text if "0" <= c <= "9")


def luhn(digits: str) -> bool:
    """The checksum of payment cards (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _around(match: re.Match[str]) -> tuple[str, str]:
    """The two characters before and after the match."""
    text = match.string
    return text[max(0, match.start() - 2) : match.start()], text[match.end() : match.end() + 2]


def _inside_number(match: re.Match[str]) -> bool:
    """Whether the match is a part of a longer number: decimals, digit groups, hexadecimal dumps, identifiers."""
    before, after = _around(match)
    joined_before = before[-1:] in {"-", "_", ".", "/", "#", "+"} and (len(before) < 2 or before[0].isalnum())
    joined_after = after[:1] in {"-", "_", "."} and after[1:].isalnum()
    spaced = (before[-1:] == " " and before[:1].isdigit()) or (after[:1] == " " and after[1:].isdigit())
    return joined_before or joined_after or spaced


def card(match: re.Match[str]) -> bool:
    """A payment card: a known issuer's prefix, one kind of separator, and the Luhn checksum."""
    digits = digits_of(match[0])
    if _around(match)[0].endswith("+") or _around(match)[1][:1].isalpha():
        return False
    if digits[0] not in "23456" and not digits.startswith(("1800", "2131")):
        return False
    if digits[0] == "2" and not (digits.startswith("2131") or 2200 <= int(digits[:4]) <= 2720):
        return False
    groups = re.split("[ -]", match[0])
    if len(groups) > 1 and (set(" -") <= set(match[0]) or len(groups) > 6 or min(map(len, groups)) < 2):
        return False
    return len(set(digits)) > 2 and luhn(digits) and not _inside_number(match)


def iban(match: re.Match[str]) -> bool:
    """An IBAN: its country's length and the checksum modulo 97 (ISO 13616), with seven digits in a row somewhere."""
    value = match[0].replace(" ", "").upper()
    if len(value) != IBAN_LENGTHS.get(value[:2]):
        return False
    if _SEVEN_DIGITS.search(match[0]) is None:
        return False
    return int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1


def ssn(match: re.Match[str]) -> bool:
    """A US social security number as the administration assigns them: not 000, 666 or 9xx; no zero groups."""
    area, group, serial = match[0].split("-")
    assigned = area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"
    return assigned and not _inside_number(match)


def phone_international(match: re.Match[str]) -> bool:
    """8 to 15 digits after a plus sign (ITU-T E.164); not an addition such as ``x+1234567890``."""
    before, after = _around(match)
    if before[-1:].isalnum() or before[-1:] in {")", "_", "+", "]"} or (after[:1].isalnum() and after[:1] != "x"):
        return False
    return 8 <= len(digits_of(match[0])) <= 15 and _dialable(match[0])


def _dialable(number: str) -> bool:
    """Whether the country code exists and the number has a length in use there."""
    import phonenumbers  # its tables take a tenth of a second to load, which only a candidate shall pay for

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(parsed))


def phone_local(match: re.Match[str]) -> bool:
    """A North American number that is no part of a longer number."""
    before, after = _around(match)
    if match[0][0] != "(" and before[-1:].isalnum():
        return False
    return not _inside_number(match) and not after[:1].isalnum()


def phone_trunk(match: re.Match[str]) -> bool:
    """A national number with its leading zero: 9 to 11 digits in groups, with one kind of separator; no date."""
    digits = digits_of(match[0])
    if not 9 <= len(digits) <= 11 or (" " in match[0] and "-" in match[0]):
        return False
    if re.fullmatch(r"0[0-9]-[0-9]{2}-[0-9]{4}", match[0]):
        return False
    return not _inside_number(match)


def phone_named(match: re.Match[str]) -> bool:
    """7 to 15 digits after a word that announces a telephone number."""
    return 7 <= len(digits_of(match["v"])) <= 15


def email(match: re.Match[str]) -> bool:
    """A mail address; not a file such as icon@2x.png, an ssh remote, or a domain reserved by RFC 2606."""
    local, _, domain = match[0].rpartition("@")
    if _RESERVED_DOMAIN.search(domain) or domain.rpartition(".")[2].lower() in _FILE_ENDINGS:
        return False
    return local.lower() != "git"


def public_ip(match: re.Match[str]) -> bool:
    """A globally routable address (IANA registries); not a version number, not a well-known public resolver."""
    before = match.string[max(0, match.start() - 12) : match.start()]
    after = match.string[match.end() : match.end() + 2]
    if _VERSION_BEFORE.search(before) or (before[-1:] == "." and before[-2:-1].isalnum()):
        return False
    if after[:1] == "." and after[1:].isalnum():
        return False
    value = match[0].rstrip(":")
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and value not in _RESOLVERS and len(value) == len(match[0])


def user_name(match: re.Match[str]) -> bool:
    """A person's home folder; not a web route (example.com/home/about), not a machine's or a guide's stand-in."""
    before = match.string[max(0, match.start() - 1) : match.start()]
    name = match["v"].lower().rstrip(".")
    of_windows = match[0].startswith(":")
    return (of_windows or not before.isalnum()) and name not in _PUBLIC_USERS and "redacted" not in name


def key_block(match: re.Match[str]) -> bool:
    """A private key with a body: a mention of its header alone is none."""
    return re.search(r"[A-Za-z0-9+/=]{40}", match[0]) is not None


def not_a_stand_in(match: re.Match[str]) -> bool:
    """A value that is not a documentation's or template's stand-in for a secret."""
    return not stand_in(match["v"])


def stand_in(value: str) -> bool:
    """Whether `value` only stands for a secret: ``<password>``, ``$TOKEN``, ``changeme``, ``xxx``."""
    return value.lower().rstrip(".!?:") in _STAND_INS or _TEMPLATE.search(value) is not None or len(set(value)) < 3


def random_looking(match: re.Match[str]) -> bool:
    """A token and no words joined by hyphens: digits or jumbled letters, and a part that is no word; no stand-in."""
    groups = match.groupdict()
    value = groups.get("v") or match[0]
    if stand_in(value) or len(set(value)) < 8 or JUMBLED.search(value) is None:
        return False
    if value.isalpha():
        return True
    parts = [p for p in re.split(r"[-_./]", value) if p]
    return any(len(p) >= 8 and not p.isalpha() for p in parts) or not all(p.islower() or p.isdigit() for p in parts)


def is_password_key(match: re.Match[str]) -> bool:
    """Whether the name before the value says password, rather than key or token; URLs and commands always do."""
    key = match.groupdict().get("k")
    return key is None or key.lower().startswith(("pass", "pw"))


def assigned_secret(match: re.Match[str]) -> bool:
    """A value assigned to a name that says secret, quoted or not; ``pass`` and ``pw`` only as words of their own."""
    key, before = match["k"], match.string[max(0, match.start() - 1) : match.start()]
    if key.lower() in {"pass", "pw"} and before.isalpha() and not (key[0].isupper() and before.islower()):
        return False
    if match["u"] is not None:
        return bare_secret(match)
    return quoted_secret(match)


def quoted_secret(match: re.Match[str]) -> bool:
    """A literal assigned to a name that says secret: no blanks, no stand-in, no word where a key would be random."""
    value = match["v"] or match["w"] or match["x"] or ""
    if len(value) < 4 or any(c.isspace() for c in value) or stand_in(value):
        return False
    if value.startswith(("/", "#", ".", "http")):
        return False
    if is_password_key(match):
        lowered = value.lower()
        return not (value.isalpha() and any(w in lowered for w in ("pass", "word", "pwd", "user", "text", "hash")))
    return len(value) >= 8 and _keylike(value)


def bare_secret(match: re.Match[str]) -> bool:
    """An unquoted value, as in .env files: letters and digits or signs, and no expression of a program."""
    groups = match.groupdict()
    value = (groups.get("u") or groups.get("v") or "").rstrip(".,:!?")
    before, after = _around(match)
    if len(value) < 4 or stand_in(value) or after[:1] in {"(", "["} or value[0] in "/#\\-.&=?" or before[-1:] == ".":
        return False
    has_digit, has_letter = any("0" <= c <= "9" for c in value), any(c.isalpha() for c in value)
    if is_password_key(match):
        if not has_letter:
            return value.isdigit() and len(value) >= 6
        return (has_digit or _SIGNS.search(value) is not None) and not _identifier(value)
    return has_digit and has_letter and len(value) >= 12 and _keylike(value)


def said_secret(match: re.Match[str]) -> bool:
    """A value that a person says to be a password or a key: "the password is …"; prose has no digits inside words."""
    value = match["v"].rstrip(".,:!?)")
    if not any("0" <= c <= "9" for c in value):
        return False
    # What reads as a program's name in code, otter_maple7, is a password where somebody says so.
    return bare_secret(match) or (is_password_key(match) and len(value) >= 8 and _identifier(value))


def key_like(match: re.Match[str]) -> bool:
    """A random value assigned to any name that ends in "key": DATADOG_KEY, but no cache key, digest or public key."""
    name = _NAME_BEFORE.search(match.string, max(0, match.start() - 40), match.start())
    word = name[0].lower() if name else ""
    value: str = match["v"]
    if len(value) < 20 or stand_in(value) or any(w in word for w in _HARMLESS_KEYS) or not _keylike(value):
        return False
    if not word.strip("_-"):
        return _DIGEST.fullmatch(value) is None and _switches(value) >= len(value) / 3
    return sum("0" <= c <= "9" for c in value) >= 2


def _keylike(value: str) -> bool:
    """Whether a value is random as keys are, and no name, no words with numbers, no path and no plain number."""
    if len(set(value)) < 6 or _identifier(value):
        return False
    if not any("0" <= c <= "9" for c in value):
        return len(value) >= 16 and value.isalnum() and _switches(value) * 3 >= len(value)
    return not all(_WORD_AND_NUMBER.fullmatch(part) for part in _JOINTS.split(value) if part)


def _switches(value: str) -> int:
    """How often neighbours differ in kind: capital, small letter, digit, sign. Words seldom do, random text does."""
    kinds = [c.isupper() + 2 * c.isdigit() + 4 * (not c.isalnum()) for c in value]
    return sum(a != b for a, b in itertools.pairwise(kinds))


def _identifier(value: str) -> bool:
    """Whether `value` reads as a name or an attribute of a program: ``user.password2``, ``sha256_hash``."""
    return _IDENTIFIER.fullmatch(value) is not None
