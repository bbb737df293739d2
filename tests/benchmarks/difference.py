"""How certain a median is."""

from collections.abc import Sequence
from math import comb

CERTAINTY = 0.95


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return two of the values that have the true median between them, with 95 % or more.

    Of n independent values, the number below the true median has a binomial distribution, whatever
    the distribution of the values. Fewer than six are not enough: the result is their range.
    """
    ordered, left_out, outside = sorted(values), 0, 0.0
    while True:
        outside += 2 * comb(len(ordered), left_out) / 2 ** len(ordered)
        if outside > 1 - CERTAINTY:
            break
        left_out += 1
    lowest = max(left_out - 1, 0)
    return ordered[lowest], ordered[-1 - lowest]
