"""The table of what is taken out of text: each kind of value with its shape, its cheap first looks and its check.

Shapes and bulk looks keep to the syntax that RE2 and Python's `re` share, with ASCII classes and bounded repetition
in front of any required literal, so that both engines agree and none takes more than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from samloop.text import checks
from samloop.text.providers import PROVIDERS, keywords


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of value to take out.

    `keyword`, `leads`, `gate`, `needles`, `begins`, `dense` and `numeric` only save time: each must hold for every
    text in which `pattern` matches and `check` accepts.

    Attributes:
        type: what the placeholder says, e.g. ``EMAIL``.
        keyword: RE2 expression for bulk; those of one `look` become a single automaton.
        pattern: the exact shape; the group named ``v``, where there is one, is what is replaced.
        needles: literals of which one stands in every text that matches; empty: always look.
        gate: an expression, cheaper than `pattern`; looked for once per text where several patterns share it.
            Empty: always look.
        numeric: whether every match of `gate` lies in a run of `NUMERIC`: it is looked for in these alone.
        begins: literals of which one begins every match: the shape is tried where they stand, and nowhere else.
        dense: whether every match is at least 15 characters of `DENSE`, among them something jumbled.
        folded: `needles` and `begins` are lower-case and mean any case.
        look: the bulk look that `keyword` belongs to. Neighbours with the same one are passed over together.
        leads: instead of `keyword`: RE2 expressions of which one matches, each beginning with a literal of its own,
            by which RE2 finds it ten times as fast as in company.
        check: whether a match is a real one; None accepts all.
    """

    type: str
    keyword: str
    pattern: str
    needles: tuple[str, ...] = ()
    check: Callable[[re.Match[str]], bool] | None = None
    gate: str = ""
    begins: tuple[str, ...] = ()
    folded: bool = True
    dense: bool = False
    numeric: bool = False
    look: str = "words"
    leads: tuple[str, ...] = ()
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", re.compile(self.pattern, re.ASCII))


DENSE: Final = r"[A-Za-z0-9_+/=.,$%@:~\-]{15,}"
"""The runs of characters in which tokens stand. Few texts have one that looks random."""


NUMERIC: Final = r"[0-9][0-9a-fA-F ().:/\-]{5,}"
"""The runs in which numbers stand that mean something: telephones, cards, addresses."""


def _token(keyword: str, pattern: str, *needles: str, lead: str = "") -> Pattern:
    """A token that does not begin with a literal; what it matched must look random."""
    return Pattern(
        "API_KEY", keyword, pattern, needles, checks.random_looking, dense=True, folded=False, look="tokens",
        leads=(lead,) if lead else (),
    )  # fmt: skip


_SENSITIVE_NAME = (
    r"(?i:passw(?:or)?[dt]|passwd|passphrase|passcode|pass|pwd|pw|secret|api[_\- ]?key|app(?:lication)?[_\-]?key"
    r"|access[_\-]?key|account[_\-]?key|auth[_\-]?key|private[_\-]?key|encryption[_\-]?key|signing[_\-]?key"
    r"|master[_\-]?key|service[_\-]?key|storage[_\-]?key|shared[_\-]?key|license[_\-]?key|subscription[_\-]?key"
    r"|integration[_\-]?key|routing[_\-]?key|token|credentials?|_auth)"
)
_NAME_BEGINS: Final = (
    "pass", "pwd", "pw", "secret", "api", "app", "access", "account", "auth", "private", "encryption", "signing",
    "master", "service", "storage", "shared", "license", "subscription", "integration", "routing", "token",
    "credential", "_auth",
)  # fmt: skip
_QUOTE = r"(?:\\{0,2}[\"'])?"
_ASSIGNED = (
    r"(?:_?[0-9]{1,3}|(?i:_(?:value|id|prod|dev|test|live|base64|hash)))?"
    + _QUOTE
    + r"\]?(?:\s?:\s?(?:&?(?:'static )?str|[Ss]tring|Optional\[str\]|SecretStr))?\s{0,3}(?:=>|:=|==|=|:|>)\s{0,3}"
)
_VALUE = (
    r"(?:(?:[bfru]{0,2}|@)\\{0,2}\"(?P<v>[^\"\n]{1,300}?)\\{0,2}\"|[bfru]{0,2}'(?P<w>[^'\n]{1,300}?)'"
    r"|`(?P<x>[^`\n]{1,300})`|(?P<u>[^\s\"'`,;\[\](){}<>]{4,300}))"
)
_BARE = r"[\"'`]?(?P<v>[^\s\"'`,;\[\](){}<>]{4,300})"
_SAID = r"(?i:passw(?:or)?[dt]|passwd|passcode|passphrase|pass|pwd|pw|key|token|secret|credentials?)"
_IS = "(?i:is|was|ist|is now|set to|is set to|changed to|to be)"
_UP_TO = r"\b[^\n|;]{0,160}? "
_COMMANDS = (
    rf"(?:(?:mysql(?:dump|admin|import)?|mariadb){_UP_TO}-p"
    rf"|(?:sshpass|mongo(?:sh|dump|restore|export|import)?|(?:docker|podman|registry|az|cf|oc) login){_UP_TO}-p ?"
    rf"|redis-cli{_UP_TO}-a |sqlcmd{_UP_TO}-P ?|ldap(?:search|modify|add){_UP_TO}-w )"
)
_COMMAND_BEGINS: Final = (
    "mysql", "mariadb", "sshpass", "mongo", "docker login", "podman login", "registry login", "az login", "cf login",
    "oc login", "redis-cli", "sqlcmd", "ldap",
)  # fmt: skip
_FOUR_NUMBERS = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
_HEX_GROUPS = "[23][0-9a-fA-F]{3}:[0-9a-fA-F]{0,4}:"
_IBAN_BEGINS = rf"\b(?i:{'|'.join(sorted(checks.IBAN_LENGTHS))})[0-9]{{2}}"
_SEVEN_DIGITS = r"[0-9](?:[ ().\-/]{0,2}[0-9]){6}"
_PHONE_WORDS = (
    r"(?i:(?:(?:tele|cell)?phone|tel|mobile|cell|fax|whatsapp|desk|answering|call (?:me|us)|reach (?:me|us)"
    r"|messages?))(?: (?i:number|no))?(?: (?i:is|at|on|to))?[ .:#=\n]{0,3}"
)
_PHONE_BEGINS = (
    "phone", "telephone", "cellphone", "tel", "mobile", "cell", "fax", "whatsapp", "desk", "answering", "call me",
    "call us", "reach me", "reach us", "message",
)  # fmt: skip

PATTERNS: Final[tuple[Pattern, ...]] = (
    Pattern(
        "PRIVATE_KEY",
        "",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s\\:,.]|-[A-Za-z0-9])*"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
        check=checks.key_block,
        begins=("-----BEGIN",),
        folded=False,
        look="keys",
        leads=("-----BEGIN [A-Z0-9 ]*PRIVATE",),
    ),
    Pattern(
        "PRIVATE_KEY",
        "",
        r"PuTTY-User-Key-File-[23]: [^\n]{1,80}\n"
        r"(?:[A-Za-z][A-Za-z\-]{1,20}: [^\n]{0,200}\n|[A-Za-z0-9+/=]{1,100}\n)*(?:Private-MAC: [0-9a-f]{1,80})?",
        check=checks.key_block,
        begins=("PuTTY-User-Key-File-",),
        folded=False,
        look="keys",
        leads=("PuTTY-User-Key-File-[23]",),
    ),
    Pattern(
        "API_KEY",
        r"(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks|webhook\.office\.com/webhookb2)/",
        r"(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks|webhook\.office\.com/webhookb2)"
        r"/(?P<v>[A-Za-z0-9/@_\-]{30,240})",
        check=checks.random_looking,
        dense=True,
        begins=("hooks.slack.com/", "discord.com/api/w", "discordapp.com/api/w", "webhook.office.com/"),
        folded=False,
        look="tokens",
    ),
    # Providers' own token formats, as they document them or as public secret scanners know them.
    Pattern(
        "API_KEY",
        "|".join(keywords(PROVIDERS)),
        "|".join(p.pattern for p in PROVIDERS),
        check=checks.random_looking,
        dense=True,
        begins=tuple(dict.fromkeys(b for p in PROVIDERS for b in p.begins)),
        folded=False,
        look="tokens",
    ),
    _token("[0-9]:AA", r"\b[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}", ":AA"),  # Telegram
    _token("[0-9a-f]-us[0-9]", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b", "-us"),  # Mailchimp
    _token(
        "",
        r"\b[MNO][A-Za-z0-9_\-]{23,27}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,40}\b",  # Discord
        ".",
        lead=r"\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27}",
    ),
    _token(r"\.atlasv1\.", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-=]{60,80}", ".atlasv1."),  # Terraform Cloud
    _token("[0-9]Q~", r"[A-Za-z0-9_~.\-]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}", "Q~"),  # Azure application
    _token(
        "://[0-9a-f]{32}",  # a key as the user of a URL, as in Sentry's
        r"://(?P<v>[0-9a-f]{32}(?::[0-9a-f]{32})?)@",
        "://",
    ),
    Pattern(
        "TOKEN",
        "eyJ[A-Za-z0-9_-]{8}",
        r"\beyJ[A-Za-z0-9_\-]{8,1000}\.eyJ[A-Za-z0-9_\-]{8,1000}\.[A-Za-z0-9_\-]{8,1000}",
        begins=("eyJ",),
        folded=False,
    ),
    Pattern(
        "TOKEN",
        "[?&]sig=",
        r"[?&]sig=(?P<v>[A-Za-z0-9%+/=]{40,100})",
        check=checks.random_looking,
        begins=("?sig=", "&sig="),
    ),
    Pattern(
        "PASSWORD",
        "",
        r"\b[A-Za-z][A-Za-z0-9+.\-]{1,30}://[^\s:/@\"'<>\[\]]{0,100}:(?P<v>[^\s@\"'<>\[\]]{1,200})@",
        ("://",),
        checks.not_a_stand_in,
        gate=r"://[^\s@]{1,301}@",
        leads=(r"://[^\s@]*:[^\s@]*@",),
    ),
    Pattern(
        "TOKEN",
        r"(?i:bearer|basic|apikey|token)\s{1,4}[A-Za-z0-9._~+/=\-]{16}",
        r"(?i:(?:\bbearer|\bbasic|authorization\\{0,2}[\"']?\s?[:=,]\s?\\{0,2}[\"']?(?:token|apikey|key)))\s{1,4}"
        r"(?P<v>[A-Za-z0-9._~+/=\-]{16,1000})",
        check=checks.random_looking,
        begins=("bearer", "basic", "authorization"),
    ),
    Pattern(
        "PASSWORD",
        _SENSITIVE_NAME + _ASSIGNED + r"[^\s,;)]",
        f"(?P<k>{_SENSITIVE_NAME}){_ASSIGNED}{_VALUE}",
        ("key", "pass", "token", "secret", "pw", "credential", "_auth"),
        check=checks.assigned_secret,
        begins=_NAME_BEGINS,
    ),
    Pattern(
        "SECRET",
        "(?i:key)" + _ASSIGNED + _QUOTE + r"[A-Za-z0-9+/_=.\-]{16}",
        "(?i:key)" + _ASSIGNED + _QUOTE + r"(?P<v>[A-Za-z0-9+/_=.\-]{16,300})",
        check=checks.key_like,
        begins=("key",),
    ),
    Pattern(
        "PASSWORD",
        r"(?i:--[a-z\-]*(?:password|passwd|pass|token|key|secret)) ",
        r"(?i:--[a-z\-]{0,20}?(?P<k>password|passwd|pass|token|key|secret)) " + _BARE,
        check=checks.bare_secret,
        begins=("--",),
    ),
    Pattern(
        "PASSWORD",
        r"(?:mysql|mariadb|sshpass|mongo| login|redis-cli|sqlcmd|ldap)[^\n|;]* -[paPw]",
        _COMMANDS + r"[\"']?(?P<v>[^\s\"'|;]{4,200})",
        needles=(" -p", " -a ", " -P", " -w "),
        check=checks.bare_secret,
        begins=_COMMAND_BEGINS,
        folded=False,
    ),
    Pattern(
        "PASSWORD",
        "",
        r"\B(?:-u|--user)[ =]?[\"']?[A-Za-z0-9._@\-]{1,64}:(?P<v>[^\s\"'@]{4,200})",
        check=checks.bare_secret,
        begins=("-u", "--user"),
        folded=False,
        leads=(r"(?:-u|--user)[ =]?[\"']?[A-Za-z0-9._@\-]+:[^\s\"'@]",),
    ),
    Pattern(
        "PASSWORD",
        rf"{_SAID}(?:(?i: (?:for|of|on|to)) [^\n:.]*)? {_IS}:? [^\s,;\[\](){{}}<>]*[0-9]",
        rf"\b(?P<k>{_SAID})\b(?:(?i: (?:for|of|on|to)) [^\n:.]{{1,40}}?)? {_IS}:? " + _BARE,
        check=checks.said_secret,
        begins=("pass", "pwd", "pw", "key", "token", "secret", "credential"),
    ),
    Pattern(
        "EMAIL",
        r"@[A-Za-z0-9][A-Za-z0-9\-]*\.[A-Za-z0-9]",
        r"\b[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9\-]{0,62}\.){1,8}[A-Za-z]{2,24}\b",
        ("@",),
        checks.email,
        # The sign comes first, then what stands before it: `re` looks for a literal faster than for a class.
        gate=r"@(?<=[A-Za-z0-9._%+\-]@)[A-Za-z0-9][A-Za-z0-9\-]{0,62}\.",
        look="mail",
    ),
    Pattern(
        "IBAN",
        _IBAN_BEGINS + r"(?: ?[A-Za-z0-9]{4}){2} ?[A-Za-z0-9]{3}",
        r"(?i:\b[a-z]{2}[0-9]{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?\b)",
        (),
        checks.iban,
        gate="[0-9](?: ?[0-9]){6}",
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "CREDIT_CARD",
        r"\b(?:[3-6][0-9]|2[1-7]|18)(?:[ -]?[0-9]){10}",
        r"\b[0-9](?:[ -]?[0-9]){11,18}\b",
        (),
        checks.card,
        gate="[0-9](?:[ -]?[0-9]){11}",
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "SSN",
        r"\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}",
        r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b",
        ("-",),
        checks.ssn,
        gate="[0-9]-[0-9]{2}-[0-9]{4}",
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "PHONE",
        "",
        r"\+[0-9]{1,3}(?:[ .\-/]?\(?[0-9]{1,5}\)?){2,6}",
        check=checks.phone_international,
        gate=r"[0-9](?:[ ().\-/]{0,3}[0-9]){7}",
        begins=("+",),
        numeric=True,
        look="numbers",
        leads=(r"\+[0-9](?:[ ().\-/]{0,3}[0-9]){7}",),
    ),
    Pattern(
        "PHONE",
        r"(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .\-])[0-9]{3}[ .\-][0-9]{4}",
        r"(?:\b1[ .\-])?(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .\-])[0-9]{3}[ .\-][0-9]{4}"
        r"(?: ?(?:x|ext\.?) ?[0-9]{1,6})?\b",
        (),
        checks.phone_local,
        gate=r"[0-9]{3}[ .\-][0-9]{4}",
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "PHONE",
        r"\b0[1-9][0-9]{0,3}[ .\-][0-9]{2,4}[ .\-][0-9]{2}",
        r"\b0[1-9][0-9]{0,3}(?:(?:[ \-][0-9]{2,4}){2,4}|(?:\.[0-9]{2}){4})\b",
        ("0",),
        checks.phone_trunk,
        gate=_SEVEN_DIGITS,
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "PHONE",
        _PHONE_WORDS + "[(]?[0-9]",
        rf"\b{_PHONE_WORDS}(?P<v>[(]?[0-9](?:[ ().\-/]{{0,2}}[0-9]){{6,14}})\b",
        check=checks.phone_named,
        gate=_SEVEN_DIGITS,
        begins=_PHONE_BEGINS,
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "IP_ADDRESS",
        r"\b(?:[1-9]|1[1-9]|[2-9][0-9]|1[013-9][0-9]|12[0-689]|2[0-5][0-9])(?:\.[0-9]{1,3}){2}\.[0-9]",
        r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b",
        (),
        checks.public_ip,
        gate=_FOUR_NUMBERS,
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "IP_ADDRESS",
        r"\b" + _HEX_GROUPS,
        r"\b[23][0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7}",
        (":",),
        checks.public_ip,
        gate=_HEX_GROUPS,
        numeric=True,
        look="numbers",
    ),
    Pattern(
        "USER",
        "",
        r"(?:/Users/|/home/|:\\{1,4}Users\\{1,4})(?P<v>[A-Za-z0-9_][A-Za-z0-9._\-]{0,63})",
        check=checks.user_name,
        begins=("/Users/", "/home/", ":\\"),
        folded=False,
        look="paths",
        leads=("/Users/[A-Za-z0-9_]", "/home/[A-Za-z0-9_]", r":\\{1,4}Users\\"),
    ),
)
"""In the order they are applied: what is most specific first, so that a token in a URL is a token and not a path."""

SECRET_FIELD: Final = re.compile(rf"{_SENSITIVE_NAME}$", re.ASCII)
"""The names of JSON fields whose whole value is a secret."""
