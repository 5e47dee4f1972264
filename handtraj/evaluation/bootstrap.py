"""Intervals that respect whole groups: lines of one writer are not independent.

The cluster bootstrap draws whole groups (mostly writers) with replacement and
takes the percentiles of what the statistic becomes (Efron & Tibshirani 1993,
chapters 8 and 13; Field & Welsh 2007, section 3).  Lines are never drawn one by
one: two lines of one writer tell less than lines of two writers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Estimate", "bootstrap", "bootstrap_sums", "ratio"]

#: Group sums are drawn in blocks of about this many numbers, to bound memory.
_BLOCK = 4_000_000

SumsFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Estimate:
    """A measured value, its interval, and what it rests on.

    Parameters
    ----------
    value : float
        The statistic of the data as they are.
    low, high : float or None
        Ends of the interval; None where there is only one group, since one
        group says nothing about how groups differ.
    n : int
        Units resampled: groups (writers).
    items : int
        Items in them (lines).
    """

    value: float
    low: float | None
    high: float | None
    n: int
    items: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON: value, interval ([low, high], or None with one group), n, items."""
        interval = None if self.low is None or self.high is None else [self.low, self.high]
        return {"value": self.value, "interval": interval, "n": self.n, "items": self.items}

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3g} (one group: no interval)"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}] (n = {self.n})"


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """First column over second, shape (…, 2) -> (…): an error rate from edits and characters."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 0] / sums[..., 1]


def bootstrap(
    values: ArrayLike,
    groups: Sequence[Hashable] | NDArray[Any] | None = None,
    statistic: Callable[[NDArray[np.float64]], float] | None = None,
    *,
    level: float = 0.95,
    draws: int = 2000,
    generator: np.random.Generator | None = None,
) -> Estimate:
    """A statistic of items with the percentile interval of the cluster bootstrap.

    With few groups percentile intervals are too narrow: for normal group means
    those said to hold 95 % hold 93 % with 20 groups and 90 % with 10.

    Parameters
    ----------
    values : array, shape (items,) or (items, …)
        Only a `statistic` of one's own takes more than one dimension.
    groups : sequence, length items, optional
        The group (writer) of each item; default: every item its own.
    statistic : callable, optional
        Takes the items of a resample, along the first axis, and returns a
        number.  It is called once a draw.  Default: the mean over items,
        without a loop.  For rates see :func:`bootstrap_sums`.
    level : float
        Share of the interval, in (0, 1).
    draws : int
        Number of resamples.
    generator : numpy Generator, optional
        Default: one seeded with 0, so that a number printed twice is the same.

    Returns
    -------
    Estimate
        Without an interval (low and high None) if there is one group only.

    Raises
    ------
    ValueError
        If there are no items, groups do not fit them, the value is not finite,
        or level or draws are out of range.
    """
    items = np.asarray(values, dtype=np.float64)
    if statistic is None:
        if items.ndim != 1:
            raise ValueError(
                f"the mean takes values of shape (items,), got {items.shape}; "
                "give a statistic, or use bootstrap_sums for rates"
            )
        table = np.column_stack([items, np.ones(len(items))])
        return bootstrap_sums(table, groups, level=level, draws=draws, generator=generator)
    members = _members(len(items), groups)
    _check(level, draws)
    value = float(statistic(items))
    rng = generator or np.random.default_rng(0)
    found = np.empty(draws if len(members) > 1 else 0)
    for k in range(len(found)):
        chosen = rng.integers(len(members), size=len(members))
        found[k] = statistic(items[np.concatenate([members[g] for g in chosen])])
    return _estimate(value, found, level, len(members), len(items))


def bootstrap_sums(
    columns: ArrayLike,
    groups: Sequence[Hashable] | NDArray[Any] | None = None,
    of: SumsFunction = ratio,
    *,
    level: float = 0.95,
    draws: int = 2000,
    generator: np.random.Generator | None = None,
) -> Estimate:
    """A function of sums over items, such as a rate, all draws at once.

    Parameters
    ----------
    columns : array, shape (items, k)
        What is summed over items.  A character error needs edits and
        characters; the error of written lines over that of real lines needs
        four columns, and `of` then divides two ratios, both resampled with the
        same writers.
    groups : sequence, length items, optional
        As for :func:`bootstrap`.
    of : callable
        From sums, shape (…, k), to values, shape (…); it must not loop.
    level, draws, generator
        As for :func:`bootstrap`.

    Returns
    -------
    Estimate
        As for :func:`bootstrap`.  Draws in which `of` is not finite (nothing to
        divide by) are left out of the percentiles.

    Raises
    ------
    ValueError
        As for :func:`bootstrap`.
    """
    table = np.asarray(columns, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"columns must have shape (items, k), got {table.shape}")
    members = _members(len(table), groups)
    _check(level, draws)
    sums = np.array([table[m].sum(axis=0) for m in members])
    value = float(of(sums.sum(axis=0)))
    size = len(members)
    rng = generator or np.random.default_rng(0)
    parts = []
    left = draws if size > 1 else 0
    while left:
        block = min(left, max(1, _BLOCK // size))
        # How often each group is drawn is all that a sum needs to know.
        times = rng.multinomial(size, np.full(size, 1 / size), size=block)
        parts.append(np.asarray(of(times @ sums), dtype=np.float64))
        left -= block
    found = np.concatenate(parts) if parts else np.empty(0)
    return _estimate(value, found, level, size, len(table))


def _members(
    items: int, groups: Sequence[Hashable] | NDArray[Any] | None
) -> list[NDArray[np.int64]]:
    """Positions of the items of every group."""
    if not items:
        raise ValueError("there is nothing to resample: got no items")
    if groups is None:
        return list(np.arange(items)[:, None])
    if isinstance(groups, str) or len(groups) != items:
        raise ValueError(f"{items} items need as many groups, got {len(groups)}")
    where: dict[Hashable, list[int]] = {}
    for at, group in enumerate(groups):
        where.setdefault(group, []).append(at)
    return [np.array(w, dtype=np.int64) for w in where.values()]


def _check(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if draws < 1:
        raise ValueError(f"draws must be >= 1, got {draws}")


def _estimate(
    value: float, found: NDArray[np.float64], level: float, n: int, items: int
) -> Estimate:
    if not math.isfinite(value):
        raise ValueError(f"the statistic of the {items} items is {value}, not a finite number")
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(value, None, None, n, items)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n, items)
