"""Charts of moved states: ink before and after, and what a judge made of it.

Results are those of "swaps" and "ablations"; their ceiling and chance are drawn in
the same figure as what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from handtraj.charts.base import COLOURS, GREY, Chart, Picture, columns
from handtraj.ink import Ink, simplify
from handtraj.svg import PEN, stroke_path

__all__ = ["ablations", "courses", "estimates", "moved_lines", "named", "named_over"]

#: A colour for what is old, new or undone; others are taken in turn.
_PAINT = {
    "old style": COLOURS["network"],
    "new style": COLOURS["prime"],
    "chance": GREY,
    "undisturbed": COLOURS["network"],
    "style's place": COLOURS["prime"],
    "random": COLOURS["neutral"],
}
_TURN = [COLOURS[name] for name in ("network", "prime", "window", "data", "density", "other")]
#: What a logarithmic axis that bears 0 says.
_TICKS = (0, 1, 3, 10, 30, 100, 300, 1000)


def _paints(names: Sequence[str], colours: Mapping[str, str] | None = None) -> alt.Scale:
    own = {name: COLOURS[concept] for name, concept in (colours or {}).items()}
    fixed = {**_PAINT, **own}
    chosen = [fixed.get(name, _TURN[i % len(_TURN)]) for i, name in enumerate(names)]
    return alt.Scale(domain=list(names), range=chosen)


def _first_seen(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def moved_lines(
    inks: Sequence[Ink],
    steps: Sequence[int],
    labels: Sequence[str],
    *,
    colour: str = "network",
    scale: float = 13.0,
) -> Picture:
    """Lines of ink below each other, what comes before a step pale.

    Parameters
    ----------
    inks : sequence of Ink
        In x-heights.
    steps : sequence of int
        First point of each line that is drawn in colour; a tick stands there.
    labels : sequence of str
        One a line; also what readers who do not see the picture are told.
    colour : str
        A concept of :data:`COLOURS`, or a CSS colour; the same in all lines, so
        that it tells nothing about what was done.
    scale : float
        Pixels an x-height.

    Raises
    ------
    ValueError
        If the sequences differ in length or a step lies outside its line.
    """
    if not len(inks) == len(steps) == len(labels):
        raise ValueError(f"{len(inks)} inks, {len(steps)} steps, {len(labels)} labels")
    cells = []
    wide = max((float(np.ptp(line.points[:, 0])) for line in inks), default=0.0)
    for line, step, label in zip(inks, steps, labels, strict=True):
        if not 0 <= step <= len(line):
            raise ValueError(f"step must be in 0..{len(line)}, got {step}")
        svg = _two_parts(line, int(step), label, COLOURS.get(colour, colour), scale, wide)
        head = f'<div style="font-size:.8em;opacity:.75">{escape(label)}</div>'
        cells.append(f'<div style="margin:0;min-width:0">{head}{svg}</div>')
    style = "display:grid;gap:.4rem;align-items:start;text-align:left"
    return Picture(f'<div class="handtraj-page" style="{style}">{"".join(cells)}</div>')


def _two_parts(line: Ink, step: int, label: str, colour: str, scale: float, wide: float) -> str:
    """One line as SVG, `wide` x-heights across: pale up to a step, coloured from there."""
    margin, points = 0.8, line.points
    low, high = points.min(axis=0), points.max(axis=0)
    parts: dict[bool, list[str]] = {False: [], True: []}
    ends = np.flatnonzero(line.offsets[:, 2] > 0) + 1
    # A stroke the step falls into is drawn in two pieces that share a point.
    cuts = sorted({0, len(line), *ends.tolist(), *([step] if 0 < step < len(line) else [])})
    lifted = {0, *ends.tolist()}
    for a, b in pairwise(cuts):
        piece = points[a - (a not in lifted) : b]
        thin = simplify(piece, 0.006) if len(piece) > 2 else piece
        x = (thin[:, 0] - low[0] + margin) * scale
        y = (high[1] - thin[:, 1] + margin) * scale
        drawn = stroke_path(np.column_stack([x, y]), digits=1)
        parts[a >= step].append(f'<path d="{drawn}"/>')
    width, height = (wide + 2 * margin) * scale, (high[1] - low[1] + 2 * margin) * scale
    tick = ""
    if 0 < step < len(line):
        at = (points[step - 1, 0] - low[0] + margin) * scale
        tick = (
            f'<path d="M{at:.1f} {height - 0.8 * scale:.1f}V{height:.1f}" '
            f'stroke="{colour}" stroke-width="{0.2 * scale:.1f}"/>'
        )
    common = (
        f'fill="none" stroke-width="{PEN * scale:.2f}" stroke-linecap="round" '
        'stroke-linejoin="round"'
    )
    return (
        f'<svg style="max-width:100%;height:auto" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'role="img"><title>handwriting: {escape(label)}</title>'
        f'<g {common} stroke="currentColor" opacity="0.55">{"".join(parts[False])}</g>'
        f'<g {common} stroke="{colour}">{"".join(parts[True])}</g>{tick}</svg>'
    )


def courses(
    rows: Mapping[str, ArrayLike],
    *,
    x: str,
    y: str,
    group: str,
    titles: tuple[str, str],
    log: str = "",
    marks: Mapping[str, float] | None = None,
    dashed: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
    domain: tuple[float, float] | None = None,
    height: int = 220,
) -> Chart:
    """Lines with bands, one a group.

    Parameters
    ----------
    rows : mapping
        Columns `x`, `y`, `group`, and, if bands are wanted, "low" and "high".
    x, y, group : str
        Names of columns.
    titles : tuple of str
        Of the horizontal and the vertical axis.
    log : str
        Logarithmic axes: "x" (which bears 0, and is linear below 1), "y" or "xy".
    marks : mapping, optional
        Horizontal lines, name to place.
    dashed : sequence of str
        Groups drawn dashed: what others are compared with.
    colours : mapping, optional
        Group to a concept of :data:`COLOURS`.
    domain : tuple of float, optional
        Of the vertical axis.
    height : int
        In pixels.
    """
    order = _first_seen(np.asarray(rows[group]).tolist())
    bent: dict[str, Any] = {"zero": False}
    axis = alt.Axis()
    if "x" in log:
        bent = {"type": "symlog", "constant": 1, "domainMin": 0}
        most = float(np.max(np.asarray(rows[x], dtype=float)))
        axis = alt.Axis(values=[v for v in _TICKS if v <= most])
    across = alt.X(f"{x}:Q", title=titles[0], scale=alt.Scale(nice=False, **bent), axis=axis)
    tall: dict[str, Any] = {"type": "log"} if "y" in log else {"zero": False}
    tall |= {"domain": list(domain)} if domain else {}
    up = alt.Y(f"{y}:Q", title=titles[1], scale=alt.Scale(**tall))
    legend = alt.Legend(columns=2, labelLimit=300)
    paint = alt.Color(f"{group}:N", title=None, scale=_paints(order, colours), legend=legend)
    base = columns(rows, digits=4).encode(across, up, paint)
    layers: list[Any] = [base.mark_point(filled=True, size=36, opacity=1)]
    for part, dash in (
        ([g for g in order if g not in dashed], [1, 0]),
        ([g for g in order if g in dashed], [4, 4]),
    ):
        only = alt.FieldOneOfPredicate(field=group, oneOf=part)
        layers.append(base.transform_filter(only).mark_line(strokeWidth=2, strokeDash=dash))
    if "low" in rows:
        band = base.mark_area(opacity=0.15).encode(
            alt.Y("low:Q", title=titles[1]), alt.Y2("high:Q"), alt.Color(f"{group}:N")
        )
        layers.append(band)
    for name, place in (marks or {}).items():
        layers += rule(name, place, "y")
    return alt.layer(*layers).properties(width="container", height=height)


def rule(name: str, place: float, channel: str) -> list[Any]:
    """A dashed line at a place of one axis; a horizontal one has its name at the end."""
    data = columns({"place": [place], "name": [name]}, digits=4)
    line = data.mark_rule(strokeDash=[5, 4], color=GREY)
    if channel == "x":
        return [line.encode(alt.X("place:Q"))]
    words = data.mark_text(align="right", dy=-6, color=GREY, fontSize=11)
    words = words.encode(alt.Y("place:Q"), x=alt.value("width"), text="name:N")
    return [line.encode(alt.Y("place:Q")), words]


def estimates(
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
    title: str,
    *,
    marks: Mapping[str, float] | None = None,
    domain: tuple[float, float] | None = None,
    step: int = 30,
) -> Chart:
    """Estimates with intervals, a row a condition, a colour a group.

    Parameters
    ----------
    rows : mapping of mapping of mapping
        Condition to group to an estimate with "value" and "interval".
    title : str
        Of the horizontal axis.
    marks : mapping, optional
        Vertical dashed lines, name to place; the names go into the caption.
    domain : tuple of float, optional
        Of the horizontal axis.
    step : int
        Pixels a row.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not rows:
        raise ValueError("nothing to draw: no condition was given")
    groups = _first_seen([g for found in rows.values() for g in found])
    table: dict[str, list[Any]] = {k: [] for k in ("row", "group", "value", "low", "high")}
    for name, found in rows.items():
        for group, one in found.items():
            low, high = one["interval"] or (one["value"], one["value"])
            values = (name, group, one["value"], low, high)
            for column, value in zip(table.values(), values, strict=True):
                column.append(value)
    scale = alt.Scale(domain=list(domain)) if domain else alt.Scale(zero=False)
    down = alt.Y(
        "row:N",
        title=None,
        sort=list(rows),
        axis=alt.Axis(labelLimit=170, grid=False, labelOverlap=False, ticks=False, domain=False),
    )
    # Groups side by side around the middle of their row.
    inside = [0.3 * step, 0.7 * step] if len(groups) > 1 else [0.5 * step, 0.5 * step]
    offset = alt.YOffset("group:N", sort=groups, scale=alt.Scale(type="point", range=inside))
    legend = alt.Legend(columns=2, labelLimit=300) if len(groups) > 1 else None
    paint = alt.Color("group:N", title=None, scale=_paints(groups), legend=legend)
    base = columns(table).encode(down, paint, offset)
    bars = base.mark_rule(strokeWidth=6, opacity=0.25).encode(
        alt.X("low:Q", title=title, scale=scale), alt.X2("high:Q")
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        alt.X("value:Q", title=title, scale=scale)
    )
    layers: list[Any] = [dots, bars]
    for name, place in (marks or {}).items():
        layers += rule(name, place, "x")
    return alt.layer(*layers).properties(width="container", height=step * len(rows))


def named(
    result: Mapping[str, Any], conditions: Mapping[str, str] | None = None, *, step: int = 30
) -> Chart:
    """Whose hand the judge saw after the state was moved: the old style's, the new one's.

    Parameters
    ----------
    result : mapping
        Of the experiment "swaps".
    conditions : mapping, optional
        Label to key of result["swaps"], in the order they shall have; the lines
        left alone and those in the new style throughout stand around them.
        Default: all.
    step : int
        Pixels a row.
    """
    chosen = conditions or {name: name for name in result["swaps"]}
    there = {label: _of(result, key) for label, key in chosen.items()}
    found = {
        "left alone": result["undisturbed"],
        **there,
        "new style throughout": result["new style throughout"],
    }
    rows = {k: {"old style": v["old"], "new style": v["new"]} for k, v in found.items()}
    marks = {"chance": result["chance"]}
    return estimates(rows, "share of lines so named", marks=marks, domain=(0, 1), step=step)


def _of(result: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    swaps: Mapping[str, Mapping[str, Any]] = result["swaps"]
    if key not in swaps:
        raise ValueError(f"no condition {key!r}; there are: {', '.join(swaps)}")
    return swaps[key]


def named_over(
    result: Mapping[str, Any],
    places: Mapping[float, str],
    title: str,
    *,
    log: bool = False,
    height: int = 230,
) -> Chart:
    """Shares named as the old and the new style over a number, strength for instance.

    Parameters
    ----------
    result : mapping
        Of the experiment "swaps".
    places : mapping
        Number to key of result["swaps"]; the key "" means lines left alone.
    title : str
        Of the horizontal axis.
    log, height
        Logarithmic horizontal axis that bears 0; pixels.
    """
    rows: dict[str, list[Any]] = {k: [] for k in ("x", "share", "low", "high", "named")}
    for group, kind in (("old style", "old"), ("new style", "new")):
        for place, key in sorted(places.items()):
            one = (_of(result, key) if key else result["undisturbed"])[kind]
            low, high = one["interval"] or (one["value"], one["value"])
            values = (float(place), one["value"], low, high, group)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    ceiling = result["new style throughout"]["new"]["value"]
    marks = {"new style throughout": ceiling, "chance": result["chance"]}
    return courses(
        rows,
        x="x",
        y="share",
        group="named",
        titles=(title, "share of lines so named"),
        log="x" if log else "",
        marks=marks,
        domain=(0, 1),
        height=height,
    )


def ablations(result: Mapping[str, Any], layer: str = "c2", *, height: int = 280) -> Chart:
    """Style kept against legibility lost, with the style's place or another taken away.

    Parameters
    ----------
    result : mapping
        Of the experiment "ablations".
    layer : str
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If the layer was not ablated.
    """
    table: dict[str, list[Any]] = {
        k: [] for k in ("kind", "size", "kept", "low", "high", "error", "from", "to")
    }
    names = ("undisturbed", "style's place", "random")
    found = [("undisturbed", "", result["undisturbed"])]
    for key, one in result["ablations"].items():
        place, size, how = key.split(", ")
        if place == layer:
            kind = "style's place" if how == "style" else "random"
            found.append((kind, str(one.get("taken", size.split()[0])), one))
    if len(found) == 1:
        there = _first_seen([key.split(",")[0] for key in result["ablations"]])
        raise ValueError(f"layer {layer!r} was not ablated; there are: {', '.join(there)}")
    for kind, size, one in found:
        old, error = one["old"], one["character_error"]
        kept, wrong = (e["interval"] or (e["value"], e["value"]) for e in (old, error))
        values = (kind, size, old["value"], *kept, error["value"], *wrong)
        for column, value in zip(table.values(), values, strict=True):
            column.append(value)
    across = "characters misread (share)"
    up = "lines still named as their own style"
    paint = alt.Color("kind:N", title=None, scale=_paints(names))
    base = columns(table).encode(paint)
    ends = alt.Scale(domain=[0, 1.1 * max(table["to"])], nice=False)
    x = alt.X("error:Q", title=across, scale=ends)
    y = alt.Y("kept:Q", title=up, scale=alt.Scale(domain=[0, 1]))
    thin: dict[str, Any] = {"strokeWidth": 2, "opacity": 0.35}
    layers: list[Any] = [
        base.mark_point(filled=True, size=90, opacity=1).encode(x, y),
        base.mark_rule(**thin).encode(x, alt.Y("low:Q", title=up), alt.Y2("high:Q")),
        base.mark_rule(**thin).encode(alt.X("from:Q", title=across), alt.X2("to:Q"), y),
        base.mark_text(dx=11, dy=-9, fontSize=12).encode(x, y, alt.Text("size:N")),
    ]
    layers += rule("chance", result["chance"], "y")
    return alt.layer(*layers).properties(width="container", height=height)
