"""One written line as a vector of numbers, for telling writers apart.

:mod:`handtraj.evaluation.features` holds six interpretable ones; here there are
139, made for a classifier: histograms of directions and of turns (after Bulacu &
Schomaker 2007, section 3), quantiles of sizes, heights and gaps, and what the
sampling in time shows of the pen's speed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import Ink

__all__ = ["GROUPS", "LINE_FEATURES", "check_groups", "line_features"]

#: Groups of features: what remains whatever the pen's tempo, and the tempo.
GROUPS = ("shape", "timing")
#: Step of the path, in x-heights: about that of the corpus, six points a vertical run.
STEP = 0.2
_SIZES = {
    "shape": {
        "direction": 12,
        "turn": 9,
        "bend": 9,
        "height": 7,
        "feet": 3,
        "tops": 3,
        "stroke_length": 3,
        "stroke_width": 3,
        "stroke_height": 4,
        "per_advance": 4,
        "entry": 8,
        "exit": 8,
        "air_direction": 8,
        "air": 4,
        "gap": 6,
        "slant": 5,
    },
    "timing": {
        "speed": 5,
        "change": 5,
        "speed_by_direction": 8,
        "time_by_direction": 8,
        "speed_by_turn": 5,
        "time_by_turn": 5,
        "stroke_points": 3,
        "ends": 4,
    },
}
#: Names of the numbers, group by group, in the order of :func:`line_features`.
LINE_FEATURES = {
    group: tuple(f"{name}_{i}" for name, size in sizes.items() for i in range(size))
    for group, sizes in _SIZES.items()
}
#: Borders of the turn bins, in degrees; right turns are negative.
_TURNS = np.radians([-181, -90, -50, -25, -10, 10, 25, 50, 90, 181])
#: Added before logarithms, in x-heights: what is smaller is noise.
_SMALL = 0.05


def line_features(ink: Ink, groups: Sequence[str] = GROUPS) -> NDArray[np.float64]:
    """Describe one line by numbers that need no text.

    Parameters
    ----------
    ink : Ink
        In x-heights, level, six points a vertical run.
    groups : sequence of str
        "shape", taken along the path at even arc length, "timing", taken from
        the points as they are, or both.

    Returns
    -------
    array, shape (F,)
        In the order of :data:`LINE_FEATURES`.  Histograms are square roots of
        shares, so that Euclidean distance is Hellinger's; lengths are in
        x-heights, most of them as logarithms; slants are in degrees.

    Raises
    ------
    ValueError
        If a group is unknown or the ink has fewer than eight points.
    """
    if len(ink) < 8:
        raise ValueError(f"features need at least 8 points, got {len(ink)}")
    check_groups(groups)
    made = {"shape": _shape, "timing": _timing}
    number = np.concatenate([[0], np.cumsum(ink.offsets[:-1, 2] > 0)]).astype(np.int64)
    return np.concatenate([made[g](ink.points, number) for g in GROUPS if g in groups])


def check_groups(groups: Sequence[str]) -> None:
    """Refuse groups that do not exist, none at all, or one given twice.

    Raises
    ------
    ValueError
        If the groups are not some of GROUPS.
    """
    if isinstance(groups, str) or not groups or sorted(set(groups)) != sorted(groups):
        raise ValueError(f"groups must be a tuple of {', '.join(GROUPS)}, got {groups!r}")
    unknown = [g for g in groups if g not in GROUPS]
    if unknown:
        raise ValueError(f"groups must be some of {', '.join(GROUPS)}, got {unknown}")


def _even(
    xy: NDArray[np.float64], number: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All strokes at even arc length, about STEP apart; both ends of each stay."""
    length = np.hypot(*np.diff(xy, axis=0).T) * (number[1:] == number[:-1])
    # One more unit a stroke, so that the position along the ink tells the stroke.
    along = np.concatenate([[0], np.cumsum(length)]) + number
    first, last = _borders(number)
    span = along[last] - along[first]
    count = np.maximum(1, np.rint(span / STEP)).astype(np.int64) + 1
    which = np.repeat(np.arange(len(count)), count)
    part = (np.arange(len(which)) - (np.cumsum(count) - count)[which]) / (count - 1)[which]
    at = along[first][which] + part * span[which]
    return np.column_stack([np.interp(at, along, xy[:, 0]), np.interp(at, along, xy[:, 1])]), which


def _borders(number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last position of every stroke."""
    first = np.flatnonzero(np.concatenate([[True], number[1:] != number[:-1]]))
    return first, np.append(first[1:], len(number)) - 1


def _quantiles(values: NDArray[np.float64], percent: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles, or zeros of nothing; np.percentile is slow on short arrays."""
    if not len(values):
        return np.zeros(len(percent))
    at = np.asarray(percent) / 100 * (len(values) - 1)
    return np.interp(at, np.arange(len(values)), np.sort(values))


def _shares(
    which: NDArray[np.int64], bins: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Square roots of the shares of the bins."""
    count = np.bincount(which, weights, bins).astype(np.float64)
    return np.sqrt(count / max(count.sum(), 1e-9))


def _compass(move: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Bin of each direction; bin 0 is centred on "to the right"."""
    turn = np.arctan2(move[:, 1], move[:, 0]) / (2 * np.pi)
    return np.floor((turn * bins + 0.5) % bins).astype(np.int64) % bins


def _turn(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed angle from one movement to the next, in (-pi, pi], left positive."""
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return np.arctan2(cross, (before * after).sum(axis=1))


def _shape(xy: NDArray[np.float64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    xy, number = _even(xy, number)
    first, last = _borders(number)
    move = np.diff(xy, axis=0)
    drawn = number[1:] == number[:-1]
    length = np.hypot(*move.T) * drawn
    joint = drawn[1:] & drawn[:-1]
    turn = np.digitize(_turn(move[:-1][joint], move[1:][joint]), _TURNS) - 1
    far = number[8:] == number[:-8]
    bend = _turn((xy[4:-4] - xy[:-8])[far], (xy[8:] - xy[4:-4])[far])
    # Feet and tops: where the pen turns from down to up, and back.
    up, next_up, turning = move[:-1, 1][joint], move[1:, 1][joint], xy[1:-1, 1][joint]
    feet, tops = turning[(up < 0) & (next_up >= 0)], turning[(up > 0) & (next_up <= 0)]
    base = float(np.median(feet if len(feet) else xy[:, 1]))
    strokes = np.add.reduceat(np.append(length, 0), first)
    left, low = np.minimum.reduceat(xy, first).T
    right, high = np.maximum.reduceat(xy, first).T
    advance = max(float(np.ptp(xy[:, 0])), 1.0)
    per = [len(first) / advance, strokes.sum() / advance, (len(feet) + 1) / advance]
    long = last - first >= 2
    begin, end = first[long], last[long]
    air = xy[first[1:]] - xy[last[:-1]]
    gap = left[1:] - np.maximum.accumulate(right)[:-1]
    wide = gap > 0.7  # between words; between letters people leave less
    down = drawn & (move[:, 1] < -0.8 * np.abs(move[:, 0]))
    return np.concatenate(
        [
            _shares(_compass(move, 12), 12, length),
            _shares(turn, 9),
            _shares(np.digitize(bend, _TURNS) - 1, 9),
            _quantiles(xy[:, 1] - base, [2, 10, 25, 50, 75, 90, 98]),
            _quantiles(feet - base, [10, 25, 90]),
            _quantiles(tops - base, [10, 50, 90]),
            np.log(_quantiles(strokes, [25, 50, 90]) + _SMALL),
            np.log(_quantiles(right - left, [25, 50, 90]) + _SMALL),
            _quantiles(high - low, [10, 25, 50, 90]),
            np.log(np.array([*per, np.mean(strokes < 0.3)]) + _SMALL),
            _shares(_compass(xy[begin + 2] - xy[begin], 8), 8),
            _shares(_compass(xy[end] - xy[end - 2], 8), 8),
            _shares(_compass(air, 8), 8),
            np.log(_quantiles(np.hypot(*air.T), [10, 50, 90]) + _SMALL),
            [np.mean(air[:, 0] < -0.5) if len(air) else 0.0],
            _quantiles(gap[wide], [25, 50, 75]),
            _quantiles(gap[~wide], [10, 50, 90]),
            np.degrees(
                _quantiles(np.arctan2(-move[down, 0], -move[down, 1]), [10, 25, 50, 75, 90])
            ),
        ]
    )


def _timing(xy: NDArray[np.float64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    first, last = _borders(number)
    move = np.diff(xy, axis=0)
    speed = np.hypot(*move.T)
    drawn = number[1:] == number[:-1]
    joint = drawn[1:] & drawn[:-1]
    change = np.log((speed[1:] + _SMALL) / (speed[:-1] + _SMALL))[joint]
    way = _compass(move[drawn], 8)
    turn = np.abs(_turn(move[:-1][joint], move[1:][joint]))
    sharp = np.digitize(turn, np.radians([8, 20, 40, 80]))
    pace = (speed[1:] + speed[:-1])[joint] / 2
    usual = float(np.median(speed[drawn])) if drawn.any() else 0.0
    whole = last - first >= 3
    begin, end = first[whole], last[whole]
    ends = [speed[at] for at in (begin, begin + 1, end - 1, end - 2)]
    return np.concatenate(
        [
            np.log(_quantiles(speed[drawn], [5, 25, 50, 75, 95]) + _SMALL),
            _quantiles(change, [5, 25, 50, 75, 95]),
            _mean_log(way, speed[drawn], 8),
            _shares(way, 8),
            _mean_log(sharp, pace, 5),
            _shares(sharp, 5),
            np.log(_quantiles((last - first + 1).astype(np.float64), [25, 50, 90])),
            [np.log((np.median(e) + _SMALL) / (usual + _SMALL)) if len(e) else 0.0 for e in ends],
        ]
    )


def _mean_log(
    which: NDArray[np.int64], values: NDArray[np.float64], bins: int
) -> NDArray[np.float64]:
    """Log of the mean value in each bin, drawn towards that of all by one item's weight."""
    total = np.bincount(which, values, bins) + (values.mean() if len(values) else 0.0)
    return np.log(total / (np.bincount(which, minlength=bins) + 1) + _SMALL)
