"""Charts of the priming experiment: its record in, intervals over writers out.

They take what `load_result("priming")` returns, and draw chance and ceiling in
the same figure as what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from handtraj.charts.base import COLOURS, GREY, Chart, columns

__all__ = ["by_length", "by_line", "feature_distances", "own_and_written", "rows_where"]

#: What the vertical axes say.
_TITLES = {
    "named": "share named as the primed writer",
    "kept": "style kept (own lines 1, others' 0)",
    "distance": "distance from the writer's own lines",
}
_REAL = "real lines"
_GROUPS = {"inside": "inside training", "outside": "outside training", "all": "all writers"}
_PAINT = {
    "inside training": COLOURS["network"],
    "outside training": COLOURS["prime"],
    "all writers": COLOURS["window"],
    "bias 0": COLOURS["other"],
    "bias 0.5": COLOURS["network"],
    "bias 1": COLOURS["density"],
    "on and on": COLOURS["network"],
    "primed again for each line": COLOURS["prime"],
}
_KINDS = {
    "the writer's other lines": COLOURS["data"],
    "written, primed": COLOURS["prime"],
    "written without a prime": COLOURS["network"],
    "lines of other writers": COLOURS["neutral"],
}


def rows_where(table: Mapping[str, Sequence[Any]], **keys: Any) -> dict[str, list[Any]]:
    """Rows of a table of columns that have these values, as columns.

    Raises
    ------
    ValueError
        If a column does not exist, or no row is left.
    """
    for name in keys:
        if name not in table:
            raise ValueError(f"no column {name!r}; there are: {', '.join(table)}")
    count = len(next(iter(table.values())))
    kept = [i for i in range(count) if all(table[name][i] == v for name, v in keys.items())]
    if not kept:
        asked = ", ".join(f"{name} = {value!r}" for name, value in keys.items())
        raise ValueError(f"no row with {asked}")
    return {name: [values[i] for i in kept] for name, values in table.items()}


def by_length(
    result: Mapping[str, Any],
    measure: str = "named",
    *,
    groups: Sequence[str] = ("inside", "outside"),
    biases: Sequence[float] = (0.5,),
    height: int = 240,
) -> Chart:
    """A measure over the length of the prime, one line a group or a bias.

    Parameters
    ----------
    result : mapping
        The record of the experiment.
    measure : str
        "named", "kept" or "distance".
    groups : sequence of str
        Of "inside", "outside", "all"; several of them with one bias, or one
        with several biases.
    biases : sequence of float
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If both groups and biases are several, or the record has no such rows.
    """
    if len(groups) > 1 and len(biases) > 1:
        raise ValueError("lines stand for groups or for biases: give several of one only")
    parts: dict[str, dict[str, list[Any]]] = {}
    for group in groups:
        for bias in biases:
            name = _GROUPS[group] if len(biases) == 1 else f"bias {bias:g}"
            keys = {"measure": measure, "group": group, "feature": "mean"}
            parts[name] = dict(rows_where(result["rows"], **keys, bias=bias))
            # Real lines stand at the right end, where they are not one by definition.
            if measure != "kept":
                real = rows_where(result["real"], **keys)
                for key in ("value", "low", "high"):
                    parts[name][key] = [*parts[name][key], *real[key]]
                parts[name]["points"] = [*parts[name]["points"], _REAL]
    marks = _marks(result, measure, groups[0] if len(groups) == 1 else "all")
    if measure != "kept":
        marks = {
            name: value for name, value in marks.items() if name in ("chance", "other writers")
        }
    return _intervals(parts, "points", "points of the prime", measure, marks, height)


def by_line(result: Mapping[str, Any], measure: str = "named", *, height: int = 220) -> Chart:
    """A measure over the lines written on and on, beside lines primed anew.

    Parameters
    ----------
    result : mapping
        The record of the experiment.
    measure : str
        "named", "kept" or "distance".
    height : int
        In pixels.
    """
    keys = {"measure": measure, "group": "all", "feature": "mean"}
    on = rows_where(result["fading"], **keys)
    again = rows_where(
        result["rows"], **keys, bias=result["bias"], points=max(result["rows"]["points"])
    )
    many = len(on["line"])
    fresh = {name: again[name] * many for name in ("value", "low", "high")}
    parts = {"on and on": on, "primed again for each line": {**fresh, "line": on["line"]}}
    marks = _marks(result, measure, "all")
    return _intervals(parts, "line", "line after the prime", measure, marks, height, left=True)


def feature_distances(
    result: Mapping[str, Any], *, points: int | None = None, height: int = 330
) -> Chart:
    """Distance from the writer's own lines, feature by feature, of four kinds of lines.

    Parameters
    ----------
    result : mapping
        The record of the experiment.
    points : int, optional
        Length of the prime; default: the longest.
    height : int
        In pixels.
    """
    keys = {"measure": "distance", "group": "all"}
    at = {"bias": result["bias"], **keys}
    longest = max(result["rows"]["points"])
    kinds = dict(
        zip(
            _KINDS,
            (
                rows_where(result["real"], **keys),
                rows_where(result["rows"], **at, points=points or longest),
                rows_where(result["rows"], **at, points=0),
                rows_where(result["real"], measure="other", group="all"),
            ),
            strict=True,
        )
    )
    rows: dict[str, list[Any]] = {k: [] for k in ("feature", "value", "low", "high", "kind")}
    for kind, found in kinds.items():
        for name in ("feature", "value", "low", "high"):
            rows[name] += found[name]
        rows["kind"] += [kind] * len(found["value"])
    rows["feature"] = ["all together" if f == "mean" else f for f in rows["feature"]]
    order = ["all together", *result["features"]]
    base = columns(rows).encode(
        alt.Y("feature:N", sort=order, title=None, axis=alt.Axis(grid=True)),
        alt.YOffset("kind:N", sort=list(_KINDS)),
        alt.Color(
            "kind:N",
            title=None,
            scale=alt.Scale(domain=list(_KINDS), range=list(_KINDS.values())),
            legend=alt.Legend(columns=2),
        ),
    )
    bars = base.mark_rule(strokeWidth=4, opacity=0.35).encode(
        alt.X("low:Q", title="distance (between-writer s.d.)"), alt.X2("high:Q")
    )
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(
        alt.X("value:Q", title="distance (between-writer s.d.)")
    )
    return alt.layer(dots, bars).properties(width="container", height=height)


def own_and_written(
    result: Mapping[str, Any], feature: str, title: str, *, height: int = 260
) -> Chart:
    """A feature of written lines over that of the writer's own, one dot a writer.

    Parameters
    ----------
    result : mapping
        The record of the experiment.
    feature : str
        One of `result["features"]`.
    title : str
        What the axes say of the feature, with its unit.
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If there is no such feature.
    """
    if feature not in result["features"]:
        raise ValueError(f"no feature {feature!r}; there are: {', '.join(result['features'])}")
    means = {
        kind: _writer_means(result["values"][kind], feature)
        for kind in ("own", "primed", "unprimed")
    }
    rows: dict[str, list[Any]] = {"own": [], "written": [], "kind": []}
    for kind, name in (("unprimed", "written without a prime"), ("primed", "written, primed")):
        for writer, mean in means[kind].items():
            if writer in means["own"]:
                rows["own"].append(means["own"][writer])
                rows["written"].append(mean)
                rows["kind"].append(name)
    low, high = min(rows["own"] + rows["written"]), max(rows["own"] + rows["written"])
    pad = 0.05 * (high - low)
    scale = alt.Scale(domain=[low - pad, high + pad], nice=False, zero=False)
    names = ["written, primed", "written without a prime"]
    dots = (
        columns(rows, digits=4)
        .mark_point(filled=True, size=55, opacity=0.75)
        .encode(
            alt.X("own:Q", title=f"{title}, the writer's own lines", scale=scale),
            alt.Y("written:Q", title=f"{title}, written", scale=scale),
            alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=names, range=[_KINDS[n] for n in names]),
            ),
            alt.Shape("kind:N", title=None, scale=alt.Scale(domain=names)),
        )
    )
    ends = {"own": [low - pad, high + pad], "written": [low - pad, high + pad]}
    same = (
        columns(ends, digits=4)
        .mark_line(color=GREY, strokeDash=[4, 4], strokeWidth=1)
        .encode(alt.X("own:Q", scale=scale), alt.Y("written:Q", scale=scale))
    )
    return alt.layer(same, dots).properties(width="container", height=height)


def _writer_means(values: Mapping[str, Sequence[Any]], feature: str) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for writer, value in zip(values["writer"], values[feature], strict=True):
        if value is not None:
            found.setdefault(writer, []).append(value)
    return {writer: float(np.mean(many)) for writer, many in found.items()}


def _marks(result: Mapping[str, Any], measure: str, group: str) -> dict[str, float]:
    """Lines to draw across: chance and ceiling, or what stands for them."""
    real = {
        name: rows_where(result["real"], measure=name, group=group, feature="mean")["value"][0]
        for name in ("named", "distance", "other")
    }
    if measure == "named":
        return {_REAL: real["named"], "chance": float(result["chance"][group])}
    if measure == "distance":
        return {"own lines": real["distance"], "other writers": real["other"]}
    return {"own lines": 1.0, "other writers": 0.0}


def _intervals(
    parts: Mapping[str, Mapping[str, Sequence[Any]]],
    x: str,
    x_title: str,
    measure: str,
    marks: Mapping[str, float],
    height: int,
    *,
    left: bool = False,
) -> Chart:
    """Values with intervals, one line a part, over a few places; marks drawn across.

    The words of the marks stand at the right end, or at the left one.
    """
    rows: dict[str, list[Any]] = {k: [] for k in (x, "value", "low", "high", "line of")}
    for name, part in parts.items():
        rows[x] += [str(at) for at in part[x]]
        for key in ("value", "low", "high"):
            rows[key] += list(part[key])
        rows["line of"] += [name] * len(part["value"])
    names = list(parts)
    across = alt.X(
        f"{x}:O",
        title=x_title,
        sort=list(dict.fromkeys(rows[x])),
        axis=alt.Axis(labelAngle=0),
        scale=alt.Scale(paddingInner=0.7, paddingOuter=0.35),
    )
    aside = alt.XOffset("line of:N", sort=names)
    limits = [*rows["value"], *rows["low"], *rows["high"], *marks.values()]
    limits = [v for v in limits if v is not None]  # one writer has no interval
    ends = [min(0.0, *limits), max(1.0, *limits)] if measure != "distance" else [0, max(limits)]
    up = alt.Scale(domain=ends, nice=True)
    paint = alt.Color(
        "line of:N",
        title=None,
        scale=alt.Scale(domain=names, range=[_PAINT[n] for n in names]),
        legend=alt.Legend() if len(names) > 1 else None,
    )
    base = columns(rows).encode(across, aside, paint)
    title = _TITLES[measure]
    bars = base.mark_rule(strokeWidth=5, opacity=0.35).encode(
        alt.Y("low:Q", title=title, scale=up), alt.Y2("high:Q")
    )
    dots = base.mark_point(filled=True, size=65, opacity=1).encode(
        alt.Y("value:Q", title=title, scale=up)
    )
    numbers = [i for i, at in enumerate(rows[x]) if at != _REAL]
    thread = {name: [values[i] for i in numbers] for name, values in rows.items()}
    joined = (
        columns(thread)
        .mark_line(strokeWidth=1.5, opacity=0.7)
        .encode(across, aside, paint, alt.Y("value:Q", title=title, scale=up))
    )
    ruled = columns({"at": list(marks.values()), "what": list(marks)})
    rules = ruled.mark_rule(strokeDash=[5, 4], color=GREY).encode(alt.Y("at:Q", scale=up))
    words = ruled.mark_text(
        align="left" if left else "right", dx=4 if left else -4, dy=-7, color=GREY
    ).encode(alt.Y("at:Q", scale=up), x=alt.value(0 if left else "width"), text="what:N")
    return alt.layer(joined, dots, bars, rules, words).properties(width="container", height=height)
