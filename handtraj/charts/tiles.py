"""Charts of several planes side by side in one picture: paths through states, clouds of points.

One view holds all tiles, so that it shrinks with the page as other charts do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.charts.base import GREY, SERIES, Chart, columns
from handtraj.trajectories import Trajectories

__all__ = ["clouds", "paths"]

#: Width of one tile in units of the chart, and the room between tiles.
_TILE, _GAP = 100.0, 8.0


def paths(
    places: Mapping[str, ArrayLike],
    traj: Trajectories,
    *,
    colour: str = "style",
    show: Sequence[str] | None = None,
    across: int = 2,
    tile: int = 190,
    rows: int = 2400,
) -> Chart:
    """Trajectories in the plane, one tile a projection; a dot marks where each begins.

    A click on the legend keeps one colour; pointing at a path says what is written.

    Parameters
    ----------
    places : mapping of str to array, shape (N, 2)
        Title of each tile and the coordinates of every step.  Both axes of a
        tile have one unit, which differs from tile to tile and is not drawn.
    traj : Trajectories
        The N steps.
    colour : str
        Column that gives the colour: "style", "text" or "writing" colour whole
        paths, "character" single steps.
    show : sequence of str, optional
        Of "character": those in colour, six at most; default: the six that
        take the most steps.
    across, tile : int
        Tiles side by side; height of a tile in pixels.
    rows : int
        Points to draw; paths are thinned to about so many.

    Raises
    ------
    ValueError
        If coordinates do not fit the steps, or there are more than six colours.
    """
    arrays = _planes(places, len(traj))
    every = max(1, round(len(traj) * len(arrays) / rows))
    kept = traj.column("step") % every == 0
    part, thinned = traj.select(kept), [xy[kept] for xy in arrays.values()]
    names, code = _coloured(part.column(colour).astype(str), colour, show)
    tall, down = _tall(thinned), -(-len(arrays) // across)
    placed = np.concatenate([_tiled(xy, k, across, tall) for k, xy in enumerate(thinned)])
    data = {
        "x": placed[:, 0],
        "y": placed[:, 1],
        "tile": np.repeat(np.arange(len(arrays)), len(part)),
        "writing": np.tile(part.column("writing"), len(arrays)),
        "step": np.tile(part.column("step"), len(arrays)),
        "code": code * len(arrays),
        "said": [_seen(c) for c in part.column("character")] * len(arrays),
    }
    x = alt.X("x:Q", axis=None, scale=_span(across * _TILE))
    y = alt.Y("y:Q", axis=None, scale=_span(down * tall, down=True))
    # A layer of its own, so that the data is in the page once.
    drawn = alt.layer(*_drawn(data, names, colour, x, y))
    return alt.layer(drawn, _titles(list(arrays), across, tall, x, y)).properties(
        width="container", height=tile * down
    )


def clouds(
    panels: Mapping[str, Mapping[str, ArrayLike]], *, across: int = 3, tile: int = 170
) -> Chart:
    """Groups of points in the plane, one tile a panel, all panels in one unit.

    Parameters
    ----------
    panels : mapping of str to mapping of str to array, shape (n, 2)
        Title of each tile, and in it the points of each group.
    across, tile
        As for :func:`paths`.
    """
    groups = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    rows: dict[str, list[Any]] = {"x": [], "y": [], "group": []}
    every = np.concatenate([np.asarray(p, float) for g in panels.values() for p in g.values()])
    frame = np.stack([every.min(0), every.max(0)])
    tall = _tall([], frame)
    for k, panel in enumerate(panels.values()):
        for name, points in panel.items():
            xy = _tiled(np.asarray(points, float), k, across, tall, frame)
            rows["x"] += xy[:, 0].tolist()
            rows["y"] += xy[:, 1].tolist()
            rows["group"] += [name] * len(xy)
    down = -(-len(panels) // across)
    x = alt.X("x:Q", axis=None, scale=_span(across * _TILE))
    y = alt.Y("y:Q", axis=None, scale=_span(down * tall, down=True))
    scale = alt.Scale(domain=groups, range=SERIES[: len(groups)])
    points = (
        columns(rows, digits=1)
        .mark_point(filled=True, size=16, opacity=0.7)
        .encode(
            x,
            y,
            alt.Color("group:N", title=None, scale=scale),
            alt.Shape("group:N", title=None, scale=alt.Scale(domain=groups)),
        )
    )
    return alt.layer(points, _titles(list(panels), across, tall, x, y)).properties(
        width="container", height=tile * down
    )


def _planes(places: Mapping[str, ArrayLike], steps: int) -> dict[str, NDArray[np.float64]]:
    arrays = {name: np.asarray(xy, dtype=np.float64) for name, xy in places.items()}
    for name, xy in arrays.items():
        if xy.shape != (steps, 2):
            raise ValueError(f"{name!r} needs coordinates ({steps}, 2), got {xy.shape}")
    return arrays


def _coloured(
    values: NDArray[np.str_], colour: str, show: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    """Names of the colours, and the place of each value among them or -1."""
    levels = list(show) if show else list(dict.fromkeys(values.tolist()))
    if colour == "character" and not show:
        levels = _commonest(values)
    if len(levels) > len(SERIES):
        raise ValueError(f"{len(levels)} colours cannot be told apart; show 6 at most")
    names = [_seen(level) if colour == "character" else level for level in levels]
    return names, [levels.index(v) if v in levels else -1 for v in values.tolist()]


def _drawn(
    data: Mapping[str, Any], names: Sequence[str], colour: str, x: alt.X, y: alt.Y
) -> list[Any]:
    """Layers of paths: whole ones in colour, or grey ones with single steps in colour."""
    paint = alt.Color(
        "group:N",
        title=None,
        scale=alt.Scale(domain=list(names), range=SERIES[: len(names)]),
        legend=alt.Legend(columns=3, symbolType="circle", symbolOpacity=1),
    )
    told = [
        alt.Tooltip("group:N", title=colour),
        alt.Tooltip("said:N", title="character"),
        alt.Tooltip("step:Q"),
    ]
    chosen = alt.selection_point(fields=["group"], bind="legend", name="chosen")
    base = columns(data, digits=1).transform_calculate(
        group=f"{json.dumps(list(names))}[datum.code]", path="datum.tile + '-' + datum.writing"
    )
    shape = {"x": x, "y": y, "detail": alt.Detail("path:N"), "order": alt.Order("step:Q")}
    points = base.mark_point(filled=True, size=14)
    if colour == "character":
        lit = alt.condition(chosen, alt.value(0.95), alt.value(0.04))
        grey = base.mark_line(color=GREY, strokeWidth=0.8, opacity=0.3, strokeJoin="round")
        single = points.transform_filter("datum.code >= 0")
        return [
            grey.encode(**shape),
            single.encode(x, y, paint, opacity=lit, tooltip=told).add_params(chosen),
        ]
    lit = alt.condition(chosen, alt.value(0.8), alt.value(0.06))
    lines = base.mark_line(strokeWidth=1.2, strokeJoin="round")
    first = base.transform_filter("datum.step == 0").mark_point(
        filled=True, size=45, stroke="white", strokeWidth=0.7
    )
    return [
        lines.encode(**shape, color=paint, opacity=lit),
        # Not seen, but there to be pointed at.
        points.encode(x, y, paint, opacity=alt.value(0), tooltip=told).add_params(chosen),
        first.encode(x, y, paint, opacity=lit),
    ]


def _seen(character: str) -> str:
    return str(character).replace(" ", "␣")


def _commonest(values: NDArray[Any]) -> list[str]:
    names, counts = np.unique(values, return_counts=True)
    return [str(n) for n in names[np.argsort(-counts, kind="stable")][: len(SERIES)]]


def _tall(arrays: Sequence[NDArray[Any]], frame: NDArray[Any] | None = None) -> float:
    """Height of a tile that holds the tallest of these, in units of its width of 100."""
    frames = [np.stack([xy.min(0), xy.max(0)]) for xy in arrays] if frame is None else [frame]
    return max(float(np.ptp(f, axis=0)[1]) * _unit(f) for f in frames) + 2.5 * _GAP


def _unit(frame: NDArray[Any]) -> float:
    return (_TILE - 2 * _GAP) / max(float(np.ptp(frame, axis=0).max()), 1e-12)


def _tiled(
    xy: NDArray[Any], number: int, across: int, tall: float, frame: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Coordinates inside the tile of this number; the first is at the top left."""
    ends = np.stack([xy.min(0), xy.max(0)]) if frame is None else frame
    corner = np.array([(number % across) * _TILE, -(number // across + 1) * tall])
    # The title takes some room above.
    middle = np.array([_TILE, tall - 0.5 * _GAP]) / 2
    return np.asarray(corner + middle + (xy - ends.mean(0)) * _unit(ends))


def _span(size: float, down: bool = False) -> alt.Scale:
    return alt.Scale(domain=[-size, 0] if down else [0, size], nice=False, zero=False)


def _titles(names: Sequence[str], across: int, tall: float, x: alt.X, y: alt.Y) -> Any:
    """Title of each tile in its upper left corner."""
    rows = {
        "x": [(k % across) * _TILE + 2 for k in range(len(names))],
        "y": [-(k // across) * tall - 0.5 * _GAP for k in range(len(names))],
        "name": list(names),
    }
    return columns(rows).mark_text(align="left", baseline="middle").encode(x, y, text="name:N")
