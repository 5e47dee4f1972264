"""Whose hand the ink is in, after the state was moved: a judge that sees ink only.

The judge sees ink only.  It learns from lines that the same network wrote in
each style without being disturbed, and never from a line of the same text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handtraj.evaluation.bootstrap import Estimate, bootstrap
from handtraj.evaluation.features import FEATURES, ink_features
from handtraj.evaluation.identifier import Identifier
from handtraj.ink import Ink
from handtraj.interventions import middle
from handtraj.writing import Writing

__all__ = ["Judge", "rest_of", "share_moved"]

#: Points that a piece of ink needs to be judged.
FEWEST = 40


def rest_of(writing: Writing, share: float = 0.4) -> tuple[Ink, str] | None:
    """The ink after a place in the text, with what it says; None if there is hardly any.

    Parameters
    ----------
    writing : Writing
    share : float
        See :func:`handtraj.interventions.middle`; 0 for the whole line.
    """
    place = int(middle([writing.text], [None], share)[0])
    reached = np.flatnonzero(writing.characters >= place)
    if not len(reached) or len(writing.ink) - reached[0] < FEWEST:
        return None
    offsets = writing.ink.offsets[reached[0] :].copy()
    offsets[0, :2] = 0
    return Ink(offsets), writing.text[place:]


@dataclass(frozen=True, eq=False)
class Judge:
    """Names the style of a piece of ink, and knows what ink of each style is like.

    Parameters
    ----------
    identifiers : mapping
        For each text, an identifier that never saw it.
    usual : mapping
        For each (style, text), the mean :data:`FEATURES` of that style's
        undisturbed lines, shape (F,).
    sources : mapping
        Source of each style.
    share : float
        Where in the text the pieces begin.
    """

    identifiers: Mapping[str, Identifier]
    usual: Mapping[tuple[str, str], NDArray[np.float64]]
    sources: Mapping[str, str]
    share: float

    @classmethod
    def fit(
        cls, writings: Sequence[Writing], sources: Mapping[str, str], *, share: float = 0.4
    ) -> Judge:
        """Learn the styles from undisturbed lines.

        Parameters
        ----------
        writings : sequence of Writing
            Several texts in every style.
        sources : mapping
            Source of each style: styles are told apart within a source.
        share : float

        Raises
        ------
        ValueError
            If there are fewer than two texts or styles, or a style has no source.
        """
        texts = sorted({w.text for w in writings})
        styles = sorted({w.style for w in writings})
        if len(texts) < 2 or len(styles) < 2:
            raise ValueError(
                f"a judge needs lines of at least two texts in two styles, got {len(texts)} "
                f"texts and {len(styles)} styles"
            )
        unknown = [s for s in styles if s not in sources]
        if unknown:
            raise ValueError(f"no source given for {', '.join(unknown)}")
        pieces = [(w, rest) for w in writings if (rest := rest_of(w, share)) is not None]
        identifiers, usual = {}, {}
        for text in texts:
            others = [(w, rest[0]) for w, rest in pieces if w.text != text]
            identifiers[text] = Identifier.fit(
                [ink for _, ink in others],
                [w.style for w, _ in others],
                [sources[w.style] for w, _ in others],
            )
        grouped: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
        for w, (ink, said) in pieces:
            grouped.setdefault((w.style, w.text), []).append(ink_features(ink, said))
        usual = {key: np.mean(found, axis=0) for key, found in grouped.items()}
        return cls(identifiers, usual, dict(sources), share)

    def name(self, writings: Sequence[Writing]) -> list[str]:
        """The style each rest of a line looks most like; "" where too little was written.

        Only styles of the source of the line's own style are candidates.

        Raises
        ------
        ValueError
            If a text was not among those learned from.
        """
        named = [""] * len(writings)
        for text in dict.fromkeys(w.text for w in writings):
            if text not in self.identifiers:
                raise ValueError(f"the judge knows no text {text!r}; it learned other texts")
            found = [
                (i, rest[0])
                for i, w in enumerate(writings)
                if w.text == text and (rest := rest_of(w, self.share)) is not None
            ]
            if not found:
                continue
            within = [self.sources[writings[i].style] for i, _ in found]
            names = self.identifiers[text].name([ink for _, ink in found], within=within)
            for (i, _), name in zip(found, names, strict=True):
                named[i] = name
        return named

    def moves(self, writings: Sequence[Writing], new: Sequence[str]) -> NDArray[np.float64]:
        """Features of each rest beside those usual in its own style and in another.

        Parameters
        ----------
        writings : sequence of Writing
        new : sequence of str
            The style each line was moved to.

        Returns
        -------
        array, shape (lines, F, 3)
            The line's features, those of its own style, those of the new one,
            for the line's text; NaN where too little was written.
        """
        found = np.full((len(writings), len(FEATURES), 3), np.nan)
        for i, (w, other) in enumerate(zip(writings, new, strict=True)):
            rest = rest_of(w, self.share)
            if rest is None:
                continue
            columns = [ink_features(*rest), self.usual[w.style, w.text], self.usual[other, w.text]]
            found[i] = np.column_stack(columns)
        return found


def share_moved(
    moves: NDArray[np.float64], groups: Sequence[str], *, draws: int = 1000
) -> dict[str, Estimate]:
    """How far each feature went from the old style's towards the new one's.

    The slope of (line - old) on (new - old) through the origin: 0 if it stayed,
    1 if it went all the way.

    Parameters
    ----------
    moves : array, shape (lines, F, 3)
        From :meth:`Judge.moves`.
    groups : sequence of str
        For the interval, which is over these: the old styles.
    draws : int
    """
    kept: NDArray[np.bool_] = np.asarray(np.isfinite(moves).all(axis=(1, 2)))

    def slope(items: NDArray[np.float64]) -> float:
        wanted = items[:, 2] - items[:, 1]
        return float(((items[:, 0] - items[:, 1]) * wanted).sum() / (wanted**2).sum())

    who = [g for g, k in zip(groups, kept, strict=True) if k]
    return {
        name: bootstrap(moves[kept, f], who, slope, draws=draws) for f, name in enumerate(FEATURES)
    }
