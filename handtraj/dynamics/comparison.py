"""How far apart the letters of two styles are, laid over each other in three ways.

Are they the same movement in another place?  From least to most is allowed for:
*raw*; *centred*, with each style's mean state removed; *procrustes*, with the
best orthogonal map between the styles' mean letters too (Schönemann 1966,
Psychometrika 31:1-10).  What is removed or fitted always comes from **other
characters** than those it is judged on: a rotation fitted to the letters it is
tested on would lay anything over anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes  # type: ignore[import-untyped]

from handtraj.dynamics.letters import (
    Letters,
    check_split,
    codes,
    letter_grid,
    principal_axes,
    project,
    share_out,
)
from handtraj.evaluation.bootstrap import Estimate, bootstrap

__all__ = ["SameDynamics", "same_dynamics"]

ALIGNMENTS = ("raw", "centred", "procrustes")


@dataclass(frozen=True, eq=False)
class SameDynamics:
    """How far apart styles' mean letters are, as they are and laid over each other.

    Distances are root mean square distances between mean letter trajectories,
    over the root mean square size of the letters around their style's mean: 0 for
    the same letters, 1.41 for centred letters that have nothing in common.  Every
    one compares means over one half of the texts with means over the other half,
    so pairs and floors are equally noisy.

    Parameters
    ----------
    styles : tuple of str
    pairs : array, shape (Q, 2)
        Places in `styles`.
    raw, centred, procrustes : array, shape (Q,)
        Distances of pairs of styles.
    mismatched : array, shape (Q,)
        The ceiling: as `procrustes`, with every letter paired with another
        letter, both where the map is fitted and where it is judged.
    floor_raw, floor_centred, floor_procrustes : array, shape (S,)
        The same between the halves of one style.
    characters : tuple of str
        Those found in two texts of every style; each split of the texts uses
        those of them found in both halves.
    kept : float
        Share of the variance of letters in the principal axes used.
    """

    styles: tuple[str, ...]
    pairs: NDArray[np.int64]
    raw: NDArray[np.float64]
    centred: NDArray[np.float64]
    procrustes: NDArray[np.float64]
    mismatched: NDArray[np.float64]
    floor_raw: NDArray[np.float64]
    floor_centred: NDArray[np.float64]
    floor_procrustes: NDArray[np.float64]
    characters: tuple[str, ...]
    kept: float

    def summary(self) -> dict[str, Estimate]:
        """Mean of every distance, with an interval that resamples styles."""
        found = {}
        for name in (*ALIGNMENTS, "mismatched"):
            matrix = np.full((len(self.styles),) * 2, np.nan)
            matrix[self.pairs[:, 0], self.pairs[:, 1]] = getattr(self, name)
            matrix[self.pairs[:, 1], self.pairs[:, 0]] = getattr(self, name)
            found[name] = over_pairs(matrix)
        for name in ALIGNMENTS:
            found[f"floor_{name}"] = bootstrap(getattr(self, f"floor_{name}"))
        return found


def same_dynamics(
    letters: Letters,
    *,
    components: int | None = 20,
    splits: int = 5,
    character_folds: int = 4,
    generator: np.random.Generator | None = None,
) -> SameDynamics:
    """Distances between the mean letters of styles, with their floor and ceiling.

    Means and maps are fitted without the characters they are judged on, fold by
    fold.  Principal axes, the same for all comparisons, see all letters but no
    label.

    Parameters
    ----------
    letters : Letters
    components : int, optional
        Principal axes to compare in; None for all units.  With more axes than
        the letters fitted to span, the map is arbitrary outside their span and
        held-out letters move apart: read `procrustes` beside `floor_procrustes`,
        and try fewer axes.
    splits : int
        Times the texts are shared into two halves; distances are means over them.
    character_folds : int
        Parts the characters are shared into, at least 2.
    generator : numpy Generator, optional
        Default: one seeded with 0.

    Raises
    ------
    ValueError
        With fewer than two styles or two texts, or fewer than three characters
        common to both halves of every style.
    """
    styles = letters.styles
    if len(styles) < 2 or len(letters.texts) < 2:
        raise ValueError(
            f"comparing needs two styles and two texts, got {len(styles)} and "
            f"{len(letters.texts)}; record more"
        )
    rng = generator or np.random.default_rng(0)
    found = common_characters(letters, styles, codes(letters.text, letters.texts), 3)
    style, character = codes(letters.style, styles), codes(letters.character, found)
    units = letters.warped.shape[2]
    mean, axes, kept = principal_axes(
        letters.warped, components or units, np.flatnonzero(character >= 0)
    )
    z = project(letters.warped, mean, axes)
    pairs = np.array(list(combinations(range(len(styles)), 2)))
    between, floors = np.zeros((len(pairs), 4)), np.zeros((len(styles), 3))
    done = 0
    for _ in range(max(1, splits)):
        halves = share_out(letters.texts, 2, rng)
        half = np.array([halves[t] for t in letters.text.tolist()])
        check_split(letters, half == 0, half == 1)
        sizes = (len(styles), len(found))
        grids = [letter_grid(z, np.where(half == h, style, -1), character, sizes) for h in (0, 1)]
        full = np.flatnonzero(((grids[0][1] > 0) & (grids[1][1] > 0)).all(axis=0))
        if len(full) < 3:
            continue
        one, two = (means[:, full] for means, _ in grids)
        apart, within = _compare(one, two, character_folds, rng)
        between, floors = between + apart, floors + within
        done += 1
    if not done:
        raise ValueError(
            "no half of the texts holds three letters that the other half has too; "
            "write texts that share letters"
        )
    between, floors = between / done, floors / done
    raw, centred, procrustes, mismatched = between.T
    return SameDynamics(
        styles,
        pairs,
        *(raw, centred, procrustes, mismatched),
        *(floors[:, 0], floors[:, 1], floors[:, 2]),
        found,
        kept,
    )


def _compare(
    one: NDArray[np.float64],
    two: NDArray[np.float64],
    character_folds: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of all pairs (Q, 4) and floors (S, 3) from the means of both halves."""
    styles, characters = one.shape[:2]
    parts = rng.permutation(characters) % min(max(2, character_folds), characters)
    # A cycle through the characters in random order leaves none in place.
    cycle = rng.permutation(characters)
    other = np.empty_like(cycle)
    other[cycle] = np.roll(cycle, 1)
    between = []
    for a, b in combinations(range(styles), 2):
        sides = [(one[a], two[b]), (one[b], two[a])]
        matched = np.mean([_distances(x, y, parts) for x, y in sides], axis=0)
        ceiling = np.mean([_distances(x, y[other], parts)[2] for x, y in sides])
        between.append([*matched, ceiling])
    floors = [_distances(x, y, parts) for x, y in zip(one, two, strict=True)]
    return np.array(between), np.array(floors)


def _distances(
    x: NDArray[np.float64], y: NDArray[np.float64], parts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Distances raw, centred and after Procrustes of mean letters, both (C, P, K)."""
    apart, size = np.zeros(3), 0.0
    for part in np.unique(parts):
        fit, judged = parts != part, parts == part
        here, there, turn = overlay(x[fit], y[fit], "procrustes")
        u, v = x[judged] - here, y[judged] - there
        apart += [
            ((x[judged] - y[judged]) ** 2).sum(),
            ((u - v) ** 2).sum(),
            ((u @ turn - v) ** 2).sum(),
        ]
        size += ((u**2).sum() + (v**2).sum()) / 2
    return np.sqrt(apart / size)


def overlay(
    x: NDArray[np.float64], y: NDArray[np.float64], alignment: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means and orthogonal map that lay x over y: (x - first) @ map + second."""
    k = x.shape[-1]
    first, second = x.reshape(-1, k).mean(axis=0), y.reshape(-1, k).mean(axis=0)
    if alignment == "centred":
        return first, second, np.eye(k)
    turn, _ = orthogonal_procrustes((x - first).reshape(-1, k), (y - second).reshape(-1, k))
    return first, second, turn


def common_characters(
    letters: Letters, styles: Sequence[str], part: NDArray[np.int64], least: int
) -> tuple[str, ...]:
    """Characters found in two parts of every style."""
    found: set[str] = set(letters.characters)
    for style in styles:
        mine = letters.style == style
        seen: dict[str, set[int]] = {}
        for character, p in zip(letters.character[mine].tolist(), part[mine].tolist(), strict=True):
            seen.setdefault(character, set()).add(p)
        found &= {character for character, places in seen.items() if len(places) > 1}
    if len(found) < least:
        raise ValueError(
            f"the texts have {len(found)} letters in common (in two parts of every style), "
            f"{least} are needed; write texts that share letters"
        )
    return tuple(sorted(found))


def over_pairs(values: NDArray[np.float64]) -> Estimate:
    """Mean of a matrix of pairs, diagonal apart, with an interval that resamples styles.

    A style drawn twice makes no pair with itself, so draws of one style alone
    are drawn as the mean of all.
    """
    off = np.where(np.eye(len(values), dtype=bool), np.nan, values)
    whole = float(np.nanmean(off))

    def mean(items: NDArray[np.float64]) -> float:
        at = items.astype(np.int64)
        if len(set(at.tolist())) < 2:
            return whole
        return float(np.nanmean(off[np.ix_(at, at)]))

    return bootstrap(np.arange(len(values)), statistic=mean)
