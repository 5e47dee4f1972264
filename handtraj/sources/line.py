"""The one record every source yields."""

from __future__ import annotations

from dataclasses import dataclass

from handtraj.ink import Ink

__all__ = ["Line"]


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
