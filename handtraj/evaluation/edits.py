"""Edit distances between what was read and what was wanted, and what they lose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CharacterErrors", "align", "aligned_errors", "character_errors", "lenient_text"]


def lenient_text(text: str) -> str:
    """The text without what lenient comparison ignores: case and punctuation.

    Letters become small; what is neither letter, digit nor blank goes; blanks
    that this leaves side by side become one.
    """
    kept = "".join(c for c in text.lower() if c.isalnum() or c.isspace())
    return " ".join(kept.split())


def character_errors(
    written: Sequence[str], wanted: Sequence[str], *, lenient: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edits that turn what is written into what was wanted, line by line.

    The character error of a set of lines is ``edits.sum() / lengths.sum()``.

    Parameters
    ----------
    written, wanted : sequence of str
        As many of one as of the other.
    lenient : bool
        False: exact characters.  True: both sides pass
        :func:`lenient_text` first, so that case and punctuation do not count.

    Returns
    -------
    edits : array, shape (lines,)
        Levenshtein distance: insertions, deletions and replacements.
    lengths : array, shape (lines,)
        Characters of `wanted` (after :func:`lenient_text`, where it applies).

    Raises
    ------
    TypeError
        If one of them is a single string.
    ValueError
        If their numbers differ.
    """
    pairs = _pairs(written, wanted, lenient)
    edits = [int(_distances(have, want)[-1, -1]) for have, want in pairs]
    return np.array(edits, dtype=np.int64), np.array([len(w) for _, w in pairs], dtype=np.int64)


def _pairs(written: Sequence[str], wanted: Sequence[str], lenient: bool) -> list[tuple[str, str]]:
    if isinstance(written, str) or isinstance(wanted, str):
        raise TypeError("give lists of lines, not single strings")
    if len(written) != len(wanted):
        raise ValueError(f"{len(written)} lines written, {len(wanted)} wanted; give as many")
    change = lenient_text if lenient else str
    return [(change(a), change(b)) for a, b in zip(written, wanted, strict=True)]


def _distances(have: str, want: str) -> NDArray[np.int64]:
    """Edit distances of all beginnings, shape (len(have) + 1, len(want) + 1)."""
    target = np.array([ord(c) for c in want], dtype=np.int64)
    column = np.arange(len(want) + 1)
    table = np.empty((len(have) + 1, len(want) + 1), dtype=np.int64)
    table[0] = column
    for i, character in enumerate(have, start=1):
        row = table[i - 1] + 1
        row[1:] = np.minimum(row[1:], table[i - 1, :-1] + (target != ord(character)))
        # Going right costs one a column: the least of all starts to the left.
        table[i] = np.minimum.accumulate(row - column) + column
    return table


def align(written: str, wanted: str) -> list[tuple[str, str]]:
    """One cheapest way from `wanted` to `written`, as pairs (wanted, written).

    "" stands on the right for a lost character and on the left for one too
    many.  Where several ways cost the same, replacing goes before losing.
    """
    table = _distances(written, wanted)
    i, j = len(written), len(wanted)
    pairs = []
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (written[i - 1] != wanted[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((wanted[j], written[i]))
        elif j and table[i, j] == table[i, j - 1] + 1:
            j -= 1
            pairs.append((wanted[j], ""))
        else:
            i -= 1
            pairs.append(("", written[i]))
    return pairs[::-1]


@dataclass(frozen=True)
class CharacterErrors:
    """What became of one wanted character: how often it stood there, and was read.

    `read_as` counts what was read in its place, the most frequent first;
    `lost` are the times nothing was.
    """

    character: str
    count: int
    lost: int
    read_as: dict[str, int]

    @property
    def replaced(self) -> int:
        """Times another character was read."""
        return sum(self.read_as.values())

    @property
    def rate(self) -> float:
        """Share of its occurrences that were lost or replaced."""
        return (self.lost + self.replaced) / self.count


def aligned_errors(
    written: Sequence[str], wanted: Sequence[str], *, lenient: bool = False, least: int = 1
) -> list[CharacterErrors]:
    """Errors of every wanted character, the worst first.

    Characters that were read where none was wanted belong to no wanted
    character and are not counted here; :func:`character_errors` counts them.

    Parameters
    ----------
    written, wanted, lenient
        As for :func:`character_errors`.
    least : int
        Leave out characters that were wanted less often: their rates say little.

    Raises
    ------
    TypeError, ValueError
        As for :func:`character_errors`.
    """
    read: dict[str, Counter[str]] = {}
    for have, want in _pairs(written, wanted, lenient):
        for wish, got in align(have, want):
            if wish:
                read.setdefault(wish, Counter())[got] += 1
    rows = [
        CharacterErrors(
            wish,
            sum(got.values()),
            got[""],
            {c: k for c, k in got.most_common() if c not in ("", wish)},
        )
        for wish, got in read.items()
    ]
    return sorted((r for r in rows if r.count >= least), key=lambda r: (-r.rate, r.character))
