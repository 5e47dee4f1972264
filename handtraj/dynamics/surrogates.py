"""Surrogates of trajectories: what they keep of the data, and no dynamics beyond it.

Each maker takes trials (T, D) of uncorrelated components, centred, and a numpy
generator, and gives back a function that draws one set of surrogate trials.  What
each asks is told in :func:`handtraj.dynamics.rotations.shuffle_control`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAKERS", "phases", "reversals", "shuffles", "tensor"]

FloatArray: TypeAlias = NDArray[np.float64]
Maker: TypeAlias = Callable[[], list[FloatArray]]


def shuffles(low: list[FloatArray], generator: np.random.Generator) -> Maker:
    """Steps of each trial in random order, all components alike."""
    return lambda: [generator.permutation(t, axis=0) for t in low]


def reversals(low: list[FloatArray], generator: np.random.Generator) -> Maker:
    """A random half of the trials backwards."""
    if len(low) < 2:
        raise ValueError("reversing half of the trials needs two or more, got 1")

    def make() -> list[FloatArray]:
        back = set(generator.permutation(len(low))[: len(low) // 2].tolist())
        return [t[::-1] if k in back else t for k, t in enumerate(low)]

    return make


def phases(low: list[FloatArray], generator: np.random.Generator) -> Maker:
    """Each component of each trial with its spectrum and random phases.

    Spectra are those of the trial run forth and back: between the ends of a trial
    run forth alone there is a jump, which random phases would spread as noise over
    all steps.
    """

    def one(t: FloatArray) -> FloatArray:
        loop = np.fft.rfft(np.concatenate([t, t[::-1]]), axis=0)
        turns = np.exp(1j * generator.uniform(0, 2 * np.pi, loop.shape))
        turns[0] = 1  # the mean has no phase
        return np.fft.irfft(loop * turns, 2 * len(t), axis=0)[: len(t)]

    return lambda: [one(t) for t in low]


def tensor(low: list[FloatArray], generator: np.random.Generator) -> Maker:
    """Gaussian tensors with the covariances over time, components and trials."""
    if len({len(t) for t in low}) > 1 or len(low) < 2:
        raise ValueError(
            "tensor surrogates need two or more trials of one length; warp time first, or use "
            "kind='phase'"
        )
    data = np.stack(low)
    values, axes = [], []
    for mode in range(3):
        flat = np.moveaxis(data, mode, 0).reshape(data.shape[mode], -1)
        value, axis = np.linalg.eigh(flat @ flat.T)
        kept = value > value[-1] * 1e-10
        values.append(value[kept])
        axes.append(axis[:, kept])
    spread = np.sqrt(_greatest_entropy(values))

    def make() -> list[FloatArray]:
        draw = spread * generator.standard_normal(spread.shape)
        return list(np.einsum("abc,ia,jb,kc->ijk", draw, *axes, optimize=True))

    return make


def _greatest_entropy(marginals: list[FloatArray]) -> FloatArray:
    """Variances 1 / (a_i + b_j + c_k) whose sums over two axes are the marginals.

    The Gaussian of greatest entropy with given covariances of three modes has
    this form in their eigenvectors.  The dual is linear less a logarithm, so
    damped Newton steps reach its minimum from anywhere (Nesterov and Nemirovskii
    1994).
    """
    sizes = [len(m) for m in marginals]
    total = marginals[0].sum()
    target = np.concatenate(marginals) / total
    # Start from the right total with each marginal's order; scaled to sum one.
    a, b, c = (
        np.prod(sizes) / n / (3 * t) for n, t in zip(sizes, _split(target, sizes), strict=True)
    )
    for _ in range(500):
        variance = 1 / (a[:, None, None] + b[:, None] + c)
        gap = target - np.concatenate([variance.sum(s) for s in ((1, 2), (0, 2), (0, 1))])
        if np.abs(gap / target).max() < 1e-6:
            break
        square = variance**2
        rows = [
            [np.diag(square.sum((1, 2))), square.sum(2), square.sum(1)],
            [square.sum(2).T, np.diag(square.sum((0, 2))), square.sum(0)],
            [square.sum(1).T, square.sum(0).T, np.diag(square.sum((0, 1)))],
        ]
        curvature = np.block(rows)
        # Two directions change nothing (a constant moved from one mode to another).
        scale = np.sqrt(np.diag(curvature))
        move = np.linalg.lstsq(curvature / np.outer(scale, scale), -gap / scale, rcond=1e-12)[0]
        decrement = np.sqrt(max(0.0, float(move @ (-gap / scale))))
        move = move / scale / (1 + decrement if decrement > 0.25 else 1)
        a, b, c = (v + m for v, m in zip((a, b, c), _split(move, sizes), strict=True))
    else:
        raise ValueError(
            "tensor surrogates: the covariances of these trials are too uneven to be matched; "
            "use kind='phase'"
        )
    return variance * total


def _split(values: FloatArray, sizes: list[int]) -> list[FloatArray]:
    return np.split(values, np.cumsum(sizes)[:-1])


#: Makers by name.
MAKERS = {"tensor": tensor, "phase": phases, "reverse": reversals, "time": shuffles}
