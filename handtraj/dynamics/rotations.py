"""Rotational structure of trajectories: jPCA with its controls, and tangling.

jPCA (Churchland et al. 2012, Nature 487:51) asks how well dx/dt = M x fits when M
may only rotate.  A good fit alone says little.  Smooth signals of few dimensions
look rotational by chance (Elsayed and Cunningham 2017, Nature Neuroscience
20:1310), any sequence of lagged activations does (Lebedev et al. 2019, Scientific
Reports 9:18978), and strokes of a pen go round in any case: what drives the
network turns.  So a fit is reported beside that of surrogates,
:func:`shuffle_control`, never alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.dynamics.surrogates import MAKERS

__all__ = ["Control", "Rotations", "as_trials", "jpca", "shuffle_control", "tangling"]

FloatArray: TypeAlias = NDArray[np.float64]

#: Values of one block of the pairwise distances in :func:`tangling`.
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Rotations:
    """What :func:`jpca` found in the space of D kept components.

    Parameters
    ----------
    planes : array, shape (D / 2, N, 2)
        Orthonormal axes of each plane among the units, fastest turn first.  The
        turn goes from the first axis to the second; along the first the
        variance within the plane is greatest.
    frequencies : array, shape (D / 2,)
        Radians per unit of `step` (per step by default), >= 0.
    captured : array, shape (D / 2,)
        Share of the variance, after centring, that lies in each plane.
    skew, free : array, shape (D, D)
        The rotating and the unconstrained M, per unit of `step`.
    skew_r2, free_r2 : float
        1 - |dx - M x|² / |dx|² of both.
    basis : array, shape (N, D)
        Principal components, as columns.
    projections : list of array, each (T, D / 2, 2)
        Each centred trial in each plane.
    """

    planes: FloatArray
    frequencies: FloatArray
    captured: FloatArray
    skew: FloatArray
    free: FloatArray
    skew_r2: float
    free_r2: float
    basis: FloatArray
    projections: list[FloatArray]

    @property
    def ratio(self) -> float:
        """Skew over unconstrained R², the share of linear dynamics that turns."""
        return self.skew_r2 / self.free_r2

    @property
    def periods(self) -> FloatArray:
        """Duration of one turn in each plane, in units of `step`."""
        with np.errstate(divide="ignore"):
            return 2 * np.pi / self.frequencies


@dataclass(frozen=True, eq=False)
class Control:
    """A jPCA fit beside fits of surrogates.

    Parameters
    ----------
    kind : str
        How the surrogates were made.
    skew_r2, ratio : float
        Of the data.
    null_skew_r2, null_ratio : array, shape (draws,)
        Of the surrogates.
    p_skew_r2, p_ratio : float
        (1 + surrogates at least as large) / (1 + draws).
    """

    kind: str
    skew_r2: float
    ratio: float
    null_skew_r2: FloatArray
    null_ratio: FloatArray
    p_skew_r2: float
    p_ratio: float


def as_trials(trials: Sequence[ArrayLike], *, shortest: int = 2) -> list[FloatArray]:
    """Trials as double-precision arrays (T, N), checked.

    Raises
    ------
    ValueError
        If there is none, one is not (T, N) with T >= `shortest`, the numbers of
        units differ, or a value is not finite.
    """
    found = [np.asarray(t, dtype=np.float64) for t in trials]
    if not found:
        raise ValueError("at least one trial is needed, got none")
    for k, t in enumerate(found):
        if t.ndim != 2 or t.shape[1] != found[0].shape[-1] or not t.shape[1]:
            raise ValueError(
                f"every trial must be (T, N) with the same N; trial 0 has shape "
                f"{found[0].shape}, trial {k} {t.shape}"
            )
        if len(t) < shortest:
            raise ValueError(f"a trial must last {shortest} steps or more, trial {k} has {len(t)}")
        if not np.isfinite(t).all():
            raise ValueError(f"trials must be finite, trial {k} holds NaN or infinity")
    return found


def _centred(trials: list[FloatArray], subtract_mean: bool) -> list[FloatArray]:
    """Less the mean over trials at each step, or less the mean over everything."""
    if not subtract_mean:
        mean = np.concatenate(trials).mean(0)
        return [t - mean for t in trials]
    lengths = sorted({len(t) for t in trials})
    if len(lengths) > 1 or len(trials) < 2:
        raise ValueError(
            "the mean across conditions needs two or more trials of one length, got "
            f"{len(trials)} of {lengths[0]} to {lengths[-1]} steps; warp time first, or pass "
            "subtract_mean=False"
        )
    across = np.mean(trials, axis=0)
    return [t - across for t in trials]


def _components(trials: list[FloatArray], dimension: int) -> tuple[FloatArray, float]:
    """Principal axes (N, D) and the whole variance."""
    pooled = np.concatenate(trials)
    _, sizes, axes = np.linalg.svd(pooled - pooled.mean(0), full_matrices=False)
    rank = int((sizes > sizes[0] * 1e-10).sum()) if sizes[0] > 0 else 0
    if dimension < 2 or dimension % 2 or dimension > rank:
        raise ValueError(
            f"dimension must be even, from 2 to the rank of the centred data ({rank}), "
            f"got {dimension}"
        )
    return axes[:dimension].T, float((sizes**2).sum())


def _fit(trials: list[FloatArray], step: float) -> tuple[FloatArray, FloatArray, float, float]:
    """Skew and free M with their R², of trials in the kept components.

    Change between two steps against the mean of both.  A turn by w a step is then
    exactly skew, with entries 2 tan(w / 2); and noise that is new at each step
    adds nothing symmetric, as it would to change against the first of the two.
    """
    mid = np.concatenate([(t[1:] + t[:-1]) / 2 for t in trials])
    change = np.concatenate([np.diff(t, axis=0) for t in trials]) / step
    square, cross = mid.T @ mid, change.T @ mid
    # Least squares over skew M: M S + S M = C - C', solved in the axes of S.
    values, axes = np.linalg.eigh(square)
    floor = values[-1] * 1e-14
    turned = axes.T @ (cross - cross.T) @ axes
    skew = axes @ (turned / (values[:, None] + values + floor)) @ axes.T
    free = np.linalg.lstsq(mid, change, rcond=None)[0].T
    whole = (change**2).sum()
    if not whole > 0:
        raise ValueError("the trials never change from step to step: there are no dynamics to fit")
    skew_r2, free_r2 = (float(1 - ((change - mid @ m.T) ** 2).sum() / whole) for m in (skew, free))
    return skew, free, skew_r2, free_r2


def _planes(skew: FloatArray, step: float) -> tuple[FloatArray, FloatArray]:
    """Planes (D / 2, D, 2) of a skew matrix and the turn in each, fastest first."""
    # i M is Hermitian; v of eigenvalue k > 0 spans a plane with M Re v = k Im v.
    values, vectors = np.linalg.eigh(1j * skew)
    kept = np.argsort(-values)[: len(skew) // 2]
    planes = []
    for v in vectors[:, kept].T:
        # Of equal values, zero above all, eigh may return axes that are not at right angles.
        pair, _ = np.linalg.qr(np.stack([v.real, v.imag], 1))
        signs = np.sign(pair[:, 0] @ v.real), np.sign(pair[:, 1] @ v.imag)
        planes.append(pair * np.where(np.array(signs) == 0, 1, signs))
    turns = 2 * np.arctan(np.maximum(values[kept], 0) * step / 2) / step
    return np.stack(planes), turns


def jpca(
    trials: Sequence[ArrayLike],
    *,
    step: float = 1.0,
    dimension: int = 6,
    subtract_mean: bool = True,
) -> Rotations:
    """Planes in which trajectories turn (Churchland et al. 2012).

    Units are not rescaled: outputs of one layer share one range already.

    Parameters
    ----------
    trials : sequence of array, each (T, N)
        One a condition; of the same T where `subtract_mean` is set.
    step : float
        Time between rows.
    dimension : int
        Principal components kept, even.
    subtract_mean : bool
        Take off the mean across conditions at each step, as the paper does; else
        the mean over everything.

    Raises
    ------
    ValueError
        If shapes or lengths do not fit, `dimension` is odd or above the rank,
        `step` is not positive, or nothing changes.
    """
    _check_step(step)
    parts = _centred(as_trials(trials), subtract_mean)
    basis, whole = _components(parts, dimension)
    low = [t @ basis for t in parts]
    skew, free, skew_r2, free_r2 = _fit(low, step)
    planes, turns = _planes(skew, step)
    pooled = np.concatenate(low)
    pooled = pooled - pooled.mean(0)
    for k, plane in enumerate(planes):
        _, vectors = np.linalg.eigh(np.cov((pooled @ plane).T))
        longest = vectors[:, 1] * np.sign(vectors[np.abs(vectors[:, 1]).argmax(), 1])
        planes[k] = plane @ np.array([longest, [-longest[1], longest[0]]]).T
    captured = ((pooled @ planes) ** 2).sum((1, 2)) / whole
    return Rotations(
        basis @ planes,
        turns,
        captured,
        skew,
        free,
        skew_r2,
        free_r2,
        basis,
        [np.moveaxis(t @ planes, 0, 1) for t in low],
    )


def _check_step(step: float) -> None:
    if not step > 0 or not np.isfinite(step):
        raise ValueError(f"step must be a positive number, got {step}")


def shuffle_control(
    trials: Sequence[ArrayLike],
    draws: int,
    generator: np.random.Generator,
    *,
    kind: str = "tensor",
    step: float = 1.0,
    dimension: int = 6,
    subtract_mean: bool = True,
) -> Control:
    """Fit of jPCA beside its fits of surrogates without the dynamics.

    Surrogates are drawn in the space of the kept components and centred again;
    what they keep of the data, from most to least:

    - "tensor": the covariances across time, across components and across
      conditions, and nothing more: Gaussian of greatest entropy (Elsayed and
      Cunningham 2017).  Asks whether turning is more than smoothness and few
      dimensions bring about.  Trials of one length, best 8 or more; cautious (p too
      large) where conditions far outnumber independent steps.
    - "phase": the spectrum of each component in each trial, with phases of its
      own; the covariance of components in expectation (Theiler et al. 1992).  Asks
      whether components keep a constant lag.  Phases shared by all components
      (Prichard and Theiler 1994) would keep the lags, and the turning with them.
    - "reverse": each trial whole, a random half of them backwards.  Asks whether
      trials turn the same way.  Needs 6 trials or more to say much.
    - "time": the covariance at one time; steps shuffled, all components alike.
      Smooth data of any kind pass it, so passing it shows smoothness only.

    None of them rules out what Lebedev et al. (2019) warn of: a fixed sequence of
    activations with lags is rotational, and passes.

    Parameters
    ----------
    trials, step, dimension, subtract_mean
        As in :func:`jpca`.
    draws : int
        Number of surrogates, >= 1; the least p is 1 / (1 + draws).
    generator : numpy Generator
    kind : {"tensor", "phase", "reverse", "time"}

    Raises
    ------
    ValueError
        If the kind is unknown, `draws` below 1, there are too few or unequal
        trials for the kind, or as in :func:`jpca`.
    """
    if kind not in MAKERS:
        raise ValueError(f"kind must be one of {', '.join(MAKERS)}, got {kind!r}")
    if draws < 1:
        raise ValueError(f"draws must be >= 1, got {draws}")
    _check_step(step)
    parts = _centred(as_trials(trials), subtract_mean)
    basis, _ = _components(parts, dimension)
    low = [t @ basis for t in parts]
    make = MAKERS[kind](low, generator)
    fits = [_fit(low, step)[2:]]
    fits += [_fit(_centred(make(), subtract_mean), step)[2:] for _ in range(draws)]
    skew, free = np.array(fits).T
    ratio = skew / free
    p_skew, p_ratio = ((v[1:] >= v[0]).sum() + 1 for v in (skew, ratio))
    return Control(
        kind,
        float(skew[0]),
        float(ratio[0]),
        skew[1:],
        ratio[1:],
        float(p_skew / (draws + 1)),
        float(p_ratio / (draws + 1)),
    )


def tangling(
    trials: Sequence[ArrayLike], *, step: float = 1.0, epsilon: float | None = None
) -> list[FloatArray]:
    """Q(t) = max over t' of |dx_t - dx_t'|² / (|x_t - x_t'|² + epsilon).

    High where near states leave in different directions, so that something else
    must tell them apart (Russo et al. 2018, Neuron 97:953).  t' runs over the
    steps of all trials; dx is taken by central differences.

    Parameters
    ----------
    trials : sequence of array, each (T, N), T >= 3
    step : float
        Time between rows; Q is per unit of it squared.
    epsilon : float, optional
        > 0.  Default: a tenth of the mean squared distance from the mean.

    Returns
    -------
    list of array, each (T,)

    Raises
    ------
    ValueError
        If shapes do not fit, or `step` or `epsilon` is not positive.
    """
    _check_step(step)
    parts = as_trials(trials, shortest=3)
    x = np.concatenate(parts)
    x = x - x.mean(0)
    size = (x**2).sum(1)
    if epsilon is None:
        epsilon = 0.1 * float(size.mean())
    if not epsilon > 0:
        raise ValueError(f"epsilon must be > 0 (and the trials must change), got {epsilon}")
    change = np.concatenate([np.gradient(p, step, axis=0, edge_order=2) for p in parts])
    pace = (change**2).sum(1)
    found = np.empty(len(x))
    rows = max(1, _BLOCK // len(x))
    for first in range(0, len(x), rows):
        part = slice(first, first + rows)
        apart = size[part, None] + size - 2 * x[part] @ x.T
        turned = pace[part, None] + pace - 2 * change[part] @ change.T
        # Rounding may leave a little below zero.
        ratio = np.maximum(turned, 0) / (np.maximum(apart, 0) + epsilon)
        found[part] = ratio.max(1)
    return np.split(found, np.cumsum([len(p) for p in parts])[:-1])
