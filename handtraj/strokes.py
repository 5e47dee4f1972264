"""Geometry of strokes: runs, heights, slopes, resampling, simplification.

Strokes are arrays of positions (n, 2), one position a sample, y up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "deskew",
    "estimate_slope",
    "resample_by_length",
    "resample_in_time",
    "resample_strokes",
    "run_duration",
    "simplify",
    "vertical_runs",
    "x_height",
]

Points = NDArray[np.floating[Any]]


def _join(
    strokes: Sequence[Points],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """All strokes as one array: points, stroke numbers, times; repeats dropped.

    A point equal to its predecessor is dropped, but for the last of a stroke.
    Times count samples and include the dropped ones, so a pen that rests keeps
    its rest.  Working on all strokes at once is what makes reading fast: a
    stroke is short, and numpy's cost is by call.
    """
    parts = [p for p in (np.asarray(s, dtype=np.float64) for s in strokes) if len(p)]
    if not parts:
        return np.empty((0, 2)), np.empty(0, dtype=np.int64), np.empty(0)
    xy = np.concatenate(parts)
    number = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    keep = np.ones(len(xy), dtype=bool)
    border = number[1:] != number[:-1]
    keep[1:] = (xy[1:] != xy[:-1]).any(axis=1) | border
    keep[:-1] |= border
    keep[-1] = True
    return xy[keep], number[keep], np.flatnonzero(keep).astype(np.float64)


def vertical_runs(strokes: Sequence[Points]) -> NDArray[np.float64]:
    """Monotone vertical runs of the pen, as rows (height, duration in samples).

    A run lasts while dy keeps its sign; rests (dy = 0) belong to the run they
    interrupt.  Runs of a line of text are mostly one x-height high, which makes
    them a yardstick that needs no baseline.
    """
    xy, number, times = _join(strokes)
    y = xy[:, 1]
    sign = np.sign(np.diff(y)) * (number[1:] == number[:-1])
    moving = np.flatnonzero(sign)
    if not len(moving):
        return np.empty((0, 2))
    turn = np.flatnonzero((np.diff(sign[moving]) != 0) | (np.diff(number[moving]) != 0))
    # A run ends at the point where the next one, of the other sign, begins.
    ends = np.append(moving[turn], moving[-1]) + 1
    starts = np.append(moving[:1], moving[turn + 1])
    return np.column_stack([np.abs(y[ends] - y[starts]), times[ends] - times[starts]])


def x_height(runs: NDArray[np.float64]) -> float:
    """Median height of the runs larger than a fifth of their 90th percentile.

    Against true heights of a, c, e, m, n… this is about 0.9 of the x-height,
    with little spread between writers.  Returns 0.0 when there is no run.
    """
    height = runs[:, 0]
    if not len(height):
        return 0.0
    large = height[height > 0.2 * np.percentile(height, 90)]
    return float(np.median(large)) if len(large) else 0.0


def run_duration(runs: NDArray[np.float64]) -> float:
    """Median duration, in samples, of the runs that :func:`x_height` uses."""
    if not len(runs):
        return 0.0
    large = runs[:, 0] > 0.2 * np.percentile(runs[:, 0], 90)
    return float(np.median(runs[large, 1])) if large.any() else 0.0


def resample_in_time(stroke: Points, step: float) -> NDArray[np.float64]:
    """Resample one stroke uniformly in time (see :func:`resample_strokes`)."""
    return (resample_strokes([stroke], step) or [np.empty((0, 2))])[0]


def resample_strokes(strokes: Sequence[Points], step: float) -> list[NDArray[np.float64]]:
    """Resample every stroke uniformly in time, about `step` samples apart.

    Both ends of a stroke stay; repeated points are dropped first but keep their
    time, so the pen's tempo survives a tablet that reports a point twice.
    Empty strokes are left out.
    """
    if not step > 0:
        raise ValueError(f"step must be > 0 (samples), got {step}")
    xy, number, times = _join(strokes)
    if not len(xy):
        return []
    first = np.append(0, np.flatnonzero(np.diff(number)) + 1)
    last = np.append(first[1:], len(xy)) - 1
    span = times[last] - times[first]
    count = np.where(span > 0, np.maximum(1, np.rint(span / step)) + 1, 1).astype(np.int64)
    start = np.cumsum(count) - count
    which = np.repeat(np.arange(len(count)), count)
    # np.linspace(0, span, count) of every stroke, one after the other.
    at = (np.arange(len(which)) - start[which]) * (span / np.maximum(count - 1, 1))[which]
    at[start + count - 1] = span
    # Linear interpolation between the samples around `at`.
    right = np.searchsorted(times, at + times[first][which], side="right")
    right = np.clip(right, first[which] + 1, np.maximum(last, first + 1)[which])
    right = np.minimum(right, len(xy) - 1)
    left = np.minimum(right - 1, last[which])
    gap = np.maximum(times[right] - times[left], 1)
    part = at - (times[left] - times[first][which])
    out = xy[left] + ((xy[right] - xy[left]) / gap[:, None]) * part[:, None]
    out[start + count - 1] = xy[last]
    return [out[a : a + n] for a, n in zip(start.tolist(), count.tolist(), strict=True)]


def resample_by_length(stroke: Points, step: float) -> NDArray[np.float64]:
    """Resample one stroke at equal arc length of about `step`; both ends stay."""
    if not step > 0:
        raise ValueError(f"step must be > 0 (units of the ink), got {step}")
    xy, _, _ = _join([stroke])
    if len(xy) < 2:
        return xy
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    if length[-1] == 0:
        return xy[:1]
    at = np.linspace(0.0, length[-1], max(1, round(length[-1] / step)) + 1)
    return np.column_stack([np.interp(at, length, xy[:, 0]), np.interp(at, length, xy[:, 1])])


def estimate_slope(strokes: Sequence[Points]) -> float:
    """Slope (rise over run) of the baseline, robustly.

    Local minima of y mark the feet of letters; the slope is the median of the
    slopes between minima at least a third of the line's width apart, which
    ignores the few descenders (a Theil-Sen estimate on the long pairs).
    Returns 0.0 where the line is too short to tell.
    """
    parts = [p for p in (np.asarray(s, dtype=np.float64) for s in strokes) if len(p)]
    if not parts:
        return 0.0
    xy = np.concatenate(parts)
    inside = np.ones(len(xy), dtype=bool)
    ends = np.cumsum([len(p) for p in parts])
    inside[ends - 1] = inside[0] = False
    inside[ends[:-1]] = False
    y = xy[:, 1]
    low = (y[1:-1] <= y[:-2]) & (y[1:-1] < y[2:]) & inside[1:-1]
    feet = xy[1:-1][low]
    if len(feet) < 4:
        return 0.0
    third = np.ptp(feet[:, 0]) / 3
    # Only feet this far from an end of the line can belong to a long pair.
    right = feet[feet[:, 0] - feet[:, 0].min() > third]
    left = feet[feet[:, 0].max() - feet[:, 0] > third]
    dx = right[:, None, 0] - left[None, :, 0]
    far = dx > third
    if far.sum() < 4:
        return 0.0
    dy = right[:, None, 1] - left[None, :, 1]
    return float(np.median(dy[far] / dx[far]))


def deskew(strokes: Sequence[Points], slope: float) -> list[NDArray[np.float64]]:
    """Take the baseline's slope out by a vertical shear; slant is left as it is."""
    return [
        np.column_stack([s[:, 0], s[:, 1] - slope * s[:, 0]])
        for s in (np.asarray(s, dtype=np.float64) for s in strokes)
    ]


def simplify(stroke: Points, tolerance: float) -> NDArray[np.float64]:
    """Ramer-Douglas-Peucker: fewest points within `tolerance` of the polyline."""
    xy = np.asarray(stroke, dtype=np.float64)
    keep = np.zeros(len(xy), dtype=bool)
    keep[[0, -1]] = True
    stack = [(0, len(xy) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        chord = xy[last] - xy[first]
        rel = xy[first + 1 : last] - xy[first]
        length = float(np.hypot(*chord))
        # A closed loop has no chord: measure from its end point instead.
        away = (
            np.abs(rel[:, 0] * chord[1] - rel[:, 1] * chord[0]) / length
            if length
            else np.hypot(rel[:, 0], rel[:, 1])
        )
        worst = int(away.argmax())
        if away[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            stack += [(first, middle), (middle, last)]
    return xy[keep]
