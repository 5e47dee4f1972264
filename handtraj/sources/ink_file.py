"""Anyone's handwriting from a file, in any of five formats, ready to prime with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.ink import (
    MAX_POINTS,
    Ink,
    clean_text,
    estimate_slope,
    normalise,
    vertical_runs,
    x_height,
)
from handtraj.sources.inkml import local, parse_inkml, parse_xml
from handtraj.sources.svg_ink import parse_svg
from handtraj.sources.unipen_format import parse_file

__all__ = ["InkFile", "measure_ink", "order_strokes", "prepare_prime", "read_ink_file"]

#: Largest file that is read, in bytes.
MAX_BYTES = 20 * 2**20
#: Rank correlation of stroke order and place from which an order is believed.
#: Real lines have 0.9 and more in 95 of 100 cases.
ORDERED = 0.5
_KINDS = "JSON ink, InkML, SVG, UNIPEN or IAM-OnDB lineStrokes"
_WHAT = {
    "points per character": "points per character",
    "width per character": "x-heights of width per character",
    "median step": "x-heights between points",
    "lifts per character": "pen lifts per character",
    "slope": "slope of the baseline",
}
_ADVICE = {
    "points per character": "check that the text is what the ink says",
    "width per character": "check the text and that width and height have one unit",
    "median step": "the pen's speed is unusual; check the times in the file",
    "lifts per character": "check the text and that one stroke is one pen movement",
    "slope": "write on a straight line",
}


@dataclass(frozen=True, eq=False)
class InkFile:
    """What an ink file holds.

    Parameters
    ----------
    strokes : list of array, shape (n, 2)
        Positions in the file's unit, y up, in writing order.
    text : str
        What the ink says, "" where the file does not tell.
    rate_known : bool
        Whether points are even in time; if not, the tempo is unknown.
    format : str
        "json", "inkml", "svg", "unipen" or "iam".
    """

    strokes: list[NDArray[np.float64]]
    text: str
    rate_known: bool
    format: str


def read_ink_file(path: str | os.PathLike[str], *, text: str | None = None) -> InkFile:
    """Read one line of handwriting from a file.

    Parameters
    ----------
    path : path
        JSON ink (``{"text": …, "strokes": [[[x, y], …], …]}``, y down, a third
        value is the time), InkML, SVG, UNIPEN, or a lineStrokes file of
        IAM-OnDB.  The content decides.
    text : str, optional
        What the ink says; wins over the text in the file.

    Returns
    -------
    InkFile
        Points with times are resampled even in time.  Without times an order
        of strokes that runs mostly left to right stays, any other is sorted
        (:func:`order_strokes`).

    Raises
    ------
    ValueError
        If the file is missing, too large, of no known format, damaged, or
        holds no ink.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder; give a file with {_KINDS}")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB; cut it into lines")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    try:
        kind, strokes, found = _parse(path, data)
        total = sum(len(s) for s in strokes)
        if not total:
            raise ValueError("it holds no pen-down ink; give a file with at least one stroke")
        if total > MAX_POINTS:
            raise ValueError(f"ink has more than {MAX_POINTS} points; cut it into lines")
        timed = all(s.shape[1] == 3 for s in strokes) and any(len(s) > 1 for s in strokes)
        rate_known = timed or kind == "unipen"
        plain = _even_in_time(strokes) if timed else [s[:, :2] for s in strokes]
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if not rate_known:
        plain = order_strokes(plain)
    return InkFile(plain, clean_text(found if text is None else text), rate_known, kind)


def _parse(path: Path, data: bytes) -> tuple[str, list[NDArray[np.float64]], str]:
    """Format, strokes of shape (n, 2) or (n, 3), and text."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in (b"{", b"[") or path.suffix.lower() == ".json":
        return "json", *_json(data)
    if head[:1] == b"<" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        root = parse_xml(data)
        if local(root) == "ink":
            return "inkml", *parse_inkml(root)
        if local(root) == "svg":
            return "svg", parse_svg(root), ""
        if local(root) == "WhiteboardCaptureSession":
            from handtraj.sources.iam_format import read_line_strokes

            return "iam", read_line_strokes(path), ""
        raise ValueError(f"XML of kind {local(root)[:40]!r} is not read; give {_KINDS}")
    if b"\0" not in data and any(
        line.startswith((b".PEN_DOWN", b".VERSION", b".COORD", b".SEGMENT"))
        for line in data.splitlines()
    ):
        return "unipen", *_unipen(path)
    raise ValueError(f"this is no ink file that can be read; give {_KINDS}")


def _json(data: bytes) -> tuple[list[NDArray[np.float64]], str]:
    try:
        document = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not a JSON ink file: it is not UTF-8 text") from None
    _, text = Ink.from_json(document)
    raw = [s for s in json.loads(document)["strokes"] if np.size(s)]
    if not all(len(point) == 3 for stroke in raw for point in stroke):
        # float32 offsets would round large coordinates: take the numbers themselves.
        return [np.asarray(s, dtype=np.float64)[:, :2] * [1, -1] for s in raw], text
    return [np.asarray(s, dtype=np.float64) * [1, -1, 1] for s in raw], text


def _unipen(path: Path) -> tuple[list[NDArray[np.float64]], str]:
    document = parse_file(path, path.parent)
    ink = [c.xy for s in document.sets for c in s if c.down and not c.blanked]
    for level in ("LINE", "SENTENCE", "PHRASE", "TEXT", "PARAGRAPH", "PAGE", "WORD"):
        found = [s for s in document.segments if s.level.upper() == level]
        if len(found) == 1:
            return document.strokes(found[0]), found[0].label
        if found and level != "WORD":
            raise ValueError(f"it holds {len(found)} lines; give a file with one")
        if found:
            return [s for f in found for s in document.strokes(f)], " ".join(f.label for f in found)
    return ink, ""


def _even_in_time(strokes: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Strokes (n, 3) with times resampled to the median interval of the whole ink."""
    gaps = np.concatenate([np.diff(s[:, 2]) for s in strokes])
    if not all(np.isfinite(s[:, 2]).all() for s in strokes):
        raise ValueError("a time is NaN or infinite")
    if (gaps < 0).any():
        raise ValueError("times run backwards inside a stroke; sort the points or leave times out")
    if not (gaps > 0).any():
        raise ValueError("all times are the same; leave times out if they are not known")
    step = float(np.median(gaps[gaps > 0]))
    counts = [max(1, round((s[-1, 2] - s[0, 2]) / step)) + 1 for s in strokes]
    if sum(counts) > MAX_POINTS:
        raise ValueError(f"times span more than {MAX_POINTS} intervals; check their unit")
    even = []
    for stroke, count in zip(strokes, counts, strict=True):
        time = stroke[:, 2]
        if time[-1] == time[0]:
            even.append(stroke[:1, :2] if len(stroke) == 1 else stroke[:, :2])
            continue
        at = np.linspace(time[0], time[-1], count)
        even.append(np.column_stack([np.interp(at, time, stroke[:, k]) for k in (0, 1)]))
    return even


def order_strokes(strokes: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    """Strokes in an order someone may have written them in.

    An order that runs mostly left to right stays as it is.  Any other is
    sorted by left edge, with dots and bars (lower than half an x-height) after
    the last larger stroke they lie over.

    Parameters
    ----------
    strokes : sequence of array (n, 2)
        Positions, y up.
    """
    parts = [np.asarray(s, dtype=np.float64) for s in strokes]
    boxes = np.array([[*p.min(0), *p.max(0)] for p in parts]).reshape(-1, 4)
    left, right = boxes[:, 0], boxes[:, 2]
    small = boxes[:, 3] - boxes[:, 1] < 0.5 * x_height(vertical_runs(parts))
    large = np.flatnonzero(~small)
    place = np.argsort(np.argsort((left + right)[large]))
    if len(large) < 2 or np.corrcoef(place, np.arange(len(large)))[0, 1] >= ORDERED:
        return parts
    after = []
    for k in range(len(parts)):
        over = [j for j in large if left[j] <= right[k] and left[k] <= right[j]]
        after.append(
            (left[max(over, key=lambda j: left[j])], 1) if small[k] and over else (left[k], 0)
        )
    return [parts[k] for k in sorted(range(len(parts)), key=lambda k: (*after[k], left[k]))]


def measure_ink(ink: Ink, text: str) -> dict[str, float]:
    """Simple measures of a normalised line, the ones that ranges.json bounds.

    Returns
    -------
    dict
        "points per character", "width per character" (x-heights), "median
        step" (x-heights between points of a stroke), "lifts per character",
        "slope" (rise over run, what is left of it after levelling).

    Raises
    ------
    ValueError
        If the text is empty.
    """
    characters = len(clean_text(text))
    if not characters:
        raise ValueError("the text of the ink is empty; say what the ink says")
    inside = np.append(True, ink.offsets[:-1, 2] > 0)
    steps = np.hypot(*ink.offsets[~inside, :2].T)
    return {
        "points per character": len(ink) / characters,
        "width per character": float(np.ptp(ink.points[:, 0])) / characters,
        "median step": float(np.median(steps)) if len(steps) else 0.0,
        "lifts per character": float(ink.offsets[:, 2].sum()) / characters,
        "slope": estimate_slope(ink.strokes),
    }


def load_ranges() -> dict[str, Any]:
    """The shipped ranges of the training lines, with their provenance."""
    asset = files("handtraj") / "assets" / "ranges.json"
    found: dict[str, Any] = json.loads(asset.read_text(encoding="utf-8"))
    return found


def prepare_prime(
    strokes: Sequence[ArrayLike], text: str, *, rate_known: bool
) -> tuple[Ink, list[str]]:
    """Bring strokes to the form a prime needs and say where they are unusual.

    Parameters
    ----------
    strokes : sequence of array (n, 2)
        Positions in any unit, y up.
    text : str
        What the ink says.
    rate_known : bool
        Whether points are even in time (see :func:`handtraj.ink.normalise`).

    Returns
    -------
    ink : Ink
        In x-heights, six points a vertical run.
    warnings : list of str
        One sentence for every measure outside the range that 99 of 100
        training lines keep (handtraj/assets/ranges.json).

    Raises
    ------
    ValueError
        If the text is empty, or the ink has no scale.
    """
    if not clean_text(text):
        raise ValueError("the text of the ink is empty; say what the ink says")
    ink = normalise(strokes, rate_known=rate_known)
    warnings, ranges = [], load_ranges()["ranges"]
    for name, value in measure_ink(ink, text).items():
        low, high = ranges[name]
        if not low <= value <= high:
            warnings.append(
                f"The ink has {value:.2f} {_WHAT[name]}, training lines have "
                f"{low:.2f} to {high:.2f}: {_ADVICE[name]}."
            )
    return ink, warnings
