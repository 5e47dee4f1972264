"""What alignment would be if styles did not differ, or were nothing but random.

A raw alignment index says little: letters dominate the states of every style,
so any two styles share most of their space.  It is read between a ceiling (two
halves of one style), a floor (styles made of shuffled writings), and subspaces
drawn at random with the same covariance (Elsayed et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.subspaces.basis import leading
from handtraj.subspaces.measures import as_stack, captured_matrix, check_sizes
from handtraj.subspaces.moments import Moments, codes

__all__ = [
    "MeanAgainstSpace",
    "mean_against_space",
    "permute_within",
    "random_basis",
    "random_subspaces",
    "shuffled",
    "split_half",
]


@dataclass(frozen=True, eq=False)
class MeanAgainstSpace:
    """Whether groups differ in where they lie or in how they spread.

    Parameters
    ----------
    keys : array, shape (G,)
        Groups, sorted.
    between : float
        Share of all variance that lies between the means of groups.
    between_null : array, shape (draws,)
        The same with writings shuffled over groups: above 0, since means of
        few writings differ by chance.
    inside : float
        Share of the variance between means that lies in the top-D space of the
        variance within groups: near 1, groups are apart along directions in
        which they all move; near 0, they are apart across them.
    about_other : array, shape (G, G)
        Share of the variance of group i about the mean of group j that lies in
        the top-D space of group j: a different mean outside that space lowers it.
    about_own : array, shape (G, G)
        The same about the mean of group i: only a different space lowers it.
    alignment : array, shape (G, G)
        `about_own` over what the best basis of group i would hold: the
        alignment index with means removed.
    """

    keys: NDArray[Any]
    between: float
    between_null: NDArray[np.float64]
    inside: float
    about_other: NDArray[np.float64]
    about_own: NDArray[np.float64]
    alignment: NDArray[np.float64]


def split_half(
    writings: Moments,
    styles: ArrayLike,
    dimension: int | Sequence[int],
    *,
    texts: ArrayLike | None = None,
    draws: int = 100,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Alignment between halves of the writings: the ceiling, and what it is a ceiling of.

    In every draw each style's writings are split in two.  Entry (i, j) is the
    alignment index of one half of style i with the basis of the other half of
    style j, averaged over which half is which.  The diagonal is the ceiling;
    beside it stand other styles, measured on as many writings and on other
    texts, as the diagonal is.

    Parameters
    ----------
    writings : Moments, a stack of W
        One a writing.  Remove the means of letters beforehand with
        :func:`remove_means`, or of writings with :meth:`Moments.centred`.
    styles : array, shape (W,)
    dimension : int or sequence of int
        D; several cost no more than one.
    texts : array, shape (W,), optional
        Texts are then split, the same way for all styles, so that no text is in
        both halves.  Every style must have texts in both.
    draws : int
    generator : numpy Generator

    Returns
    -------
    array, shape (draws, S, S), or (draws, S, S, dimensions) for a sequence
        Styles sorted.

    Raises
    ------
    ValueError
        If a style has fewer than two writings, or texts in one half only.
    """
    stack, keys, which = _of_styles(writings, styles, draws)
    fewest = np.bincount(which)
    if fewest.min() < 2:
        raise ValueError(
            f"style {keys[fewest.argmin()]!s} has one writing, which has no halves; "
            "give every style two or more"
        )
    text = None if texts is None else codes(texts, len(stack), "writing")[1]
    found = []
    for _ in range(draws):
        first = _halves(which, text, generator)
        found.append(_between_halves(stack, keys, which, first, dimension))
    return np.array(found)


def shuffled(
    writings: Moments,
    styles: ArrayLike,
    dimension: int | Sequence[int],
    *,
    texts: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    draws: int = 100,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """As :func:`split_half`, of styles made by shuffling writings: the floor.

    Diagonal and the rest then differ by chance only.  Each style keeps its
    number of writings, of each text if `texts` are given, and of each stratum.

    Parameters
    ----------
    strata : array, shape (W,), optional
        Writings change styles within these only: within the source of the pen
        data, say.
    writings, styles, dimension, texts, draws, generator
        As for :func:`split_half`.

    Returns
    -------
    array, shape (draws, S, S), or (draws, S, S, dimensions) for a sequence

    Raises
    ------
    ValueError
        As for :func:`split_half`; or if there is nothing to shuffle.
    """
    stack, keys, which = _of_styles(writings, styles, draws)
    blocks = [codes(b, len(stack), "writing")[1] for b in (texts, strata) if b is not None]
    found = []
    for _ in range(draws):
        new = permute_within(which, *blocks, generator=generator)
        found.append(
            split_half(stack, keys[new], dimension, texts=texts, draws=1, generator=generator)[0]
        )
    return np.array(found)


def random_subspaces(
    groups: Moments | Sequence[ArrayLike],
    dimension: int | Sequence[int],
    *,
    covariance: ArrayLike | None = None,
    draws: int = 1000,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Alignment of every group with random subspaces that follow the covariance of all.

    Parameters
    ----------
    groups : Moments (a stack of G), or sequence of arrays, shape (n, N)
    dimension : int or sequence of int
        D.
    covariance : array, shape (N, N), optional
        Default: of all rows of all groups, each about its own mean.
    draws : int
        Subspaces, the same for all groups.
    generator : numpy Generator

    Returns
    -------
    array, shape (draws, G), or (draws, G, dimensions) for a sequence
    """
    stack = as_stack(groups)
    if draws < 1:
        raise ValueError(f"draws must be >= 1, got {draws}")
    sizes = np.atleast_1d(np.asarray(dimension))
    check_sizes(sizes, stack.units)
    spread = stack.centred().total().covariance if covariance is None else covariance
    own = stack.covariance
    best = np.array([np.cumsum(leading(c, int(sizes.max()))[1]) for c in own])
    if not best.min() > 0:
        raise ValueError(f"group {best.min(axis=1).argmin()} does not vary; leave it out")
    root = _root(spread)
    found = np.empty((draws, len(stack), len(sizes)))
    for k in range(draws):
        for d, size in enumerate(sizes):
            basis = _orthonormal(root, int(size), generator)
            along = ((own @ basis) * basis).sum(axis=(1, 2))
            found[k, :, d] = along / best[:, size - 1]
    return found if np.ndim(dimension) else found[..., 0]


def random_basis(
    covariance: ArrayLike, dimension: int, *, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Orthonormal columns drawn from a covariance, shape (N, D).

    V = orth(U S^½ Z), with U S Uᵀ the covariance and Z standard normal (Elsayed
    et al. 2016, supplement): random, but biased to where states are.
    """
    root = _root(covariance)
    check_sizes(np.atleast_1d(np.asarray(dimension)), len(root))
    return _orthonormal(root, dimension, generator)


def mean_against_space(
    writings: Moments,
    labels: ArrayLike,
    dimension: int,
    *,
    strata: ArrayLike | None = None,
    draws: int = 0,
    generator: np.random.Generator | None = None,
) -> MeanAgainstSpace:
    """Tell a different mean from a different subspace.

    Parameters
    ----------
    writings : Moments, a stack of W
        One a writing.
    labels : array, shape (W,)
        Group (style) of each.
    dimension : int
        D.
    strata : array, shape (W,), optional
        For the null: writings change groups within these only.
    draws : int
        For the null; it needs `generator`.
    generator : numpy Generator, optional

    Raises
    ------
    ValueError
        If there are fewer than two groups, or nothing varies.
    """
    stack, keys, which = _of_styles(writings, labels, max(draws, 1))
    if len(keys) < 2:
        raise ValueError(f"means differ between two groups or more, got {len(keys)}")
    if draws and generator is None:
        raise ValueError("a null of shuffled writings needs a generator; give one")
    every = stack.total()
    if not float(every.variance) > 0:
        raise ValueError("the writings do not vary; give rows that differ")
    _, groups = stack.merge(which)
    offsets = (groups.mean - every.mean) * np.sqrt(groups.count / every.count)[:, None]
    basis = leading(groups.centred().total().covariance, dimension)[0]
    square = (offsets**2).sum()
    blocks = [] if strata is None else [codes(strata, len(stack), "writing")[1]]
    null = np.empty(draws)
    for k in range(draws if generator is not None else 0):
        assert generator is not None
        null[k] = _between(stack, permute_within(which, *blocks, generator=generator), every)
    about_own = captured_matrix(groups, dimension)
    return MeanAgainstSpace(
        keys,
        _between(stack, which, every),
        null,
        float(((offsets @ basis) ** 2).sum() / square) if square > 0 else float("nan"),
        _about_other(groups, about_own, dimension),
        about_own,
        captured_matrix(groups, dimension, relative="own"),
    )


def _about_other(
    groups: Moments, about_own: NDArray[np.float64], dimension: int
) -> NDArray[np.float64]:
    """Captured shares when variance is taken about the other group's mean."""
    found = np.empty_like(about_own)
    for j, group in enumerate(groups):
        basis = leading(group.covariance, dimension)[0]
        offsets = groups.mean - group.mean
        inside = about_own[:, j] * groups.variance + ((offsets @ basis) ** 2).sum(axis=1)
        found[:, j] = inside / (groups.variance + (offsets**2).sum(axis=1))
    return found


def permute_within(
    labels: NDArray[np.int64], *blocks: ArrayLike, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Shuffle labels among items that are alike in all blocks, shape (W,).

    Raises
    ------
    ValueError
        If no label could change: every block holds one label only.
    """
    cells = np.zeros(len(labels), dtype=np.int64)
    for block in blocks:
        keys, found = codes(block, len(labels), "item")
        cells = np.unique(cells * len(keys) + found, return_inverse=True)[1]
    new, free = np.array(labels), False
    for cell in range(int(cells.max()) + 1):
        members = np.flatnonzero(cells == cell)
        free = free or len(np.unique(labels[members])) > 1
        new[members] = labels[generator.permutation(members)]
    if not free:
        raise ValueError(
            "there is nothing to shuffle: every text and stratum holds one label only; "
            "shuffle without them, or give writings that share them"
        )
    return new


def _of_styles(
    writings: Moments, styles: ArrayLike, draws: int
) -> tuple[Moments, NDArray[Any], NDArray[np.int64]]:
    if not isinstance(writings, Moments) or writings.count.ndim != 1:
        raise ValueError("writings must be a stack of Moments, one a writing; see moments_by")
    if draws < 1:
        raise ValueError(f"draws must be >= 1, got {draws}")
    keys, which = codes(styles, len(writings), "writing")
    return writings, keys, which


def _halves(
    which: NDArray[np.int64], text: NDArray[np.int64] | None, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Writings of the first half: of every style's, or those of half the texts."""
    if text is not None:
        size = int(text.max()) + 1
        return np.isin(text, generator.permutation(size)[: size // 2])
    first = np.zeros(len(which), dtype=bool)
    for style in range(int(which.max()) + 1):
        members = np.flatnonzero(which == style)
        first[generator.permutation(members)[: len(members) // 2]] = True
    return first


def _between_halves(
    stack: Moments,
    keys: NDArray[Any],
    which: NDArray[np.int64],
    first: NDArray[np.bool_],
    dimension: int | Sequence[int],
) -> NDArray[np.float64]:
    # Merging on (style, half) leaves rows 2 s and 2 s + 1 for style s.
    size = np.bincount(2 * which + first, minlength=2 * len(keys))
    if size.min() == 0:
        raise ValueError(
            f"style {keys[size.argmin() // 2]!s} has texts in one half only; "
            "give texts that all styles wrote, or split without texts"
        )
    _, halves = stack.merge(2 * which + first)
    one, other = halves[0::2], halves[1::2]
    there = captured_matrix(one, dimension, bases_of=other, relative="own")
    return (there + captured_matrix(other, dimension, bases_of=one, relative="own")) / 2


def _between(stack: Moments, which: NDArray[np.int64], every: Moments) -> float:
    """Share of the variance that lies between the means of groups."""
    groups = int(which.max()) + 1
    total = np.zeros((groups, stack.units))
    np.add.at(total, which, stack.sum)
    count = np.bincount(which, weights=stack.count, minlength=groups)
    offsets = total / count[:, None] - every.mean
    return float((count @ (offsets**2).sum(axis=1)) / (every.count * every.variance))


def _root(covariance: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(covariance, dtype=np.float64)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not np.allclose(found, found.T):
        raise ValueError(f"covariance must be symmetric, shape (N, N), got {found.shape}")
    values, vectors = np.linalg.eigh(found)
    if not values[-1] > 0:
        raise ValueError("covariance must have a positive eigenvalue; it is zero")
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _orthonormal(
    root: NDArray[np.float64], dimension: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    return np.linalg.qr(root @ generator.standard_normal((root.shape[1], dimension)))[0]
