"""Ink as SVG: clean paths that a browser shows and a plotter draws."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import Ink, simplify

__all__ = ["ink_box", "stroke_path", "svg_document"]

#: Pen width as a share of an x-height.
PEN = 0.09


def stroke_path(points: NDArray[np.float64], *, digits: int = 2) -> str:
    """The `d` attribute of one stroke, given as (n, 2) with y down.

    A single point becomes a zero-length line, which round caps show as a dot.
    Points are joined by a Catmull-Rom spline written as cubic Béziers, so the
    path passes through every point.
    """

    def pair(p: NDArray[np.float64]) -> str:
        return f"{_short(p[0], digits)} {_short(p[1], digits)}"

    if len(points) == 1:
        return f"M{pair(points[0])}l0 0"
    if len(points) == 2:
        return f"M{pair(points[0])}L{pair(points[1])}"
    # Tangents by central differences; the ends use their only neighbour.
    around = np.concatenate([points[:1], points, points[-1:]])
    tangent = (around[2:] - around[:-2]) / 6
    parts = [f"M{pair(points[0])}C"]
    for a, b, ta, tb in zip(points[:-1], points[1:], tangent[:-1], tangent[1:], strict=True):
        parts.append(f"{pair(a + ta)} {pair(b - tb)} {pair(b)}")
    return parts[0] + " ".join(parts[1:])


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def ink_box(inks: Sequence[Ink]) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of several inks, y up."""
    points = np.concatenate([ink.points for ink in inks])
    low, high = points.min(0), points.max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def svg_document(
    inks: Sequence[Ink],
    *,
    height: float | None = None,
    stroke_width: float | None = None,
    title: str = "",
    spacing: float = 6.0,
    scale: float = 20.0,
    tolerance: float = 0.006,
    colour: str = "currentColor",
) -> str:
    """An SVG document with one `<path>` a stroke.

    Parameters
    ----------
    inks : sequence of Ink
        Lines of writing in x-heights, one below the other.
    height : float, optional
        Height of the picture in pixels; default: `scale` pixels an x-height.
    stroke_width : float, optional
        Pen width in pixels; default: 0.09 x-heights.
    title : str
        Text for readers who do not see the picture.
    spacing : float
        Distance of baselines, in x-heights.
    scale : float
        Pixels an x-height.
    tolerance : float
        Points closer than this (x-heights) to the line of their neighbours go.

    Raises
    ------
    ValueError
        If there is no ink.
    """
    if not inks:
        raise ValueError("nothing to draw: no ink was given")
    margin = 0.8
    paths = []
    left = min(ink_box([ink])[0] for ink in inks)
    right = max(ink_box([ink])[2] for ink in inks)
    top = ink_box(inks[:1])[3]
    drop = spacing * (len(inks) - 1)
    bottom = min(ink_box([ink])[1] - spacing * row for row, ink in enumerate(inks))
    bottom = min(bottom, -drop)
    for row, ink in enumerate(inks):
        for stroke in ink.strokes:
            thin = simplify(stroke, tolerance) if len(stroke) > 2 else stroke
            x = (thin[:, 0] - left + margin) * scale
            y = (top - thin[:, 1] + spacing * row + margin) * scale
            paths.append(f'<path d="{stroke_path(np.column_stack([x, y]), digits=1)}"/>')
    width = (right - left + 2 * margin) * scale
    tall = (top - bottom + 2 * margin) * scale
    shown = height or tall
    pen = stroke_width * tall / shown if stroke_width else PEN * scale
    label = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {tall:.1f}" '
        f'width="{width * shown / tall:.1f}" height="{shown:.1f}" role="img">{label}'
        f'<g fill="none" stroke="{escape(colour)}" stroke-width="{pen:.2f}" '
        f'stroke-linecap="round" stroke-linejoin="round">{"".join(paths)}</g></svg>\n'
    )
