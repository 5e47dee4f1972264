"""One subspace: directions in which states vary, N units and D of them kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg  # type: ignore[import-untyped]

from handtraj.subspaces.factors import check_all_vary, factor_loadings, gpfa_loadings
from handtraj.subspaces.moments import Moments, as_moments, as_rows

__all__ = ["METHODS", "Subspace", "as_basis", "leading", "signed"]

#: How a basis may be found.
METHODS = ("pca", "fa", "gpfa")


@dataclass(frozen=True, eq=False)
class Subspace:
    """A flat piece of state space; made by :meth:`fit`.

    Parameters
    ----------
    mean : array, shape (N,)
        Mean of the rows it was fitted to.
    basis : array, shape (N, D)
        Orthonormal columns.  The entry of largest size in each is positive.
    variances : array, shape (D,)
        Variance of those rows along each column.
    total : float
        Their variance summed over all N units.
    method : str
        One of :data:`METHODS`.

    Raises
    ------
    ValueError
        If the shapes do not belong together, or the columns are not orthonormal.
    """

    mean: NDArray[np.float64]
    basis: NDArray[np.float64]
    variances: NDArray[np.float64]
    total: float
    method: str = "pca"

    def __post_init__(self) -> None:
        for name in ("mean", "basis", "variances"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        as_basis(self.basis)
        if self.mean.shape != self.basis.shape[:1] or self.variances.shape != self.basis.shape[1:]:
            raise ValueError(
                "a subspace needs mean (N,), basis (N, D) and variances (D,), got "
                f"{self.mean.shape}, {self.basis.shape} and {self.variances.shape}"
            )

    @classmethod
    def fit(
        cls,
        x: Any,
        dimension: int | float | None = None,
        *,
        method: str = "pca",
        style: str | Sequence[str] | None = None,
        layer: str | None = None,
        iterations: int | None = None,
    ) -> Subspace:
        """Find the directions in which states vary.

        Parameters
        ----------
        x : array (n, N), list of arrays (T, N), Moments, or Trajectories
            Rows; or trials, whose order in time only "gpfa" uses; or sums over
            rows, which "pca" and "fa" need no more than; or any object with
            ``layer(name)``, ``trials(name)`` and ``select(styles=[…])``.
        dimension : int, float or None
            An int keeps so many columns.  A float in (0, 1] keeps as few as
            hold that share of the variance.  None keeps every direction that
            has variance.  "fa" and "gpfa" need an int.
        method : {"pca", "fa", "gpfa"}
            Principal components; factor analysis (scikit-learn), which lets
            each unit have noise of its own; Gaussian-process factor analysis
            (Yu et al. 2009, elephant), whose factors are smooth in time.
            Columns of the last two are the left singular vectors of the
            loadings, in falling order of shared variance (Yu et al. 2009,
            equation 6).
        style : str or sequence of str, optional
            Of Trajectories: only these styles.
        layer : str, optional
            Of Trajectories: the state, such as "h2"; needed there.
        iterations : int, optional
            Of "fa" (default 1000) and "gpfa" (default 100): rounds of EM at most.

        Raises
        ------
        ValueError
            If `x` does not vary, `dimension` cannot be had, or `method` is unknown.
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        trials = _trials(x, style, layer, in_time=method == "gpfa")
        if isinstance(trials, Moments):
            moments = trials
        else:
            moments = Moments.of(trials[0] if len(trials) == 1 else np.concatenate(trials))
        if not float(moments.variance) > 0:
            raise ValueError("x does not vary; a subspace needs rows that differ")
        if method == "pca":
            basis, _ = leading(moments.covariance, _dimension(dimension, moments))
        else:
            size = _whole(dimension, moments.units, method)
            check_all_vary(np.diag(moments.covariance))
            if method == "fa":
                loadings = factor_loadings(moments, size, iterations or 1000)
            elif isinstance(trials, Moments):
                raise ValueError("gpfa needs trials in time, not moments; give a list of (T, N)")
            else:
                loadings = gpfa_loadings(trials, size, iterations or 100)
            basis = signed(np.linalg.svd(loadings, full_matrices=False)[0])
        along = (basis * (moments.covariance @ basis)).sum(axis=0)
        return cls(moments.mean, basis, along, float(moments.variance), method)

    def __repr__(self) -> str:
        kept = f"{self.dimension} of {len(self.mean)} dimensions by {self.method}"
        return f"Subspace({kept}, {self.variances.sum() / self.total:.3g} of the variance)"

    @property
    def dimension(self) -> int:
        """D."""
        return self.basis.shape[1]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the fitted rows' variance along each column, shape (D,)."""
        return self.variances / self.total

    def first(self, dimension: int) -> Subspace:
        """The subspace of the first `dimension` columns."""
        if not 1 <= dimension <= self.dimension:
            raise ValueError(f"dimension must be 1 to {self.dimension}, got {dimension}")
        kept = slice(dimension)
        return Subspace(
            self.mean, self.basis[:, kept], self.variances[kept], self.total, self.method
        )

    def project(self, x: ArrayLike) -> NDArray[np.float64]:
        """Coordinates of rows about the mean, (n, N) -> (n, D)."""
        rows = as_rows(x)
        if rows.shape[1] != len(self.mean):
            raise ValueError(f"rows must have {len(self.mean)} units, got {rows.shape[1]}")
        return rows @ self.basis - self.mean @ self.basis

    def reconstruct(self, coordinates: ArrayLike) -> NDArray[np.float64]:
        """Rows from coordinates, (n, D) -> (n, N)."""
        found = as_rows(coordinates)
        if found.shape[1] != self.dimension:
            raise ValueError(f"coordinates must have {self.dimension} columns, got {found.shape}")
        return found @ self.basis.T + self.mean

    def captured(self, x: ArrayLike | Moments, *, centre: str = "own") -> float:
        """Share of the variance of `x` that lies along the basis.

        Parameters
        ----------
        x : array, shape (n, N), or Moments
        centre : {"own", "basis"}
            Variance about the mean of `x`, which asks for the same subspace
            wherever it lies, or about the mean of this subspace, which counts a
            different mean as variance too.
        """
        moments = as_moments(x)
        if centre not in ("own", "basis"):
            raise ValueError(f'centre must be "own" or "basis", got {centre!r}')
        spread = moments.about(moments.mean if centre == "own" else self.mean)
        return float(_share(spread, self.basis))


def leading(
    covariance: NDArray[np.float64], dimension: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Top eigenvectors as columns, shape (N, D), and eigenvalues, shape (D,), largest first."""
    units = len(covariance)
    if not 1 <= dimension <= units:
        raise ValueError(f"dimension must be 1 to {units}, got {dimension}")
    values, vectors = linalg.eigh(covariance, subset_by_index=[units - dimension, units - 1])
    return signed(vectors[:, ::-1]), np.maximum(values[::-1], 0.0)


def signed(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns turned so that the entry of largest size is positive."""
    at = np.abs(columns).argmax(axis=0)
    return columns * np.where(columns[at, np.arange(columns.shape[1])] < 0, -1.0, 1.0)


def as_basis(basis: ArrayLike) -> NDArray[np.float64]:
    """Orthonormal columns, or a ValueError."""
    found = np.asarray(basis, dtype=np.float64)
    if found.ndim != 2 or not 1 <= found.shape[1] <= len(found):
        raise ValueError(f"a basis must have shape (N, D) with 1 <= D <= N, got {found.shape}")
    if not np.allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-6):
        raise ValueError("the columns of a basis must be orthonormal; see numpy.linalg.qr")
    return found


def _share(spread: NDArray[np.float64], basis: NDArray[np.float64]) -> float:
    if len(spread) != len(basis):
        raise ValueError(f"rows must have {len(basis)} units, got {len(spread)}")
    total = np.trace(spread)
    if not total > 0:
        raise ValueError("x does not vary; give rows that differ")
    return float((basis * (spread @ basis)).sum() / total)


def _trials(
    x: Any, style: str | Sequence[str] | None, layer: str | None, *, in_time: bool
) -> Moments | list[NDArray[Any]]:
    """Rows as a list of arrays, whatever they were given as."""
    if hasattr(x, "layer") and hasattr(x, "select"):
        if layer is None:
            raise ValueError('a layer must be named to fit Trajectories, such as layer="h2"')
        if style is not None:
            x = x.select(styles=[style] if isinstance(style, str) else list(style))
        return [as_rows(t) for t in x.trials(layer)] if in_time else [as_rows(x.layer(layer))]
    if style is not None or layer is not None:
        raise ValueError("style and layer pick from Trajectories; give rows without them")
    if isinstance(x, Moments):
        return as_moments(x)
    if isinstance(x, list | tuple) and x and np.ndim(x[0]) == 2:
        trials = [as_rows(t) for t in x]
        if len({t.shape[1] for t in trials}) > 1:
            raise ValueError("trials must all have the same number of units (columns)")
        return trials
    return [as_rows(x)]


def _dimension(dimension: int | float | None, moments: Moments) -> int:
    """Columns that principal components keep."""
    if dimension is not None and not isinstance(dimension, float):
        return _whole(dimension, moments.units, "pca")
    values = np.maximum(np.linalg.eigvalsh(moments.covariance)[::-1], 0.0)
    if dimension is None:
        # What rounding leaves where nothing varies grows with the mean too.
        size = values[0] + (moments.mean**2).sum()
        return int((values > size * moments.units * np.finfo(float).eps).sum())
    if not 0 < dimension <= 1:
        raise ValueError(f"a share of the variance must be in (0, 1], got {dimension}")
    reached = np.cumsum(values) / values.sum() >= dimension - 1e-12
    return int(reached.argmax()) + 1


def _whole(dimension: Any, units: int, method: str) -> int:
    if isinstance(dimension, bool | np.bool_) or not isinstance(dimension, int | np.integer):
        raise ValueError(f"{method} needs dimension as a whole number, got {dimension!r}")
    if not 1 <= dimension <= units:
        raise ValueError(f"dimension must be 1 to {units} (units), got {dimension}")
    return int(dimension)
