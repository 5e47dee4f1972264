"""Charts of the claim that styles lie in different subspaces, each beside its controls.

They take what `load_result("styles")` returns, or the tables in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from handtraj.charts.base import COLOURS, Chart, columns
from handtraj.charts.trajectories import dots, rules

__all__ = ["alignment", "angles", "between_means", "course", "gaps", "naming"]

#: What alignment indices are of, from the ceiling down, with a colour each.
_ALIGNED = {
    "same": ("same style, other texts", COLOURS["network"]),
    "other within": ("other styles of its source", COLOURS["prime"]),
    "other": ("other styles", COLOURS["data"]),
    "shuffled": ("writings shuffled", COLOURS["neutral"]),
    "random": ("random subspaces", COLOURS["other"]),
}
#: What the style is named from.
_NAMED = {
    "state": ("one state", COLOURS["network"]),
    "writing mean": ("mean of a writing", COLOURS["window"]),
    "writing covariance": ("covariance, mean removed", COLOURS["density"]),
}
_INK = {"stretch": "ink, {points} points", "writing": "ink, whole line"}


def alignment(
    table: Mapping[str, Mapping[str, Any]],
    *,
    kinds: Sequence[str] = ("same", "other within", "other", "shuffled", "random"),
    height: int = 260,
) -> Chart:
    """Alignment index at several numbers of kept dimensions, ceiling and floors beside it.

    Parameters
    ----------
    table : mapping
        For each number of dimensions what
        :func:`handtraj.evaluation.claims.alignment` found.
    kinds : sequence of str
        Of "same", "other within", "other", "shuffled", "random".
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If a kind is unknown.
    """
    unknown = [kind for kind in kinds if kind not in _ALIGNED]
    if unknown:
        raise ValueError(f"no kind {unknown[0]!r}; there are: {', '.join(_ALIGNED)}")
    rows: dict[str, list[Any]] = {k: [] for k in ("kept", "value", "low", "high", "of")}
    for size, found in table.items():
        for kind in kinds:
            value, low, high = _ends(found[kind])
            rows["kept"].append(str(size))
            rows["value"].append(value)
            rows["low"].append(low)
            rows["high"].append(high)
            rows["of"].append(_ALIGNED[kind][0])
    return _threads(
        rows,
        x=alt.X(
            "kept:O",
            sort=list(map(str, table)),
            title="dimensions kept",
            axis=_level(),
            scale=_wide(),
        ),
        up=alt.Scale(domain=[0, 1]),
        title="alignment index",
        paints={_ALIGNED[kind][0]: _ALIGNED[kind][1] for kind in kinds},
        height=height,
    )


def gaps(result: Mapping[str, Any], dimension: int = 10) -> Chart:
    """Ceiling less other styles of the source, layer by layer; grey: writings shuffled.

    Parameters
    ----------
    result : mapping
        The record of the experiment.
    dimension : int
        One of the numbers of kept dimensions in it.
    """
    paint = {
        "raw": COLOURS["network"],
        "letters removed": COLOURS["window"],
        "writings shuffled (raw)": COLOURS["neutral"],
    }
    rows: dict[str, list[Any]] = {k: [] for k in ("place", "group", "value", "low", "high")}
    for layer, found in result["layers"].items():
        table = found["alignment"]
        for name in ("raw", "letters removed"):
            _add(rows, layer, name, *_ends(table[name][str(dimension)]["apart"]))
        low, middle, high = table["raw"][str(dimension)]["apart, shuffled"]
        _add(rows, layer, "writings shuffled (raw)", middle, low, high)
    most = max(rows["high"])
    title = f"alignment at {dimension} dimensions: same style less others"
    domain = (min(0, *rows["low"]) - 0.01, most * 1.08)
    return dots(rows, title=title, colours=paint, domain=domain, percent=False)


def angles(kinds: Mapping[str, ArrayLike], *, height: int = 230) -> Chart:
    """Principal angles between subspaces, smallest first, one line a kind.

    Parameters
    ----------
    kinds : mapping of str to array, shape (D,)
        Degrees.
    height : int
        In pixels.
    """
    rows: dict[str, list[Any]] = {"number": [], "angle": [], "of": []}
    for name, values in kinds.items():
        found = np.asarray(values, dtype=float)
        rows["number"] += list(range(1, len(found) + 1))
        rows["angle"] += found.tolist()
        rows["of"] += [name] * len(found)
    paints = [COLOURS[c] for c in ("network", "prime", "other", "neutral")]
    return (
        columns(rows, digits=1)
        .mark_line(point=True)
        .encode(
            alt.X("number:O", title="principal angle", axis=_level()),
            alt.Y(
                "angle:Q",
                title="degrees",
                scale=alt.Scale(domain=[0, 90]),
                axis=alt.Axis(values=[0, 30, 60, 90]),
            ),
            alt.Color(
                "of:N",
                title=None,
                scale=alt.Scale(domain=list(kinds), range=paints[: len(kinds)]),
                legend=alt.Legend(columns=2, labelLimit=260),
            ),
        )
        .properties(width="container", height=height)
    )


def between_means(result: Mapping[str, Any]) -> Chart:
    """Share of the variance between the means of styles, layer by layer.

    Grey: the same with writings shuffled among the styles of one source, so
    that what is left lies between sources.
    """
    styles, sources = "between styles", "left when styles of a source are shuffled"
    rows: dict[str, list[Any]] = {k: [] for k in ("place", "group", "value")}
    for layer, found in result["layers"].items():
        for name, key in ((styles, "between"), (sources, "null")):
            rows["place"].append(layer)
            rows["group"].append(name)
            rows["value"].append(found["means"][key])
    paint = {styles: COLOURS["network"], sources: COLOURS["neutral"]}
    return dots(rows, title="share of the variance between means", colours=paint)


def naming(result: Mapping[str, Any]) -> Chart:
    """How often the style is named rightly within its source, from the state and from ink.

    Parameters
    ----------
    result : mapping
        The record of the experiment.
    """
    rows: dict[str, list[Any]] = {k: [] for k in ("place", "group", "value", "low", "high")}
    ink = result["ink"]
    for key, name in _INK.items():
        _add(rows, name.format(points=ink["points"]), "ink alone", *_ends(ink[key]))
    for layer, found in result["layers"].items():
        for key, (name, _) in _NAMED.items():
            _add(rows, layer, name, *_ends(found["decoding"][key]))
    paint = {"ink alone": COLOURS["data"], **dict(_NAMED.values())}
    title = "styles named rightly, within a source"
    return dots(rows, title=title, colours=paint, mark=ink["writing"]["chance"], row=11)


def course(
    result: Mapping[str, Any],
    layers: Sequence[str] = ("c2", "h2", "h3", "h1"),
    *,
    height: int = 250,
) -> Chart:
    """How often one state names the style, by steps since the prime.

    Parameters
    ----------
    result : mapping
        The record of the experiment.
    layers : sequence of str
        Four at most.
    height : int
        In pixels.
    """
    rows: dict[str, list[Any]] = {k: [] for k in ("since", "value", "low", "high", "of")}
    order: list[str] = []
    for layer in layers:
        for part in result["layers"][layer]["course"]:
            order.append(f"{part['from']}" + ("" if part["to"] else "+"))
            value, low, high = _ends(part)
            for key, item in zip(rows, (order[-1], value, low, high, layer), strict=True):
                rows[key].append(item)
    paints = [COLOURS[c] for c in ("network", "window", "density", "other")]
    ink = result["ink"]["stretch"]
    marks = {
        f"ink alone, {result['ink']['points']} points": ink["accuracy"],
        "chance": ink["chance"],
    }
    return _threads(
        rows,
        x=alt.X(
            "since:O",
            sort=list(dict.fromkeys(order)),
            title="steps since the prime, from",
            axis=_level(),
            scale=_wide(),
        ),
        up=alt.Scale(domain=[0, 1]),
        title="one state names the style",
        paints=dict(zip(layers, paints, strict=False)),
        height=height,
        marks=marks,
    )


def _ends(found: Any) -> tuple[float, float, float]:
    """Value and interval of what an experiment noted; a plain number has no interval."""
    if isinstance(found, Mapping):
        value = float(found["value"] if "value" in found else found["accuracy"])
        low, high = found["interval"] or (value, value)
        return value, float(low), float(high)
    return float(found), float(found), float(found)


def _add(
    rows: dict[str, list[Any]], place: str, group: str, value: float, low: float, high: float
) -> None:
    for key, item in zip(rows, (place, group, value, low, high), strict=True):
        rows[key].append(item)


def _level() -> alt.Axis:
    return alt.Axis(labelAngle=0)


def _wide() -> alt.Scale:
    return alt.Scale(paddingInner=0.75, paddingOuter=0.4)


def _threads(
    rows: Mapping[str, Sequence[Any]],
    *,
    x: alt.X,
    up: alt.Scale,
    title: str,
    paints: Mapping[str, str],
    height: int,
    marks: Mapping[str, float] | None = None,
) -> Chart:
    """Values with intervals over a few places, joined; things of one place side by side."""
    paint = alt.Color(
        "of:N",
        title=None,
        scale=alt.Scale(domain=list(paints), range=list(paints.values())),
        legend=alt.Legend(columns=2, labelLimit=260),
    )
    base = columns(rows, digits=4).encode(x, alt.XOffset("of:N", sort=list(paints)), paint)
    value = alt.Y("value:Q", title=title, scale=up)
    drawn = [
        base.mark_line(strokeWidth=1.5, opacity=0.7).encode(value),
        base.mark_point(filled=True, size=55, opacity=1).encode(value),
        base.mark_rule(strokeWidth=4, opacity=0.35).encode(
            alt.Y("low:Q", title=title, scale=up), alt.Y2("high:Q")
        ),
    ]
    return alt.layer(*drawn, *(rules(marks, left=True) if marks else ())).properties(
        width="container", height=height
    )
