"""Letters cut out of trajectories and brought to one length.

The window says which character of the text a step belongs to, so a writing falls
into pieces, one a character.  Pieces differ in length; linear resampling in time
("warping") makes them comparable phase by phase, as is usual for reaches of
different duration (Kobak et al. 2016, eLife 5:e10989).  Warping discards speed,
which is kept beside the piece as its duration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from handtraj.trajectories import Trajectories

__all__ = ["Letters", "MeanLetters", "cut_letters", "mean_letters"]

#: Pieces handled at once, to bound memory.
_BLOCK = 100

#: Most states that principal axes are fitted to.
_FIT_STATES = 20_000

_LABELS = ("style", "text", "writing", "character", "index", "duration")


@dataclass(frozen=True, eq=False)
class Letters:
    """Pieces of trajectories, one a written character, all of P points.

    Parameters
    ----------
    warped : array, shape (L, P, N), float32
        States at P moments, even in time, from the first step of the piece to
        the last.
    style, text, character : array, shape (L,), str
    writing, index : array, shape (L,), int
        The writing and the character's place in its text.
    duration : array, shape (L,), int
        Steps of the piece before warping.
    layer : str
        Where the states are from.
    dropped : int
        Pieces that were too short.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    warped: NDArray[np.float32]
    style: NDArray[Any]
    text: NDArray[Any]
    writing: NDArray[np.int64]
    character: NDArray[Any]
    index: NDArray[np.int64]
    duration: NDArray[np.int64]
    layer: str = ""
    dropped: int = 0

    def __post_init__(self) -> None:
        if self.warped.ndim != 3:
            raise ValueError(f"warped must have shape (L, P, N), got {self.warped.shape}")
        for name in _LABELS:
            if getattr(self, name).shape != (len(self),):
                raise ValueError(
                    f"{name} must have shape ({len(self)},), got {getattr(self, name).shape}"
                )

    def __len__(self) -> int:
        return len(self.warped)

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles there are, sorted."""
        return tuple(np.unique(self.style).tolist())

    @property
    def characters(self) -> tuple[str, ...]:
        """Characters there are, sorted."""
        return tuple(np.unique(self.character).tolist())

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts there are, sorted."""
        return tuple(np.unique(self.text).tolist())

    def select(
        self,
        mask: ArrayLike | None = None,
        *,
        styles: Sequence[str] | None = None,
        characters: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
    ) -> Letters:
        """The pieces that meet all that is given.

        Raises
        ------
        ValueError
            If a value does not occur, or no piece is left.
        """
        keep = np.ones(len(self), bool) if mask is None else np.asarray(mask, bool)
        if keep.shape != (len(self),):
            raise ValueError(f"the mask must have shape ({len(self)},), got {keep.shape}")
        for name, values in {"style": styles, "character": characters, "text": texts}.items():
            if values is None:
                continue
            column = getattr(self, name)
            absent = sorted(set(values) - set(column.tolist()))
            if absent:
                there = ", ".join(map(str, np.unique(column)))
                raise ValueError(f"no letter of {name} {absent[0]!r}; there are: {there[:300]}")
            keep = keep & np.isin(column, list(values))
        if not keep.any():
            raise ValueError("no letter meets all conditions; select less narrowly")
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return Letters(**{n: v[keep] if isinstance(v, np.ndarray) else v for n, v in parts.items()})


def cut_letters(
    traj: Trajectories, layer: str, points: int = 20, *, minimum: int = 4, exclude: str = " "
) -> Letters:
    """Cut states into letters and warp each to the same number of points.

    A piece is the longest run of consecutive steps of one writing at one place
    of the text, the first of equals: the window may jump back, for the dot of an
    i, and such a visit is no second letter.  Each piece is resampled linearly in
    time.

    Parameters
    ----------
    traj : Trajectories
    layer : str
        Whose states to take.
    points : int
        P, at least 2.
    minimum : int
        Least number of steps of a piece, at least 2; shorter ones are counted in
        `dropped` and left out.
    exclude : str
        Characters to leave out.

    Raises
    ------
    ValueError
        If there is no such layer, a number is out of range, or no piece is left.
    """
    if points < 2 or minimum < 2:
        raise ValueError(f"points and minimum must be >= 2, got {points} and {minimum}")
    states = traj.layer(layer)
    names = ("writing", "index", "step", "character", "style", "text")
    writing, index, step, character, style, text = (np.asarray(traj.column(n)) for n in names)
    breaks = (np.diff(writing) != 0) | (np.diff(index) != 0) | (np.diff(step) != 1)
    start = np.flatnonzero(np.concatenate([[True], breaks]))[: len(writing)]
    length = np.diff(np.append(start, len(writing)))
    # Sorted, the longest run of every place comes first.
    order = np.lexsort((start, -length, index[start], writing[start]))
    place = np.stack([writing[start][order], index[start][order]])
    first = np.concatenate([[True], (np.diff(place) != 0).any(axis=0)])[: len(order)]
    runs = np.sort(order[first])
    runs = runs[~np.isin(character[start[runs]], list(exclude))]
    kept = runs[length[runs] >= minimum]
    if not len(kept):
        raise ValueError(
            f"none of {len(runs)} letters has {minimum} steps; record more, or lower minimum"
        )
    rows = start[kept]
    return Letters(
        _warp(states, rows, length[kept], points),
        style[rows],
        text[rows],
        writing[rows],
        character[rows],
        index[rows],
        length[kept],
        layer,
        len(runs) - len(kept),
    )


def _warp(
    states: NDArray[Any], start: NDArray[np.int64], length: NDArray[np.int64], points: int
) -> NDArray[np.float32]:
    """Linear resampling of runs of rows, shape (L, points, N)."""
    warped = np.empty((len(start), points, states.shape[1]), np.float32)
    for at in range(0, len(start), _BLOCK):
        part = slice(at, at + _BLOCK)
        place = np.linspace(0, 1, points) * (length[part, None] - 1)
        low = np.minimum(place.astype(np.int64), length[part, None] - 2)
        share = (place - low)[..., None].astype(np.float32)
        row = start[part, None] + low
        warped[part] = (1 - share) * states[row] + share * states[row + 1]
    return warped


@dataclass(frozen=True, eq=False)
class MeanLetters:
    """Mean trajectories of groups of letters.

    Parameters
    ----------
    keys : list of tuple
        What the letters of each group share, sorted.
    means : array, shape (G, P, N)
    counts : array, shape (G,)
        Letters in each mean.
    spread : array, shape (G, P)
        Root mean square distance of the letters to their mean at each phase.
    """

    keys: list[tuple[Any, ...]]
    means: NDArray[np.float64]
    counts: NDArray[np.int64]
    spread: NDArray[np.float64]


def mean_letters(
    letters: Letters, by: Sequence[str] = ("style", "character"), *, minimum: int = 1
) -> MeanLetters:
    """Mean trajectories of the letters that agree in some labels.

    Parameters
    ----------
    letters : Letters
    by : sequence of str
        Of style, text, writing, character, index, duration.
    minimum : int
        Groups of fewer letters are left out.

    Raises
    ------
    ValueError
        If a label is unknown or no group is large enough.
    """
    unknown = [name for name in by if name not in _LABELS]
    if unknown or not by or isinstance(by, str):
        raise ValueError(f"group letters by a list of {', '.join(_LABELS)}; got {by!r}")
    columns = [getattr(letters, name).tolist() for name in by]
    members: dict[tuple[Any, ...], list[int]] = {}
    for at, key in enumerate(zip(*columns, strict=True)):
        members.setdefault(key, []).append(at)
    keys = sorted(key for key, rows in members.items() if len(rows) >= minimum)
    if not keys:
        most = max(map(len, members.values()), default=0)
        raise ValueError(f"no group has {minimum} letters, the largest has {most}; lower minimum")
    shape = (len(keys), *letters.warped.shape[1:])
    means, spread = np.empty(shape), np.empty(shape[:2])
    for g, key in enumerate(keys):
        found = letters.warped[members[key]].astype(np.float64)
        means[g] = found.mean(axis=0)
        spread[g] = np.sqrt(((found - means[g]) ** 2).sum(axis=2).mean(axis=0))
    return MeanLetters(keys, means, np.array([len(members[k]) for k in keys]), spread)


def letter_grid(
    values: NDArray[Any],
    style: NDArray[np.int64],
    character: NDArray[np.int64],
    sizes: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means by style and character: from (L, P, K) to (S, C, P, K), and counts (S, C).

    Labels are numbers from 0; letters labelled -1 in either are left out, and
    cells without letters hold NaN.
    """
    used = np.flatnonzero((style >= 0) & (character >= 0))
    cell = style[used] * sizes[1] + character[used]
    cells = sizes[0] * sizes[1]
    counts = np.bincount(cell, minlength=cells)
    table = csr_array((np.ones(len(used)), (cell, np.arange(len(used)))), shape=(cells, len(used)))
    means = np.empty((cells, *values.shape[1:]))
    with np.errstate(invalid="ignore", divide="ignore"):
        # One phase after the other, to bound memory.
        for phase in range(values.shape[1]):
            means[:, phase] = (table @ values[used, phase]) / counts[:, None]
    return means.reshape(*sizes, *values.shape[1:]), counts.reshape(sizes)


def codes(column: NDArray[Any], values: Sequence[str]) -> NDArray[np.int64]:
    """Place of each label among some values, -1 where it is none of them."""
    place = {value: k for k, value in enumerate(values)}
    return np.array([place.get(label, -1) for label in column.tolist()], dtype=np.int64)


def principal_axes(
    warped: NDArray[Any], components: int, rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean (N,), principal axes (N, K) and the share of variance in them, of some letters.

    Of more than 20,000 states, those of evenly chosen letters are used.
    """
    rows = np.arange(len(warped)) if rows is None else rows
    rows = rows[:: max(1, -(-len(rows) * warped.shape[1] // _FIT_STATES))]
    units = warped.shape[2]
    blocks = [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]
    mean = sum(warped[b].sum(axis=(0, 1), dtype=np.float64) for b in blocks)
    mean = np.asarray(mean) / (len(rows) * warped.shape[1])
    scatter = np.zeros((units, units))
    for block in blocks:
        x = warped[block].reshape(-1, units) - mean
        scatter += x.T @ x
    values, axes = np.linalg.eigh(scatter)
    k = min(components, units)
    total = float(values.sum())
    return mean, axes[:, ::-1][:, :k], float(values[::-1][:k].sum() / total) if total else 1.0


def project(
    warped: NDArray[Any], mean: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coordinates of letters on principal axes, (L, P, N) -> (L, P, K)."""
    found = np.empty((*warped.shape[:2], axes.shape[1]))
    for at in range(0, len(warped), _BLOCK):
        part = slice(at, at + _BLOCK)
        found[part] = (warped[part] - mean) @ axes
    return found


def share_out(values: Sequence[str], parts: int, rng: np.random.Generator) -> dict[str, int]:
    """Give every value one of the numbers 0 to parts - 1, as evenly as can be, by chance."""
    places = rng.permutation(len(values))
    return {value: int(place) % parts for value, place in zip(values, places, strict=True)}


def check_split(letters: Letters, left: NDArray[np.bool_], right: NDArray[np.bool_]) -> None:
    """Refuse a split that has a text or a writing on both sides.

    Raises
    ------
    ValueError
        Naming the first text or writing found on both.
    """
    for name in ("text", "writing"):
        column = getattr(letters, name)
        both = sorted(set(column[left].tolist()) & set(column[right].tolist()))
        if both:
            raise ValueError(
                f"{name} {both[0]!r} is on both sides of the split; keep whole texts and "
                "whole writings on one side"
            )
