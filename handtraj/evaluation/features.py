"""Features of ink: what tells one hand from another, in interpretable units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import Ink

__all__ = ["FEATURES", "describe", "ink_features"]

#: Names of the features, in the order of :func:`ink_features`.
FEATURES = ("slant", "width", "lifts", "height", "roundness", "step")


def ink_features(ink: Ink, text: str) -> NDArray[np.float64]:
    """Six features of one line.

    Parameters
    ----------
    ink : Ink
        In x-heights, six points a vertical run.
    text : str
        What it says; needed to count per character.

    Returns
    -------
    array, shape (6,)
        slant: degrees from the vertical, positive to the right, of the steep
        parts of the path, weighted by length.  width: advance per character,
        in x-heights.  lifts: pen lifts per character.  height: distance of
        the 5th and 95th percentile of y, in x-heights.  roundness: mean
        absolute turn per point inside strokes, in degrees, without the
        sharpest tenth.  step: median length of a movement, in x-heights.

    Raises
    ------
    ValueError
        If the text is empty or the ink has fewer than eight points.
    """
    if not text:
        raise ValueError("features need the text of the ink, got an empty one")
    if len(ink) < 8:
        raise ValueError(f"features need at least 8 points, got {len(ink)}")
    drawn = ink.offsets[1:][ink.offsets[:-1, 2] == 0][:, :2].astype(np.float64)
    length = np.hypot(drawn[:, 0], drawn[:, 1])
    points = ink.points
    return np.array(
        [
            _slant(drawn, length),
            np.ptp(points[:, 0]) / len(text),
            ink.offsets[:, 2].sum() / len(text),
            np.subtract(*np.percentile(points[:, 1], [95, 5])),
            _turning(ink),
            np.median(length),
        ]
    )


def _slant(drawn: NDArray[np.float64], length: NDArray[np.float64]) -> float:
    steep = (np.abs(drawn[:, 1]) > np.abs(drawn[:, 0])) & (length > 0)
    if not steep.any():
        return 0.0
    # A stroke has no sense of direction here: turn every movement upwards.
    up = drawn[steep] * np.sign(drawn[steep, 1:2])
    angle = np.degrees(np.arctan2(up[:, 0], up[:, 1]))
    return float(np.average(angle, weights=length[steep]))


def _turning(ink: Ink) -> float:
    turns = []
    for stroke in ink.strokes:
        step = np.diff(stroke, axis=0)
        step = step[np.hypot(step[:, 0], step[:, 1]) > 1e-6]
        if len(step) > 1:
            angle = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
            turns.append(np.abs(np.diff(angle)))
    if not turns:
        return 0.0
    every = np.degrees(np.concatenate(turns))
    return float(every[every <= np.percentile(every, 90)].mean())


def describe(features: NDArray[np.float64]) -> str:
    """A few words for a hand: its lean, how it joins letters, how wide it is."""
    slant, width, lifts = features[:3]
    lean = "leaning left" if slant < -5 else "upright" if slant < 10 else "leaning right"
    joins = "joined" if lifts < 0.5 else "partly joined" if lifts < 0.95 else "separate letters"
    size = "narrow" if width < 1.0 else "wide" if width > 1.5 else "medium width"
    return f"{lean}, {joins}, {size}"
