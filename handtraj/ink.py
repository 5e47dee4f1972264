"""Ink: pen movement as offsets or as strokes, and the conversions between them.

Positions are arrays of shape (n, 2), x to the right and y **up** (as tablets
and UNIPEN have it).  Only the files that screens exchange, JSON and SVG, have
y down; the conversion happens here and nowhere else.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.strokes import (
    deskew,
    estimate_slope,
    resample_by_length,
    resample_in_time,
    resample_strokes,
    run_duration,
    simplify,
    vertical_runs,
    x_height,
)

__all__ = [
    "Ink",
    "deskew",
    "estimate_slope",
    "replace_file",
    "resample_by_length",
    "resample_in_time",
    "resample_strokes",
    "run_duration",
    "simplify",
    "vertical_runs",
    "x_height",
]

#: Largest number of points one ink may hold when it is read from a file.
MAX_POINTS = 200_000


@dataclass(frozen=True, eq=False)
class Ink:
    """One piece of pen movement as offsets.

    Parameters
    ----------
    offsets : array, shape (T, 3), float32
        Rows (dx, dy, pen_up): the movement from the previous point to this
        one, y up, and 1 where the pen is lifted *after* this point (Graves
        2013, section 4).  The first row holds the movement from the origin,
        normally zero.

    Raises
    ------
    ValueError
        If the shape is not (T, 3), a value is not finite, or pen_up is
        anything but 0 or 1.
    """

    offsets: NDArray[np.float32]

    def __post_init__(self) -> None:
        offsets = np.asarray(self.offsets, dtype=np.float32)
        if offsets.ndim != 2 or offsets.shape[1] != 3:
            raise ValueError(f"offsets must have shape (T, 3), got {offsets.shape}")
        if not np.isfinite(offsets).all():
            raise ValueError("offsets must be finite, got NaN or infinity")
        if not ((offsets[:, 2] == 0) | (offsets[:, 2] == 1)).all():
            raise ValueError("pen_up (third column) must be 0 or 1")
        object.__setattr__(self, "offsets", offsets)

    def __len__(self) -> int:
        return len(self.offsets)

    @classmethod
    def from_strokes(cls, strokes: Sequence[ArrayLike]) -> Ink:
        """Build ink from strokes, each an array of positions (n, 2), y up.

        Empty strokes are skipped.  The first point becomes the origin.
        """
        parts = [p for p in (_as_points(s) for s in strokes) if len(p)]
        if not parts:
            raise ValueError("ink needs at least one stroke with one point, got none")
        xy = np.concatenate(parts)
        if not np.isfinite(xy).all():
            raise ValueError("a stroke holds NaN or infinity")
        offsets = np.zeros((len(xy), 3), dtype=np.float32)
        offsets[1:, :2] = np.diff(xy, axis=0)
        offsets[np.cumsum([len(p) for p in parts]) - 1, 2] = 1.0
        return cls(offsets)

    @property
    def points(self) -> NDArray[np.float64]:
        """Positions, shape (T, 2), y up."""
        return np.cumsum(self.offsets[:, :2], axis=0, dtype=np.float64)

    @property
    def strokes(self) -> list[NDArray[np.float64]]:
        """Strokes, each of shape (n, 2), y up; the last may lack its pen lift."""
        ends = np.flatnonzero(self.offsets[:, 2] > 0) + 1
        return [p for p in np.split(self.points, ends) if len(p)]

    def scaled(self, factor: float) -> Ink:
        """The same ink with both axes multiplied by `factor` (> 0)."""
        if not factor > 0 or not np.isfinite(factor):
            raise ValueError(f"factor must be a positive number, got {factor}")
        offsets = self.offsets.copy()
        offsets[:, :2] *= factor
        return Ink(offsets)

    def to_svg(
        self, *, height: float | None = None, stroke_width: float | None = None, title: str = ""
    ) -> str:
        """An SVG document with one `<path>` a stroke (see :func:`svg_document`)."""
        from handtraj.svg import svg_document

        return svg_document([self], height=height, stroke_width=stroke_width, title=title)

    def to_json(self, text: str = "") -> str:
        """JSON ink ``{"text": …, "strokes": [[[x, y], …], …]}`` with y down."""
        strokes = [[[round(float(x), 3), round(float(-y), 3)] for x, y in s] for s in self.strokes]
        return json.dumps({"text": text, "strokes": strokes}, ensure_ascii=False)

    @classmethod
    def from_json(cls, document: str) -> tuple[Ink, str]:
        """Read JSON ink; returns the ink (y up) and its text ("" if absent).

        Raises
        ------
        ValueError
            If the document is no JSON ink, with what is wrong and where.
        """
        try:
            data = json.loads(document)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"not a JSON ink file: {error}") from None
        if not isinstance(data, dict) or not isinstance(data.get("strokes"), list):
            raise ValueError('JSON ink needs an object with a list "strokes": [[[x, y], …], …]')
        text = data.get("text", "")
        if not isinstance(text, str):
            raise ValueError(f'"text" must be a string, got {type(text).__name__}')
        strokes = []
        total = 0
        for number, stroke in enumerate(data["strokes"]):
            try:
                xy = np.asarray(stroke, dtype=np.float64)
            except (TypeError, ValueError):
                raise ValueError(f"stroke {number} is not a list of [x, y] numbers") from None
            if xy.size == 0:
                continue
            if xy.ndim != 2 or xy.shape[1] < 2:
                raise ValueError(f"stroke {number} must be a list of [x, y], got shape {xy.shape}")
            if not np.isfinite(xy[:, :2]).all():
                raise ValueError(f"stroke {number} holds NaN or infinity")
            total += len(xy)
            if total > MAX_POINTS:
                raise ValueError(f"ink has more than {MAX_POINTS} points; cut it into lines")
            strokes.append(xy[:, :2] * [1.0, -1.0])
        return cls.from_strokes(strokes), text


def _as_points(stroke: ArrayLike) -> NDArray[np.float64]:
    xy = np.asarray(stroke, dtype=np.float64)
    if xy.size == 0:
        return np.empty((0, 2))
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"a stroke must have shape (n, 2), got {xy.shape}")
    return xy


def replace_file(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all: a temporary name, then a rename."""
    target = Path(path)
    if target.is_dir():
        raise ValueError(f"{target} is a folder; give a file name")
    if not target.parent.is_dir():
        raise ValueError(f"folder {target.parent} does not exist; create it first")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def clean_text(text: str) -> str:
    """Collapse white space to single blanks and trim the ends."""
    return re.sub(r"\s+", " ", text).strip()


#: Steepest baseline that is taken out; what seems steeper is no baseline.
MAX_SLOPE = 0.25
#: Points a vertical run takes after normalisation: 15 to 23 points a character.
RUN_POINTS = 6


#: Exponent of the two-thirds power law: speed ~ curvature ** -1/3.
POWER = 1 / 3
#: Curvature added to every point, 1 / x-height: keeps straight lines from being infinitely fast.
STRAIGHT = 0.3
#: Width of the smoothing before curvature is taken, in x-heights.
SMOOTHING = 0.1
#: A pen starts and ends a stroke at this share of its speed, over this length (x-heights).
REST, RAMP = 0.4, 0.5
_STEP = 0.05
_TICK = 0.04


def estimate_tempo(stroke: ArrayLike) -> NDArray[np.float64]:
    """Set the points of one stroke even in time, with the tempo its shape suggests.

    Speed follows the two-thirds power law (Lacquaniti, Terzuolo and Viviani
    1983), ``speed = (curvature + STRAIGHT) ** -POWER``, and is lower near both
    ends of a stroke.  On lines of held-out UNIPEN writers the logarithms of
    estimated and true speeds correlate with r = 0.81, and the time of a step
    is off by 30 % on average (49 % with even spacing).

    Parameters
    ----------
    stroke : array, shape (n, 2)
        Positions in x-heights, at any spacing.

    Returns
    -------
    array, shape (m, 2)
        Points on the same path.  The time between two is the same for all
        strokes, in a unit that only :func:`normalise` gives a meaning.
    """
    from scipy.ndimage import gaussian_filter1d  # type: ignore[import-untyped]

    path = resample_by_length(_as_points(stroke), _STEP)
    if len(path) < 3:
        return path
    gap = float(np.hypot(*(path[1:] - path[:-1]).T).mean())
    smooth = gaussian_filter1d(path, SMOOTHING / _STEP, axis=0, mode="nearest")
    first = np.gradient(smooth, axis=0)
    second = np.gradient(first, axis=0)
    # At a cusp the smoothed pen nearly stands; the bound keeps the ratio finite.
    pace = np.maximum(np.hypot(*first.T), 0.2 * gap)
    bend = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / pace**3
    along = np.arange(len(path)) * gap
    ramp = np.minimum(1, REST + (1 - REST) * np.minimum(along, along[::-1]) / RAMP)
    slowness = (bend + STRAIGHT) ** POWER / ramp
    time = np.concatenate([[0.0], np.cumsum((slowness[1:] + slowness[:-1]) * gap / 2)])
    at = np.linspace(0, time[-1], max(1, round(time[-1] / _TICK)) + 1)
    return np.column_stack([np.interp(at, time, path[:, k]) for k in (0, 1)])


def normalise(strokes: Sequence[ArrayLike], *, rate_known: bool = True) -> Ink:
    """Bring any ink to the form the corpus has: x-heights, six points a run, level.

    Parameters
    ----------
    strokes : sequence of array (n, 2)
        Positions in any unit, y up, sampled evenly in time.
    rate_known : bool
        False where points are not even in time: the pen's tempo is then
        estimated from the shape (:func:`estimate_tempo`).

    Raises
    ------
    ValueError
        If the ink has no vertical movement to take a scale from, or a path
        far too long for its height.
    """
    parts = [p for p in (_as_points(s) for s in strokes) if len(p)]
    slope = estimate_slope(parts)
    # Levelled first: on a sloping line, runs are higher one way than the other.
    level = deskew(parts, slope if abs(slope) <= MAX_SLOPE else 0.0)
    runs = vertical_runs(level)
    height, duration = x_height(runs), run_duration(runs)
    if height <= 0 or duration <= 0:
        raise ValueError("the ink has no vertical strokes to take its scale from; write more")
    level = [p / height for p in level]
    if not rate_known:
        length = sum(float(np.hypot(*np.diff(p, axis=0).T).sum()) for p in level)
        if not length / _STEP <= MAX_POINTS:
            raise ValueError(
                f"the ink's path is {length:.0f} times its letters' height, at most "
                f"{MAX_POINTS * _STEP:.0f}; take stray points out, or cut it into lines"
            )
        level = [estimate_tempo(p) for p in level]
        duration = run_duration(vertical_runs(level))
    return Ink.from_strokes(resample_strokes(level, duration / RUN_POINTS))
