"""Commit messages: what of one is worth learning.

Pure functions on text. What a reader of the change alone could not know (issue numbers, who signed it off, hashes of
other commits), what is said to a reviewer and what tells how the work went is taken out, because a model trained on
it would learn to make such things up.
"""

from __future__ import annotations

import re
import textwrap
from typing import Final

from samloop.sources.git_worth import MAX_LINE_CHARACTERS, says_nothing

MAX_MESSAGE_CHARACTERS: Final = 16_000
MAX_PARAGRAPH_CHARACTERS: Final = 3000
"""Longer paragraphs are left as they are: the patterns are for prose, and so is what they cost."""

_TRAILER: Final = re.compile(
    r"""^\s*(?:
        (?:[\w-]+-(?:by|to|with|for|cc|id|on)|cc|bug|bugs|issue|issues|pr|pull[ -]request|link|links|change-id|topic
        |git-svn-id|bisect_good|backport|stable|ticket|task|jira|rb|differential[ ]revision|reviewers|subscribers
        |test[ ]plan|summary|depends[ ]on|piperorigin-revid|original[ -]commit|upstream-commit|fixes|refs?|ref
        |release-note|roadmap|x-[\w-]+|[A-Z]\w+-(?:session|url|link|date|author|version))\s*[:=]\s*\S.*
      | (?:co-?authored|signed[ -]off|generated|created|made|assisted|reviewed|reported|suggested
        |acked)[ -](?:by|with)\b.*
      | \(cherry[ ]picked[ ]from[ ].*
      | .{0,4}generated[ ]with[ ].*
      | (?:clos|fix|resolv)(?:es|ed|e)?\s*:\s*
      | [-=*_]{3,}
      | \[[^\]]+\]:\s*<?https?://\S+
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
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
    rf"|\[\s*(?:{_VERB}[\s:]*)?(?:{_TICKET}|gh-\d+)\s*\]"
    rf"|[,;.–—-]?\s*\b{_VERB}[\s:]*\#\d+(?:[\s,&]+(?:and\s+)?(?:{_VERB}\s*)?\#\d+)*"
    rf"|[,;.–—-]\s*\b(?:close[sd]?|fixe[sd]|resolve[sd]?)[\s:]+\d+|\s\#\d+)\s*\.?\s*$",
    re.IGNORECASE,
)
_LED: Final = re.compile(r"[\s,;.–—-]+(?:(?:fix\s+)?for|of|to|in|from|see|per|re)$", re.IGNORECASE)
_OPENING: Final = re.compile(rf"^(?:{_VERB}[\s:]*{_TICKET}[\s,;.]+)+(?=\S)", re.IGNORECASE)
_IN_BRACKETS: Final = re.compile(
    rf"[ ]?\((?:{_VERB}[\s:]*)?(?:{_TICKET}|gh-\d+)(?:[\s,;&]+(?:and\s+)?{_TICKET})*\)", re.IGNORECASE
)
_LEADING: Final = re.compile(r"^\s*(?:[*+-]\s+|(?:\[?(?:#\d+|gh-\d+|[A-Z][A-Z]+-\d+)\]?\s*[:\-]?\s+))+")
_TWICE: Final = re.compile(r"^([\w./-]{1,40}:\s+)\1+")
_MARKS: Final = re.compile(r"\[(?:skip ci|ci skip|no ci|skip actions)\]\s*", re.IGNORECASE)
_UNKNOWABLE: Final = re.compile(
    r"https?://\S+/(?:issues|pulls?|merge_requests|discussions|commits?|tree|blob)/\S+"
    r"|\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b"
)
_CREDIT: Final = re.compile(
    r"^(?:many |special |big |a big )?(?:thanks|thank you|thx|kudos|cheers|credits?|props|hat tip|h/t|cc)\b"
    r"(?!\s+to\s+(?:this|that|the)\b)|^@[\w-]+\s*(?:<3|[:!.]*)$",
    re.IGNORECASE,
)
_SMILEY: Final = re.compile(r"(?<![\w/:])[:;]-?[)DPp](?![\w(])|<3(?!\w)")
_CHAT: Final = re.compile(
    r"""\b(?:lol|lmao|haha\w*|hehe\w*|hmm+|meh|omg+|wow|whoo?ps|oops|yay|argh?|grr+|ugh|duh|sigh|imho|thanks
    |thank[ ]you|cheers|sorry|please|pls|kudos|wip|my[ ](?:first|1st|bad|fault)|i'?m[ ]curious|this[ ]pr
    |pull[ ]request|the[ ]op|as[ ]discussed|as[ ]requested)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_TO_SOMEBODY: Final = re.compile(
    r"""\b(?:let[ ]me[ ]know|what[ ]do[ ]you|do[ ]you[ ](?:want|think|like)|could[ ]you|should[ ]we
    |if[ ]you[ ](?:would[ ])?prefer|you[ ](?:requested|asked|wanted|suggested|prefer)|thanks[ ](?:to[ ])?@|thank[ ]you
    |cc[ ]@|(?:a|my|this|the)[ ](?:pr|pull[ ]request)|(?:hi|hello|hey)(?=[,!])
    |per[ ](?:the[ ])?review|code[ ]review)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_SAYS_WHERE: Final = r"(?:see|cf\.?|refer\s+to|check(?:\s+out)?|read)(?:\s+also)?"
_MAY_POINT: Final = re.compile(rf"\b{_SAYS_WHERE}\b|^\s*for\b", re.IGNORECASE)
# A sentence that only sends the reader elsewhere ("See #12 for details."), or what is left of one ("See also.",
# "for more on what led to this.").
_POINTER: Final = re.compile(
    rf"""^(?:[*+-]\s+)?\(?(?:{_SAYS_WHERE}(?:[\s,;]+(?:and|or|also|the|this|issue|pr|comment|commit|{_NUMBER}))*
        (?:\s*\bfor\b(?:\s+(?:more|further|additional|the|some|full|an?|details?|discussion|information|info|context
            |background|explanation|rationale|reasons?|examples?|on|about|of|what|why|how|led|to|this|that|it))+)?
      | (?-i:for)\s+(?:(?:more|further|additional|the|some|full)\s+)*(?:details?|discussion|information|info|context
          |background|rationale|what\s+led\s+to\s+this)\b(?!.*\bsee\b)[^.:]*
      )[\s.)]*$""",
    re.IGNORECASE | re.VERBOSE,
)
_FIRST_PERSON: Final = re.compile(r"\bI\b|\bI'|\bi'?m\b|\bmy\b|\bim\b")
_ASIDE_CHARACTERS: Final = 170
_FEW_CHARACTERS: Final = 20
_STEM: Final = 4
"""Words with the same first letters are the same word in another form."""

_ANNOUNCES: Final = re.compile(
    r"^(?:here|these|those|see|for)\b|\bfollowing\b|\bsee the\b"
    r"|\b(?:see|here|following|below|also|more|in|from|by|of|at|to|per|via|with|on|and|are|is)$",
    re.IGNORECASE,
)
_WORDS_OF_A_SENTENCE: Final = 5
_NEEDS_IT: Final = r"(?:see|also|cf\.?|read|mirrors?|follows|matches|in|from|by|of|at|to|per|via|with|on|and)"
"""Words that say nothing without what comes after them."""

_FOOTNOTE: Final = re.compile(r"\[(\d)\]")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(\[])")
_LIST_LINE: Final = re.compile(r"^\s*(?:[*+-]|\d+[.)])\s")
_BULLET: Final = re.compile(r"^\* (.*)")


def clean(message: str) -> str:
    """`message` without trailers, references, asides to a reviewer, and the log of squashed commits.

    One of more than `MAX_MESSAGE_CHARACTERS` is left as it is.

    "(#123)" goes as well: the number is known only after the pull request is opened, so a model that learnt to write
    it would invent it. Numbers inside a sentence stay, they carry its meaning.
    """
    if len(message) > MAX_MESSAGE_CHARACTERS:
        return message
    lines = [_MARKS.sub("", line).rstrip() for line in message.replace("\r\n", "\n").split("\n")]
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        return ""
    subject, rest = _joined(lines[0].strip(), lines[1:])
    if len(subject) <= MAX_LINE_CHARACTERS:
        subject = _without_ending(_LEADING.sub("", subject))
        subject = _TWICE.sub(r"\1", " ".join(subject.split()))
    body = _body(_without_trailers(rest), subject)
    return f"{subject}\n\n{body}" if body else subject


def _without_ending(subject: str) -> str:
    """A subject without references at its end, and without the word that led to them ("test for #12")."""
    stripped = _ENDING.sub("", _ENDING.sub("", subject)).strip()
    return subject.strip() if stripped == subject.strip() else _LED.sub("", stripped)


def _joined(subject: str, rest: list[str]) -> tuple[str, list[str]]:
    """A subject that a web page cut and went on with in the body ("Fix the va… / …lve"), made whole."""
    for mark in ("…", "..."):
        following = [n for n, line in enumerate(rest) if line.strip()]
        if subject.endswith(mark) and following and rest[following[0]].lstrip().startswith(mark):
            n = following[0]
            return subject.removesuffix(mark) + rest[n].lstrip().removeprefix(mark), rest[n + 1 :]
    return subject, rest


def _without_trailers(lines: list[str]) -> list[str]:
    """The lines without trailers and bare references; one that goes on with the sentence before it stays in it."""
    kept: list[str] = []
    gone = False  # a reference that may have been announced
    for line in [*lines, ""]:
        if gone and not line.strip():
            kept = _without_last_announcement(kept)
        gone = gone and not line.strip()
        if len(line) <= MAX_LINE_CHARACTERS:
            if _TRAILER.match(line):
                continue
            inside = (
                bool(kept) and bool(kept[-1].strip()) and not kept[-1].rstrip().endswith((".", ":", "!", "?", ")"))
            )
            if not inside and _is_reference(line):
                gone = True
                continue
        kept.append(line)
    return kept


def _without_last_announcement(lines: list[str]) -> list[str]:
    """The lines without the sentence at their end that announces references which are gone ("Recorded upstream:")."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    if not end or not lines[end - 1].endswith(":"):
        return lines
    start = end
    while start and lines[start - 1].strip():
        start -= 1
    text = "\n".join(lines[start:end])
    said = _SENTENCE.split(text)[-1].removesuffix(":")
    # What says something by itself stays, as a sentence.
    empty = len(said.split()) < _WORDS_OF_A_SENTENCE or _ANNOUNCES.search(said)
    text = _without_announcement(text) if empty else f"{text.removesuffix(':')}."
    return [*lines[:start], *text.split("\n"), *lines[end:]]


def _is_reference(line: str) -> bool:
    """Whether a line only names issues, commits or addresses ("Closes #12, see also #13")."""
    rest, found = _NUMBERS.subn(" ", line)
    return found > 0 and not re.search(r"[^\W\d]", _VERBS.sub(" ", rest))


def _body(lines: list[str], subject: str) -> str:
    """What of the body explains the change, in its own words."""
    paragraphs = [part.strip("\n") for part in re.split(r"\n[ \t]*\n", "\n".join(lines)) if part.strip()]
    kept: list[str] = []
    said: set[str] = set()
    for paragraph in _unsquashed(paragraphs, subject):
        text = _knowable(_IN_BRACKETS.sub("", _OPENING.sub("", paragraph)))
        plain = _plain(text)
        if text.strip() and plain not in said and not _is_empty(text) and not _is_aside(text):
            kept.append(text)
            said.add(plain)
        elif kept:
            kept[-1] = _without_announcement(kept[-1])
    body = _without_footnotes(_strip_ending("\n\n".join(part for part in kept if part)))
    return "" if _repeats(body, subject) else body


def _is_empty(paragraph: str) -> bool:
    """Whether a paragraph is one line that would fit any change ("Update README.md")."""
    short = len(paragraph) <= MAX_LINE_CHARACTERS and "\n" not in paragraph
    return short and says_nothing(paragraph.lstrip("*+- "))


def _repeats(body: str, subject: str) -> bool:
    """Whether a body says the subject once more, as it is or in hardly other words."""
    if len(body) > 2 * len(subject) + _FEW_CHARACTERS:
        return False
    there = {word[:_STEM] for word in _plain(subject).split()}
    said = [word for word in _plain(body).split() if len(word) >= _STEM]
    new = sum(word[:_STEM] not in there for word in said)
    return new * 3 <= len(said)


def _knowable(paragraph: str) -> str:
    """A paragraph without the sentences that name what the change does not show, or that speak to a reviewer.

    Code and tables stay as they are; a list loses the items.
    """
    if len(paragraph) > MAX_PARAGRAPH_CHARACTERS or paragraph[:1] in " \t`|>":
        return paragraph
    if not (_UNKNOWABLE.search(paragraph) or _TO_SOMEBODY.search(paragraph) or _MAY_POINT.search(paragraph)):
        return paragraph
    lines = paragraph.split("\n")
    if any(_LIST_LINE.match(line) for line in lines):
        return "\n".join(line for line in lines if not _is_unfit(line))
    sentences = _SENTENCE.split(" ".join(line.strip() for line in lines))
    kept = [one for one in sentences if not _is_unfit(one)]
    if len(kept) == len(sentences):
        return paragraph
    return textwrap.fill(" ".join(kept), 72, break_long_words=False, break_on_hyphens=False)


def _is_unfit(text: str) -> bool:
    return bool(_UNKNOWABLE.search(text) or _TO_SOMEBODY.search(text) or _POINTER.match(text))


def _is_aside(paragraph: str) -> bool:
    """Whether a paragraph is said to somebody rather than about the change."""
    if len(paragraph) > MAX_PARAGRAPH_CHARACTERS:
        return False
    if _SMILEY.search(paragraph):
        return True
    if len(paragraph) > _ASIDE_CHARACTERS:
        return bool(_CREDIT.search(paragraph)) and len(paragraph) < 2 * _ASIDE_CHARACTERS
    return bool(_CREDIT.search(paragraph) or _CHAT.search(paragraph) or _FIRST_PERSON.search(paragraph))


def _without_announcement(text: str) -> str:
    """`text` without a last sentence that announces what is gone ("The reports are these:")."""
    if not text.endswith(":") or text[:1] in " \t`|>" or len(text) > MAX_PARAGRAPH_CHARACTERS:
        return text
    sentences = _SENTENCE.split(text)
    return "" if len(sentences) == 1 else text[: -len(sentences[-1])].rstrip()


def _without_footnotes(body: str) -> str:
    """`body` without marks such as [1] whose notes are gone, and without notes whose text is."""
    for number in dict.fromkeys(_FOOTNOTE.findall(body)):
        if not re.search(rf"^\s*\[{number}\]:?\s*\S", body, re.MULTILINE):
            mark = rf"\s?\[{number}\](?=[\s.,;:)]|$)"
            if re.search(rf"\b{_NEEDS_IT}{mark}", body, re.IGNORECASE):
                body = "\n\n".join(_without_sentences(part, f"[{number}]") for part in body.split("\n\n")).strip()
            body = re.sub(rf"(?<=[\w.,)`'\"]){mark}", "", body)
    return body


def _without_sentences(part: str, mark: str) -> str:
    """A paragraph without the sentences in which `mark` stands for a thing ("This mirrors [1].")."""
    if mark not in part or _LIST_LINE.match(part) or part[:1] in " \t`|>":
        return part
    sentences = _SENTENCE.split(" ".join(line.strip() for line in part.split("\n")))
    needs = re.compile(rf"\b{_NEEDS_IT}\s?{re.escape(mark)}", re.IGNORECASE)
    kept = [one for one in sentences if not needs.search(one)]
    if len(kept) == len(sentences):
        return part
    return textwrap.fill(" ".join(kept), 72, break_long_words=False, break_on_hyphens=False)


# --- squashed commits --------------------------------------------------------------------------------------------

_NOISE_BULLET: Final = re.compile(
    r"^(?:\[[\w.-]+\]|fixup!|squash!|amend!|merge\b|revert\b|updat(?:e|ing) [\w./-]+$|apply suggest|format|wip\b)",
    re.IGNORECASE,
)
_NOISE_PROSE: Final = re.compile(r"^(?:for more information, see http\S+|\* \[)", re.IGNORECASE)
MAX_SQUASHED: Final = 2
_STEPS: Final = 3
_STEP_CHARACTERS: Final = 80


def _unsquashed(paragraphs: list[str], subject: str) -> list[str]:
    """The paragraphs of a body that a web page made by joining commits: "* subject", then what its body said.

    The subjects tell how the work went, not what changed, and go. The prose stays where it belongs to one or two
    commits; with more, it speaks of steps that later ones undid.
    """
    if len(paragraphs) >= _STEPS and not any(map(_is_sentence, paragraphs)):
        return []  # one line a commit, without bullets
    bullets = [found[1] for part in paragraphs if (found := _BULLET.match(part)) and "\n*" not in part]
    if not bullets or not _is_log(bullets, paragraphs, subject):
        return paragraphs
    real = [one for one in bullets if not _NOISE_BULLET.match(one)]
    if len(real) > MAX_SQUASHED:
        return []
    return [part for part in paragraphs if not _BULLET.match(part) and not _NOISE_PROSE.match(part)]


def _is_sentence(paragraph: str) -> bool:
    """Whether a paragraph is more than one short line like the subject of a commit."""
    return "\n" in paragraph or len(paragraph) > _STEP_CHARACTERS or paragraph.endswith((".", ":", "!", "?"))


def _is_log(bullets: list[str], paragraphs: list[str], subject: str) -> bool:
    """Whether bullets, each a paragraph of its own, are the subjects of joined commits."""
    first = _BULLET.match(paragraphs[0])
    if first and _plain(first[1])[:30] == _plain(subject)[:30]:
        return True
    return len(bullets) >= 2 or any(_NOISE_BULLET.match(one) for one in bullets)


def _plain(text: str) -> str:
    """`text` for comparing: letters and digits alone, references gone."""
    return re.sub(r"[\W_]+", " ", _NUMBERS.sub(" ", text[:400])).strip().lower()


def _strip_ending(body: str) -> str:
    """`body` without references at its very end ("… as before. Fixes #12"), nor what announced one ("see:")."""
    tail = body[-2 * MAX_LINE_CHARACTERS :]
    stripped = re.sub(rf"(?<=[.!?)])\s+(?:{_VERB})[\s:]+(?:{_NUMBER})[.\s]*$", "", tail, flags=re.IGNORECASE)
    whole = (body[: -2 * MAX_LINE_CHARACTERS] + stripped).rstrip()
    head, parted, last = whole.rpartition("\n\n")
    return f"{head}{parted}{_without_announcement(last)}".rstrip()
