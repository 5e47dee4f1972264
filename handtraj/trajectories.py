"""States of the network over many writings, with a label for every step.

A trajectory is the sequence of states a writing goes through.  Everything that
reads the state (:mod:`handtraj.subspaces`, :mod:`handtraj.dynamics`) works on
:class:`Trajectories`: one array a layer and one table of the same rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import replace_file

__all__ = ["COLUMNS", "Trajectories"]

#: Columns of the table, in order.
COLUMNS = (
    "writing",
    "style",
    "text",
    "character",
    "index",
    "phase",
    "step",
    "pen",
    "dx",
    "dy",
    "bias",
    "seed",
)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """States and labels of N steps.

    Parameters
    ----------
    states : mapping of array, shape (N, units), float32
        "h1", "c1", ... of the layers from below: their outputs and cells after
        the point of the row was read.  Where asked for, "window" (N, symbols)
        is what the window showed and "mixture" (N, 6 M + 1) the parameters of
        the density of the next point, before they are made positive.
    table : mapping of array, shape (N,)
        See COLUMNS.  `writing` numbers the writings, whose rows are
        consecutive and in order; `index` is the place of `character` in
        `text`, `phase` how far the window's stay at it has gone, 0 to 1;
        `step` counts from 0 in each writing; `pen` is 1 where the pen is
        lifted after the point; `dx` and `dy` are in x-heights.
    about : mapping
        What was recorded: weights, "sampled" or "teacher forced", and whether
        each writing was finished.

    Raises
    ------
    ValueError
        If the arrays differ in length or a column is missing.
    """

    states: Mapping[str, NDArray[np.float32]]
    table: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [name for name in COLUMNS if name not in self.table]
        if missing:
            raise ValueError(f"the table lacks the columns {', '.join(missing)}")
        lengths = {name: len(a) for name, a in {**self.states, **self.table}.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"arrays must have one length, got {lengths}")

    def __len__(self) -> int:
        return len(self.table["writing"])

    def layer(self, name: str) -> NDArray[np.float32]:
        """States of one layer, shape (N, units).

        Raises
        ------
        ValueError
            If it was not recorded; the message lists those that were.
        """
        if name not in self.states:
            raise ValueError(f"no layer {name!r}; recorded: {', '.join(self.states) or 'none'}")
        return self.states[name]

    def column(self, name: str) -> NDArray[Any]:
        """One column of the table, shape (N,).

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if name not in self.table:
            raise ValueError(f"no column {name!r}; there are: {', '.join(self.table)}")
        return self.table[name]

    @property
    def writings(self) -> NDArray[np.int64]:
        """Numbers of the writings, in order, shape (W,)."""
        return self.table["writing"][self.starts]

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of every writing, shape (W,)."""
        number = self.table["writing"]
        return np.flatnonzero(np.diff(number, prepend=number[:1] - 1))

    def per_writing(self, name: str) -> NDArray[Any]:
        """Value of a column at the first row of every writing, shape (W,)."""
        return self.column(name)[self.starts]

    def select(
        self,
        mask: NDArray[np.bool_] | None = None,
        *,
        styles: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
        characters: Sequence[str] | None = None,
        writings: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Trajectories:
        """The rows that meet all that is given.

        Raises
        ------
        ValueError
            If a value does not occur, or no row is left.
        """
        keep = np.ones(len(self), bool) if mask is None else np.asarray(mask, bool)
        if keep.shape != (len(self),):
            raise ValueError(f"the mask must have shape ({len(self)},), got {keep.shape}")
        wanted = {"style": styles, "text": texts, "character": characters, "writing": writings}
        for name, values in wanted.items():
            if values is None:
                continue
            if isinstance(values, str) and name != "character":
                raise ValueError(f"{name}s must be a list, got the string {values!r}")
            column = self.table[name]
            absent = [v for v in values if not (column == v).any()]
            if absent:
                there = ", ".join(map(str, dict.fromkeys(column.tolist())))
                raise ValueError(f"no {name} {absent[0]!r} here; there are: {there[:300]}")
            keep &= np.isin(column, list(values))
        if not keep.any():
            raise ValueError("no step meets all conditions; select less narrowly")
        return Trajectories(
            {name: a[keep] for name, a in self.states.items()},
            {name: a[keep] for name, a in self.table.items()},
            self.about,
        )

    def trials(self, layer: str) -> list[NDArray[np.float32]]:
        """States of one layer, one array (T, units) a writing."""
        return np.split(self.layer(layer), self.starts[1:])

    def pooled(
        self, layer: str, by: Sequence[str] = ("style", "character")
    ) -> tuple[list[tuple[Any, ...]], NDArray[np.float32], NDArray[np.int64]]:
        """Mean states of all rows that agree in some columns.

        Returns
        -------
        keys : list of tuple
            Values of the columns `by`, sorted.
        means : array, shape (G, units)
        counts : array, shape (G,)
        """
        if not by:
            raise ValueError(f"pool by at least one column of {', '.join(self.table)}")
        x, group, sizes = self.layer(layer), np.zeros(len(self), np.int64), 1
        levels = []
        for name in by:
            values, code = np.unique(self.column(name), return_inverse=True)
            levels.append(values)
            group, sizes = group * len(values) + code, sizes * len(values)
        found, place, counts = np.unique(group, return_inverse=True, return_counts=True)
        sums = np.zeros((len(found), x.shape[1]))
        order = np.argsort(place, kind="stable")
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        np.add.reduceat(x[order], first, axis=0, out=sums)
        places = np.unravel_index(found, [len(v) for v in levels])
        columns = [v[p].tolist() for v, p in zip(levels, places, strict=True)]
        keys = list(zip(*columns, strict=True))
        return keys, (sums / counts[:, None]).astype(np.float32), counts

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one npz file, whole or not at all."""
        arrays = {f"state.{name}": a for name, a in self.states.items()}
        arrays |= {f"table.{name}": a for name, a in self.table.items()}
        arrays["about"] = np.array(json.dumps(dict(self.about), ensure_ascii=False))
        replace_file(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trajectories:
        """The inverse of :meth:`save`.

        Raises
        ------
        ValueError
            If the file is not one of trajectories.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                about = json.loads(str(data["about"]))
                parts: dict[str, dict[str, NDArray[Any]]] = {"state": {}, "table": {}}
                for name in data.files:
                    kind, _, rest = name.partition(".")
                    if kind in parts:
                        parts[kind][rest] = data[name]
        except (KeyError, ValueError, EOFError) as error:
            raise ValueError(f"{Path(path).name} holds no trajectories: {error}") from error
        return cls(parts["state"], parts["table"], about)

    def to_xarray(self) -> Any:
        """As an `xarray.Dataset`: a variable a layer, the table as coordinates of the rows.

        Raises
        ------
        ValueError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ValueError("xarray is not installed; pip install 'handtraj[analysis]'") from error
        return xarray.Dataset(
            {name: (("row", f"unit_{name}"), a) for name, a in self.states.items()},
            coords={name: ("row", a) for name, a in self.table.items()},
            attrs=dict(self.about),
        )
