"""Theme, palette and the compact data of the book's charts.

Colours are those of Okabe and Ito, told apart by colour-blind readers too.
Text and axes are a grey that bears light and dark; the book's site sets them
to the colour of the page.  Data goes into a chart as rounded columns that the
browser unfolds, which keeps pages small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COLOURS",
    "GREY",
    "SERIES",
    "Chart",
    "Picture",
    "columns",
    "even_scales",
    "paints",
]

#: What the functions of this package return.
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
#: One colour a concept, the same in every chapter.
COLOURS = {
    "data": "#E69F00",
    "network": "#0072B2",
    "prime": "#D55E00",
    "window": "#009E73",
    "density": "#CC79A7",
    "other": "#56B4E9",
    "neutral": "#888888",
}
#: Colours of unrelated things side by side.
SERIES = [COLOURS[name] for name in ("network", "data", "window", "density", "prime", "other")]
GREY = "#888888"
_FAINT = "rgba(128,128,128,0.25)"
_TEXT: dict[str, Any] = {"labelColor": GREY, "titleColor": GREY, "titleFontWeight": "normal"}
_SIZES: dict[str, Any] = {"labelFontSize": 12, "titleFontSize": 13}


@alt.theme.register("handtraj", enable=True)
def _theme() -> alt.theme.ThemeConfig:
    config: Any = {
        "config": {
            "background": "transparent",
            "view": {"stroke": None, "continuousWidth": 560, "continuousHeight": 200},
            "axis": {
                **_TEXT,
                **_SIZES,
                "gridColor": _FAINT,
                "domainColor": _FAINT,
                "tickColor": _FAINT,
                "labelOverlap": True,
            },
            "legend": {**_TEXT, **_SIZES, "orient": "top"},
            "header": {**_TEXT, **_SIZES},
            "text": {"color": GREY, "fontSize": 12},
            "range": {"category": SERIES},
        }
    }
    return config


@dataclass(frozen=True)
class Picture:
    """HTML that a notebook shows as it is."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def columns(data: Mapping[str, Any], *, digits: int = 3) -> alt.Chart:
    """Start a chart from columns, kept as one row of arrays.

    Parameters
    ----------
    data : mapping of str to sequence
        Columns of equal length.
    digits : int
        Decimals to keep of floating-point numbers.

    Raises
    ------
    ValueError
        If the columns differ in length.
    """
    row: dict[str, list[Any]] = {}
    for name, values in data.items():
        array = np.asarray(values)
        if array.dtype.kind == "f":
            # Adding 0.0 turns -0.0 into 0.0.
            row[name] = [round(v, digits) + 0.0 for v in array.tolist()]
        else:
            row[name] = array.tolist()
    lengths = {name: len(values) for name, values in row.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must be of equal length, got {lengths}")
    return alt.Chart(alt.Data(values=[row])).transform_flatten(list(row))


def even_scales(points: NDArray[Any], height: int, pad: float = 0.5) -> tuple[alt.Scale, alt.Scale]:
    """Scales with a unit as long upwards as sideways, at any width of the chart."""
    low, high = points.min(0) - pad, points.max(0) + pad
    middle, span = (low + high) / 2, high - low
    unit = f"min(width/{span[0]:.3f},{height}/{span[1]:.3f})"

    def scale(centre: float, size: str) -> alt.Scale:
        return alt.Scale(
            domainMin=alt.expr(f"{centre:.3f}-{size}/2/{unit}"),
            domainMax=alt.expr(f"{centre:.3f}+{size}/2/{unit}"),
            nice=False,
            zero=False,
        )

    return scale(middle[0], "width"), scale(middle[1], str(height))


def paints(names: Mapping[str, Any]) -> alt.Scale:
    """Colours of named groups: a concept's own, or the next of the palette."""
    chosen = [COLOURS.get(name, SERIES[i % len(SERIES)]) for i, name in enumerate(names)]
    return alt.Scale(domain=list(names), range=chosen)
