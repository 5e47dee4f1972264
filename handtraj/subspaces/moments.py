"""Count, sum and outer products of rows: all that means and covariances need.

A writing of 500 steps becomes one (N, N) matrix, and any grouping of writings
is then a sum of matrices.  Nulls that regroup writings a thousand times never
touch the rows again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse  # type: ignore[import-untyped]

__all__ = ["Moments", "group_sums", "moments_by", "remove_means"]

#: Rows that are copied to float64 at a time.
_CHUNK = 65_536


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows of N numbers, for one set of rows or for a stack of sets.

    The leading dimensions (…) are empty for one set.  A stack of W writings
    takes 8 W N² bytes: 1 GB for 768 writings of 400 units.  Where that is too
    much, put the rows in fewer coordinates first (:meth:`Subspace.project`).

    Products are taken about the origin, so a covariance loses digits where the
    mean is far larger than the spread: about 2 log10(mean / spread) of 16.

    Parameters
    ----------
    count : array, shape (…)
        Rows.
    sum : array, shape (…, N)
    product : array, shape (…, N, N)
        Sum of the outer products of the rows.

    Raises
    ------
    ValueError
        If the shapes do not belong together, or a value is not finite.
    """

    count: NDArray[np.float64]
    sum: NDArray[np.float64]
    product: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("count", "sum", "product"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        lead = self.count.shape
        units = self.sum.shape[-1] if self.sum.ndim else 0
        if self.sum.shape != (*lead, units) or self.product.shape != (*lead, units, units):
            raise ValueError(
                "moments need count (…), sum (…, N) and product (…, N, N), got "
                f"{lead}, {self.sum.shape} and {self.product.shape}"
            )
        if not (np.isfinite(self.sum).all() and np.isfinite(self.product).all()):
            raise ValueError("rows hold NaN or infinity; leave those rows out")

    @classmethod
    def of(cls, x: ArrayLike) -> Moments:
        """Moments of rows, shape (n, N)."""
        rows = as_rows(x)
        units = rows.shape[1]
        total, product = np.zeros(units), np.zeros((units, units))
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, len(rows), _CHUNK):
                block = rows[start : start + _CHUNK].astype(np.float64)
                total += block.sum(axis=0)
                product += block.T @ block
        return cls(np.array(float(len(rows))), total, product)

    def __repr__(self) -> str:
        sets = f"{len(self.count)} sets, " if self.count.ndim else ""
        return f"Moments({sets}{_short(self.count)} rows, {self.units} units)"

    def __len__(self) -> int:
        if not self.count.ndim:
            raise TypeError("these are the moments of one set of rows; they have no length")
        return len(self.count)

    def __getitem__(self, index: Any) -> Moments:
        """Some sets of a stack: a number, a slice, a mask or a list of numbers."""
        if not self.count.ndim:
            raise TypeError("these are the moments of one set of rows; there is nothing to pick")
        return Moments(self.count[index], self.sum[index], self.product[index])

    def __iter__(self) -> Iterator[Moments]:
        return (self[k] for k in range(len(self)))

    def __add__(self, other: Moments) -> Moments:
        self._same_units(other)
        return Moments(self.count + other.count, self.sum + other.sum, self.product + other.product)

    def __sub__(self, other: Moments) -> Moments:
        """Take rows away that are part of these.

        Raises
        ------
        ValueError
            If more rows are taken away than there are.
        """
        self._same_units(other)
        if (other.count > self.count).any():
            raise ValueError(
                f"cannot take {_short(other.count)} rows from {_short(self.count)}; "
                "subtract a part of these rows"
            )
        return Moments(self.count - other.count, self.sum - other.sum, self.product - other.product)

    def _same_units(self, other: Moments) -> None:
        if self.units != other.units:
            raise ValueError(f"moments of {self.units} and {other.units} units do not add")

    @property
    def units(self) -> int:
        """N."""
        return int(self.sum.shape[-1])

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean row, shape (…, N); ValueError where there are no rows."""
        self._need_rows()
        return self.sum / self.count[..., None]

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance about the mean, divided by the number of rows, shape (…, N, N)."""
        return self.about(self.mean)

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance summed over units, shape (…)."""
        self._need_rows()
        square = np.trace(self.product, axis1=-2, axis2=-1) / self.count
        return np.maximum(square - (self.mean**2).sum(axis=-1), 0.0)

    def about(self, point: ArrayLike) -> NDArray[np.float64]:
        """Mean outer product of the rows less `point`, (…, N) -> (…, N, N)."""
        self._need_rows()
        p, m = np.broadcast_arrays(np.asarray(point, dtype=np.float64), self.mean)
        cross = m[..., :, None] * p[..., None, :]
        found = self.product / self.count[..., None, None]
        found -= cross
        found -= np.swapaxes(cross, -1, -2)
        found += p[..., :, None] * p[..., None, :]
        return found

    def centred(self) -> Moments:
        """Moments of the same rows after each set's own mean was taken out."""
        scatter = self.product.copy()
        flat, sums = scatter.reshape(-1, self.units, self.units), self.sum.reshape(-1, self.units)
        for one, s, n in zip(flat, sums, self.count.reshape(-1), strict=True):
            if n > 0:
                one -= np.outer(s, s / n)
        return Moments(self.count, np.zeros_like(self.sum), scatter)

    def project(self, basis: ArrayLike) -> Moments:
        """Moments of the rows times `basis`, shape (N, D)."""
        b = np.asarray(basis, dtype=np.float64)
        if b.ndim != 2 or len(b) != self.units:
            raise ValueError(f"basis must have shape ({self.units}, D), got {b.shape}")
        return Moments(self.count, self.sum @ b, b.T @ self.product @ b)

    def total(self) -> Moments:
        """A stack summed to one."""
        return Moments(self.count.sum(axis=0), self.sum.sum(axis=0), self.product.sum(axis=0))

    def merge(self, labels: ArrayLike) -> tuple[NDArray[Any], Moments]:
        """A stack summed by label.

        Parameters
        ----------
        labels : array, shape (W,)
            One a set of the stack: the style of each writing, say.

        Returns
        -------
        keys : array, shape (G,)
            Labels, sorted.
        moments : Moments
            Stack of G.
        """
        keys, which = codes(labels, len(self), "set")
        count = np.bincount(which, self.count, len(keys)).astype(np.float64)
        total = np.zeros((len(keys), self.units))
        product = np.zeros((len(keys), self.units, self.units))
        for w, g in enumerate(which):
            total[g] += self.sum[w]
            product[g] += self.product[w]
        return keys, Moments(count, total, product)

    def _need_rows(self) -> None:
        if not (self.count > 0).all():
            raise ValueError("a mean needs at least one row, got none")


def moments_by(x: ArrayLike, groups: ArrayLike) -> tuple[NDArray[Any], Moments]:
    """Moments of every group of rows: of every writing, say.

    Parameters
    ----------
    x : array, shape (n, N)
    groups : array, shape (n,)
        Group of each row, in any order.

    Returns
    -------
    keys : array, shape (W,)
        Groups, sorted.
    moments : Moments
        Stack of W, in the order of `keys`.
    """
    rows = as_rows(x)
    keys, which = codes(groups, len(rows), "row")
    order = np.argsort(which, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=len(keys)))])
    units = rows.shape[1]
    total, product = np.zeros((len(keys), units)), np.zeros((len(keys), units, units))
    with np.errstate(invalid="ignore", over="ignore"):
        for g in range(len(keys)):
            block = rows[order[bounds[g] : bounds[g + 1]]].astype(np.float64)
            total[g] = block.sum(axis=0)
            product[g] = block.T @ block
    return keys, Moments(np.diff(bounds).astype(np.float64), total, product)


def remove_means(x: ArrayLike, *labels: ArrayLike) -> NDArray[Any]:
    """Rows less the mean of all rows with the same label.

    Parameters
    ----------
    x : array, shape (n, N)
    *labels : array, shape (n,)
        One or more; with several, rows are alike where all labels are
        (the mean of each letter in each style, say).

    Returns
    -------
    array, shape (n, N)
        Floating as `x` is, float64 if `x` holds integers.
    """
    rows = as_rows(x)
    if not labels:
        raise ValueError("remove_means needs labels, one a row; give at least one array")
    which = np.zeros(len(rows), dtype=np.int64)
    for one in labels:
        keys, found = codes(one, len(rows), "row")
        # Renumbered each time, so that many labels do not overflow.
        which = np.unique(which * len(keys) + found, return_inverse=True)[1]
    count = np.bincount(which)
    means = group_sums(rows, which, len(count)) / count[:, None]
    kind = rows.dtype if np.issubdtype(rows.dtype, np.floating) else np.dtype(np.float64)
    out = np.empty(rows.shape, dtype=kind)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = rows[part] - means[which[part]]
    return out


def group_sums(x: NDArray[Any], which: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Sum of the rows of each group 0 … groups - 1, in float64, shape (groups, N)."""
    total = np.zeros((groups, x.shape[1]))
    for start in range(0, len(x), _CHUNK):
        block = x[start : start + _CHUNK].astype(np.float64)
        size = len(block)
        place = (which[start : start + size], np.arange(size))
        total += sparse.csr_array((np.ones(size), place), shape=(groups, size)) @ block
    return total


def as_rows(x: ArrayLike) -> NDArray[Any]:
    """A table of rows, or a ValueError; finite values are checked where sums are taken."""
    rows = np.asarray(x)
    if rows.ndim != 2 or not len(rows) or not rows.shape[1]:
        raise ValueError(f"rows must have shape (n, N) with n and N above 0, got {rows.shape}")
    if not (np.issubdtype(rows.dtype, np.floating) or np.issubdtype(rows.dtype, np.integer)):
        raise ValueError(f"rows must hold real numbers, got {rows.dtype}")
    return rows


def as_moments(x: ArrayLike | Moments) -> Moments:
    """Moments of one set of rows, given as they are or as rows."""
    if not isinstance(x, Moments):
        return Moments.of(x)
    if x.count.ndim:
        raise ValueError("these moments are a stack; pick one of them, or sum them with total()")
    return x


def codes(labels: ArrayLike, size: int, what: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sorted labels and the place of each item's among them; ValueError if they do not fit."""
    found = np.asarray(labels)
    if found.shape != (size,):
        raise ValueError(f"{size} {what}s need as many labels, got shape {found.shape}")
    keys, which = np.unique(found, return_inverse=True)
    return keys, which.astype(np.int64)


def _short(count: NDArray[np.float64]) -> str:
    return f"{int(count.sum())}"
