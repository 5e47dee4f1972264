"""Who wrote a line, from its ink alone: an instrument independent of the network.

It answers whether lines the network writes after a prime look like the primed
writer.  It is fitted to real lines on the spot, and names real and written lines
alike; nothing fitted is kept.  :mod:`handtraj.evaluation.naming` shares a corpus out for it.

A line is a vector of :func:`~handtraj.evaluation.line_features.line_features`.
Writers differ by their mean and scatter alike around it: linear discriminants
with equal priors and a covariance shrunk towards a sphere (Friedman 1989, eq. 18;
Hastie, Tibshirani & Friedman 2009, section 4.3).

Limits.  A tablet leaves its mark in the ink, most of all in its timing, and most
writers used one tablet: naming among all writers is partly naming of devices.
`within` lets only writers of the line's own source stand as candidates; that is
the honest figure, to be read beside its own chance level.  "Shape" is taken along
the path and hardly depends on tempo, but the tablet's resolution remains in it.
No text enters, yet a line shows only the letters it has: real and written lines
should say the same.  Jitter hides a hand: real lines with each point moved by a
deviation of 0.02 x-heights are named almost as well, with 0.05 about half as often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handtraj.evaluation.bootstrap import Estimate, bootstrap
from handtraj.evaluation.line_features import GROUPS, LINE_FEATURES, check_groups, line_features
from handtraj.ink import Ink

__all__ = [
    "LINE_FEATURES",
    "Identifier",
    "IdentifierConfig",
    "Naming",
    "line_features",
]


@dataclass(frozen=True)
class IdentifierConfig:
    """What the identifier looks at, and how round it takes the scatter to be.

    Parameters
    ----------
    groups : tuple of str
        Groups of :data:`LINE_FEATURES`.
    shrinkage : float
        Share of the sphere in the covariance, in (0, 1].  The default was
        chosen on lines of UNIPEN's validation writers: it names them as well
        as multinomial logistic regression does, and better than the optimum
        of Ledoit & Wolf (2004), which is not made for naming.
    """

    groups: tuple[str, ...] = GROUPS
    shrinkage: float = 0.5

    def __post_init__(self) -> None:
        check_groups(self.groups)
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage must be in (0, 1], got {self.shrinkage}")


@dataclass(frozen=True, eq=False)
class Naming:
    """How lines were named.

    Parameters
    ----------
    right : array of bool, shape (lines,)
        Whether the writer was named.
    candidates : array of int, shape (lines,)
        Writers who stood for election.
    writers : tuple of str
        Who wrote each line.
    lines : array of int, shape (lines,)
        Position of each line in what was given: lines with a single candidate
        are left out, since there is nothing to tell.
    """

    right: NDArray[np.bool_]
    candidates: NDArray[np.int64]
    writers: tuple[str, ...]
    lines: NDArray[np.int64]

    @property
    def chance(self) -> float:
        """Accuracy of a guess: mean of 1 / candidates."""
        return float(np.mean(1 / self.candidates))

    def estimate(self, *, generator: np.random.Generator | None = None) -> Estimate:
        """Share of lines named rightly, its interval over writers."""
        return bootstrap(self.right, self.writers, generator=generator)


@dataclass(frozen=True, eq=False)
class Identifier:
    """Linear discriminants on line features; made by :meth:`fit`.

    Parameters
    ----------
    config : IdentifierConfig
    writers : tuple of str
        The candidates, W of them, sorted.
    sources : tuple of frozenset of str
        Sources of each candidate's lines; empty sets if none were given.
    centre, spread : array, shape (F,)
        Standardisation.
    means : array, shape (W, F)
        Mean line of each candidate, standardised.
    precision : array, shape (F, F)
        Inverse of the shrunk covariance within writers.
    """

    config: IdentifierConfig
    writers: tuple[str, ...]
    sources: tuple[frozenset[str], ...]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    means: NDArray[np.float64]
    precision: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        inks: Sequence[Ink] | NDArray[np.float64],
        writers: Sequence[str],
        sources: Sequence[str] | None = None,
        *,
        background: tuple[Sequence[Ink] | NDArray[np.float64], Sequence[str]] | None = None,
        config: IdentifierConfig | None = None,
    ) -> Identifier:
        """Learn candidates from their lines.

        Parameters
        ----------
        inks : sequence of Ink, or array, shape (lines, F)
            Lines, or their features.
        writers, sources : sequence of str
            One a line.  Sources are needed for `within`.
        background : (inks, writers), optional
            Lines of other people, two or more each, which tell how lines of one
            writer scatter; they are no candidates.  With one to four lines a
            candidate they help.
        config : IdentifierConfig, optional

        Raises
        ------
        ValueError
            If there are fewer than two writers, the lengths differ, or no
            writer, nor the background, has two lines.
        """
        config = config or IdentifierConfig()
        found = _matrix(inks, config)
        names, which = np.unique(_as_many(found, writers, "writers"), return_inverse=True)
        if len(names) < 2:
            raise ValueError(f"naming needs at least two writers, got {len(names)}")
        known: list[set[str]] = [set() for _ in names]
        if sources is not None:
            for k, source in zip(which, _as_many(found, sources, "sources"), strict=True):
                known[k].add(str(source))
        scatter = [_scatter(found, which)]
        every = found
        if background is not None:
            others = _matrix(background[0], config)
            scatter.append(_scatter(others, _as_many(others, background[1], "writers")))
            every = np.concatenate([found, others])
        residuals = np.concatenate(scatter)
        if not len(residuals):
            raise ValueError(
                "no writer has two lines, so their scatter is unknown; enrol more, "
                "or give a background"
            )
        centre, spread = every.mean(axis=0), every.std(axis=0) + 1e-6
        residuals /= spread
        covariance = residuals.T @ residuals / len(residuals)
        size = len(covariance)
        # Lines without any scatter still need an inverse.
        round_part = (np.trace(covariance) / size + 1e-12) * np.eye(size)
        shrunk = (1 - config.shrinkage) * covariance + config.shrinkage * round_part
        means = np.array([found[which == k].mean(axis=0) for k in range(len(names))])
        return cls(
            config,
            tuple(str(n) for n in names),
            tuple(frozenset(s) for s in known),
            centre,
            spread,
            (means - centre) / spread,
            np.linalg.inv(shrunk),
        )

    def scores(self, inks: Sequence[Ink] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Log likelihood of each candidate, shape (lines, W), but for a constant a line.

        Equation 4.10 of Hastie, Tibshirani & Friedman (2009) with equal priors.
        """
        z = (_matrix(inks, self.config) - self.centre) / self.spread
        weighted = self.means @ self.precision
        return z @ weighted.T - 0.5 * (weighted * self.means).sum(axis=1)

    def name(
        self,
        inks: Sequence[Ink] | NDArray[np.float64],
        *,
        within: Sequence[str] | None = None,
    ) -> list[str]:
        """The most likely writer of each line.

        Parameters
        ----------
        inks : sequence of Ink, or array, shape (lines, F)
        within : sequence of str, optional
            A source a line: only its writers are candidates.

        Raises
        ------
        ValueError
            If a source has no candidate.
        """
        scores = self.scores(inks)
        allowed = self._allowed(len(scores), within)
        return [self.writers[k] for k in np.where(allowed, scores, -np.inf).argmax(axis=1)]

    def accuracy(
        self,
        inks: Sequence[Ink] | NDArray[np.float64],
        writers: Sequence[str],
        *,
        within: Sequence[str] | None = None,
    ) -> Naming:
        """Name lines whose writers, or primed writers, are known.

        Parameters
        ----------
        inks, within
            As for :meth:`name`.
        writers : sequence of str
            Whom each line should be named after.

        Raises
        ------
        ValueError
            If a writer is no candidate, or not one of the line's source.
        """
        features = _matrix(inks, self.config)
        who = [str(w) for w in _as_many(features, writers, "writers")]
        allowed = self._allowed(len(who), within)
        place = {name: k for k, name in enumerate(self.writers)}
        for at, writer in enumerate(who):
            if writer not in place or not allowed[at, place[writer]]:
                of = f" of source {within[at]}" if within is not None and writer in place else ""
                raise ValueError(f"line {at}: {writer!r} is no candidate{of}; enrol lines of it")
        named = self.name(features, within=within)
        keep = np.flatnonzero(allowed.sum(axis=1) > 1)
        return Naming(
            np.array([named[i] == who[i] for i in keep], dtype=bool),
            allowed.sum(axis=1)[keep],
            tuple(who[i] for i in keep),
            keep,
        )

    def _allowed(self, lines: int, within: Sequence[str] | None) -> NDArray[np.bool_]:
        """Who stands as a candidate for each line, shape (lines, W)."""
        if within is None:
            return np.ones((lines, len(self.writers)), dtype=bool)
        if isinstance(within, str) or len(within) != lines:
            raise ValueError(f"{lines} lines need as many sources in within, got {len(within)}")
        rows = {s: [s in own for own in self.sources] for s in dict.fromkeys(within)}
        empty = [s for s, row in rows.items() if not any(row)]
        if empty:
            raise ValueError(f"no candidate has lines of source {', '.join(map(str, empty))}")
        return np.array([rows[s] for s in within], dtype=bool).reshape(lines, len(self.writers))


def _as_many(features: NDArray[np.float64], labels: Sequence[str], what: str) -> NDArray[np.str_]:
    if isinstance(labels, str) or len(labels) != len(features):
        raise ValueError(f"{len(features)} lines need as many {what}, got {len(labels)}")
    return np.asarray(labels)


def _matrix(
    lines: Sequence[Ink] | NDArray[np.float64], config: IdentifierConfig
) -> NDArray[np.float64]:
    """Features, shape (lines, F), of inks or of what are features already."""
    wanted = sum(len(LINE_FEATURES[g]) for g in config.groups)
    if not isinstance(lines, np.ndarray):
        rows = [line_features(ink, config.groups) for ink in lines]
        lines = np.array(rows).reshape(len(rows), wanted)
    if lines.ndim != 2 or lines.shape[1] != wanted:
        raise ValueError(f"features must have shape (lines, {wanted}), got {lines.shape}")
    return lines


def _scatter(features: NDArray[np.float64], who: NDArray[np.generic]) -> NDArray[np.float64]:
    """Lines less their writer's mean, scaled so that few lines a writer do not look alike."""
    parts = [features[:0]]
    for name in np.unique(who):
        mine = features[who == name]
        if len(mine) > 1:
            parts.append((mine - mine.mean(axis=0)) * np.sqrt(len(mine) / (len(mine) - 1)))
    return np.concatenate(parts)
