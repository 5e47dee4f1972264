"""What went wrong while a line was written, read off the soft window.

Graves (2013, section 5.1) made the window so that the network knows which
character it is writing; where its largest weight stands tells which words were
passed over, written twice, or never reached.  It does not tell whether the ink
can be read: that is the reader's task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.writing import Writing

__all__ = ["SKIPPED_BELOW", "STALLED_ABOVE", "Fate", "fate", "fate_of", "fates", "looked_at"]

#: A word is skipped if it got fewer points for each letter or digit.  The usual
#: number is 18; words of real lines get 7 or more, and 4 points draw no letter.
SKIPPED_BELOW = 4
#: A character with more points is stalled: five times the usual number, twice
#: what any character of real lines was seen to get.
STALLED_ABOVE = 90
#: Weights below this share of the line's median largest one are none: the
#: window has left the text.
_FAINT = 0.01
_COUNTS = (
    *("lines", "finished", "clean", "stopped_early", "ran_away", "stalled"),
    *("words", "words_skipped", "words_missing", "words_repeated"),
)


@dataclass(frozen=True)
class Fate:
    """What became of one line.

    Words and characters are given by their position in the text.

    Parameters
    ----------
    words : int
        Words of the text.
    finished : bool
        Whether the network ended the line itself.
    skipped : tuple of int
        Words passed over although a later one was written.
    missing : tuple of int
        Words at the end of the text that were not written.
    repeated : tuple of int
        Words written again after the window had been two or more words ahead.
        One word ahead is no repeat: people, too, go back for dots and bars.
    stalled : tuple of int
        Characters that held the window for more than STALLED_ABOVE points.
    """

    words: int
    finished: bool
    skipped: tuple[int, ...]
    missing: tuple[int, ...]
    repeated: tuple[int, ...]
    stalled: tuple[int, ...]

    @property
    def ran_away(self) -> bool:
        """The line was given up."""
        return not self.finished

    @property
    def stopped_early(self) -> bool:
        """The network ended the line before the end of the text."""
        return self.finished and bool(self.missing)

    @property
    def clean(self) -> bool:
        """Nothing of all this happened."""
        return self.finished and not (self.skipped or self.missing or self.repeated or self.stalled)


def looked_at(window: ArrayLike) -> NDArray[np.int64]:
    """Character with the largest weight at each point.

    Parameters
    ----------
    window : array, shape (T, C)

    Returns
    -------
    array, shape (T,)
        -1 where the window has left the text and all weights are faint.

    Raises
    ------
    ValueError
        If the window has no character, or a weight is not finite.
    """
    weights = np.asarray(window, dtype=np.float64)
    if weights.ndim != 2 or not weights.shape[1] or not np.isfinite(weights).all():
        raise ValueError(f"window must be finite, of shape (T, C), got shape {weights.shape}")
    largest = weights.max(axis=1)
    strong = largest > 0
    if strong.any():
        strong &= largest >= _FAINT * np.median(largest[strong])
    return np.where(strong, weights.argmax(axis=1), -1)


def fate_of(text: str, window: ArrayLike, *, finished: bool = True) -> Fate:
    """Judge a line by its window.

    Parameters
    ----------
    text : str
    window : array, shape (T, C)
        Weight of each character of `text` at each point.  It may come from
        reading real ink too, which shows how often these rules cry wolf.
    finished : bool
        Whether the line was ended rather than given up.

    Raises
    ------
    ValueError
        If the window does not fit the text.
    """
    place = looked_at(window)
    if np.shape(window)[1] != len(text):
        raise ValueError(f"window has {np.shape(window)[1]} characters, the text {len(text)}")
    word_of, needed = _words(text)
    words = len(needed)
    at = np.where(place >= 0, word_of[place], -1)
    points = np.bincount(at[at >= 0], minlength=words)
    written = np.flatnonzero(points >= needed)
    last = int(written[-1]) if len(written) else -1
    behind = np.maximum.accumulate(at) - at >= 2
    again = np.bincount(at[behind & (at >= 0)], minlength=words)
    characters = np.bincount(place[place >= 0], minlength=len(text))
    return Fate(
        words,
        finished,
        _numbers(np.flatnonzero(points[: last + 1] < needed[: last + 1])),
        tuple(range(last + 1, words)),
        _numbers(np.flatnonzero(again >= needed)),
        _numbers(np.flatnonzero(characters > STALLED_ABOVE)),
    )


def _words(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Word of each character (-1 for blanks), and the points each word needs."""
    word_of = np.full(len(text), -1, dtype=np.int64)
    needed: list[int] = []
    for i, character in enumerate(text):
        if character.isspace():
            continue
        if i == 0 or text[i - 1].isspace():
            needed.append(0)
        word_of[i] = len(needed) - 1
        needed[-1] += SKIPPED_BELOW * character.isalnum()
    # A dash or a stop may take two points: one is asked of them.
    return word_of, np.maximum(1, np.array(needed, dtype=np.int64))


def _numbers(found: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(k) for k in found)


def fate(writing: Writing) -> Fate:
    """Judge one line the network wrote.  See :func:`fate_of`."""
    return fate_of(writing.text, writing.window, finished=writing.finished)


def fates(writings: Iterable[Writing]) -> dict[str, int]:
    """Count what became of several lines.

    Returns
    -------
    dict
        Lines: "lines", and of these "finished", "clean", "stopped_early",
        "ran_away", "stalled" (with a stalled character).  Words: "words", and
        of these "words_skipped", "words_missing", "words_repeated".
    """
    count: Counter[str] = Counter()
    for writing in writings:
        one = fate(writing)
        count.update(
            lines=1,
            finished=one.finished,
            clean=one.clean,
            stopped_early=one.stopped_early,
            ran_away=one.ran_away,
            stalled=bool(one.stalled),
            words=one.words,
            words_skipped=len(one.skipped),
            words_missing=len(one.missing),
            words_repeated=len(one.repeated),
        )
    return {name: int(count[name]) for name in _COUNTS}
