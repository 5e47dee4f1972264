"""Plain charts of measured values: histogram, scatter, shares with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from handtraj.charts.base import COLOURS, Chart, columns, paints

__all__ = ["histogram", "lines", "scatter", "shares"]


def histogram(
    values: Mapping[str, ArrayLike], title: str, *, bins: int = 40, height: int = 180
) -> Chart:
    """Shares of values in equal bins, one outline a group.

    Groups named like a concept take its colour.
    """
    arrays = {name: np.asarray(v, dtype=float).ravel() for name, v in values.items()}
    every = np.concatenate(list(arrays.values()))
    edges = np.linspace(every.min(), every.max(), bins + 1)
    rows: dict[str, list[Any]] = {"at": [], "share": [], "group": []}
    for name, array in arrays.items():
        share = np.histogram(array, edges)[0] / len(array)
        rows["at"] += edges.tolist()
        rows["share"] += [*share.tolist(), 0.0]
        rows["group"] += [name] * len(edges)
    legend = alt.Legend(title=None) if len(arrays) > 1 else None
    return (
        columns(rows, digits=4)
        .mark_area(interpolate="step-after", opacity=0.35, line=True)
        .encode(
            alt.X("at:Q", title=title, scale=alt.Scale(nice=False, zero=False)),
            alt.Y("share:Q", title="share", stack=None),
            alt.Color("group:N", legend=legend, scale=paints(arrays)),
        )
        .properties(width="container", height=height)
    )


def scatter(
    x: ArrayLike,
    y: ArrayLike,
    *,
    titles: tuple[str, str],
    colour: str = "network",
    height: int = 220,
) -> Chart:
    """One dot a pair."""
    return (
        columns({"x": np.asarray(x), "y": np.asarray(y)})
        .mark_circle(size=24, opacity=0.55, color=COLOURS[colour])
        .encode(
            alt.X("x:Q", title=titles[0], scale=alt.Scale(zero=False)),
            alt.Y("y:Q", title=titles[1], scale=alt.Scale(zero=False)),
        )
        .properties(width="container", height=height)
    )


def shares(
    rows: Mapping[str, ArrayLike],
    *,
    x: str,
    group: str,
    title: str,
    top: float = 1.0,
    height: int = 200,
) -> Chart:
    """Shares with intervals, one line a group.

    Parameters
    ----------
    rows : mapping
        Columns `x`, `group`, "share", "low" and "high".
    x, group : str
        Names of columns; they are also the axis title and the legend.
    title : str
        Of the vertical axis.
    top : float
        Where the vertical axis ends; it begins at 0.
    """
    across = alt.X(f"{x}:Q", title=x, scale=alt.Scale(padding=20))
    up = alt.Y("share:Q", title=title, scale=alt.Scale(domain=[0, top]))
    order = list(dict.fromkeys(np.asarray(rows[group]).tolist()))
    paint = alt.Color(f"{group}:N", title=group, scale=alt.Scale(domain=order))
    base = columns(rows).encode(across, up, paint)
    bars = base.mark_rule(strokeWidth=6, opacity=0.25).encode(
        alt.Y("low:Q", title=title), alt.Y2("high:Q")
    )
    dots = base.mark_point(filled=True, size=70, opacity=1)
    # The legend takes the looks of the first layer.
    return alt.layer(base.mark_line(), dots, bars).properties(width="container", height=height)


def lines(
    rows: Mapping[str, ArrayLike],
    *,
    x: str,
    y: str,
    group: str,
    titles: tuple[str, str],
    log: bool = False,
    height: int = 200,
) -> Chart:
    """One line a group through the rows in their order.

    Parameters
    ----------
    rows : mapping
        Columns `x`, `y` and `group`.
    x, y, group : str
        Names of columns.
    titles : tuple of str
        Of the horizontal and the vertical axis.
    log : bool
        Whether the horizontal axis is logarithmic.
    """
    order = list(dict.fromkeys(np.asarray(rows[group]).tolist()))
    return (
        columns(rows, digits=4)
        .mark_line(point=True)
        .encode(
            alt.X(f"{x}:Q", title=titles[0], scale=alt.Scale(type="log" if log else "linear")),
            alt.Y(f"{y}:Q", title=titles[1]),
            alt.Color(f"{group}:N", title=None, scale=alt.Scale(domain=order)),
        )
        .properties(width="container", height=height)
    )
