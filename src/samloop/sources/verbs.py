"""The verbs that documentation is made of, in their base form and as gerunds."""

from __future__ import annotations

import re
from typing import Final

_VERBS: Final = frozenset(
    """access activate adapt add adjust allow analyze animate append apply assign attach audit authenticate authorize
    automate avoid await benchmark bind bootstrap break build bundle bypass cache calculate call cancel capture catch
    change check choose clean clear clone close collect combine compare compile compose compute configure connect
    construct contain contribute control convert copy count create customise customize debug declare decode decouple
    decrypt define delete deliver deploy deprecate derive describe deserialize design destroy detect determine develop
    diagnose disable discover display distribute document download drain drop dump edit embed enable encode encrypt
    enforce ensure escape evaluate examine exclude execute expand explore export expose figure extend extract fetch
    filter find
    fix force format generate get group guard handle hide host identify ignore implement import improve include
    increase indent index infer inherit initialize inject insert inspect install integrate intercept
    interpolate invoke
    isolate iterate join jump keep launch lay learn leverage limit link lint list load lock log loop maintain make
    manage manipulate map mark match measure merge migrate minify mock model modify monitor mount move name navigate
    nest normalize obtain omit open optimise optimize order organize output override package parse pass patch perform
    persist pick plan play populate prepare preprocess press prevent print process profile program propagate protect
    provide publish pull push put query raise read rebuild receive recover redirect reduce refactor refer refine
    refresh register reject release reload remove rename render repair repeat replace report reproduce request require
    reset resize resolve restart restore restrict retrieve return reuse reverse review revert rewrite rotate round
    route run sample save scale scan schedule search secure select send separate serialize serve set setup share ship
    show shut sign simplify simulate skip slice solve sort specify split start stop store stream structure style
    submit subscribe supply support suppress switch synchronize tag take terminate test throw toggle trace track train
    transfer transform translate traverse treat trigger troubleshoot try tune turn understand uninstall unpack
    unsubscribe update upgrade upload use utilize validate verify view visualize wait walk watch wire work wrap
    write""".split()
)
# Verbs that are as often nouns: an imperative only before a determiner or the like.
_ALSO_NOUNS: Final = frozenset(
    """access archive focus reference scroll render audit benchmark bind
    break build bundle cache call catch change check clone control copy count debug
    design display document download drop dump edit embed escape export filter fix force format group guard
    host import
    index insert join jump keep link lint list load lock log loop make map mark match measure mock model mount move
    name order output override package pass patch plan play press print process profile program pull push query raise
    read release report request reset return reverse review route run sample scale scan schedule search
    select set setup
    share ship show sign slice sort split start stop store stream structure style support switch tag take test throw
    trace track train transfer trigger try turn update upgrade upload use view wait walk watch work wrap""".split()
)
_DETERMINERS: Final = frozenset(
    "a an the your my our its their this that these those all any each every multiple several some custom new "
    "existing "
    "from to with into on up off out another more".split()
)
_CONSONANT_DOUBLED: Final = re.compile(r"[^aeiou][aeiou][bdglmnprt]$")


def _gerunds() -> dict[str, str]:
    found = {}
    for verb in sorted(_VERBS):
        if verb.endswith("ie"):
            found[verb[:-2] + "ying"] = verb
        elif verb.endswith("e") and not verb.endswith("ee"):
            found[verb[:-1] + "ing"] = verb
        else:
            if _CONSONANT_DOUBLED.search(verb):
                found[verb + verb[-1] + "ing"] = verb
            found[verb + "ing"] = verb
    return found


GERUNDS: Final = _gerunds()


def as_reader(text: str) -> str:
    """What a document says to its reader, as the reader says it."""
    text = re.sub(r"\b([Yy])our\b", "my", text)
    text = re.sub(r"\byourself\b", "myself", text)
    return re.sub(r"\byou\b", "I", text)


def is_verb(word: str) -> bool:
    """Whether a word is one of the verbs that documentation is made of, in its base form."""
    return word in _VERBS


def is_imperative(first: str, words: list[str]) -> bool:
    """Whether a heading's or task's words begin with a verb in its base form that tells what to do."""
    if first not in _VERBS or len(words) < 2 or (first == "open" and words[1].lower().startswith("source")):
        return False
    if first not in _ALSO_NOUNS:
        return not words[1].lower().startswith(("and", "or", "/", "&", "-", "mode", "option"))
    return words[1].lower() in _DETERMINERS
