"""Loadings of factor analysis and of Gaussian-process factor analysis.

Both come from packages; what is written here only brings states to their form.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.subspaces.moments import Moments

__all__ = ["check_all_vary", "factor_loadings", "gpfa_loadings"]

#: Gain in log likelihood a row and round below which factor analysis stops.
_TOLERANCE = 1e-6
#: Steps in a piece of a trial: the cost of GPFA grows with the cube of its length.
_PIECE = 20
#: Steps that smooth factors are taken to last before the data say otherwise.
_TIMESCALE = 5.0


def factor_loadings(moments: Moments, dimension: int, iterations: int) -> NDArray[np.float64]:
    """Loadings of scikit-learn's FactorAnalysis, shape (N, D).

    Its likelihood knows the rows by their covariance alone, so it is given 2 N
    rows that have this covariance instead of the hundreds of thousands that
    were recorded: the same answer, and no random numbers on the way.
    """
    from sklearn.decomposition import FactorAnalysis  # type: ignore[import-untyped]

    covariance = moments.covariance
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).T * np.sqrt(len(values))
    # From unit noise, a unit of large noise would be taken for a factor and kept for one.
    model = FactorAnalysis(
        dimension,
        tol=_TOLERANCE * 2 * len(root),
        max_iter=iterations,
        noise_variance_init=np.diag(covariance),
        svd_method="lapack",
    )
    return model.fit(np.concatenate([root, -root])).components_.T


def gpfa_loadings(
    trials: Sequence[NDArray[Any]], dimension: int, iterations: int
) -> NDArray[np.float64]:
    """Loadings of elephant's GPFA, shape (N, D).

    Trials are cut into pieces of 20 steps at most, all of one length; steps
    left over at the end of a trial are not used.  The timescale starts at 5
    steps.  No unit's own noise is less than 1 % of its variance (elephant's
    default, against factors that explain one unit wholly).

    Elephant's class takes spike trains only; its core takes any numbers.  The
    core is no public interface: version 1.2.1 is what this was tested with.
    """
    try:
        core = importlib.import_module("elephant.gpfa.gpfa_core")
    except ImportError:
        raise ValueError(
            "gpfa needs elephant; install it with: pip install 'handtraj[analysis]'"
        ) from None
    length = min(_PIECE, min(len(t) for t in trials))
    if length < 2:
        raise ValueError("gpfa needs trials of two steps or more; leave the shorter ones out")
    pieces = np.empty(sum(len(t) // length for t in trials), dtype=[("T", int), ("y", "O")])
    at = 0
    for trial in trials:
        for start in range(0, len(trial) - length + 1, length):
            pieces[at] = (length, trial[start : start + length].T.astype(np.float64))
            at += 1
    # It prints its progress, and warns of pieces under 20 steps and of the floor on noise.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = core.fit(
            pieces, x_dim=dimension, bin_width=1.0, tau_init=_TIMESCALE, em_max_iters=iterations
        )
    return np.asarray(found["C"], dtype=np.float64)


def check_all_vary(variance: NDArray[np.float64]) -> None:
    """ValueError if a unit, of variances (N,), does not vary: it has no noise to estimate."""
    still = np.flatnonzero(variance <= 1e-12 * variance.max())
    if len(still):
        raise ValueError(
            f"units that do not vary have no factor, got {len(still)}, the first is unit "
            f"{still[0]}; leave them out"
        )
