from __future__ import annotations

import json
import math

import pytest

from samloop.adapters.gate import Decision, Primary, gate
from samloop.errors import UsageError
from samloop.protocols import Comparison, Interval
from samloop.settings import Gate

POLICY = Gate()


def measured(name, gain, spread, *, worse, items=400, champion=None, unit=None, better="lower") -> Comparison:
    """A comparison with this gain, an interval of ± spread, and this chance of being worse."""
    share = name not in ("bits_per_byte", "retention_perplexity", "corrections_margin")
    unit = unit or ("share" if share else "bits per byte")
    better = "higher" if name.startswith(("routing", "corrections")) else better
    champion = champion if champion is not None else (0.8 if share else 2.0)
    sign = 1 if better == "higher" else -1
    after = champion + sign * gain
    return Comparison(
        suite="s",
        name=name,
        unit=unit,
        better=better,
        items=items,
        groups=items,
        champion=Interval(mean=champion, low=champion, high=champion),
        challenger=Interval(mean=after, low=after, high=after),
        gain=Interval(mean=gain, low=gain - spread, high=gain + spread),
        worse_chance=worse,
        error=spread / 2,
    )


def bits(gain=0.0, spread=0.01, worse=0.5, **more):
    return measured("bits_per_byte", gain, spread, worse=worse, **more)


def routing(gain=0.0, spread=0.01, worse=0.5, **more):
    return measured("routing_accuracy", gain, spread, worse=worse, **more)


def retention(gain=0.0, spread=0.01, worse=0.5):
    return measured("retention_perplexity", gain, spread, worse=worse, champion=10.0, unit="per token")


def repetition(gain=0.0, spread=0.002, worse=0.5):
    return measured("repetition_rate", gain, spread, worse=worse, champion=0.03)


def margin(gain=0.0, spread=0.01, worse=0.5, items=60):
    return measured("corrections_margin", gain, spread, worse=worse, items=items, unit="nats", champion=1.0)


def produced(gain=0.0, spread=0.01, worse=0.5):
    return measured("corrections_produced", gain, spread, worse=worse, items=60)


def kept(gain, items):
    return measured("corrections_kept", gain, 0.5, worse=0.9, items=items, champion=1.0)


def decide(*comparisons, policy=POLICY, **more) -> Decision:
    return gate(comparisons, policy, slot="main", challenger="ad-new", champion="ad-old", **more)


TABLE = [
    # what happened, comparisons, verdict, words of the first reason
    ("better", [bits(0.2, worse=0.0), routing()], "promote", "primary measure is better beyond doubt"),
    ("better, nothing else measured", [bits(0.2, worse=0.019)], "promote", "better beyond doubt"),
    ("doubt is shared by two measures", [bits(0.2, worse=0.019), routing()], "undecided", "No difference"),
    ("equal", [bits(), routing()], "undecided", "No difference beyond doubt"),
    ("equal, secondary better", [bits(0.0), routing(0.1, worse=0.0)], "promote", "routing accuracy on 400 items"),
    ("secondary better with doubt", [bits(), routing(0.1, worse=0.02)], "undecided", "No difference"),
    ("perhaps worse, secondary better", [bits(-0.01, 0.04, 0.7), routing(0.1, worse=0.0)], "undecided", "No diff"),
    ("worse", [bits(-0.2, worse=1.0), routing()], "refuse", "primary measure is worse beyond doubt"),
    ("worse, secondary better", [bits(-0.2, worse=1.0), routing(0.1, worse=0.0)], "refuse", "worse beyond doubt"),
    ("better, routing lost", [bits(0.2, worse=0.0), routing(-0.03, worse=0.99)], "refuse", "guard is breached"),
    ("better, routing within margin", [bits(0.2, worse=0.0), routing(-0.019, worse=0.9)], "promote", "better beyond"),
    ("better, forgot", [bits(0.2, worse=0.0), retention(-0.21)], "refuse", "retention perplexity is 2.1% worse"),
    ("better, forgot a little", [bits(0.2, worse=0.0), retention(-0.19)], "promote", "better beyond doubt"),
    ("better, says things twice", [bits(0.2, worse=0.0), repetition(-0.02)], "refuse", "is 2.0 points worse"),
    ("too few", [bits(0.5, worse=0.0, items=150)], "refuse", "50 are missing"),
    ("not measured", [routing(0.5, worse=0.0)], "refuse", "there are 0, so 200 are missing"),
    ("broken", [bits(math.nan, worse=1.0)], "refuse", "not a finite number"),
    ("guard broken", [bits(0.2, worse=0.0), routing(math.nan, worse=1.0)], "refuse", "not a finite number"),
    ("no gain, whatever the chance says", [bits(0.0, worse=0.0)], "undecided", "No difference"),
    ("corrections decide", [margin(0.5, worse=0.0), bits()], "promote", "corrections margin on 60 items"),
    (
        "corrections learnt, answers worse",
        [margin(0.5, worse=0.0), bits(-0.1)],
        "refuse",
        "bits per byte is 5.0% worse",
    ),
    (
        "margin better, says fewer",
        [margin(0.5, worse=0.0), produced(-0.1, worse=1.0)],
        "refuse",
        "worse beyond doubt",
    ),
    ("few corrections", [margin(0.5, worse=0.0, items=49), bits()], "undecided", "No difference"),
    ("corrections equal, answers better", [margin(), bits(0.2, worse=0.0)], "promote", "bits per byte on 400 items"),
    (
        "earlier corrections lost",
        [margin(0.5, worse=0.0), kept(-0.15, 20)],
        "refuse",
        "corrections kept is 15.0 points",
    ),
    ("none learnt before", [bits(0.2, worse=0.0), kept(math.nan, 0)], "promote", "better beyond doubt"),
    ("one of three lost", [margin(0.5, worse=0.0), kept(-1 / 3, 3)], "promote", "better beyond doubt"),
]


@pytest.mark.parametrize(("comparisons", "verdict", "words"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_the_table(comparisons, verdict, words):
    decision = decide(*comparisons)
    assert decision.verdict == verdict
    assert words in decision.reasons[0]
    assert decision.reasons[0][1:] in decision.summary


def test_a_decision_survives_json():
    for row in TABLE:
        decision = decide(*row[1])
        again = Decision.from_dict(json.loads(json.dumps(decision.to_dict())))
        assert json.dumps(again.to_dict()) == json.dumps(decision.to_dict())


def test_missing_items_are_counted():
    assert decide(bits(items=150)).missing_items == 50
    assert decide(bits(items=200)).missing_items == 0
    assert decide().missing_items == POLICY.min_items


def test_the_primary_is_the_first_measure_with_enough_items():
    policy = POLICY.model_copy(update={"min_items": 50})
    first, second = Primary(("other",), "min_items"), Primary(("bits_per_byte",), "min_items")
    few = measured("other", 0.5, 0.1, worse=0.0, items=20)
    many = measured("other", 0.5, 0.1, worse=0.0, items=60)
    assert decide(few, bits(), policy=policy, primaries=(first, second)).verdict == "undecided"
    assert decide(many, bits(), policy=policy, primaries=(first, second)).verdict == "promote"
    assert decide(few, bits(items=10), policy=policy, primaries=(first, second)).missing_items == 30


def test_every_look_is_allowed_less_doubt_and_says_how_much_is_left():
    first, tenth = (decide(bits(0.2, worse=0.001), look=look) for look in (1, 10))
    assert (first.verdict, tenth.verdict) == ("promote", "undecided")
    assert first.allowed_chance == pytest.approx(0.05 * 0.3828, rel=1e-3)
    assert tenth.allowed_chance == pytest.approx(first.allowed_chance / 10**1.5)
    assert first.reasons[-1] == (
        "Look 1 at ad-old: 1.9% of doubt was allowed, and 62% of its 5% is left for later nights."
    )
    assert decide(bits(0.2, worse=1e-7), look=365).verdict == "promote"


def test_too_few_items_are_no_look_and_spend_nothing():
    decision = decide(bits(items=10), look=3)
    assert (decision.look, decision.allowed_chance) == (0, 0.0)
    assert decision.left == decide(bits(), look=2).left


def test_a_look_before_the_first_is_refused():
    with pytest.raises(UsageError, match="counted from 1 on, got look 0"):
        decide(bits(), look=0)


def test_a_decision_of_before_looks_were_counted_is_read():
    plain = decide(bits()).to_dict()
    for name in ("look", "allowed_chance", "left"):
        del plain[name]
    for one in plain["comparisons"]:
        del one["error"]
    assert (Decision.from_dict(plain).look, Decision.from_dict(plain).left) == (0, 1.0)


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [({"routing_margin": 0.05}, "promote"), ({"routing_margin": 0.03}, "refuse"), ({}, "refuse")],
)
def test_margins_come_from_the_policy(policy, verdict):
    assert decide(bits(0.2, worse=0.0), routing(-0.04), policy=Gate(**policy)).verdict == verdict


def test_not_worse_is_shown_relative_to_the_champion_and_beyond_doubt():
    ahead = routing(0.1, worse=0.0)
    assert decide(bits(0.0, 0.02), ahead).verdict == "promote"
    assert decide(bits(0.0, 0.04), ahead).verdict == "undecided"
    assert decide(bits(0.0, 0.04, champion=4.0), ahead).verdict == "promote"
    assert decide(bits(0.0, 0.02), ahead, look=365).verdict == "undecided"


def test_a_guard_with_few_items_is_no_breach_by_noise_and_says_what_it_cannot_rule_out():
    noisy = routing(-0.03, 0.08, worse=0.8, items=40)
    decision = decide(bits(0.2, worse=0.0), noisy)
    assert decision.verdict == "promote"
    said = next(reason for reason in decision.reasons if "cannot rule out" in reason)
    assert said.startswith("Routing accuracy on 40 items cannot rule out a loss of 10.0 points: about ")
    strict = decide(bits(0.2, worse=0.0), noisy, policy=Gate(strict_guards=True))
    assert (strict.verdict, strict.reasons[0]) == ("refuse", said)
    assert decide(bits(0.2, worse=0.0), routing(-0.09, 0.08, worse=0.99, items=40)).verdict == "refuse"
    # A gain so large that no loss is left to be ruled out needs no more items.
    gained = decide(bits(0.2, worse=0.0), routing(0.15, 0.08, worse=0.001, items=40))
    assert not any("cannot rule out" in reason for reason in gained.reasons)


def test_reasons_carry_the_figures_and_the_summary_names_both():
    decision = decide(bits(0.2, 0.05, worse=0.0004), routing(0.15, 0.02, worse=0.0))
    assert decision.reasons[0].endswith(
        "bits per byte on 400 items: champion 2, challenger 1.8, gain +0.2 (interval +0.15 to +0.25), "
        "chance of being no better 0.040%."
    )
    assert decision.reasons[1] == (
        "routing accuracy on 400 items: champion 80.0%, challenger 95.0%, gain +15.0 points "
        "(interval +13.0 points to +17.0 points), chance of being no better 0%."
    )
    assert decision.summary.startswith("ad-new takes the place of ad-old in slot main. The primary")


def test_the_gate_is_pure():
    comparisons = [bits(0.2, worse=0.0), routing()]
    assert decide(*comparisons) == decide(*comparisons)
