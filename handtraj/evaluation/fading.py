"""Does the style fade?  Several lines written in one go, so that the state carries on.

The network has no notion of a line break.  Lines written "on and on" are one
text whose parts are told apart afterwards by where the window stood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from handtraj.evaluation.legibility import write_lines
from handtraj.ink import Ink
from handtraj.style import Style
from handtraj.writing import MAX_TEXT, Writer, Writing

__all__ = ["cut_lines", "write_on"]


def cut_lines(writing: Writing, texts: Sequence[str]) -> list[Ink | None]:
    """The parts of a writing that say each of the texts it was joined from.

    Every stroke goes to the line in which the window stood for most of it.

    Parameters
    ----------
    writing : Writing
        Of the texts joined by blanks.
    texts : sequence of str

    Returns
    -------
    list of Ink or None
        One a text; None where no stroke belongs to it.

    Raises
    ------
    ValueError
        If the writing does not say these texts.
    """
    if " ".join(texts) != writing.text:
        raise ValueError(
            f"the writing says {writing.text!r}, which is not the {len(texts)} texts joined"
        )
    # The blank after a line belongs to it.
    line_of = np.repeat(np.arange(len(texts)), [len(t) + 1 for t in texts])[: len(writing.text)]
    at = line_of[writing.characters]
    parts: list[list[NDArray[np.float64]]] = [[] for _ in texts]
    first = 0
    for stroke in writing.ink.strokes:
        votes = np.bincount(at[first : first + len(stroke)], minlength=len(texts))
        parts[int(votes.argmax())].append(stroke)
        first += len(stroke)
    return [Ink.from_strokes(strokes) if strokes else None for strokes in parts]


def write_on(
    writer: Writer,
    texts: Sequence[Sequence[str]],
    styles: Sequence[Style | None],
    *,
    bias: float,
    seed: int,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[list[Ink | None]], list[bool]]:
    """Write several lines after one prime, without priming again between them.

    Parameters
    ----------
    writer : Writer
    texts : sequence of sequences of str
        Lines of each writing, together at most 200 characters with a blank
        between lines.
    styles : sequence of Style or None
        One a writing.
    bias, seed, batch, progress
        As for :func:`handtraj.evaluation.legibility.write_lines`.

    Returns
    -------
    list of lists of Ink or None
        Line by line; None where a line was never come to.
    list of bool
        Whether each writing came to its end.

    Raises
    ------
    ValueError
        If the lines of a writing are too long together.
    """
    wholes = [" ".join(lines) for lines in texts]
    longest = max(map(len, wholes), default=0)
    if longest > MAX_TEXT:
        raise ValueError(
            f"lines of one writing have {longest} characters together, at most {MAX_TEXT}; "
            "take shorter lines, or fewer"
        )
    writings = write_lines(
        writer, wholes, styles=styles, bias=bias, seed=seed, batch=batch, progress=progress
    )
    cut = [cut_lines(w, lines) for w, lines in zip(writings, texts, strict=True)]
    return cut, [w.finished for w in writings]
