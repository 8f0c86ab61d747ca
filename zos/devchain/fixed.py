"""Owns the runtime's arithmetic: unsigned fixed point with 64 fraction bits, and percentages of amounts. Pure.

A fixed-point number is an int that counts 2**-64. Products and quotients are cut off, never rounded; only `rounded`
rounds (half up). Python's integers cannot overflow, so what the runtime would wrap is simply larger here.
"""

from __future__ import annotations

from fractions import Fraction

BITS = 64
HALF = 1 << (BITS - 1)


def num(value: int) -> int:
    """A whole number as fixed point."""
    return value << BITS


def of_float(value: float) -> int:
    """A float, exactly as far as 64 bits hold it: the runtime writes its factors as doubles (0.7 is a bit less)."""
    exact = Fraction(value)
    return (exact.numerator << BITS) // exact.denominator


def mul(a: int, b: int) -> int:
    """A product of two."""
    return a * b >> BITS


def div(a: int, b: int) -> int:
    """A quotient of two; the divisor must not be 0."""
    return (a << BITS) // b


def rounded(value: int) -> int:
    """To the nearest whole number, half up."""
    return (value + HALF) >> BITS


def percent(part: int, amount: int) -> int:
    """So many percent of an amount, to the nearest unit, half down (Perbill and Percent do so)."""
    whole, rest = divmod(amount * part, 100)
    return whole + (rest > 50)
