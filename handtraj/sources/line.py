"""The one record every source yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import MAX_SLOPE, RUN_POINTS, Ink
from handtraj.strokes import deskew, resample_strokes

__all__ = ["Line", "level_line", "usual_slope"]

#: Characters a text needs for its ink to show a slope of its own.
SHOWS_SLOPE = 12


@dataclass(frozen=True)
class Line:
    """One written line with its text.

    Parameters
    ----------
    ink : Ink
        Pen movement in x-heights, resampled so that a vertical run takes six
        points.
    text : str
        What is written.
    writer : str
        Neutral id, the same for all lines of one hand.
    source : str
        Short name of where the line comes from.
    kind : str
        "line", "word", or "composed" (words of one writer put on a line).
    noise : float
        Half a device unit in x-heights: what quantisation hides.
    """

    ink: Ink
    text: str
    writer: str
    source: str
    kind: str = "line"
    noise: float = 0.0


def usual_slope(slopes: Sequence[float]) -> float:
    """The slope of a hand: the median over its lines, within MAX_SLOPE; 0 of none."""
    return float(np.clip(np.median(slopes), -MAX_SLOPE, MAX_SLOPE)) if len(slopes) else 0.0


def level_line(
    strokes: Sequence[NDArray[np.floating[Any]]],
    text: str,
    writer: str,
    source: str,
    kind: str,
    *,
    slopes: tuple[float, float],
    height: float,
    duration: float,
) -> Line:
    """Bring one line to the form of the corpus: level, in x-heights, six points a run.

    Parameters
    ----------
    strokes : sequence of array (n, 2)
        In device units, y up, even in time.
    text, writer, source, kind : str
        As in :class:`Line`.
    slopes : tuple of float
        That of the line and that of the hand, which is taken where the line is
        too short or too steep to show its own.
    height : float
        The hand's x-height, in device units.
    duration : float
        The hand's time for a vertical run, in samples.
    """
    own, usual = slopes
    slope = own if len(text) >= SHOWS_SLOPE and abs(own) <= MAX_SLOPE else usual
    even = resample_strokes(deskew(strokes, slope), duration / RUN_POINTS)
    ink = Ink.from_strokes([s / height for s in even])
    return Line(ink, text, writer, source, kind, 0.5 / height)
