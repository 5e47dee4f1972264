"""Time constants: of the modes of a linearised map, and of recorded units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.dynamics.rotations import as_trials

__all__ = ["autocorrelation", "rotation_period", "time_constants", "unit_time_constants"]

FloatArray: TypeAlias = NDArray[np.float64]


def time_constants(eigenvalues: ArrayLike) -> FloatArray:
    """-1 / ln|lambda|: steps in which a mode falls by a factor of e.

    Negative for a mode that grows, infinite at modulus 1, zero at lambda = 0.
    """
    modulus = np.abs(np.asarray(eigenvalues))
    with np.errstate(divide="ignore"):
        log = np.log(modulus)
        # A modulus of 1 gives -0.0 or 0.0; either way the mode stays for ever.
        return np.where(log == 0, np.inf, -1 / log)


def rotation_period(eigenvalues: ArrayLike) -> FloatArray:
    """2 pi / |arg lambda|: steps for one turn; infinite where nothing turns."""
    angle = np.abs(np.angle(np.asarray(eigenvalues)))
    with np.errstate(divide="ignore"):
        return 2 * np.pi / angle


def autocorrelation(trials: Sequence[ArrayLike], lags: int) -> FloatArray:
    """Autocorrelation of every unit at lags 0 to `lags`, over all trials together.

    The mean that is taken off is that of all trials: taking off each trial's own
    would hide whatever changes more slowly than a trial lasts.

    Parameters
    ----------
    trials : sequence of array, each (T, N)
        Consecutive states; lengths may differ.
    lags : int
        >= 1 and below the longest trial's length.

    Returns
    -------
    array, shape (lags + 1, N)
        Not a number for a unit that never changes.
    """
    parts = as_trials(trials, shortest=1)
    longest = max(len(p) for p in parts)
    if not 1 <= lags < longest:
        raise ValueError(f"lags must be 1 to {longest - 1}, below the longest trial; got {lags}")
    everything = np.concatenate(parts)
    mean = everything.mean(0)
    flat = np.ptp(everything, axis=0) == 0
    found = np.empty((lags + 1, len(mean)))
    for lag in range(lags + 1):
        pairs = [(p[: len(p) - lag] - mean, p[lag:] - mean) for p in parts if len(p) > lag]
        found[lag] = sum((a * b).sum(0) for a, b in pairs) / sum(len(a) for a, _ in pairs)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(flat, np.nan, found / found[0])


def unit_time_constants(states: Sequence[ArrayLike], *, lags: int = 50) -> FloatArray:
    """Time constant of every unit, in steps: exp(-lag / tau) fitted to its autocorrelation.

    Least squares over lags 0 to the last before the autocorrelation first falls
    to zero, or to `lags` (after Murray et al. 2014, Nature Neuroscience 17:1661,
    without their offset).  The autocorrelation of short trials is too small at
    long lags, and tau with it: trials should last many tau (Zeraati et al. 2022).

    Parameters
    ----------
    states : sequence of array, each (T, N)
        Recorded trials.
    lags : int
        As in :func:`autocorrelation`.

    Returns
    -------
    array, shape (N,)
        Between 0.05 and 20 `lags`; not a number for a unit that never changes.
    """
    rho = autocorrelation(states, lags)
    weight = np.cumprod(~(rho <= 0), axis=0).astype(np.float64)
    lag = np.arange(lags + 1)
    low, high = np.full((2, rho.shape[1]), [[np.log(0.05)], [np.log(20.0 * lags)]])
    # A grid per unit, drawn in around its best point until log tau is known to 1e-6.
    while (high - low).max() > 1e-6:
        grid = np.linspace(low, high, 31)
        curve = np.exp(-lag / np.exp(grid)[..., None]).transpose(0, 2, 1)
        best = (weight * (np.nan_to_num(rho) - curve) ** 2).sum(1).argmin(0)
        unit = np.arange(len(best))
        low, high = grid[np.maximum(best - 1, 0), unit], grid[np.minimum(best + 1, 30), unit]
    return np.where(np.isnan(rho[0]), np.nan, np.exp((low + high) / 2))
