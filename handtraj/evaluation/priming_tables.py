"""Tables of the priming experiment: values with intervals over writers, by condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.corpus import Corpus
from handtraj.evaluation.bootstrap import Estimate, bootstrap, bootstrap_sums, ratio
from handtraj.evaluation.features import STYLE_FEATURES
from handtraj.evaluation.naming import real_lines
from handtraj.evaluation.priming import LEAST, StyleTable, feature_rows
from handtraj.ink import Ink

__all__ = ["GROUPS", "Hands", "Judged", "Rows"]

#: Writers by whether the network was trained on them.
GROUPS = ("all", "inside", "outside")


class Rows:
    """Rows of a table, kept as columns of equal length."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}

    def add(self, estimate: Estimate | None, **keys: Any) -> None:
        """One more row: keys, value, low and high; None leaves it out."""
        if estimate is None:
            return
        found = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
        for name, value in {**keys, **found}.items():
            self.columns.setdefault(name, []).append(value)


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found of each of several lines.

    Parameters
    ----------
    writer : array of int, shape (n,)
        Whose line it is, or should be: a place in the plan's writers.
    features : array, shape (n, F)
        Features of style; NaN where a line shows none.
    right : array, shape (n,)
        1 where the identifier names the writer, among those of the same
        source; 0 where it does not; a line too short to be named counts as 0.
    """

    writer: NDArray[np.int64]
    features: NDArray[np.float64]
    right: NDArray[np.float64]

    def only(self, mask: NDArray[np.bool_]) -> Judged:
        """Some of the lines."""
        return Judged(self.writer[mask], self.features[mask], self.right[mask])


class Hands:
    """The real lines of a plan as a yardstick for others.

    Parameters
    ----------
    table : StyleTable
    corpus : Corpus
    """

    def __init__(self, table: StyleTable, corpus: Corpus) -> None:
        self.table, self.plan = table, table.plan
        self.floor, self.ceiling = table.floor, table.ceiling
        self.texts = [[corpus.texts[i] for i in row] for row in self.plan.queries]
        writers = np.repeat(np.arange(len(self.plan.writers)), self.plan.queries.shape[1])
        #: The real lines whose texts are written.
        self.real = self.judge(
            real_lines(corpus, self.plan.queries.ravel()),
            writers,
            [text for row in self.texts for text in row],
        )

    def judge(
        self, inks: Sequence[Ink | None], writers: NDArray[np.int64], texts: Sequence[str]
    ) -> Judged:
        """Measure and name lines."""
        right = np.zeros(len(inks))
        features = np.full((len(inks), len(STYLE_FEATURES)), np.nan)
        long = {k: ink for k, ink in enumerate(inks) if ink is not None and len(ink) >= LEAST}
        at = np.array(list(long), dtype=np.int64)
        if len(at):
            features[at] = feature_rows(list(long.values()), [texts[k] for k in long])
            naming = self.plan.experiment.identifier.accuracy(
                list(long.values()),
                [self.plan.writers[writers[k]] for k in long],
                within=[self.plan.sources[writers[k]] for k in long],
            )
            right[at[naming.lines]] = naming.right
        return Judged(np.asarray(writers), features, right)

    @property
    def chance(self) -> dict[str, float]:
        """Accuracy of a guess within the source, by group."""
        identifier = self.plan.experiment.identifier
        many = [sum(s in own for own in identifier.sources) for s in self.plan.sources]
        return {g: float(np.mean(1 / np.array(many)[self.members(g)])) for g in GROUPS}

    def members(self, group: str) -> NDArray[np.bool_]:
        """Which writers belong to a group."""
        inside = self.plan.inside
        return {"all": np.ones_like(inside), "inside": inside, "outside": ~inside}[group]

    def named(self, lines: Judged, group: str) -> Estimate | None:
        """Share of lines named rightly."""
        mine = lines.only(self.members(group)[lines.writer])
        if not len(mine.right):
            return None
        columns = np.column_stack([mine.right, np.ones(len(mine.right))])
        return bootstrap_sums(columns, mine.writer, ratio)

    def apart(self, lines: Judged) -> NDArray[np.float64]:
        """Distance of lines from their writer's own, shape (W, F), in units."""
        return np.array(
            [
                self.table.to_own(lines.features[lines.writer == w], w)
                for w in range(len(self.plan.writers))
            ]
        )

    def distance(
        self, apart: NDArray[np.float64], group: str, feature: str = "mean"
    ) -> Estimate | None:
        """Mean over writers of the distance in one feature, or in all of them."""
        rows = apart[self.members(group)]
        values = (
            np.nanmean(rows, axis=1)
            if feature == "mean"
            else rows[:, STYLE_FEATURES.index(feature)]
        )
        values = values[np.isfinite(values)]
        return bootstrap(values) if len(values) else None

    def kept(
        self, apart: NDArray[np.float64], group: str, feature: str = "mean"
    ) -> Estimate | None:
        """How much of the way from another hand to one's own: 0 at the ceiling, 1 at the floor."""
        use = np.isfinite(apart) & np.isfinite(self.floor) & np.isfinite(self.ceiling)
        use &= self.members(group)[:, None]
        if feature != "mean":
            use &= np.array(STYLE_FEATURES) == feature
        columns = np.column_stack(
            [
                np.where(use, self.ceiling - apart, 0).sum(axis=1),
                np.where(use, self.ceiling - self.floor, 0).sum(axis=1),
            ]
        )[use.any(axis=1)]
        return bootstrap_sums(columns, None, ratio) if len(columns) else None

    def carried(self, lines: Judged, feature: str, group: str = "all") -> Estimate | None:
        """Correlation over writers of a feature's mean with that of their own other lines."""
        j = STYLE_FEATURES.index(feature)
        pairs = []
        for w in np.flatnonzero(self.members(group)):
            mine, own = lines.features[lines.writer == w, j], self.table.own[w][:, j]
            if np.isfinite(mine).any() and np.isfinite(own).any():
                pairs.append([np.nanmean(mine), np.nanmean(own)])
        if len(pairs) < 3:
            return None
        return bootstrap(np.array(pairs), None, _correlation)

    def summary(
        self, lines: Judged, add: Callable[..., None], *, features: Sequence[str] = ("mean",)
    ) -> None:
        """Hand every measure of a set of lines to `add(estimate, measure=, group=, feature=)`."""
        apart = self.apart(lines)
        for group in GROUPS:
            add(self.named(lines, group), measure="named", group=group, feature="mean")
            for feature in features:
                keys = {"group": group, "feature": feature}
                add(self.distance(apart, group, feature), measure="distance", **keys)
                add(self.kept(apart, group, feature), measure="kept", **keys)


def _correlation(pairs: NDArray[np.float64]) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.asarray(np.corrcoef(pairs.T))[0, 1])
