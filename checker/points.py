"""Points as they are told: two decimals at most, rounded one way everywhere."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_HUNDREDTH = Decimal("0.01")


def rounded(value: float) -> float:
    """Return *value* with two decimals; a half goes up, as people round: 84.995 is 85.

    What sums of floats are off by, from the seventh decimal on, decides nothing.
    """
    return float(Decimal(repr(round(value, 6))).quantize(_HUNDREDTH, ROUND_HALF_UP))


def told(value: float) -> str:
    """Return *value* rounded, without needless zeros: 20, 2.5, 3.33."""
    return f"{rounded(value):.2f}".rstrip("0").rstrip(".")
