"""Tails of Student's t distribution, also far out, without a library for it.

Both directions go through the normal distribution by the approximation of D. Wallace, Bounds on Normal Approximations
to Student's and the Chi-Square Distributions, Annals of Mathematical Statistics 30, 1959: with n degrees of freedom,
z = (8n + 1) / (8n + 3) · √(n · ln(1 + t² / n)). What it gives for a far tail is a little too large, never too small
(7 % of the chance at t = 6 with 5 degrees of freedom, 1 % with 30): it errs towards doubt.
"""

from __future__ import annotations

import math
from statistics import NormalDist


def tail(t: float, degrees: float) -> float:
    """The chance that a t variable lies above `t`."""
    if degrees <= 0:
        return 0.5
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    z = _bend(degrees) * math.sqrt(degrees * math.log1p(t * t / degrees))
    return 0.5 * math.erfc(math.copysign(z, t) / math.sqrt(2))


def quantile(chance: float, degrees: float) -> float:
    """The t above which a t variable lies with `chance`: the inverse of `tail`."""
    if degrees <= 0:
        return math.inf
    z = -NormalDist().inv_cdf(chance)
    exponent = (z / _bend(degrees)) ** 2 / degrees
    return math.copysign(math.sqrt(degrees * math.expm1(exponent)) if exponent < 700 else math.inf, z)


def _bend(degrees: float) -> float:
    return (8 * degrees + 1) / (8 * degrees + 3)
