"""Measures of states against subspaces, and of subspaces against each other.

N units, D kept dimensions, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg  # type: ignore[import-untyped]

from handtraj.subspaces.basis import Subspace, as_basis, leading
from handtraj.subspaces.moments import Moments, as_moments

__all__ = [
    "alignment_index",
    "as_stack",
    "captured_matrix",
    "check_sizes",
    "held_out_curve",
    "participation_ratio",
    "principal_angles",
]


def participation_ratio(x: ArrayLike | Moments) -> float:
    """How many dimensions states fill: (sum of eigenvalues)² / sum of their squares.

    k equal eigenvalues give k (Gao et al. 2017, bioRxiv 214262, equation 3).

    Parameters
    ----------
    x : array, shape (n, N) or (D,), or Moments
        Rows, or eigenvalues of a covariance.
    """
    if not isinstance(x, Moments) and np.ndim(x) == 1:
        values = np.asarray(x, dtype=np.float64)
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("eigenvalues must be finite and not negative")
        trace, square = values.sum(), (values**2).sum()
    else:
        covariance = as_moments(x).covariance
        trace, square = np.trace(covariance), (covariance**2).sum()
    if not square > 0:
        raise ValueError("x does not vary, so it fills no dimension; give rows that differ")
    return float(trace**2 / square)


def principal_angles(a: Subspace | ArrayLike, b: Subspace | ArrayLike) -> NDArray[np.float64]:
    """Principal angles between two subspaces, in degrees, smallest first.

    Parameters
    ----------
    a, b : Subspace, or array, shape (N, D)
        The columns of an array span the subspace; they need not be orthonormal.

    Returns
    -------
    array, shape (min(D of a, D of b),)
        Exact for small angles too (Knyazev & Argentati 2002).
    """
    first, second = (_columns(s) for s in (a, b))
    if len(first) != len(second):
        raise ValueError(
            f"subspaces must lie in the same units, got {len(first)} and {len(second)} of them"
        )
    return np.degrees(linalg.subspace_angles(first, second))[::-1]


def alignment_index(x: ArrayLike | Moments, basis: Subspace | ArrayLike) -> float:
    """Variance of `x` along a basis, over the most that any basis of its size could hold.

    1 for the same subspace, D / N for states without direction (Elsayed et al.
    2016, equation 2).  It is not symmetric.

    Parameters
    ----------
    x : array, shape (n, N), or Moments
        About its own mean.
    basis : Subspace, or array with orthonormal columns, shape (N, D)
    """
    columns = as_basis(basis.basis if isinstance(basis, Subspace) else basis)
    covariance = as_moments(x).covariance
    best = leading(covariance, columns.shape[1])[1].sum()
    if not best > 0:
        raise ValueError("x does not vary; give rows that differ")
    return float((columns * (covariance @ columns)).sum() / best)


def captured_matrix(
    groups: Moments | Sequence[ArrayLike],
    dimension: int | Sequence[int],
    *,
    bases_of: Moments | Sequence[ArrayLike] | None = None,
    relative: str = "total",
) -> NDArray[np.float64]:
    """Variance of group i along the top-D basis of group j.

    Parameters
    ----------
    groups : Moments (a stack of G), or sequence of arrays, shape (n, N)
        Each about its own mean.
    dimension : int or sequence of int
        D.
    bases_of : as `groups`, optional
        Where the bases come from, such as other writings of the same styles;
        default the groups themselves, and then the diagonal is the best there is.
    relative : {"total", "own"}
        Over the variance of group i, or over what its own top-D basis holds:
        the alignment index.

    Returns
    -------
    array, shape (G, G of bases_of), or (G, G, dimensions) for a sequence
    """
    if relative not in ("total", "own"):
        raise ValueError(f'relative must be "total" or "own", got {relative!r}')
    covariances = as_stack(groups).covariance
    sizes = np.atleast_1d(np.asarray(dimension))
    check_sizes(sizes, covariances.shape[-1])
    most = int(sizes.max())
    own = [leading(c, most) for c in covariances]
    bases = [b for b, _ in own]
    if bases_of is not None:
        bases = [leading(c, most)[0] for c in as_stack(bases_of).covariance]
    found = np.empty((len(covariances), len(bases), most))
    wide = np.concatenate(bases, axis=1)
    for i, covariance in enumerate(covariances):
        along = (wide * (covariance @ wide)).sum(axis=0).reshape(len(bases), most)
        best = np.cumsum(own[i][1]) if relative == "own" else np.trace(covariance)
        if not np.min(best) > 0:
            raise ValueError(f"group {i} does not vary; leave it out")
        found[i] = np.cumsum(along, axis=1) / best
    return found[:, :, sizes - 1] if np.ndim(dimension) else found[:, :, sizes[0] - 1]


def held_out_curve(
    train: ArrayLike | Moments, test: ArrayLike | Moments, dimensions: Sequence[int]
) -> NDArray[np.float64]:
    """Share of the variance of rows never fitted, by the number of principal components.

    Parameters
    ----------
    train, test : array, shape (n, N), or Moments
        Components are those of `train`; the variance is that of `test`, about
        its own mean.
    dimensions : sequence of int

    Returns
    -------
    array, shape (len(dimensions),)
    """
    sizes = np.asarray(dimensions)
    fitted, held = as_moments(train), as_moments(test)
    if fitted.units != held.units:
        raise ValueError(f"train and test need the same units, got {fitted.units}, {held.units}")
    check_sizes(sizes, fitted.units)
    basis = leading(fitted.covariance, int(sizes.max()))[0]
    spread = held.covariance
    total = np.trace(spread)
    if not total > 0:
        raise ValueError("the test rows do not vary; give rows that differ")
    return np.cumsum((basis * (spread @ basis)).sum(axis=0))[sizes - 1] / total


def as_stack(groups: Moments | Sequence[ArrayLike]) -> Moments:
    """A stack of moments, given as one or as rows of each group."""
    if isinstance(groups, Moments):
        if groups.count.ndim != 1:
            raise ValueError(f"moments must be a stack of groups, got shape {groups.count.shape}")
        return groups
    parts = [Moments.of(g) for g in groups]
    if not parts or len({p.units for p in parts}) > 1:
        raise ValueError("groups must be one or more arrays (n, N) of the same N")
    return Moments(*(np.stack([getattr(p, k) for p in parts]) for k in ("count", "sum", "product")))


def check_sizes(sizes: NDArray[Any], units: int) -> None:
    """ValueError unless these are numbers of dimensions that N units have."""
    whole = sizes.ndim == 1 and sizes.size and np.issubdtype(sizes.dtype, np.integer)
    if not whole or sizes.min() < 1 or sizes.max() > units:
        raise ValueError(f"dimensions must be whole numbers from 1 to {units}, got {sizes}")


def _columns(space: Subspace | ArrayLike) -> NDArray[np.float64]:
    found = space.basis if isinstance(space, Subspace) else np.asarray(space, dtype=np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise ValueError(f"a subspace must be finite columns, shape (N, D), got {found.shape}")
    return found
