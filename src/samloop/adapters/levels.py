"""How much doubt each look at the held-out items may spend, so that all looks together err no more than allowed.

Who looks every night is sooner or later lucky. So a champion has one allowance, `gate.max_worse_chance`, for all the
challengers it will ever meet, and the m-th of them may use only the part that `part_of_look` gives. The parts add up
to one over infinitely many looks, so the chance that anything is ever promoted over this champion without being
better is at most the allowance, however the looks hang together (Bonferroni over an unbounded sequence). A promotion
is a discovery: the new champion begins with an allowance of its own. These are the levels based on recent discovery
of A. Javanmard and A. Montanari, Online rules for control of false discovery rate and false discovery exceedance,
Annals of Statistics 46, 2018. With V false ones among R promotions they keep E[V] / E[R + 1] at or below the
allowance: the mFDR of D. Foster and R. Stine, α-investing, Journal of the Royal Statistical Society B 70, 2008.

The parts fall as m^-1.5. That gives the first nights, when most is won, more than the parts which Javanmard and
Montanari propose (0.38, 0.14 and 0.07 of the allowance against 0.05, 0.01 and 0.01), and half of theirs after a year.
"""

from __future__ import annotations

from typing import Final

POWER: Final = 1.5
SUM: Final = 2.612375348685488
"""Riemann's ζ(1.5): what m^-1.5 adds up to over all m from 1 on."""


def part_of_look(look: int) -> float:
    """The part of the allowance that look number `look`, from 1 on, may use."""
    return float(look**-POWER) / SUM


def left_after(look: int) -> float:
    """The part of the allowance that is left for all looks after number `look`; 1 before the first."""
    return 1.0 - sum(part_of_look(one) for one in range(1, look + 1))
