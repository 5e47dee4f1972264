"""Ink from SVG files: paths, polylines, polygons and lines as strokes."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import MAX_POINTS
from handtraj.sources.inkml import local

__all__ = ["parse_svg"]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(_NUMBER)
_LENGTH = re.compile(rf"\s*({_NUMBER})\s*(?:px)?\s*$")
_TRANSFORM = re.compile(r"(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^()]*)\)")
_COUNTS = {"matrix": (6,), "translate": (1, 2), "scale": (1, 2), "rotate": (1, 3)}
#: What may stand between the numbers of path data, and of lists.
_COMMANDS = frozenset("MmZzLlHhVvCcSsQqTtAa, \t\r\n\f")
_BLANKS = frozenset(", \t\r\n\f")
_HIDDEN = frozenset({"defs", "clipPath", "mask", "symbol", "pattern", "marker", "metadata"})
#: Points a curve is drawn with; a letter has a few curves, a recorded pen hundreds.
CURVE_POINTS = 16


def parse_svg(root: Element) -> list[NDArray[np.float64]]:
    """Strokes of an SVG document, in drawing order, y up.

    Every subpath of a `path`, every `polyline`, `polygon` and `line` is one
    stroke; transforms of all groups around it are applied.  Definitions and
    what has ``display: none`` are left out; `use`, other shapes and style
    sheets are not read.

    Returns
    -------
    list of array, shape (n, 2)

    Raises
    ------
    ValueError
        If path data, points, a length or a transform cannot be read.
    """
    strokes: list[NDArray[np.float64]] = []
    total = 0
    stack: list[tuple[Element, NDArray[np.float64]]] = [(root, np.eye(3))]
    while stack:
        element, matrix = stack.pop()
        style = element.get("style", "").replace(" ", "")
        hidden = element.get("display") == "none" or "display:none" in style
        if local(element) in _HIDDEN or hidden:
            continue
        if element.get("transform"):
            matrix = matrix @ _matrix(element.get("transform", ""))
        for points in _shape(element):
            with np.errstate(invalid="ignore", over="ignore"):
                moved = points @ matrix[:2, :2].T + matrix[:2, 2]
            if not np.isfinite(moved).all():
                raise ValueError(f"an SVG {local(element)} holds NaN or infinity")
            total += len(moved)
            if total > MAX_POINTS:
                raise ValueError(f"ink has more than {MAX_POINTS} points; cut it into lines")
            strokes.append(moved * [1.0, -1.0])
        stack += [(child, matrix) for child in reversed(element)]
    return strokes


def _shape(element: Element) -> list[NDArray[np.float64]]:
    name = local(element)
    if name == "path":
        return _path(element.get("d", ""))
    if name in ("polyline", "polygon"):
        points = _pairs(element.get("points", ""), name)
        if name == "polygon" and len(points):
            points = np.concatenate([points, points[:1]])
        return [points] if len(points) else []
    if name == "line":
        ends = [_length(element.get(key, "0")) for key in ("x1", "y1", "x2", "y2")]
        return [np.array(ends).reshape(2, 2)]
    return []


def _pairs(text: str, name: str) -> NDArray[np.float64]:
    values = [float(v) for v in _NUMBERS.findall(text)]
    if not set(_NUMBERS.sub(" ", text)) <= _BLANKS or len(values) % 2:
        raise ValueError(f"an SVG {name} has points that are no pairs of numbers: {text[:40]!r}")
    return np.array(values).reshape(-1, 2)


def _length(text: str) -> float:
    match = _LENGTH.match(text)
    if not match:
        raise ValueError(f"an SVG line has a length that is no number (of px): {text[:40]!r}")
    return float(match[1])


def _matrix(text: str) -> NDArray[np.float64]:
    from svgelements import Matrix

    try:
        if not set(_TRANSFORM.sub(" ", text)) <= _BLANKS:
            raise ValueError
        for name, inside in _TRANSFORM.findall(text):
            count = len(_NUMBERS.findall(inside))
            between = set(_NUMBERS.sub(" ", inside))
            if count not in _COUNTS.get(name, (1,)) or not between <= _BLANKS:
                raise ValueError
        m = Matrix(text)
    except (ValueError, IndexError, TypeError, KeyError, AttributeError):
        raise ValueError(f"cannot read the SVG transform {text[:40]!r}") from None
    return np.array([[m.a, m.c, m.e], [m.b, m.d, m.f], [0, 0, 1]], dtype=np.float64)


def _path(data: str) -> list[NDArray[np.float64]]:
    """Subpaths of path data; curves become CURVE_POINTS points each."""
    from svgelements import Path

    if not data.strip() or data.strip() == "none":
        return []
    # Counted before parsing, which is slow; a curve has six numbers.
    if sum(1 for _ in _NUMBERS.finditer(data)) > 6 * MAX_POINTS:
        raise ValueError(f"an SVG path has more than {MAX_POINTS} points; cut it into lines")
    try:
        if data.lstrip()[0] not in "Mm" or not set(_NUMBERS.sub(" ", data)) <= _COMMANDS:
            raise ValueError
        segments: list[Any] = list(Path(data))
    except (ValueError, IndexError, TypeError, AttributeError, ArithmeticError):
        raise ValueError(f"cannot read the SVG path data {data[:40]!r}") from None
    strokes: list[list[NDArray[np.float64]]] = []
    at = np.linspace(0, 1, CURVE_POINTS + 1)[1:]
    for segment in segments:
        kind = type(segment).__name__
        if kind == "Move":
            strokes.append([_point(segment.end)])
            continue
        if not strokes or strokes[-1] is _CLOSED:
            strokes.append([_point(segment.start)])
        if kind in ("Line", "Close"):
            if segment.end is not None:
                strokes[-1].append(_point(segment.end))
        else:
            try:
                curve = np.array([[p[0], p[1]] for p in (segment.point(float(t)) for t in at)])
            except (ValueError, ArithmeticError, TypeError):
                raise ValueError(f"cannot read the SVG path data {data[:40]!r}") from None
            strokes[-1].append(curve)
        if kind == "Close":
            # Drawing may go on from here without a move: that is a new stroke.
            strokes.append(_CLOSED)
    return [_dot(np.concatenate(s)) for s in strokes if s is not _CLOSED]


_CLOSED: list[NDArray[np.float64]] = []


def _point(point: Any) -> NDArray[np.float64]:
    return np.array([[float(point[0]), float(point[1])]])


def _dot(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A line of no length is how SVG draws a dot: one point."""
    return points[:1] if (points == points[0]).all() else points
