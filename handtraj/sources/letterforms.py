"""Upright single-stroke letterforms, in x-heights, for the synthetic writers.

Small letters are those of the Hershey script font, other symbols those of its
plain font (Hershey 1967), as the package Hershey-Fonts (MIT) holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from HersheyFonts import HersheyFonts
from numpy.typing import NDArray

from handtraj.alphabet import UNIPEN_SYMBOLS

__all__ = ["ASCENDER", "Letterform", "letterform"]

#: Height above the x-height of ascenders, and depth of descenders, at loop size 1.
ASCENDER = 12 / 9
#: Horizontal movement per height of the script font, taken out to stand it upright.
_LEAN = 0.3
#: Strokes, by number, that people draw after the rest of the letter.
_LATE = {"i": (0,), "j": (0,), "t": (2,), "x": (1,)}


@dataclass(frozen=True, eq=False)
class Letterform:
    """One symbol, baseline at y = 0, left edge at x = 0, y up, in x-heights.

    Parameters
    ----------
    body : tuple of array, each (n, 2)
        Strokes drawn at once.
    late : tuple of array, each (n, 2)
        Dots and crosses that may wait for the end of the word.
    width : float
        From the left edge to where the next symbol begins.
    joins : bool
        Whether the symbol can be joined to its neighbours.
    """

    body: tuple[NDArray[np.float64], ...]
    late: tuple[NDArray[np.float64], ...]
    width: float
    joins: bool


@cache
def _font(name: str) -> HersheyFonts:
    font = HersheyFonts()
    font.load_default_font(name)
    return font


@cache
def letterform(symbol: str) -> Letterform:
    """The form of one symbol; a blank has no strokes.

    Raises
    ------
    ValueError
        If the symbol is not one of UNIPEN_SYMBOLS.
    """
    if len(symbol) != 1 or symbol not in UNIPEN_SYMBOLS:
        raise ValueError(f"no letterform for {symbol!r}; allowed: {UNIPEN_SYMBOLS}")
    small = "a" <= symbol <= "z"
    drawn = _font("scripts" if small else "futural").strokes_for_text(symbol)
    strokes = [np.array(s, dtype=np.float64) for s in drawn]
    if not strokes:
        return Letterform((), (), 0.0, False)
    # Both fonts put the baseline at 9 and the tops of capitals at -12, y down.
    unit = 9.0 if small else 10.5
    strokes = [np.column_stack([s[:, 0], 9 - s[:, 1]]) / unit for s in strokes]
    if not small:
        left = min(s[:, 0].min() for s in strokes)
        strokes = [s - [left, 0] for s in strokes]
        width = max(s[:, 0].max() for s in strokes) + 0.25
        return Letterform(tuple(strokes), (), float(width), False)
    upright = [np.column_stack([s[:, 0] - _LEAN * s[:, 1], s[:, 1]]) for s in strokes]
    late = [s for k, s in enumerate(upright) if k in _LATE.get(symbol, ())]
    # The other strokes of a small letter go on where the last one ended or go
    # back along it, so the pen stays down.
    body = np.concatenate([s for k, s in enumerate(upright) if k not in _LATE.get(symbol, ())])
    # Round letters begin at their right: only what stands on the line counts as
    # the left edge, or a descender would push its letter away.
    left = body[(body[:, 1] >= 0) & (body[:, 1] <= 1), 0].min()
    shifted = tuple(s - [left, 0] for s in late)
    return Letterform((body - [left, 0],), shifted, float(body[-1, 0] - left), True)
