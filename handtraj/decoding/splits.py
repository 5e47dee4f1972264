"""Folds in which no text and no writing stands on both sides.

Steps of one writing follow each other closely, and two writings of one text
visit the same letters: rows drawn at random would be told by their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from handtraj.subspaces.moments import codes

__all__ = ["GroupedSplit", "check_split"]


@dataclass(frozen=True)
class GroupedSplit:
    """Folds made of whole groups.

    Rows that share any group, a text or a writing, fall in the same fold.  With
    texts that every style wrote, a fold is a set of texts.

    Parameters
    ----------
    folds : int
        At least 2.
    """

    folds: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.folds, bool) or not isinstance(self.folds, int) or self.folds < 2:
            raise ValueError(f"folds must be a whole number of 2 or more, got {self.folds!r}")

    def assign(self, *groups: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.int64]:
        """Fold of each row, shape (n,).

        The largest set of rows that hang together goes first, each to the fold
        that has fewest rows of its labels; nothing is drawn.

        Parameters
        ----------
        *groups : array, shape (n,)
            Texts and writings, and whatever else must not be on both sides.
        labels : array, shape (n,), optional
            What the folds should share out evenly.

        Raises
        ------
        ValueError
            If fewer sets of rows hang together than there are folds.
        """
        if not groups:
            raise ValueError("a split needs groups, such as texts and writings; give one or more")
        size = len(np.asarray(groups[0]))
        which = _joined([codes(g, size, "row") for g in groups], size)
        count = int(which.max()) + 1 if size else 0
        if count < self.folds:
            raise ValueError(
                f"{self.folds} folds need as many sets of rows without a common text or writing, "
                f"got {count}; take fewer folds, or record more texts"
            )
        kind = np.zeros(size, dtype=np.int64) if labels is None else codes(labels, size, "row")[1]
        table = np.zeros((count, int(kind.max()) + 1))
        np.add.at(table, (which, kind), 1.0)
        share = table / table.sum(axis=0)
        have = np.zeros((self.folds, share.shape[1]))
        fold = np.empty(count, dtype=np.int64)
        for part in np.argsort(-table.sum(axis=1), kind="stable"):
            fold[part] = np.lexsort((have.sum(axis=1), (have @ share[part]).round(12)))[0]
            have[fold[part]] += share[part]
        return fold[which]

    def split(
        self,
        *groups: ArrayLike,
        labels: ArrayLike | None = None,
        names: Sequence[str] = ("text", "writing"),
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows to train on and rows to test on, once a fold; every row is tested once.

        `groups` and `labels` are as for :meth:`assign`; `names` are the groups'
        names in messages.
        """
        fold = self.assign(*groups, labels=labels)
        found = []
        for k in range(self.folds):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            check_split(train, test, *groups, names=names)
            found.append((train, test))
        return found


def check_split(
    train: ArrayLike,
    test: ArrayLike,
    *groups: ArrayLike,
    names: Sequence[str] = ("text", "writing"),
) -> None:
    """Refuse a split in which something is known on both sides.

    Parameters
    ----------
    train, test : array of bool, shape (n,), or of row numbers
    *groups : array, shape (n,)
        Text and writing of every row.
    names : sequence of str
        What the groups are called in the message.

    Raises
    ------
    ValueError
        If a row, or a value of a group, is on both sides, naming it; or if a
        side is empty.
    """
    sides = [_row_numbers(side) for side in (train, test)]
    if not len(sides[0]) or not len(sides[1]):
        raise ValueError("a split needs rows on both sides, got one side empty; take fewer folds")
    both = np.intersect1d(sides[0], sides[1])
    if len(both):
        raise ValueError(f"split leaks: row {both[0]} is on both sides ({len(both)} in all)")
    for at, group in enumerate(groups):
        values = np.asarray(group)
        if values.ndim != 1 or len(values) <= max(s.max() for s in sides):
            raise ValueError(f"groups need one value a row, got shape {values.shape}")
        shared = np.intersect1d(values[sides[0]], values[sides[1]])
        if len(shared):
            name = names[at] if at < len(names) else f"group {at}"
            raise ValueError(
                f"split leaks: {name} {shared[0]!s} is on both sides ({len(shared)} in all); "
                "keep all rows of a group on one side, see GroupedSplit"
            )


def _joined(groups: list[tuple[NDArray[Any], NDArray[np.int64]]], size: int) -> NDArray[np.int64]:
    """Number of the set that each row hangs together with, through any group."""
    # A graph of groups: every row ties its first group to each of the others.
    start = np.cumsum([0] + [len(keys) for keys, _ in groups])
    first = groups[0][1]
    ties = [(first, which + start[k]) for k, (_, which) in enumerate(groups)]
    ends = (np.concatenate([a for a, _ in ties]), np.concatenate([b for _, b in ties]))
    nodes = int(start[-1])
    graph = sparse.coo_array((np.ones(len(ends[0])), ends), shape=(nodes, nodes))
    parts = connected_components(graph, directed=False)[1][first]
    return np.unique(parts, return_inverse=True)[1].reshape(size)


def _row_numbers(side: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(side)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "bui"):
        raise ValueError(f"a side must be a mask or row numbers, shape (n,), got {found.shape}")
    rows = np.flatnonzero(found) if found.dtype == bool else found.astype(np.int64)
    if len(rows) and rows.min() < 0:
        raise ValueError(f"row numbers must be 0 or more, got {rows.min()}")
    return rows
