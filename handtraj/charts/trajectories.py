"""Charts of the state while the network writes: paths, single units, how variance divides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from handtraj.charts.base import COLOURS, GREY, SERIES, Chart, columns
from handtraj.charts.tiles import clouds, paths

__all__ = ["clouds", "dots", "over_steps", "paths", "rules", "state_map", "variance_curves"]


def state_map(
    blocks: Mapping[str, ArrayLike],
    letters: Sequence[str],
    *,
    every: int = 3,
    row: int = 13,
) -> Chart:
    """Single units over the steps of one writing; blue above its mean, red below.

    Parameters
    ----------
    blocks : mapping of str to array, shape (T, U)
        Units that belong together, each scaled by its own mean and spread.
    letters : sequence of str, length T
        What is being written at each step.
    every : int
        Steps to average into one cell.
    row : int
        Height of a unit in pixels.

    Raises
    ------
    ValueError
        If a block has another number of steps.
    """
    steps = len(letters)
    data, firsts, top = _cells(blocks, steps, every)
    across = alt.Scale(domain=[0, steps], nice=False)
    up = alt.Scale(domain=[top + 0.6, -1.2], nice=False, zero=False)
    cells = (
        columns(data, digits=2)
        .transform_calculate(end=f"datum.step+{every}", below="datum.row+0.94")
        .mark_rect()
        .encode(
            alt.X("step:Q", title="step", scale=across, axis=alt.Axis(grid=False)),
            alt.X2("end:Q"),
            alt.Y("row:Q", axis=None, scale=up),
            alt.Y2("below:Q"),
            alt.Color(
                "sign:N",
                legend=None,
                scale=alt.Scale(domain=[0, 1], range=[COLOURS["prime"], COLOURS["network"]]),
            ),
            alt.FillOpacity("size:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.03, 1])),
        )
    )
    written = (
        columns({**_said(letters), "row": [top + 0.1] * len(_said(letters)["said"])})
        .mark_text(fontSize=11)
        .encode(alt.X("step:Q", scale=across), alt.Y("row:Q", scale=up), text="said:N")
    )
    heads = {"row": [first - 0.55 for first in firsts], "name": list(blocks)}
    named = (
        columns(heads)
        .mark_text(align="left", fontSize=11)
        .encode(alt.Y("row:Q", scale=up), x=alt.value(0), text="name:N")
    )
    return alt.layer(cells, written, named).properties(
        width="container", height=int(row * (top + 1.8))
    )


def variance_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    marks: Mapping[str, float] | None = None,
    *,
    title: str = "share of variance, texts never fitted",
    height: int = 230,
) -> Chart:
    """Share of the variance over the number of components kept, one line a curve.

    Parameters
    ----------
    curves : mapping of str to (dimensions, shares)
    marks : mapping of str to float, optional
        A number of dimensions to mark for a curve: its participation ratio, say.
    title : str
        Of the vertical axis.
    height : int
        In pixels.
    """
    rows: dict[str, list[Any]] = {"kept": [], "share": [], "of": []}
    for name, (sizes, shares) in curves.items():
        rows["kept"] += np.asarray(sizes).tolist()
        rows["share"] += np.asarray(shares, dtype=float).tolist()
        rows["of"] += [name] * len(np.asarray(sizes))
    paint = alt.Color(
        "of:N", title=None, scale=alt.Scale(domain=list(curves), range=SERIES[: len(curves)])
    )
    across = alt.X(
        "kept:Q",
        title="components kept",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=[1, 2, 5, 10, 20, 50, 100], format="d"),
    )
    up = alt.Y("share:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    layers: list[Any] = [columns(rows, digits=4).mark_line(point=True).encode(across, up, paint)]
    if marks:
        found = {"kept": list(marks.values()), "of": list(marks), "share": [0.0] * len(marks)}
        layers.append(
            columns(found)
            .mark_point(shape="triangle-up", filled=True, size=110, opacity=1, yOffset=-5)
            .encode(across, up, paint)
        )
    return alt.layer(*layers).properties(width="container", height=height)


def over_steps(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    marks: Mapping[str, float] | None = None,
    height: int = 230,
) -> Chart:
    """A measure over the steps of writing, one line a curve, rules across for `marks`."""
    rows: dict[str, list[Any]] = {"step": [], "value": [], "of": []}
    for name, (steps, values) in curves.items():
        rows["step"] += np.asarray(steps).tolist()
        rows["value"] += np.asarray(values, dtype=float).tolist()
        rows["of"] += [name] * len(np.asarray(steps))
    drawn = (
        columns(rows)
        .mark_line(strokeWidth=2)
        .encode(
            alt.X("step:Q", title="step", scale=alt.Scale(nice=False)),
            alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0)),
            alt.Color(
                "of:N",
                title=None,
                scale=alt.Scale(domain=list(curves), range=SERIES[: len(curves)]),
            ),
        )
    )
    layers = [drawn] if not marks else [drawn, *rules(marks)]
    return alt.layer(*layers).properties(width="container", height=height)


def dots(
    rows: Mapping[str, Sequence[Any]],
    *,
    title: str,
    colours: Mapping[str, str] | None = None,
    domain: tuple[float, float] | None = None,
    percent: bool = True,
    mark: float | None = None,
    row: int = 15,
) -> Chart:
    """Values with intervals, a row a place and a dot a group.

    Parameters
    ----------
    rows : mapping
        Columns "place", "group", "value", and if there are intervals "low", "high".
    title : str
        Of the horizontal axis.
    colours : mapping of str to str, optional
        CSS colour of each group; default: those of unrelated things.
    domain : tuple of float, optional
        Ends of the axis; default (0, 1.02).
    percent : bool
        Write values as percentages.
    mark : float, optional
        Where to draw a dashed line from top to bottom: at chance, say.
    row : int
        Pixels of height a dot.
    """
    places, groups = (list(dict.fromkeys(rows[name])) for name in ("place", "group"))
    paints = dict(colours or zip(groups, SERIES, strict=False))
    axis = alt.Axis(tickCount=5, format="%" if percent else "")
    across = alt.Scale(domain=list(domain or (0, 1.02)), nice=False, zero=False)
    base = columns(rows, digits=4).encode(
        alt.Y("place:N", sort=places, title=None, axis=alt.Axis(grid=True)),
        alt.YOffset("group:N", sort=groups),
        alt.Color(
            "group:N",
            title=None,
            scale=alt.Scale(domain=groups, range=[paints[g] for g in groups]),
            legend=alt.Legend(columns=2, labelLimit=260),
        ),
    )
    layers = [
        base.mark_point(filled=True, size=55, opacity=1).encode(
            alt.X("value:Q", title=title, scale=across, axis=axis)
        )
    ]
    if "low" in rows:
        layers.append(
            base.mark_rule(strokeWidth=4, opacity=0.35).encode(
                alt.X("low:Q", title=title, scale=across), alt.X2("high:Q")
            )
        )
    if mark is not None:
        dashed = columns({"at": [mark]}, digits=4).mark_rule(strokeDash=[5, 4], color=GREY)
        layers.append(dashed.encode(alt.X("at:Q", title=title, scale=across)))
    return alt.layer(*layers).properties(
        width="container", height=row * len(places) * max(len(groups), 2)
    )


def rules(marks: Mapping[str, float], *, left: bool = False) -> list[Any]:
    """Dashed lines across at some heights, named above the right end or below the left one."""
    place: dict[str, Any] = {"align": "left", "dx": 4, "dy": 9} if left else {}
    place = place or {"align": "right", "dx": -4, "dy": -7}
    at = columns({"at": list(marks.values()), "what": list(marks)}, digits=4)
    line = at.mark_rule(strokeDash=[5, 4], color=GREY).encode(alt.Y("at:Q"))
    end = alt.value(0) if left else alt.value("width")
    words = at.mark_text(color=GREY, **place).encode(alt.Y("at:Q"), x=end, text="what:N")
    return [line, words]


def _cells(
    blocks: Mapping[str, ArrayLike], steps: int, every: int
) -> tuple[dict[str, list[Any]], list[int], int]:
    """Cells of a map, the first row of each block, and the row below the last."""
    data: dict[str, list[Any]] = {k: [] for k in ("step", "row", "size", "sign")}
    starts, firsts, top = np.arange(0, steps, every), [], 0
    for name, block in blocks.items():
        values = np.asarray(block, dtype=float)
        if len(values) != steps:
            raise ValueError(f"{name!r} has {len(values)} steps, the letters have {steps}")
        spread = values.std(0)
        z = (values - values.mean(0)) / np.where(spread > 0, spread, 1)
        means = np.add.reduceat(z, starts) / np.diff(np.append(starts, steps))[:, None]
        for unit in range(values.shape[1]):
            data["step"] += starts.tolist()
            data["row"] += [top + unit] * len(starts)
            data["size"] += np.minimum(np.abs(means[:, unit]) / 2, 1).tolist()
            data["sign"] += (means[:, unit] > 0).astype(int).tolist()
        firsts.append(top)
        top += values.shape[1] + 1
    return data, firsts, top


def _said(letters: Sequence[str]) -> dict[str, list[Any]]:
    """Each stay at a character once, at its middle."""
    turns = np.flatnonzero([a != b for a, b in zip(letters, ["", *letters[:-1]], strict=True)])
    middles = turns + np.diff(np.append(turns, len(letters))) / 2
    said = [letters[int(t)].replace(" ", "␣") for t in turns]
    return {"step": middles.tolist(), "said": said}
