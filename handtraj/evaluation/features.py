"""Features of ink: what tells one hand from another, in interpretable units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import Ink
from handtraj.strokes import resample_by_length

__all__ = ["FEATURES", "STYLE_FEATURES", "describe", "ink_features", "style_features"]

#: Names of the features, in the order of :func:`ink_features`.
FEATURES = ("slant", "width", "lifts", "height", "roundness", "step")
#: Names of the features, in the order of :func:`style_features`.
STYLE_FEATURES = (
    *("slant", "aspect", "ascent", "spacing", "roundness", "lifts"),
    *("pace", "bursts", "start", "end", "power"),
)
#: Least height of a movement that makes a top or a foot, and least way from one
#: point to the next that is no rest, in x-heights.
_RUN, _REST = 0.25, 0.01


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


def style_features(ink: Ink, text: str) -> NDArray[np.float64]:
    """Eleven features of one line, each made to follow one trait of a hand.

    Lengths are measured in x-heights of this very line: the distance of the
    median top from the median foot of its up and down movements of a quarter
    x-height or more.  But for the slant, upright ink is measured: the slant is
    sheared out first.

    Parameters
    ----------
    ink : Ink
        Level, evenly sampled in time.
    text : str
        What it says; needed to count per character and to find word gaps.

    Returns
    -------
    array, shape (11,)
        In the order of :data:`STYLE_FEATURES`:

        - slant: degrees from the vertical, positive to the right; the median
          lean of downward movements, weighted by their height.
        - aspect: advance without the gaps between words, a character that is
          no blank.
        - ascent: 95th percentile of tops above the median foot: how far
          ascenders rise over small letters.
        - spacing: median of the widest gaps, as many as the text has blanks;
          NaN without a blank or a gap.
        - roundness: share (0 to 1) of all turning made in turns of less than
          40 degrees a tenth of an x-height; corners make the rest.
        - lifts: pen lifts a character.
        - pace: mean logarithm of the way from point to point.
        - bursts: logarithm of the 90th percentile of that way over its median.
        - start, end: mean logarithm of the pace in the first and in the last
          fifth of strokes of ten movements or more, less that between; NaN
          without such a stroke.
        - power: slope of log speed on log curvature, -1/3 by the two-thirds
          power law (Lacquaniti, Terzuolo & Viviani 1983); NaN where nothing
          bends.

    Raises
    ------
    ValueError
        If the text is empty or the ink has fewer than eight points.
    """
    if not text.strip():
        raise ValueError("features need the text of the ink, got an empty one")
    if len(ink) < 8:
        raise ValueError(f"features need at least 8 points, got {len(ink)}")
    strokes = ink.strokes
    lean = _lean(np.concatenate([np.diff(s, axis=0) for s in strokes]))
    upright = [s - np.column_stack([lean * s[:, 1], 0 * s[:, 1]]) for s in strokes]
    turns = [_turns(s[:, 1]) for s in strokes]
    tops, feet = ([h for turn in turns for h in turn[k]] for k in (0, 1))
    height, foot = 1.0, float(np.min(ink.points[:, 1]))
    if tops and feet:
        foot = float(np.median(feet))
        found = float(np.median(tops)) - foot
        # Ink that is no writing has tops below its feet.
        height = found if found > _RUN else 1.0
    advance = float(np.ptp(np.concatenate(upright)[:, 0]))
    gaps = _word_gaps(upright, text.strip().count(" "))
    letters = len("".join(text.split()))
    moves = [np.diff(s, axis=0) / height for s in upright if len(s) > 1]
    return np.array(
        [
            np.degrees(np.arctan(lean)),
            (advance - gaps.sum()) / letters / height,
            (np.percentile(tops, 95) - foot) / height if tops else 1.0,
            np.median(gaps) / height if len(gaps) else np.nan,
            _roundness(upright, height),
            ink.offsets[:, 2].sum() / len(text),
            *_speed_profile(moves),
        ]
    )


def _lean(moves: NDArray[np.float64]) -> float:
    """Median of dx / dy over downward movements, weighted by height.

    A shear adds to every ratio alike and changes no weight: it is found exactly.
    """
    down = moves[moves[:, 1] < 0]
    if not len(down):
        return 0.0
    ratio = down[:, 0] / down[:, 1]
    order = np.argsort(ratio)
    passed = np.cumsum(-down[order, 1])
    return float(ratio[order][np.searchsorted(passed, passed[-1] / 2)])


def _turns(y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Heights of the tops and of the feet of one stroke, its ends included.

    A top or foot counts once the pen has gone _RUN away from it.
    """
    tops: list[float] = []
    feet: list[float] = []
    low = high = float(y[0])
    way = 0  # of the run the pen is in: 1 up, -1 down, 0 not known yet
    for value in y.tolist():
        low, high = min(low, value), max(high, value)
        if way <= 0 and value - low >= _RUN:
            feet.append(low)
            way, high = 1, value
        elif way >= 0 and high - value >= _RUN:
            tops.append(high)
            way, low = -1, value
    if way > 0:
        tops.append(high)
    elif way < 0:
        feet.append(low)
    return tops, feet


def _word_gaps(strokes: list[NDArray[np.float64]], blanks: int) -> NDArray[np.float64]:
    """The widest ways from the right end of all before to the left end of a stroke."""
    left = np.array([s[:, 0].min() for s in strokes])
    right = np.maximum.accumulate([s[:, 0].max() for s in strokes])
    gaps = np.sort(left[1:] - right[:-1])
    return gaps[len(gaps) - min(blanks, len(gaps)) :]


def _roundness(strokes: list[NDArray[np.float64]], height: float) -> float:
    every = [np.empty(0)]
    for stroke in strokes:
        if len(stroke) < 3:
            continue
        step = np.diff(resample_by_length(stroke, 0.1 * height), axis=0)
        cross = step[:-1, 0] * step[1:, 1] - step[:-1, 1] * step[1:, 0]
        every.append(np.abs(np.arctan2(cross, (step[:-1] * step[1:]).sum(axis=1))))
    turn = np.concatenate(every)
    if not turn.sum() > 0:
        return 0.0
    return float(turn[turn < np.radians(40)].sum() / turn.sum())


def _speed_profile(moves: list[NDArray[np.float64]]) -> tuple[float, ...]:
    """Pace, bursts, start, end and power of strokes given as movements in x-heights."""
    paces, starts, ends, bends, speeds = [], [], [], [np.empty(0)], [np.empty(0)]
    for move in moves:
        length = np.hypot(move[:, 0], move[:, 1])
        moved = length > _REST
        pace = np.log(np.maximum(length, _REST))
        paces.append(pace[moved])
        fifth = len(move) // 5
        if len(move) >= 10:
            middle = pace[fifth:-fifth].mean()
            starts.append(pace[:fifth].mean() - middle)
            ends.append(pace[-fifth:].mean() - middle)
        cross = move[:-1, 0] * move[1:, 1] - move[:-1, 1] * move[1:, 0]
        turn = np.abs(np.arctan2(cross, (move[:-1] * move[1:]).sum(axis=1)))
        along = (length[:-1] + length[1:]) / 2
        # Straight parts have no curvature to speak of, and a turn on the spot too much.
        usable = moved[:-1] & moved[1:] & (turn > 0.1 * along) & (turn < np.pi / 2)
        bends.append(np.log(turn[usable] / along[usable]))
        speeds.append(np.log(along[usable]))
    every = np.concatenate([np.empty(0), *paces])
    bend, speed = np.concatenate(bends), np.concatenate(speeds)
    varies = len(bend) > 2 and np.ptp(bend) > 1e-6
    return (
        float(every.mean()) if len(every) else float(np.log(_REST)),
        float(np.percentile(every, 90) - np.median(every)) if len(every) else 0.0,
        float(np.mean(starts)) if starts else np.nan,
        float(np.mean(ends)) if ends else np.nan,
        float(np.polyfit(bend, speed, 1)[0]) if varies else np.nan,
    )
