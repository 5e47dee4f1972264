"""How much of the movement of letters is due to style, to letter, to time, to both.

The variance of a complete style x letter x time array falls exactly into that of
its marginals, as in a balanced analysis of variance (Kobak et al. 2016, eLife
5:e10989, "marginalisation").  Means over few letters are noisy, and noise adds to
every marginal; with several groups of letters that share no text, the product of
the marginals of two groups has no such bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.dynamics.letters import Letters, check_split, codes, letter_grid, share_out

__all__ = [
    "JOINED",
    "LetterArray",
    "Marginals",
    "dpca_array",
    "marginal_test",
    "marginal_variances",
]

#: Marginals that are usually told together: what depends on style, in time or not.
JOINED = {"s": ("s", "st"), "l": ("l", "lt"), "sl": ("sl", "slt"), "t": ("t",)}


@dataclass(frozen=True, eq=False)
class LetterArray:
    """Mean letters as a complete array.

    Parameters
    ----------
    means : array, shape (N, S, L, T)
        Units or principal components, styles, letters, time; the mean of
        `trials`.
    trials : array, shape (K, N, S, L, T)
        The same over K groups of texts.
    styles, characters : tuple of str
    kept : float
        Share of the variance of the mean letters in the components.
    """

    means: NDArray[np.float64]
    trials: NDArray[np.float64]
    styles: tuple[str, ...]
    characters: tuple[str, ...]
    kept: float


def dpca_array(
    letters: Letters,
    styles: Sequence[str] | None = None,
    characters: Sequence[str] | None = None,
    *,
    groups: int = 2,
    by: str = "text",
    components: int | None = 40,
    generator: np.random.Generator | None = None,
) -> LetterArray:
    """Mean letters of every style, letter and group of texts.

    Parameters
    ----------
    letters : Letters
    styles, characters : sequence of str, optional
        Default: all styles, and the characters found in every group of every
        style.
    groups : int
        K, at least 2.
    by : str
        "text" or "writing": what is kept together.  Groups of writings may share
        texts, so their noise is independent only as far as it differs between
        writings of one text.
    components : int, optional
        Principal components of the mean letters to keep; None for all units.
    generator : numpy Generator, optional
        Shares the texts out; default: one seeded with 0.

    Raises
    ------
    ValueError
        With fewer than two styles or two characters, with too few texts for the
        groups, or if a group lacks a character that was asked for.
    """
    if by not in ("text", "writing"):
        raise ValueError(f"group letters by 'text' or 'writing', got {by!r}")
    styles = tuple(styles or letters.styles)
    letters = letters if styles == letters.styles else letters.select(styles=styles)
    column = getattr(letters, by)
    values = np.unique(column).tolist()
    if len(styles) < 2 or not 2 <= groups <= len(values):
        raise ValueError(
            f"two styles, and from 2 groups to as many as there are {by}s, are needed; got "
            f"{len(styles)} styles, {groups} groups and {len(values)} {by}s"
        )
    parts = _groups(letters, by, values, groups, generator or np.random.default_rng(0))
    group = np.array([parts[v] for v in column.tolist()])
    if by == "text":
        check_split(letters, group == 0, group != 0)
    wanted = tuple(characters or letters.characters)
    sizes = (len(styles), len(wanted))
    style, character = codes(letters.style, styles), codes(letters.character, wanted)
    grids = [
        letter_grid(letters.warped, np.where(group == k, style, -1), character, sizes)
        for k in range(groups)
    ]
    empty = np.stack([counts == 0 for _, counts in grids])
    full = np.flatnonzero(~empty.any(axis=(0, 1)))
    if characters is not None and empty.any():
        k, s, c = np.argwhere(empty)[0]
        raise ValueError(
            f"style {styles[s]!r} has no letter {wanted[c]!r} in group {k} of {groups}; "
            "ask for fewer groups or other characters"
        )
    if len(full) < 2:
        raise ValueError(
            f"{len(full)} letters are found in every group of every style, 2 are needed; "
            "ask for fewer groups, or write texts that share letters"
        )
    trials = np.stack([means[:, full] for means, _ in grids])
    trials, kept = _reduce(trials, components)
    trials = np.moveaxis(trials, -1, 1)
    names = tuple(wanted[c] for c in full)
    return LetterArray(trials.mean(axis=0), trials, styles, names, kept)


def _groups(
    letters: Letters, by: str, values: list[Any], groups: int, rng: np.random.Generator
) -> dict[Any, int]:
    """The group of every text; or of every writing, those of a style and text apart."""
    if by == "text":
        return share_out(values, groups, rng)
    _, first = np.unique(letters.writing, return_index=True)
    order = rng.permutation(first)
    keys = list(zip(letters.style[order].tolist(), letters.text[order].tolist(), strict=True))
    seen: dict[Any, int] = {}
    parts = {}
    for row, key in zip(order, keys, strict=True):
        seen[key] = seen.get(key, int(rng.integers(groups)) - 1) + 1
        parts[letters.writing[row].item()] = seen[key] % groups
    return parts


def _reduce(
    trials: NDArray[np.float64], components: int | None
) -> tuple[NDArray[np.float64], float]:
    """Principal components of the mean over groups, (K, S, L, T, N) -> (..., components)."""
    if components is None or components >= trials.shape[-1]:
        return trials, 1.0
    x = trials.mean(axis=0).reshape(-1, trials.shape[-1])
    centre = x.mean(axis=0)
    values, axes = np.linalg.eigh((x - centre).T @ (x - centre))
    kept = values[::-1][:components].sum() / values.sum() if values.sum() else 1.0
    return (trials - centre) @ axes[:, ::-1][:, :components], float(kept)


@dataclass(frozen=True, eq=False)
class Marginals:
    """Variance of each marginal, summed over units.

    Parameters
    ----------
    variances : dict
        By name: s, l, t, sl, st, lt, slt.  They add up to the variance of the
        array.
    corrected : dict or None
        The same without the bias of noise; may be a little below 0 where there
        is nothing.
    """

    variances: dict[str, float]
    corrected: dict[str, float] | None

    def shares(self, *, joined: bool = False, corrected: bool = False) -> dict[str, float]:
        """Shares of the total, of the seven marginals or joined as in JOINED.

        Raises
        ------
        ValueError
            If corrected ones are asked for and no trials were given.
        """
        found = self.corrected if corrected else self.variances
        if found is None:
            raise ValueError("the correction needs trials: marginal_variances(means, trials)")
        if joined:
            found = {name: sum(found[part] for part in of) for name, of in JOINED.items()}
        total = sum(found.values())
        return {name: value / total if total else 0.0 for name, value in found.items()}


def marginal_variances(
    means: NDArray[np.float64], trials: NDArray[np.float64] | None = None
) -> Marginals:
    """Variance of each marginal of a complete array, in closed form.

    Parameters
    ----------
    means : array, shape (N, S, L, T)
    trials : array, shape (K, N, S, L, T), optional
        The same in K >= 2 independent groups, for the correction: the mean
        product of the marginals of two groups, over all pairs of groups.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    _check(means, trials)
    sizes = means[0].size
    parts = marginalise(means)
    variances = {n: float((m**2).sum() * (sizes / m[0].size) / sizes) for n, m in parts.items()}
    if trials is None:
        return Marginals(variances, None)
    groups = [marginalise(x) for x in trials]
    corrected = {}
    for name in variances:
        products = [(a[name] * b[name]).sum() / a[name][0].size for a, b in combinations(groups, 2)]
        corrected[name] = float(np.mean(products))
    return Marginals(variances, corrected)


def marginalise(means: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Marginals s, l, t, sl, st, lt, slt of (N, S, L, T); axes averaged over have length 1."""
    found: dict[str, NDArray[np.float64]] = {}
    whole = means - means.mean(axis=(1, 2, 3), keepdims=True)
    for name in ("s", "l", "t", "sl", "st", "lt", "slt"):
        over = tuple(axis for axis, label in enumerate("slt", start=1) if label not in name)
        part = whole.mean(axis=over, keepdims=True)
        for inner, m in found.items():
            if set(inner) < set(name):
                part = part - m
        found[name] = part
    return found


def _check(means: NDArray[np.float64], trials: NDArray[np.float64] | None) -> None:
    if means.ndim != 4 or min(means.shape[1:3]) < 2:
        raise ValueError(
            "means must have shape (units, styles, letters, times) with two styles and two "
            f"letters at least, got {means.shape}"
        )
    if trials is not None and (trials.shape[1:] != means.shape or len(trials) < 2):
        raise ValueError(
            f"trials must have shape (groups, *{means.shape}) with two groups at least, "
            f"got {trials.shape}"
        )


def marginal_test(
    trials: NDArray[np.float64], *, draws: int = 1000, generator: np.random.Generator | None = None
) -> dict[str, float]:
    """Whether independent groups of texts agree on which style, or letter, is which.

    The statistic is the joined, noise-corrected variance of style, of letter or
    of both together.  Under the null hypothesis the labels of one group tell
    nothing about those of another.  Labels of whole styles (letters) are permuted
    within each group, all letters of a style together, since letters of one
    writing are not independent; for the interaction the rows and columns of each
    group's doubly centred table are permuted, as in Mantel's test.  With S styles
    and K groups there are (S!)^(K-1) permutations, which bounds the p value.

    Parameters
    ----------
    trials : array, shape (K, N, S, L, T)
    draws : int
        Number of random permutations.
    generator : numpy Generator, optional
        Default: one seeded with 0.

    Returns
    -------
    dict
        One-sided p values of "s", "l" and "sl"; at least 1 / (draws + 1).

    Raises
    ------
    ValueError
        If the shapes do not fit or draws is below 1.
    """
    _check(trials[0], trials)
    if draws < 1:
        raise ValueError(f"draws must be >= 1, got {draws}")
    rng = generator or np.random.default_rng(0)
    styles, letters = trials.shape[2:4]
    x = trials - trials.mean(axis=(2, 3), keepdims=True)
    s, l = x.mean(axis=3, keepdims=True), x.mean(axis=2, keepdims=True)  # noqa: E741
    found = {}
    for name, part in {"s": s, "l": l, "sl": x - s - l}.items():
        rows = np.moveaxis(part, 1, -1).reshape(len(trials), part.shape[2] * part.shape[3], -1)
        products = [(a, b, rows[a] @ rows[b].T) for a, b in combinations(range(len(rows)), 2)]
        null = np.empty(draws + 1)
        for d in range(draws + 1):
            places = []
            for _ in range(len(rows)):
                # The first draw is what was observed.
                u = rng.permutation(styles) if d else np.arange(styles)
                v = rng.permutation(letters) if d else np.arange(letters)
                place = {"s": u, "l": v, "sl": (u[:, None] * letters + v).ravel()}[name]
                places.append(place)
            null[d] = sum(product[places[a], places[b]].sum() for a, b, product in products)
        # Equal up to rounding counts as equal: few styles have few permutations.
        reached = null >= null[0] - 1e-9 * np.abs(null).max()
        found[name] = float(reached.mean())
    return found
