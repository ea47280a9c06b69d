"""Which commits say something: by their author and by what is left of their message."""

from __future__ import annotations

import re
from typing import Final

from samloop.sources.paths import language_of

MAX_LINE_CHARACTERS: Final = 300
"""Longer lines are prose or pasted output; the patterns are for short ones, and so is what they cost."""

MIN_CHARACTERS: Final = 11
"""Messages of ten characters or fewer are turned away (contract, section 4)."""

MAX_CHARACTERS: Final = 4000
"""Longer messages are squashed logs or pasted output."""

MIN_BODY_CHARACTERS: Final = 60
"""A longer body makes up for a subject that says nothing."""

_FILLER: Final = frozenset(
    """a add added adding address addressed adds again all an and another argh at better bit bits bug bugfix bugfixes
    bugs build builds change changed changes changing check chore ci clean cleaned cleaner cleaning cleanup
    cleanups code comment comments commit correct correction corrections damn demo deploy dist doc docs done
    edit edits error errors example examples feedback few file files final finally first fix fixed fixes fixing
    fixup for format formatting further generate generated gitignore hopefully hotfix i import improve improved
    improvement improvements improving in init initial issue issues it its just last let license lint linter
    linting little lockfile lots make maybe merge mind minor misc missing modified modify more my never
    nevermind new nit nitpick nitpicks nits no not note notes now npm of ok old on oops or other pass please pr
    problem progress push quick ran readme really rebase rebuild rebuilt refactor refactored refactoring
    regenerate regenerated remove removed removes removing review run save several silly simple small some
    spelling squash still stuff stupid style stylistic suggestions syntax tag tags temp temporary test tested
    testing tests that the things this tidy tiny tmp to travis trivial try trying tweak tweaks typo typos ugh up
    update updated updates updating various version warning warnings whitespace whoops wip work working works
    wrong yarn yet""".split()
)
_TYPES: Final = frozenset(
    "feat fix doc docs style refactor perf test tests build ci chore deps misc lint examples example readme".split()
)
_VAGUE: Final = frozenset(
    "various misc minor tweak tweaks change changes update updates stuff wip more some small cleanup refactor "
    "refactoring improvements improve".split()
)
_PREFIX: Final = re.compile(r"^([\w./-]+)(?:\([^)]{0,40}\))?!?:\s*")
_STEP: Final = r"(?:(?!(?:in|to|for|of|on|from|with|into|and|as|by)\b)[^\s:]+ ){0,2}"
_ABOUT_FILE: Final = re.compile(
    rf"^(?:(?:(?:updat|creat|edit|improv|modif|chang)(?:e[ds]?|ing|ed|s|y|ied|ying)? {_STEP}"
    r"|(?:add(?:ed|ing|s)?|fix(?:ed|es|ing)?) (?:the )?))?(?P<file>[\w()./\\-]*\w\.\w{1,8})[.!]?$",
    re.IGNORECASE,
)
_AUTOMATIC: Final = re.compile(
    r"^(?:add(?:ed)? files via upload|patch[- ]?\d+|(?:hotfix|bugfix|feature|feat|fix|patch|docs)/[^\s:][^:]*"
    r"|auto[- ]?(?:commit|update|generated).*|initial (?:commit|import|version|revision)\b.*|first commit\b.*"
    r"|(?:travis|circle ?ci|jenkins|ci|appveyor|github actions?|nightly|automated?) "
    r"(?:build|deploy\w*|update|commit)\b.*|(?:the )?(?:requested|suggested|minor|some|small) changes\b.{0,30}"
    r"|(?:ran|run) (?:the )?(?:npm|yarn|make|black|prettier|eslint|rustfmt|gofmt|formatter|linter)\b.{0,40}"
    r"|(?:re)?(?:build|built|generated?) (?:the )?(?:docs?|dist|bundle|site|documentation|assets|man ?pages?)"
    r"|(?:sync|refresh|update) (?:the )?(?:docs|lock ?files?|contributors|sponsors|translations?|snapshots?)"
    r"|apply suggestions? from code review|address(?:es|ed)? .{0,20}(?:review|feedback|comments?).{0,20})[.!]?$",
    re.IGNORECASE,
)
_CUT: Final = re.compile(r"(?:\b(?:for|to|of|the|an?|and|or|with)|\.\.\.|…|,)$", re.IGNORECASE)
_ASIDE: Final = re.compile(
    r"\b(?:lol|lmao|rofl|haha\w*|hehe\w*|omg+|my (?:bad|fault))\b|(?<![\w/:])[:;]-?[)DPp(](?![\w(])", re.IGNORECASE
)
_RUDE: Final = re.compile(
    r"\b(?:\w*fuck\w*|shit\w*|bullshit|bitch\w*|bastard\w*|crap(?:py)?|wtf|(?:ass|dumb|jack)(?:hole|ass)|in the ass"
    r"|goddamn\w*)\b",
    re.IGNORECASE,
)
_NUMBERED: Final = r"v?\d+(?:\.\d+)+(?:[-.+]?[\w.]+)?"
_RELEASE: Final = re.compile(
    rf"""^(?:(?:chore|build|release|pkg|doc|docs|(?:feat|fix|meta|ci)(?=[^:]{{0,40}}:\s*(?:releas|publish|tag|cut)))
          (?:\([^)]*\))?!?:\s*)?(?:
        {_NUMBERED}(?:\s+(?:release(?:\s+notes)?|changelog))?
      | [\w/@.+-]+[-@\s:]+{_NUMBERED}
      | (?:(?:release|releasing|prepare|preparing|tag|cut|publish|bump(?:ed|ing|s)?|start|begin|post|set|update[ds]?
          |new|next|draft|prep|version|changelog|notes|for|to|the|a|and|of|in|from|crate|package|version:)[\s:]+)+
          (?:[\w./-]+\s+){{0,3}}?{_NUMBERED}(?:\s+release)?
      | (?:(?:bump|prepare|cut|update|new|next|release|increment)(?:ed|s)?\s+)*(?:the\s+)?(?:package\s+)?
          (?:version|release|releases|version\s+number|changelog|release\s+notes|versions)(?:\s+(?:number
            |bump|notes))?
    )\W*$""",
    re.VERBOSE | re.IGNORECASE,
)
_DEPENDENCY: Final = re.compile(
    rf"""^(?:
        (?:build|chore|ci|fix|feat|deps?|dev-?deps|dependencies|cargo|npm|go|pip|docs)?(?:\([^)]*\))?!?:?\s*
          (?:bump|update|upgrade|pin|downgrade)[sd]?\s+(?:the\s+|to\s+)?.*?(?:\bfrom\s+\S+\s+to\s+\S+
            |\bto\s+(?:version\s+|[\w@/.-]+\s+)?{_NUMBERED}|@\S+|\bdependenc(?:y|ies)\b|\bdeps\b|\block\s?file\b|\bto\s+(?:the\s+)?latest\b.*
            |[=<>~^]+\s*{_NUMBERED}).*
      | \w+\s?\(\w*deps?[\w-]*\)!?:.*
      | (?:deps|build)(?:\([^)]*\))?:\s*\S+@\S+.*
      | (?:bump|update|upgrade|pin)[sd]?\s+(?:(?:the|all)\s+)?(?:[\w/.@-]+\s+){{0,2}}?(?:dependenc(?:y|ies)
        |deps|crates|packages|requirements)
      | \S+@[~^]?{_NUMBERED}
      | [\w@/.-]+\s*[=<>~^]+\s*{_NUMBERED}
      | (?:deps?:\s*)?(?:bump|update|upgrade)[sd]?\s+[\w@/.-]+(?:\s+(?:submodule|dependency|dep|version|package))?
    )\W*$""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_REVERT: Final = re.compile(
    r'^(?:[\w()-]+!?:\s*)?(?:revert(?:s|ed|ing)?\b|back(?:ed)?[ -]?out\b|rollback\b|unrevert)|^reapply "',
    re.IGNORECASE,
)
_MERGE: Final = re.compile(
    r"^merge[ds]? (?:branch|pull request|remote|tag|commit|upstream|master|main|pr\b|conflict)", re.IGNORECASE
)

_BOT: Final = re.compile(
    r"\[bot\]|(?:^|[\s<._+-])(?:dependabot|renovate|greenkeeper|github[- ]?actions?|snyk|pyup|pre-commit-ci|mergify"
    r"|semantic-release|allcontributors|all-contributors|imgbot|weblate|transifex|crowdin|codecov|bors|homu|rustbot"
    r"|travis(?: ci)?|circleci|jenkins|autofix-ci|deepsource|lgtm|fossabot|gitbook|netlify|bot)(?:$"
    r"|[\s>@._+-]|[- ]?bot)"
    r"|\w-?bot@|bot$",
    re.IGNORECASE,
)
_PEOPLE: Final = re.compile(r"^(?:abbott|talbot|cabot|turbot)$", re.IGNORECASE)


def is_bot(name: str, address: str) -> bool:
    """Whether a commit's author is a program, by name or address."""
    last = name.split()[-1] if name.split() else ""
    if _PEOPLE.match(last):
        return False
    return bool(_BOT.search(name) or _BOT.search(address.partition("@")[0] + "@"))


def turned_away(message: str, original: str) -> str | None:
    """Why nothing can be learnt from a message, or None.

    Args:
        message: as `clean` left it.
        original: as it was committed.
    """
    subject, _, body = message.partition("\n\n")
    subject = subject[:MAX_LINE_CHARACTERS]
    first = original.strip().partition("\n")[0]
    if _REVERT.search(first[:MAX_LINE_CHARACTERS]) or "this reverts commit" in original.lower():
        return "is a revert"
    if _MERGE.search(first):
        return "is a merge"
    if first.startswith(("fixup!", "squash!", "amend!")):
        return "message says nothing"
    if _RELEASE.match(subject):
        return "is a release"
    if len(message) < MIN_CHARACTERS:
        return "message is too short"
    if len(message) > MAX_CHARACTERS:
        return "message is too long"
    if len(body) < MIN_BODY_CHARACTERS and says_nothing(subject):
        return "message says nothing"
    if not body and _CUT.search(subject):
        return "message is cut off"
    if _ASIDE.search(subject):
        return "message is an aside"
    if _RUDE.search(message):
        return "message swears"
    if _DEPENDENCY.match(subject):
        return "is a dependency update"
    return None


def says_nothing(subject: str) -> bool:
    """Whether a subject is made of words that fit any change ("wip", "fix typo", "Update README.md")."""
    prefix, plain = _parted(subject)
    if _AUTOMATIC.match(plain) or _is_about_a_file(plain):
        return True
    words = re.findall(r"[^\W_]+(?:'\w+)?", plain.lower())
    if not all(word in _FILLER or word.isdigit() for word in words):
        return False
    # A part that is named says something: "xdotool: fix typo", but not "xdotool: various tweaks".
    return prefix is None or prefix.lower() in _TYPES or len(words) < 2 or not _VAGUE.isdisjoint(words)


def _parted(subject: str) -> tuple[str | None, str]:
    """What stands before the colon of a subject, and the rest."""
    found = _PREFIX.match(subject)
    return (found[1], subject[found.end() :]) if found else (None, subject)


def _is_about_a_file(text: str) -> bool:
    """Whether a text names a file and at most that it was written or touched."""
    found = _ABOUT_FILE.match(text)
    return bool(found and (language_of(found["file"]) or found["file"].lower().endswith((".txt", ".adoc", ".org"))))
