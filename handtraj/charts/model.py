"""Charts of the network: density of a movement, window on the text, learning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import torch
from numpy.typing import ArrayLike

from handtraj.charts.base import COLOURS, Chart, columns, even_scales, paints
from handtraj.mixture import Mixture
from handtraj.writing import Writing

__all__ = ["density", "learning_curve", "learning_rate", "window"]


def density(
    mixture: Mixture,
    *,
    unit: float = 1.0,
    reach: float | None = None,
    drawn: ArrayLike | None = None,
) -> Chart:
    """The density of the next movement as a map, darker where it is higher.

    Parameters
    ----------
    mixture : Mixture
        Of one step: no leading dimensions.
    unit : float
        x-heights a unit of the mixture (`writer.scale`).
    reach : float, optional
        Half the width of the map in x-heights; default: what holds the means of
        all but the lightest components.
    drawn : array (n, 2), optional
        Offsets to mark, in x-heights.
    """
    if mixture.pen_logit.ndim:
        raise ValueError(f"density shows one step, got shape {tuple(mixture.pen_logit.shape)}")
    if reach is None:
        heavy = mixture.log_weight > np.log(0.02)
        spread = mixture.mean.abs() + 2.5 * mixture.log_sigma.exp()
        reach = float(spread[heavy].max()) * unit
    # Cells twice as far sideways: a page is wider than the map is high.
    side, height = 45, 320
    at = (np.arange(2 * side) + 0.5) / side * 2 * reach - 2 * reach
    dx, dy = (grid.ravel() for grid in np.meshgrid(at, at[side // 2 : side // 2 + side]))
    places = torch.tensor(np.stack([dx, dy], -1) / unit, dtype=mixture.mean.dtype)
    with torch.no_grad():
        log_p = mixture.log_prob_offset(places).numpy()
    # Four decades below the peak are shown, and nothing under them.
    level = np.clip(1 + (log_p - log_p.max()) / (4 * np.log(10)), 0, None)
    kept = level > 0.02
    x, y = even_scales(np.array([[-reach, -reach], [reach, reach]]), height, pad=0.0)
    cell = alt.expr(f"min(width,{height})/{side}")
    fade = COLOURS["density"]
    field = (
        columns({"dx": dx[kept], "dy": dy[kept], "level": level[kept]})
        .mark_square(
            color=fade, opacity=1, strokeWidth=0, clip=True, size=alt.expr(f"pow({cell['expr']},2)")
        )
        .encode(
            alt.X("dx:Q", scale=x, title="dx (x-heights)"),
            alt.Y("dy:Q", scale=y, title="dy (x-heights)"),
            alt.FillOpacity("level:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0, 1])),
        )
    )
    layers: list[Any] = [field]
    if drawn is not None:
        marks = np.asarray(drawn, dtype=float).reshape(-1, 2)
        dots = columns({"dx": marks[:, 0], "dy": marks[:, 1]}, digits=4)
        layers.append(
            dots.mark_circle(size=14, color=COLOURS["network"], opacity=0.8, clip=True).encode(
                alt.X("dx:Q", scale=x), alt.Y("dy:Q", scale=y)
            )
        )
    return alt.layer(*layers).properties(width="container", height=height)


def window(writing: Writing, *, every: int = 4, height: int | None = None) -> Chart:
    """Weight of every character of the text over the steps, the first at the bottom.

    Parameters
    ----------
    writing : Writing
    every : int
        Steps to average into one cell.
    height : int, optional
        In pixels; default: 17 a character.
    """
    weights = writing.window
    blocks = range(0, len(weights), every)
    means = np.array([weights[at : at + every].mean(0) for at in blocks])
    shown = means / means.max()
    block, place = np.nonzero(shown > 0.03)
    rows = {
        "step": block * every,
        "end": np.minimum((block + 1) * every, len(weights)),
        "place": place,
        "weight": shown[block, place],
    }
    letters = json.dumps(writing.text.replace(" ", "␣"))
    return (
        columns(rows)
        .mark_rect(color=COLOURS["window"], opacity=1)
        .encode(
            alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, len(weights)], nice=False)),
            alt.X2("end:Q"),
            alt.Y(
                "place:O",
                title="text",
                scale=alt.Scale(domain=list(range(len(writing.text)))[::-1]),
                axis=alt.Axis(
                    labelExpr=f"substring({letters},datum.value,datum.value+1)",
                    labelOverlap=False,
                    grid=False,
                    ticks=False,
                ),
            ),
            alt.FillOpacity(
                "weight:Q",
                title="weight",
                legend=None,
                scale=alt.Scale(domain=[0, 1], range=[0, 1]),
            ),
        )
        .properties(width="container", height=height or 17 * len(writing.text))
    )


def learning_curve(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, height: int = 220
) -> Chart:
    """Nats a point over the pen points seen, one line a curve."""
    rows: dict[str, list[Any]] = {"points": [], "nats": [], "curve": []}
    for name, (seen, nats) in curves.items():
        rows["points"] += np.asarray(seen, dtype=float).tolist()
        rows["nats"] += np.asarray(nats, dtype=float).tolist()
        rows["curve"] += [name] * len(np.asarray(seen))
    return (
        columns(rows)
        .mark_line()
        .encode(
            alt.X("points:Q", title="pen points seen", axis=alt.Axis(format="~s")),
            alt.Y("nats:Q", title="loss (nats a point)", scale=alt.Scale(zero=False)),
            alt.Color(
                "curve:N",
                title=None,
                scale=paints(curves),
                legend=alt.Legend(columns=2),
            ),
        )
        .properties(width="container", height=height)
    )


def learning_rate(points: ArrayLike, rates: ArrayLike, *, height: int = 160) -> Chart:
    """The learning rate over the pen points seen."""
    rows = {"points": np.asarray(points, dtype=float), "rate": np.asarray(rates, dtype=float)}
    return (
        columns(rows, digits=6)
        .mark_line(color=COLOURS["network"])
        .encode(
            alt.X("points:Q", title="pen points seen", axis=alt.Axis(format="~s")),
            alt.Y("rate:Q", title="learning rate"),
        )
        .properties(width="container", height=height)
    )
