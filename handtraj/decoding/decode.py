"""Decoding with its split, its chance, its interval and its shuffled labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.decoding.models import Covariances, Linear
from handtraj.decoding.splits import GroupedSplit
from handtraj.evaluation.bootstrap import bootstrap_sums
from handtraj.subspaces.moments import as_rows, codes, group_sums
from handtraj.subspaces.nulls import permute_within

__all__ = ["METHODS", "SCORES", "Decoding", "decode", "within"]

#: Decoders; see :func:`decode`.
METHODS = ("linear", "nearest_mean", "covariance")
#: What "covariance" scores a writing by.
SCORES = ("quadratic", "captured")
#: Units a label is given to.
POOLS = ("state", "writing")


@dataclass(frozen=True, eq=False)
class Decoding:
    """How well labels were decoded.

    Parameters
    ----------
    accuracy : float
        Share of units (states or writings) named rightly.
    interval : tuple of float, or None
        Its 95 % interval over writings or texts; None with one of them only.
    chance : float
        Accuracy of a guess: mean of 1 / candidates.
    permuted : array, shape (permutations,)
        Accuracies with labels shuffled over writings.
    p : float or None
        (1 + permutations at least as accurate) / (1 + permutations); None without any.
    n : int
        Units named; those with a single candidate are left out.
    confusion : array of int, shape (C, C)
        Units of class i named class j.
    classes : tuple of str
        C of them, sorted.
    method, pool : str
        As for :func:`decode`; of "covariance" with its score.
    right : array of bool, shape (n,)
        Whether each unit was named rightly, for curves over time.
    units : array of int, shape (n,)
        Its row of `x`; for writings, the first row of each.
    """

    accuracy: float
    interval: tuple[float, float] | None
    chance: float
    permuted: NDArray[np.float64]
    p: float | None
    n: int
    confusion: NDArray[np.int64]
    classes: tuple[str, ...]
    method: str
    pool: str
    right: NDArray[np.bool_]
    units: NDArray[np.int64]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything but the arrays over units."""
        null = self.permuted
        return {
            "accuracy": self.accuracy,
            "interval": None if self.interval is None else list(self.interval),
            "chance": self.chance,
            "permuted": [float(q) for q in np.quantile(null, [0.025, 0.5, 0.975])]
            if len(null)
            else None,
            "permutations": len(null),
            "p": self.p,
            "n": self.n,
            "confusion": self.confusion.tolist(),
            "classes": list(self.classes),
            "method": self.method,
            "pool": self.pool,
        }

    def brief(self) -> dict[str, Any]:
        """As :meth:`as_dict`, without the table of classes by classes."""
        return {k: v for k, v in self.as_dict().items() if k not in ("confusion", "classes")}

    def __repr__(self) -> str:
        return f"Decoding({self})"

    def __str__(self) -> str:
        ends = "" if self.interval is None else f" [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"
        return f"{self.accuracy:.3g}{ends}, chance {self.chance:.3g} (n = {self.n})"


@dataclass(frozen=True, eq=False)
class _Writings:
    """What is known of each of W writings."""

    rows: NDArray[np.int64]
    label: NDArray[np.int64]
    text: NDArray[np.int64]
    stratum: NDArray[np.int64] | None
    classes: NDArray[Any]
    first: NDArray[np.int64]


def decode(
    x: ArrayLike,
    labels: ArrayLike,
    texts: ArrayLike,
    writings: ArrayLike,
    *,
    folds: int = 4,
    method: str = "linear",
    pool: str | None = None,
    score: str = "quadratic",
    dimension: int = 10,
    shrinkage: float | None = None,
    strata: ArrayLike | None = None,
    crossed: bool = True,
    permutations: int = 0,
    over: str = "writing",
    generator: np.random.Generator,
) -> Decoding:
    """Name the label (style) of states or writings whose text was never trained on.

    Parameters
    ----------
    x : array, shape (n, N)
        States, or features of ink.
    labels, texts, writings : array, shape (n,)
        Of each row.  A writing has one label and one text.
    folds : int
        Each holds out a set of texts.
    method : {"linear", "nearest_mean", "covariance"}
        Linear discriminants with a shrunk covariance; the nearest class mean;
        or the covariance of a writing about its own mean, which knows nothing
        of means.  A linear decoder of states whose style means were removed is
        at chance by construction: ask "covariance" there.
    pool : {"state", "writing"}, optional
        Name single states, or writings by their mean (by their covariance for
        "covariance").  Default "state" for "linear", else "writing".
    score : {"quadratic", "captured"}
        Of "covariance": the log likelihood under each class's covariance, or
        the variance captured by each class's top-`dimension` basis.
    dimension : int
        Of "captured".
    shrinkage : float, optional
        In [0, 1].  Of "linear": share of the sphere in the covariance, by
        default that of Chen et al. (2010).  Of "quadratic": share of the
        covariance of all classes in each, by default 0.1.
    strata : array, shape (n,), optional
        Candidates are the classes of the same stratum (the source of the pen
        data) only, see :func:`within`; labels are shuffled within strata.
    crossed : bool
        Whether every label must share a text with another label.  Otherwise a
        decoder could tell labels by what was written; allow it where texts are
        what they are, as with real ink.
    permutations : int
        Times that labels are shuffled over writings, within strata and, if
        `crossed`, within texts.  One takes seconds for "covariance" on 400
        units; projected on 100 components beforehand, a tenth of that.
    over : {"writing", "text"}
        What the interval draws with replacement.
    generator : numpy Generator
        Of shuffles and of the interval.

    Raises
    ------
    ValueError
        If arrays do not fit each other, there is one label only, a label has
        one writing only or is missing from the training side of a fold, texts
        do not overlap, or an option is unknown.
    """
    pool = _check_options(method, pool, score, shrinkage, permutations, over)
    rows = as_rows(x)
    if not np.issubdtype(rows.dtype, np.floating):
        rows = rows.astype(np.float64)
    table = _read(labels, texts, writings, strata, len(rows))
    if crossed:
        _check_texts(table)
    fold = _folds(table, folds)
    classes = len(table.classes)
    model: Linear | Covariances
    if method == "covariance":
        if score == "captured" and not 1 <= dimension <= rows.shape[1]:
            raise ValueError(f"dimension must be 1 to {rows.shape[1]} (units), got {dimension}")
        mix = 0.1 if shrinkage is None else shrinkage
        model = Covariances.of(rows, table.rows, fold, score, dimension, mix)
    else:
        mixed = 1.0 if method == "nearest_mean" else shrinkage
        unit = table.rows
        if pool == "writing":
            size = np.bincount(table.rows)
            rows = group_sums(rows, table.rows, len(size)) / size[:, None]
            unit = np.arange(len(size))
        model = Linear.of(rows, unit, fold, mixed)
    of_unit = table.rows if pool == "state" else np.arange(len(table.label))
    allowed = _allowed(table)
    kept = allowed.sum(axis=1)[of_unit] > 1
    if not kept.any():
        raise ValueError("every stratum holds one label only; leave strata out, or add labels")

    def named(label: NDArray[np.int64]) -> NDArray[np.int64]:
        found = model.scores(label, classes)[kept]
        return np.where(allowed[of_unit[kept]], found, -np.inf).argmax(axis=1)

    guess = named(table.label)
    null = np.empty(permutations)
    for k in range(permutations):
        label = _shuffled(table, fold, crossed, generator)
        null[k] = np.mean(named(label) == label[of_unit[kept]])
    where = table.first if pool == "writing" else np.arange(len(rows))
    name = f"{method} {score}" if method == "covariance" else method
    return _report(table, of_unit[kept], guess, null, where[kept], (name, pool, over), generator)


def within(
    labels: ArrayLike, strata: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Who stands for election: the labels that occur in an item's stratum.

    Parameters
    ----------
    labels : array, shape (n,)
    strata : array, shape (n,), optional
        Default: one stratum.

    Returns
    -------
    classes : array, shape (C,)
        Labels, sorted.
    allowed : array of bool, shape (n, C)
        Chance is the mean of 1 / allowed.sum(axis=1).
    """
    classes, which = codes(labels, len(np.asarray(labels)), "item")
    if strata is None:
        return classes, np.ones((len(which), len(classes)), dtype=bool)
    keys, stratum = codes(strata, len(which), "item")
    there = np.zeros((len(keys), len(classes)), dtype=bool)
    there[stratum, which] = True
    return classes, there[stratum]


def _check_options(
    method: str,
    pool: str | None,
    score: str,
    shrinkage: float | None,
    permutations: int,
    over: str,
) -> str:
    pool = pool or ("state" if method == "linear" else "writing")
    choices = (
        ("method", method, METHODS),
        ("pool", pool, POOLS),
        ("score", score, SCORES),
        ("over", over, ("writing", "text")),
    )
    for name, value, known in choices:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    if method == "covariance" and pool == "state":
        raise ValueError('a single state has no covariance; take pool="writing"')
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage must be in [0, 1], got {shrinkage}")
    if permutations < 0:
        raise ValueError(f"permutations must be 0 or more, got {permutations}")
    return pool


def _read(
    labels: ArrayLike, texts: ArrayLike, writings: ArrayLike, strata: ArrayLike | None, rows: int
) -> _Writings:
    """One value a writing from one a row; ValueError where a writing has two."""
    keys, which = codes(writings, rows, "row")
    first = np.unique(which, return_index=True)[1]
    columns: list[NDArray[np.int64] | None] = []
    names: NDArray[Any] = np.empty(0)
    for what, column in (("label", labels), ("text", texts), ("stratum", strata)):
        if column is None:
            columns.append(None)
            continue
        values, found = codes(column, rows, "row")
        names = values if what == "label" else names
        wrong = np.flatnonzero(found != found[first][which])
        if len(wrong):
            raise ValueError(
                f"writing {keys[which[wrong[0]]]!s} has more than one {what}; "
                "number writings so that each has one"
            )
        columns.append(found[first])
    label, text, stratum = columns
    assert label is not None
    assert text is not None
    if len(names) < 2:
        raise ValueError(f"decoding needs two labels or more, got {len(names)}")
    size = np.bincount(label)
    if size.min() < 2:
        raise ValueError(
            f"label {names[size.argmin()]!s} has one writing only; give every label two or "
            "more, of different texts, or leave it out"
        )
    return _Writings(which, label, text, stratum, names, first)


def _check_texts(table: _Writings) -> None:
    """ValueError if a label shares no text with another."""
    have = np.zeros((len(table.classes), int(table.text.max()) + 1), dtype=bool)
    have[table.label, table.text] = True
    alone = np.flatnonzero(~(have & (have.sum(axis=0) > 1)).any(axis=1))
    if len(alone):
        raise ValueError(
            f"label {table.classes[alone[0]]!s} shares no text with another label; record the "
            "same texts in every style, or say crossed=False"
        )


def _folds(table: _Writings, folds: int) -> NDArray[np.int64]:
    """Fold of each writing; ValueError if a label is not trained on in one of them."""
    writing = np.arange(len(table.label))
    fold = np.empty(len(writing), dtype=np.int64)
    parts = GroupedSplit(folds).split(table.text, writing, labels=table.label)
    for k, (train, test) in enumerate(parts):
        fold[test] = k
        missing = np.setdiff1d(table.label, table.label[train])
        if len(missing):
            raise ValueError(
                f"label {table.classes[missing[0]]!s} is not on the training side of a fold; "
                "give it more texts, or leave it out"
            )
    return fold


def _allowed(table: _Writings) -> NDArray[np.bool_]:
    return within(table.label, table.stratum)[1]


def _shuffled(
    table: _Writings, fold: NDArray[np.int64], crossed: bool, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Labels shuffled over writings, each label still on every training side."""
    blocks = [b for b in (table.text if crossed else None, table.stratum) if b is not None]
    label = table.label
    for _ in range(100):
        label = permute_within(table.label, *blocks, generator=generator)
        sides = np.zeros((len(table.classes), int(fold.max()) + 1), dtype=bool)
        sides[label, fold] = True
        if (sides.sum(axis=1) > 1).all():
            return label
    raise ValueError("shuffled labels miss the training side of a fold; give labels more writings")


def _report(
    table: _Writings,
    writing: NDArray[np.int64],
    guess: NDArray[np.int64],
    null: NDArray[np.float64],
    units: NDArray[np.int64],
    names: tuple[str, str, str],
    generator: np.random.Generator,
) -> Decoding:
    method, pool, over = names
    truth = table.label[writing]
    right = truth == guess
    # One line a writing: rows of one writing are drawn together.
    size = np.bincount(writing, minlength=len(table.label)).astype(np.float64)
    sums = np.column_stack([np.bincount(writing, right, len(size)), size])[size > 0]
    groups = table.text[size > 0] if over == "text" else None
    estimate = bootstrap_sums(sums, groups, generator=generator)
    ends = (estimate.low, estimate.high)
    confusion = np.zeros((len(table.classes),) * 2, dtype=np.int64)
    np.add.at(confusion, (truth, guess), 1)
    better = int((null >= estimate.value - 1e-12).sum())
    return Decoding(
        accuracy=estimate.value,
        interval=None if ends[0] is None or ends[1] is None else (ends[0], ends[1]),
        chance=float(np.mean(1 / _allowed(table).sum(axis=1)[writing])),
        permuted=null,
        p=(1 + better) / (1 + len(null)) if len(null) else None,
        n=len(right),
        confusion=confusion,
        classes=tuple(str(c) for c in table.classes),
        method=method,
        pool=pool,
        right=right,
        units=units,
    )
