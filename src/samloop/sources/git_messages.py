"""Commit messages: what of one is worth learning, and which say nothing.

Pure functions on text. What a reader of the change alone could not know (issue numbers, who signed it off, addresses)
is taken out, because a model trained on it would learn to make such things up.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Style = Literal["conventional", "component", "plain"]

MIN_CHARACTERS: Final = 11
"""Messages of ten characters or fewer are turned away (contract, section 4)."""

MAX_CHARACTERS: Final = 4000
"""Longer messages are squashed logs or pasted output."""

MAX_LINE_CHARACTERS: Final = 300
"""Longer lines are prose or pasted output; the patterns are for short ones, and so is what they cost."""

_TRAILER: Final = re.compile(
    r"""^\s*(?:
        (?:[\w-]+-(?:by|to|with|for|cc|id|on)|cc|bug|bugs|issue|issues|pr|pull[ -]request|link|links|change-id|topic
        |git-svn-id|bisect_good|backport|stable|ticket|task|jira|rb|differential[ ]revision|reviewers|subscribers
        |test[ ]plan|summary|depends[ ]on|piperorigin-revid|original[ -]commit|upstream-commit|fixes|refs?|ref
        |release-note|roadmap|x-[\w-]+)\s*[:=]\s*\S.*
      | (?:co-?authored|signed[ -]off|generated|created|made|assisted|reviewed|reported|suggested
        |acked)[ -](?:by|with)\b.*
      | \(cherry[ ]picked[ ]from[ ].*
      | .{0,4}generated[ ]with[ ].*
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
_ADDRESS: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL: Final = r"<?https?://\S+"
_NUMBER: Final = rf"(?:[\w.-]+/[\w.-]+)?\#\d+|\bgh-\d+|\b[A-Z][A-Z]+-\d+\b|{_URL}|[0-9a-f]{{7,40}}\b"
_VERB: Final = (
    r"(?:partially\s+|part\s+of\s+|also\s+|and\s+)*(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?"
    r"|ref(?:s|erences?)?|see(?:\s+also)?"
    r"|re|related(?:\s+to)?|addresses|merge[sd]?|issue|pr|part\s+of|from|via|implements|towards?"
    r"|needed\s+for)"
)
_NUMBERS: Final = re.compile(_NUMBER, re.IGNORECASE)
_VERBS: Final = re.compile(rf"\b{_VERB}\b|\band\b", re.IGNORECASE)
_TICKET: Final = r"(?:[\w.-]+/[\w.-]+)?\#\d+"
_ENDING: Final = re.compile(
    rf"[\s,;.–—-]*(?:\(\s*(?:{_VERB}[\s:]*)?(?:{_TICKET}|gh-\d+)(?:[\s,;&]+(?:{_VERB}\s*)?\#\d+)*\s*\)"
    rf"|[,;.–—-]?\s*\b{_VERB}[\s:]*\#\d+(?:[\s,&]+(?:and\s+)?(?:{_VERB}\s*)?\#\d+)*|\s\#\d+)\s*$",
    re.IGNORECASE,
)
_LEADING: Final = re.compile(r"^\s*(?:\[?(?:#\d+|gh-\d+|[A-Z][A-Z]+-\d+)\]?\s*[:\-]?\s+)+")
_SQUASHED: Final = re.compile(r"^\s*[*-] \S")
_LEFT_OUT: Final = (_TRAILER, _ADDRESS, re.compile(r"https?://\S+/(?:issues|pull|merge_requests)/\d+"))
_MARKS: Final = re.compile(r"\[(?:skip ci|ci skip|no ci|skip actions)\]\s*", re.IGNORECASE)

_PREFIX: Final = re.compile(
    r"^(?:feat|fix|docs?|style|refactor|perf|tests?|build|ci|chore|revert|deps|security)(?:\([^)]{1,40}\))?!?:\s*\S",
    re.IGNORECASE,
)
_COMPONENT: Final = re.compile(r"^[\w./-]{2,30}(?:,\s?[\w./-]{2,30}){0,3}:\s+\S")

_FILLER: Final = frozenset(
    """a again all an and another at bit bits bug bugs bugfix bugfixes build change changed changes changing check
    chore ci clean cleaned cleaning cleanup code comment comments commit correct correction corrections demo doc docs
    edit edits error errors example few file files final fix fixed fixes fixing fixup for format formatting further
    hotfix improve improved improvement improvements in initial issue issues it its last lint linter linting little
    lots make merge minor misc missing modified modify more my nit nits now of ok on oops or other pass pr problem
    progress push quick readme refactor refactored refactoring remove review save several silly simple small some
    spelling squash stuff stupid style stylistic syntax temp temporary test tests that the things this tidy
    tiny tmp to
    trivial try tweak tweaks typo typos up update updated updates updating various version warning warnings whitespace
    wip work working works address addressed feedback suggestions nitpick nitpicks notes note new add added init first
    import rebase done""".split()
)
_AUTOMATIC: Final = re.compile(
    r"^(?:(?:update|create|delete|edit|rename|add(?:ed)?|fix|remove) [\w./-]*\w+\.\w{1,8}|add(?:ed)? files via upload"
    r"|auto[- ]?(?:commit|update|generated).*|initial (?:commit|import|version|revision)\b.*|first commit\b.*"
    r"|(?:regenerate|sync|refresh|update) (?:the )?(?:docs|lock ?files?|contributors|sponsors|translations?"
    r"|snapshots?)"
    r"|apply suggestions? from code review|address(?:es|ed)? .{0,20}(?:review|feedback|comments?).{0,20})[.!]?$",
    re.IGNORECASE,
)
_NUMBERED: Final = r"v?\d+(?:\.\d+)+(?:[-.+]?[\w.]+)?"
_RELEASE: Final = re.compile(
    rf"""^(?:(?:chore|build|release|pkg|doc|docs)(?:\([^)]*\))?!?:\s*)?(?:
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
            |\bto\s+(?:version\s+)?
          {_NUMBERED}|@\S+|\bdependenc(?:y|ies)\b|\bdeps\b|\block\s?file\b|\bto\s+(?:the\s+)?latest\b.*
            |[=<>~^]+\s*{_NUMBERED}).*
      | (?:deps|build)(?:\([^)]*\))?:\s*\S+@\S+.*
      | (?:bump|update|upgrade|pin)[sd]?\s+(?:(?:the|all)\s+)?(?:[\w/.@-]+\s+){{0,2}}?(?:dependenc(?:y|ies)
        |deps|crates|packages|requirements)
      | \S+@[~^]?{_NUMBERED}
      | (?:deps?:\s*)?(?:bump|update|upgrade)[sd]?\s+[\w@/.-]+(?:\s+(?:submodule|dependency|dep|version|package))?
    )\W*$""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_REVERT: Final = re.compile(
    r'^(?:revert(?:s|ed|ing)?\b|back(?:ed)?[ -]?out\b|rollback\b|unrevert)|^reapply "', re.IGNORECASE
)
_MERGE: Final = re.compile(
    r"^merge (?:branch|pull request|remote|tag|commit|upstream|master|main|pr\b)", re.IGNORECASE
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


def clean(message: str) -> str:
    """`message` without trailers, addresses and references that the change itself does not show.

    "(#123)" goes as well: the number is known only after the pull request is opened, so a model that learnt to write
    it would invent it. Numbers inside a sentence stay, they carry its meaning.
    """
    lines = [_MARKS.sub("", line).rstrip() for line in message.replace("\r\n", "\n").split("\n")]
    kept = [line for line in lines if not _is_left_out(line)]
    while kept and not kept[0].strip():
        kept.pop(0)
    if not kept:
        return ""
    subject = kept[0].strip()
    if len(subject) <= MAX_LINE_CHARACTERS:
        subject = _ENDING.sub("", _ENDING.sub("", _LEADING.sub("", subject))).strip()
    body = "\n".join(kept[1:]).strip("\n")
    if _is_squashed(body):
        body = ""
    body = re.sub(r"\n{3,}", "\n\n", body).rstrip()
    body = _strip_ending(body)
    if body.startswith(subject) and "\n" not in body:
        body = ""  # the subject said again, as web interfaces fill it in
    return f"{subject}\n\n{body}" if body else subject


def _is_left_out(line: str) -> bool:
    if len(line) > MAX_LINE_CHARACTERS:
        return False
    return _is_reference(line) or any(pattern.search(line) for pattern in _LEFT_OUT)


def _is_reference(line: str) -> bool:
    """Whether a line only names issues, commits or addresses ("Closes #12, see also #13")."""
    rest, found = _NUMBERS.subn(" ", line)
    return found > 0 and not re.search(r"\w", _VERBS.sub(" ", rest))


def turned_away(message: str, original: str) -> str | None:
    """Why nothing can be learnt from a message, or None.

    Args:
        message: as `clean` left it.
        original: as it was committed.
    """
    subject, _, body = message.partition("\n\n")
    subject = subject[:MAX_LINE_CHARACTERS]
    first = original.strip().partition("\n")[0]
    if _REVERT.search(first) or "this reverts commit" in original.lower():
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
    if not body and says_nothing(subject):
        return "message says nothing"
    if _DEPENDENCY.match(subject):
        return "is a dependency update"
    return None


def says_nothing(subject: str) -> bool:
    """Whether a subject is made of words that fit any change ("wip", "fix typo", "Update README.md")."""
    if _AUTOMATIC.match(subject):
        return True
    plain = re.sub(r"^[a-z]+(?:\([^)]*\))?!?:\s*", "", subject, count=1)
    words = re.findall(r"[^\W_]+(?:'\w+)?", plain.lower())
    return all(word in _FILLER or word.isdigit() for word in words)


def style_of(message: str) -> Style:
    """How the subject begins: "feat(x): …", "component: …", or plainly."""
    if _PREFIX.match(message):
        return "conventional"
    return "component" if _COMPONENT.match(message) else "plain"


def _is_squashed(body: str) -> bool:
    """A body that lists the subjects of squashed commits tells how the work went, not what changed."""
    lines = [line for line in body.split("\n") if line.strip()]
    bullets = [line[2:].strip() for line in lines if _SQUASHED.match(line)]
    if len(bullets) < 2 or len(bullets) < len(lines) / 2:
        return False
    empty = sum(1 for bullet in bullets if says_nothing(bullet) or _MERGE.search(bullet) or _REVERT.search(bullet))
    return empty * 5 >= len(bullets)


def _strip_ending(body: str) -> str:
    """`body` without references at its very end ("… as before. Fixes #12")."""
    stripped = re.sub(rf"(?<=[.!?)])\s+(?:{_VERB})[\s:]+(?:{_NUMBER})[.\s]*$", "", body, flags=re.IGNORECASE)
    return stripped.rstrip()
