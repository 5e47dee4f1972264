"""The decoders: linear discriminants of rows, and covariances of whole writings.

Each works from sums over writings, so that shuffled labels cost a few products
of small matrices instead of another pass over the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg  # type: ignore[import-untyped]

from handtraj.subspaces.basis import leading
from handtraj.subspaces.moments import Moments, group_sums, moments_by

__all__ = ["Covariances", "Linear", "oas"]

#: Added to covariances before they are inverted, as a share of their mean variance.
_RIDGE = 1e-6
#: Rows, and covariances of writings, that are copied at a time.
_CHUNK, _BATCH = 65_536, 32


def oas(covariance: NDArray[np.float64], rows: float) -> float:
    """Share of the sphere that shrinks a covariance best, in [0, 1].

    The oracle approximating estimator for normal rows (Chen et al. 2010,
    equation 23).  Steps of a writing are not independent, so for single states
    the share is smaller than it should be; there are so many that it matters little.
    """
    units = len(covariance)
    square, trace = (covariance**2).sum(), np.trace(covariance)
    above = (1 - 2 / units) * square + trace**2
    below = (rows + 1 - 2 / units) * (square - trace**2 / units)
    return 1.0 if below <= 0 else float(min(1.0, above / below))


@dataclass(frozen=True, eq=False)
class Linear:
    """Linear discriminants with one shrunk covariance within classes, equal priors.

    Parameters
    ----------
    x : array, shape (n, N)
    writing : array of int, shape (n,)
        Writing of each row.
    fold : array of int, shape (W,)
        Fold of each writing.
    shrinkage : float or None
        Share of the sphere; None takes :func:`oas`, 1 is the nearest mean.
    """

    x: NDArray[np.floating]
    writing: NDArray[np.int64]
    fold: NDArray[np.int64]
    shrinkage: float | None
    centre: NDArray[np.float64]
    count: NDArray[np.float64]
    total: NDArray[np.float64]
    product: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        x: NDArray[np.floating],
        writing: NDArray[np.int64],
        fold: NDArray[np.int64],
        shrinkage: float | None,
    ) -> Linear:
        """Take the sums; the rows are read once."""
        writings, folds = len(fold), int(fold.max()) + 1
        count = np.bincount(writing, minlength=writings).astype(np.float64)
        total = group_sums(x, writing, writings)
        if not np.isfinite(total).all():
            raise ValueError("x holds NaN or infinity; leave those rows out")
        # About the common mean, so that products do not lose their digits.
        centre = total.sum(axis=0) / count.sum()
        product = np.zeros((folds, x.shape[1], x.shape[1]))
        for k in range(folds):
            rows = np.flatnonzero(fold[writing] == k)
            for start in range(0, len(rows), _CHUNK):
                block = x[rows[start : start + _CHUNK]] - centre
                product[k] += block.T @ block
        total -= count[:, None] * centre
        return cls(x, writing, fold, shrinkage, centre, count, total, product)

    def scores(self, label: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
        """Log likelihood of every class, but for a constant a row, shape (n, classes).

        Each row by the fold that did not train on it.  Equation 4.10 of Hastie,
        Tibshirani & Friedman (2009) with equal priors.
        """
        found = np.empty((len(self.x), classes))
        of_row = self.fold[self.writing]
        for k in range(len(self.product)):
            train = self.fold != k
            one_hot = np.zeros((classes, int(train.sum())))
            one_hot[label[train], np.arange(one_hot.shape[1])] = 1.0
            count = one_hot @ self.count[train]
            means = (one_hot @ self.total[train]) / count[:, None]
            scatter = self.product.sum(axis=0) - self.product[k]
            weights = self._solve(scatter - (means.T * count) @ means, count.sum(), means)
            offset = -0.5 * (weights * means.T).sum(axis=0) - self.centre @ weights
            rows = np.flatnonzero(of_row == k)
            found[rows] = self.x[rows] @ weights.astype(self.x.dtype) + offset
        return found

    def _solve(
        self, scatter: NDArray[np.float64], rows: float, means: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Inverse of the shrunk covariance times the class means, shape (N, classes)."""
        units = len(scatter)
        if self.shrinkage == 1:
            return np.ascontiguousarray(means.T)
        covariance = scatter / max(rows - len(means), 1.0)
        size = np.trace(covariance) / units
        if not size > 0:
            # Rows of a class that are all alike: only the means are left.
            return np.ascontiguousarray(means.T)
        share = self.shrinkage
        if share is None:
            share = oas(covariance, max(rows - len(means), 1.0))
        shrunk = (1 - share) * covariance
        shrunk[np.diag_indices(units)] += (share + _RIDGE) * size
        return linalg.solve(shrunk, means.T, assume_a="pos")


@dataclass(frozen=True, eq=False)
class Covariances:
    """Writings named by how they spread about their own means, and by nothing else.

    Parameters
    ----------
    writings : Moments, a stack of W
        Each with its own mean taken out.
    fold : array of int, shape (W,)
    score : {"quadratic", "captured"}
        Log likelihood a row under a normal density of mean zero with each
        class's covariance, regularised (Friedman 1989); or the share of the
        writing's variance that lies in the class's top-D basis.
    dimension : int
        D.
    shrinkage : float
        Share of the covariance of all classes in that of each, for "quadratic".
    """

    writings: Moments
    fold: NDArray[np.int64]
    score: str
    dimension: int
    shrinkage: float

    @classmethod
    def of(
        cls,
        x: NDArray[np.floating],
        writing: NDArray[np.int64],
        fold: NDArray[np.int64],
        score: str,
        dimension: int,
        shrinkage: float,
    ) -> Covariances:
        """Take the sums; the rows are read once."""
        stack = moments_by(x, writing)[1].centred()
        return cls(stack, fold, score, dimension, shrinkage)

    def scores(self, label: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
        """Score of every class, shape (W, classes), by the fold that left the writing out."""
        units, folds = self.writings.units, int(self.fold.max()) + 1
        count, product = np.zeros((folds, classes)), np.zeros((folds, classes, units, units))
        for w, place in enumerate(zip(self.fold, label, strict=True)):
            count[place] += self.writings.count[w]
            product[place] += self.writings.product[w]
        found = np.empty((len(self.fold), classes))
        every_count, every_product = count.sum(axis=0), product.sum(axis=0)
        for k in range(folds):
            sizes, scatter = every_count - count[k], every_product - product[k]
            pooled = scatter.sum(axis=0) / sizes.sum()
            forms = [
                self._form(s / max(n, 1.0), pooled) for s, n in zip(scatter, sizes, strict=True)
            ]
            matrices = np.stack([m for m, _ in forms]).reshape(classes, -1)
            offsets = np.array([o for _, o in forms])
            held = np.flatnonzero(self.fold == k)
            for start in range(0, len(held), _BATCH):
                at = held[start : start + _BATCH]
                spread = self.writings.product[at].reshape(len(at), -1)
                # A likelihood is taken a row, what is captured as a share of the variance.
                over = self.writings.count[at]
                if self.score == "captured":
                    over = np.maximum(spread[:, :: units + 1].sum(axis=1), np.finfo(float).tiny)
                found[at] = spread @ matrices.T / over[:, None] + offsets
        return found

    def _form(
        self, covariance: NDArray[np.float64], pooled: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float]:
        """A class as (matrix, offset): a writing scores trace(matrix @ its covariance) + offset."""
        if self.score == "captured":
            basis = leading(covariance, self.dimension)[0]
            return basis @ basis.T, 0.0
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * pooled
        size = np.trace(pooled) / len(pooled)
        shrunk[np.diag_indices(len(shrunk))] += max(_RIDGE * size, np.finfo(float).tiny)
        factor = linalg.cholesky(shrunk, lower=True)
        # The inverse in place of its lower triangle: a third of the work of solving for it.
        half = np.tril(linalg.lapack.dpotri(factor, lower=1)[0])
        inverse = half + np.tril(half, -1).T
        return -0.5 * inverse, -float(np.log(np.diag(factor)).sum())
