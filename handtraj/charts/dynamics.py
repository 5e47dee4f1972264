"""Charts of letters in the state: their paths, how alike they are, how they turn.

Results are those of "letters"; their floor, ceiling and chance are drawn in the
same figure as what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from handtraj.charts.base import COLOURS, GREY, SERIES, Chart, columns
from handtraj.charts.interventions import rule
from handtraj.dynamics.letters import Letters, mean_letters

__all__ = [
    "by_layer",
    "letter_distances",
    "letter_paths",
    "letter_planes",
    "letters_named",
    "similarity",
    "variance_shares",
]

#: One colour for each way of laying a style over another, in all charts.
_ALIGNED = {
    "within a style": COLOURS["neutral"],
    "same style": COLOURS["neutral"],
    "raw": COLOURS["prime"],
    "means removed": COLOURS["network"],
    "after Procrustes": COLOURS["window"],
    "other letters": COLOURS["density"],
}
_SHARES = {
    "style": (COLOURS["prime"], ("s", "st")),
    "letter": (COLOURS["network"], ("l", "lt")),
    "time": (COLOURS["data"], ("t",)),
    "style and letter": (COLOURS["density"], ("sl", "slt")),
}
_LAYERS = ("h1", "h2", "h3", "c1", "c2", "c3")


def letter_paths(
    rows: Mapping[str, ArrayLike],
    *,
    titles: tuple[str, str],
    choose: Sequence[str] = (),
    height: int = 340,
) -> Chart:
    """Paths of letters in a plane, one colour a letter, a dash a style.

    Parameters
    ----------
    rows : mapping
        Columns "x", "y", "phase" (the order along a path), "path" (a number),
        and, the same all along a path, "letter", "style", "kind" ("mean", or
        another word for single letters, which are drawn thin), and those of
        `choose`.  A mean is labelled with its letter at its end.
    titles : tuple of str
        Of the horizontal and the vertical axis.
    choose : sequence of str
        Columns of which a reader chooses one value; the first value of each is
        shown at first, and on paper.
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    needed = ("x", "y", "phase", "path", "letter", "style", "kind", *choose)
    missing = [name for name in needed if name not in rows]
    if missing:
        raise ValueError(f"paths need the columns {', '.join(missing)}")
    letters = _first_seen(rows["letter"])
    styles = _first_seen(rows["style"])
    dashes = [[1, 0], [5, 3], [2, 2], [7, 2, 2, 2]]
    paint = alt.Color(
        "letter:N",
        title="letter",
        scale=alt.Scale(domain=letters, range=[SERIES[i % 6] for i in range(len(letters))]),
        legend=alt.Legend(symbolOpacity=1),
    )
    pattern = alt.StrokeDash(
        "style:N",
        title="style" if len(styles) > 1 else None,
        legend=alt.Legend(symbolStrokeColor=GREY) if len(styles) > 1 else None,
        scale=alt.Scale(domain=styles, range=[dashes[i % 4] for i in range(len(styles))]),
    )
    base = alt.Chart().encode(
        alt.X("x:Q", title=titles[0], scale=alt.Scale(zero=False)),
        alt.Y("y:Q", title=titles[1], scale=alt.Scale(zero=False)),
        paint,
    )
    drawn = {"detail": "path:N", "order": "phase:Q", "strokeDash": pattern}
    single = base.transform_filter("datum.kind != 'mean'").mark_line(strokeWidth=1, opacity=0.35)
    mean = base.transform_filter("datum.kind == 'mean'").mark_line(strokeWidth=2.5)
    last = float(np.max(np.asarray(rows["phase"], dtype=float)))
    end = base.transform_filter(f"datum.kind == 'mean' && datum.phase == {last:g}")
    words = end.mark_text(fontSize=15, fontWeight="bold", dx=9).encode(text="letter:N")
    dot = end.mark_point(filled=True, size=30, opacity=1)
    # The legend takes the looks of the first layer.
    layers = [mean.encode(**drawn), single.encode(**drawn), dot, words]
    # The data is kept once for all layers, and a path's labels once a path.
    chart = alt.layer(
        *layers, data=alt.Data(values=_by_path(rows, ("letter", "style", "kind", *choose)))
    )
    chart = chart.transform_flatten(["x", "y", "phase"])
    for name in choose:
        values = _first_seen(rows[name])
        menu = alt.binding_select(options=values, name=f"{name} ")
        chosen = alt.param(name=f"chosen_{name}", value=values[0], bind=menu)
        chart = chart.add_params(chosen).transform_filter(f"datum.{name} == chosen_{name}")
    return chart.properties(width="container", height=height)


def _by_path(rows: Mapping[str, ArrayLike], labels: Sequence[str]) -> list[dict[str, Any]]:
    """One record a path: its labels, and its points as lists."""
    path = np.asarray(rows["path"])
    found = []
    for number in _first_seen(path):
        own = np.flatnonzero(path == number)
        record: dict[str, Any] = {name: np.asarray(rows[name])[own[0]].item() for name in labels}
        record["path"] = number
        for name in ("x", "y", "phase"):
            record[name] = np.asarray(rows[name], dtype=float)[own].round(3).tolist()
        found.append(record)
    return found


def letter_planes(
    parts: Mapping[str, Letters], characters: str, *, singles: int = 2, height: int = 340
) -> Chart:
    """Mean letters in the plane of their first two principal axes, layer by layer.

    A reader chooses the layer, and whether each style's mean state is removed;
    the axes are those of the mean letters that are shown.

    Parameters
    ----------
    parts : mapping of Letters
        By layer; of the styles to be shown.
    characters : str
        Letters to be shown.
    singles : int
        Single letters drawn thin beside each mean.
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If there is no layer, or a letter does not occur.
    """
    if not parts:
        raise ValueError("nothing to draw: no layer was given")
    names = ("x", "y", "phase", "path", "letter", "style", "kind", "layer", "states")
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for layer, letters in parts.items():
        chosen = letters.select(characters=list(characters))
        for view in ("as they are", "style means removed"):
            warped = chosen.warped.copy()
            if view != "as they are":
                for style in chosen.styles:
                    mine = chosen.style == style
                    warped[mine] -= warped[mine].mean(axis=(0, 1))
            _add_paths(rows, replace(chosen, warped=warped), singles, (layer, view))
    axes = ("first principal axis", "second principal axis")
    return letter_paths(rows, titles=axes, choose=("layer", "states"), height=height)


def _add_paths(
    rows: dict[str, list[Any]], letters: Letters, singles: int, labels: tuple[str, str]
) -> None:
    """Mean and a few single letters of every style, in the plane of the means."""
    means = mean_letters(letters)
    flat = means.means.reshape(-1, means.means.shape[-1])
    centre = flat.mean(axis=0)
    axes = np.linalg.svd(flat - centre, full_matrices=False)[2][:2].T
    for (style, letter), mean in zip(means.keys, means.means, strict=True):
        own = np.flatnonzero((letters.style == style) & (letters.character == letter))
        for kind, path in [("mean", mean), *(("one", letters.warped[i]) for i in own[:singles])]:
            place = (path - centre) @ axes
            number = rows["path"][-1] + 1 if rows["path"] else 0
            count = len(place)
            rows["x"] += place[:, 0].tolist()
            rows["y"] += place[:, 1].tolist()
            rows["phase"] += list(range(count))
            values = (number, letter, style, kind, *labels)
            for name, value in zip(list(rows)[3:], values, strict=True):
                rows[name] += [value] * count


def _first_seen(values: ArrayLike) -> list[Any]:
    return list(dict.fromkeys(np.asarray(values).tolist()))


def by_layer(
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
    title: str,
    *,
    marks: Mapping[str, float] | None = None,
    domain: tuple[float, float] | None = None,
    log: bool = False,
    height: int = 240,
) -> Chart:
    """Estimates with intervals side by side, layer by layer.

    Parameters
    ----------
    rows : mapping of mapping of mapping
        Group to layer to an estimate with "value" and "interval".
    title : str
        Of the vertical axis.
    marks : mapping, optional
        Dashed horizontal lines, name to place.
    domain : tuple of float, optional
        Of the vertical axis.
    log : bool
        Logarithmic vertical axis.
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If there is no row.
    """
    table: dict[str, list[Any]] = {k: [] for k in ("layer", "group", "value", "low", "high")}
    for group, found in rows.items():
        for layer, one in found.items():
            low, high = one["interval"] or (one["value"], one["value"])
            values = (layer, group, one["value"], low, high)
            for column, value in zip(table.values(), values, strict=True):
                column.append(value)
    if not table["layer"]:
        raise ValueError("nothing to draw: no estimate was given")
    groups, layers = list(rows), sorted(set(table["layer"]), key=_place)
    colours = [_ALIGNED.get(g, SERIES[i % len(SERIES)]) for i, g in enumerate(groups)]
    kind: dict[str, Any] = {"type": "log"} if log else {"zero": domain is None}
    scale = alt.Scale(domain=list(domain), nice=False, **kind) if domain else alt.Scale(**kind)
    base = columns(table, digits=4).encode(
        alt.X("layer:N", title="layer", sort=layers, axis=alt.Axis(labelAngle=0)),
        alt.XOffset("group:N", sort=groups, scale=alt.Scale(paddingOuter=0.4)),
        alt.Color(
            "group:N",
            title=None,
            scale=alt.Scale(domain=groups, range=colours),
            legend=alt.Legend(columns=2, labelLimit=300),
        ),
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        alt.Y("value:Q", title=title, scale=scale)
    )
    bars = base.mark_rule(strokeWidth=5, opacity=0.3).encode(
        alt.Y("low:Q", title=title, scale=scale), alt.Y2("high:Q")
    )
    drawn: list[Any] = [dots, bars]
    for name, place in (marks or {}).items():
        drawn += rule(name, place, "y")
    return alt.layer(*drawn).properties(width="container", height=height)


def _place(layer: str) -> tuple[int, str]:
    return (_LAYERS.index(layer) if layer in _LAYERS else len(_LAYERS), layer)


def letters_named(result: Mapping[str, Any], *, height: int = 240) -> Chart:
    """How often letters are named from states, within a style and across styles.

    Parameters
    ----------
    result : mapping
        Of the experiment "letters".
    height : int
        In pixels.
    """
    ways = {
        "within a style": "within",
        "raw": "raw",
        "means removed": "centred",
        "after Procrustes": "procrustes",
    }
    layers = result["layers"]
    rows = {
        label: {layer: found["decoding"][way] for layer, found in layers.items()}
        for label, way in ways.items()
    }
    marks = {"chance": max(found["chance"] for found in layers.values())}
    return by_layer(rows, "letters named rightly", marks=marks, domain=(0, 1), height=height)


def letter_distances(result: Mapping[str, Any], *, height: int = 260) -> Chart:
    """Distances of two styles' mean letters over those of two halves of one style.

    1 means as far apart as one style is from itself in other texts.  "Other
    letters" is what is left where letters are paired with others, the ceiling.

    Parameters
    ----------
    result : mapping
        Of the experiment "letters".
    height : int
        In pixels.
    """
    ways = {
        "raw": ("raw", "floor_raw"),
        "means removed": ("centred", "floor_centred"),
        "after Procrustes": ("procrustes", "floor_procrustes"),
        "other letters": ("mismatched", "floor_procrustes"),
    }
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for label, (way, floor) in ways.items():
        rows[label] = {}
        for layer, found in result["layers"].items():
            one, base = found["distance"][way], found["distance"][floor]["value"]
            ends = one["interval"]
            rows[label][layer] = {
                "value": one["value"] / base,
                "interval": [e / base for e in ends] if ends else None,
            }
    ends = [v["interval"] or [v["value"]] for found in rows.values() for v in found.values()]
    values = [1.0, *(e for pair in ends for e in pair)]
    return by_layer(
        rows,
        "distance (same style, other texts = 1)",
        marks={"same style": 1.0},
        domain=(0.9 * min(values), 1.1 * max(values)),
        log=True,
        height=height,
    )


def variance_shares(shares: Mapping[str, Mapping[str, float]], *, step: int = 34) -> Chart:
    """What the variance of mean letters is due to, a bar a layer.

    Parameters
    ----------
    shares : mapping of mapping
        Layer to the shares of the seven marginals s, l, t, sl, st, lt and slt.
        What is below 0 after the correction for noise is drawn as nothing.
    step : int
        Pixels a bar.

    Raises
    ------
    ValueError
        If there is no layer.
    """
    if not shares:
        raise ValueError("nothing to draw: no layer was given")
    table: dict[str, list[Any]] = {k: [] for k in ("layer", "due to", "share", "order")}
    for layer in sorted(shares, key=_place):
        for order, (name, (_, parts)) in enumerate(_SHARES.items()):
            value = max(0.0, sum(shares[layer][p] for p in parts))
            for column, one in zip(table.values(), (layer, name, value, order), strict=True):
                column.append(one)
    return (
        columns(table, digits=4)
        .mark_bar()
        .encode(
            alt.X("share:Q", title="share of the variance of mean letters", stack="zero"),
            alt.Y("layer:N", title="layer", sort=sorted(shares, key=_place)),
            alt.Color(
                "due to:N",
                title=None,
                scale=alt.Scale(
                    domain=list(_SHARES), range=[colour for colour, _ in _SHARES.values()]
                ),
                legend=alt.Legend(columns=2),
            ),
            alt.Order("order:Q"),
        )
        .properties(width="container", height=step * len(shares))
    )


def similarity(result: Mapping[str, Any], *, height: int = 230) -> Chart:
    """Dynamical similarity: two styles, and two letters, beside one with itself.

    Parameters
    ----------
    result : mapping
        Of the experiment "letters".
    height : int
        In pixels.
    """
    rows: dict[str, dict[str, Any]] = {}
    for kind, word in (("styles", "style"), ("letters", "letter")):
        for label, key in ((f"one {word}, other texts", "same"), (f"two {word}s", "other")):
            rows[label] = {layer: found[kind][key] for layer, found in result["similarity"].items()}
    return by_layer(rows, "distance of fitted dynamics", height=height)
