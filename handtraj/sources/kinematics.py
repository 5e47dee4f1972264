"""Pen movement from a path: overlapping lognormal pulses of speed.

In the kinematic theory of rapid movements a pen stroke is a sum of ballistic
strokes, each of which has a lognormal speed (Plamondon 1995, Biol. Cybern.
72:295; sigma-lognormal model, O'Reilly and Plamondon 2009).  Here a ballistic
stroke follows the path from one turning point to the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]

__all__ = ["lognormal_progress", "lognormal_speed", "move_along", "turning_points"]

#: Response time spread of every pulse (dimensionless).
SIGMA = 0.25
#: A turn this sharp ends a ballistic stroke, in degrees.
CORNER = 60.0


def lognormal_speed(
    t: NDArray[np.float64], onset: float, mu: float, sigma: float
) -> NDArray[np.float64]:
    """Speed of a pulse of unit length at times `t` (s), in 1/s (Plamondon 1995)."""
    x = np.maximum(np.asarray(t, dtype=np.float64) - onset, 1e-12)
    bell = np.exp(-0.5 * ((np.log(x) - mu) / sigma) ** 2)
    return bell / (x * sigma * np.sqrt(2 * np.pi))


def lognormal_progress(
    t: NDArray[np.float64],
    onset: NDArray[np.float64] | float,
    mu: NDArray[np.float64] | float,
    sigma: float,
) -> NDArray[np.float64]:
    """Share (0 to 1) of a pulse done by times `t`: the integral of its speed."""
    x = np.maximum(np.asarray(t, dtype=np.float64) - onset, 1e-12)
    return np.asarray(ndtr((np.log(x) - mu) / sigma))


def turning_points(path: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where ballistic strokes begin and end: indices into `path` (n, 2), ends included.

    These are the sharp corners and the points where the pen turns from up to
    down or back, which in handwriting are the extrema of curvature.
    """
    move = np.diff(path, axis=0)
    up = np.sign(move[:, 1])
    # A flat piece has the direction of the piece before it.
    known = np.maximum.accumulate(np.where(up != 0, np.arange(len(up)), 0))
    up = up[known]
    cross = move[:-1, 0] * move[1:, 1] - move[:-1, 1] * move[1:, 0]
    turn = np.abs(np.arctan2(cross, (move[:-1] * move[1:]).sum(1)))
    split = np.flatnonzero((turn > np.radians(CORNER)) | (up[1:] * up[:-1] < 0)) + 1
    return np.concatenate([[0], split, [len(path) - 1]]).astype(np.int64)


def move_along(
    path: NDArray[np.float64], *, tempo: float, overlap: float, rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw a path with lognormal pulses, sampled evenly in time.

    Parameters
    ----------
    path : array, shape (n, 2)
        Corners of the path, in x-heights; repeats are allowed.
    tempo : float
        Seconds a ballistic stroke of one x-height takes; a stroke D long takes
        D ** (1 / 3) of it (isochrony: longer ones are drawn faster).
    overlap : float
        Share of a pulse (0 to 1) that the next one overlaps; rounds corners.
    rate : float
        Samples a second.

    Returns
    -------
    points : array, shape (T, 2)
        From the first to the last point of the path, both exact.
    done : array, shape (T,)
        Length drawn so far, from 0 to the length of the path, not decreasing.
    """
    keep = np.append(True, (np.diff(path, axis=0) != 0).any(axis=1))
    path = path[keep]
    if len(path) == 1:
        return path.copy(), np.zeros(1)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    ends = arc[turning_points(path)]
    start, length = ends[:-1], np.diff(ends)
    # Very short strokes are not made in no time.
    spans = tempo * np.maximum(length, 0.1) ** (1 / 3)
    onset = np.concatenate([[0.0], np.cumsum(spans[:-1] * (1.6 - overlap))])
    total = float(onset[-1] + spans[-1] * np.exp(2.2 * SIGMA))
    t = np.linspace(0, total, max(3, round(total * rate) + 1))
    share = lognormal_progress(t, onset[:, None], np.log(spans)[:, None], SIGMA)
    share[:, 0], share[:, -1] = 0.0, 1.0
    at = start[:, None] + length[:, None] * share
    x = np.interp(at, arc, path[:, 0]) - np.interp(start, arc, path[:, 0])[:, None]
    y = np.interp(at, arc, path[:, 1]) - np.interp(start, arc, path[:, 1])[:, None]
    points = path[0] + np.column_stack([x.sum(0), y.sum(0)])
    return points, np.maximum.accumulate(length @ share)
