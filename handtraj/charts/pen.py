"""Charts of ink: as the pen drew it, as offsets, as points with their speed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np

from handtraj.charts.base import COLOURS, GREY, Chart, Picture, columns, even_scales
from handtraj.ink import Ink
from handtraj.strokes import simplify
from handtraj.svg import svg_document

__all__ = ["ink", "offsets", "page", "speed"]


def page(
    inks: Sequence[Ink],
    labels: Sequence[str] | None = None,
    *,
    colour: str | Sequence[str] = "currentColor",
    scale: float = 13.0,
    across: int = 1,
) -> Picture:
    """Lines of ink below each other or in columns, each with a label, as SVG.

    All lines share one scale as long as the page is wide enough.

    Parameters
    ----------
    inks : sequence of Ink
        In x-heights.
    labels : sequence of str, optional
        One a line; also what readers who do not see the picture are told.
    colour : str or sequence of str
        Concepts of :data:`COLOURS`, or CSS colours; one for all or one each.
    scale : float
        Pixels an x-height.
    across : int
        As many columns as there is room for, up to this number.
    """
    names = list(labels) if labels else [""] * len(inks)
    paints = [colour] * len(inks) if isinstance(colour, str) else list(colour)
    if not len(inks) == len(names) == len(paints):
        raise ValueError(f"{len(inks)} inks, {len(names)} labels, {len(paints)} colours")
    cells = []
    for line, name, paint in zip(inks, names, paints, strict=True):
        svg = svg_document(
            [line],
            scale=scale,
            title=f"handwriting: {name}" if name else "handwriting",
            colour=COLOURS.get(paint, paint),
        )
        svg = svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1).strip()
        caption = f'<div style="font-size:.8em;opacity:.75">{escape(name)}</div>' if name else ""
        cells.append(f'<div style="margin:0;min-width:0">{caption}{svg}</div>')
    least = f"max(15rem,{95 // across}% - 1rem)"
    style = (
        "display:grid;gap:.4rem 1.5rem;align-items:start;text-align:left;"
        f"grid-template-columns:repeat(auto-fill,minmax(min(100%,{least}),1fr))"
    )
    return Picture(f'<div class="handtraj-page" style="{style}">{"".join(cells)}</div>')


def _strokes(line: Ink, tolerance: float) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {"x": [], "y": [], "stroke": [], "order": []}
    for number, stroke in enumerate(line.strokes):
        thin = simplify(stroke, tolerance) if len(stroke) > 2 else stroke
        if len(thin) == 1:  # round ends need some length
            thin = np.concatenate([thin, thin + 0.01])
        rows["x"] += thin[:, 0].tolist()
        rows["y"] += thin[:, 1].tolist()
        rows["stroke"] += [number] * len(thin)
        rows["order"] += list(range(len(thin)))
    return rows


def ink(line: Ink, *, colour: str = "network", by_stroke: bool = False, height: int = 180) -> Chart:
    """One line of ink with axes in x-heights; jumps of the lifted pen dashed.

    Parameters
    ----------
    line : Ink
    colour : str
        A concept of :data:`COLOURS`.
    by_stroke : bool
        One colour a stroke, in turn, instead of `colour`.
    height : int
        In pixels; the width is that of the page.
    """
    x, y = even_scales(line.points, height)
    rows = _strokes(line, 0.01)
    paint: Any = alt.value(COLOURS[colour])
    if by_stroke:
        rows["turn"] = [number % 4 for number in rows["stroke"]]
        paint = alt.Color("turn:N", legend=None)
    place = {
        "x": alt.X("x:Q", scale=x, title="x (x-heights)"),
        "y": alt.Y("y:Q", scale=y, title="y (x-heights)"),
        "order": alt.Order("order:Q"),
    }
    drawn = columns(rows).mark_line(strokeWidth=2, strokeCap="round", strokeJoin="round")
    layers: list[Any] = [drawn.encode(**place, detail="stroke:N", color=paint)]
    parts = line.strokes
    if len(parts) > 1:
        ends = np.array([[a[-1], b[0]] for a, b in pairwise(parts)])
        jumps = {
            "x": ends[..., 0].ravel(),
            "y": ends[..., 1].ravel(),
            "jump": np.repeat(np.arange(len(ends)), 2),
            "order": np.tile([0, 1], len(ends)),
        }
        dashed = columns(jumps).mark_line(strokeWidth=1, strokeDash=[3, 3], color=GREY)
        layers.append(dashed.encode(**place, detail="jump:N"))
    return alt.layer(*layers).properties(width="container", height=height)


def offsets(line: Ink, *, last: int | None = None, height: int = 160) -> Chart:
    """The offsets dx and dy over the steps; ticks below mark pen lifts.

    `last` shows so many steps only.
    """
    values = line.offsets[:last]
    count = len(values)
    rows = {
        "step": np.tile(np.arange(count), 2),
        "offset": values[:, :2].T.ravel(),
        "axis": ["dx"] * count + ["dy"] * count,
    }
    step = alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, count], nice=False))
    moves = (
        columns(rows)
        .mark_line(strokeWidth=1.5)
        .encode(
            step,
            alt.Y("offset:Q", title="offset (x-heights)"),
            alt.Color(
                "axis:N", title=None, scale=alt.Scale(range=[COLOURS["other"], COLOURS["neutral"]])
            ),
        )
    )
    lifts = (
        columns({"step": np.flatnonzero(values[:, 2] > 0)})
        .mark_tick(color=COLOURS["prime"], thickness=2, height=12)
        .encode(step, y=alt.value(height - 6))
    )
    return alt.layer(moves, lifts).properties(width="container", height=height)


def speed(line: Ink, *, height: int = 200) -> Chart:
    """Every pen point where it lies, coloured by the way from the one before."""
    x, y = even_scales(line.points, height)
    moved = np.hypot(line.offsets[:, 0], line.offsets[:, 1])
    # The way through the air is no speed of writing.
    moved[np.flatnonzero(line.offsets[:-1, 2] > 0) + 1] = 0
    rows = {"x": line.points[:, 0], "y": line.points[:, 1], "moved": moved}
    return (
        columns(rows)
        .mark_circle(size=22, opacity=0.9)
        .encode(
            alt.X("x:Q", scale=x, title="x (x-heights)"),
            alt.Y("y:Q", scale=y, title="y (x-heights)"),
            alt.Color(
                "moved:Q",
                title="x-heights a step",
                scale=alt.Scale(range=[COLOURS["prime"], COLOURS["data"], COLOURS["other"]]),
            ),
        )
        .properties(width="container", height=height)
    )
