"""Findings beside their controls: dots with intervals, and plain tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import altair as alt
import numpy as np

from handtraj.charts.base import COLOURS, Chart, Picture, columns

__all__ = ["ROLES", "evidence", "evidence_row", "table"]

#: What a row can be, and its colour.
ROLES = {
    "found": COLOURS["network"],
    "control": COLOURS["neutral"],
    "ceiling": COLOURS["window"],
    "chance": COLOURS["prime"],
}


def evidence_row(what: str, role: str, estimate: Mapping[str, Any] | float) -> dict[str, Any]:
    """One row for :func:`evidence` from a recorded estimate.

    Parameters
    ----------
    what : str
        Label of the row.
    role : str
        One of ROLES.
    estimate : mapping or float
        "value" (or "accuracy") and "interval"; or a number without one.

    Raises
    ------
    ValueError
        If the role is unknown.
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}, got {role!r}")
    if isinstance(estimate, Mapping):
        value = float(estimate.get("value", estimate.get("accuracy", np.nan)))
        low, high = estimate.get("interval") or (value, value)
    else:
        value = low = high = float(estimate)
    return {"what": what, "role": role, "value": value, "low": low, "high": high}


def evidence(
    rows: Sequence[Mapping[str, Any]], title: str, *, domain: tuple[float, float] | None = None
) -> Chart:
    """One dot with its 95 % interval a row, coloured by what it is.

    Parameters
    ----------
    rows : sequence of mapping
        From :func:`evidence_row`, in order.
    title : str
        Of the horizontal axis.
    domain : tuple of float, optional
        Of the horizontal axis.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    if not rows:
        raise ValueError("a figure of evidence needs at least one row")
    scale = alt.Scale(domain=list(domain)) if domain else alt.Scale(zero=False)
    used = [role for role in ROLES if any(row["role"] == role for row in rows)]
    paint = alt.Color(
        "role:N",
        scale=alt.Scale(domain=used, range=[ROLES[r] for r in used]),
        legend=alt.Legend(title=None),
    )
    names = list(dict.fromkeys(row["what"] for row in rows))
    base = columns({k: [row[k] for row in rows] for k in rows[0]}).encode(
        alt.Y(
            "what:N",
            sort=names,
            title=None,
            axis=alt.Axis(labelLimit=190, ticks=False, domain=False),
        ),
        paint,
    )
    across = alt.X("value:Q", title=title, scale=scale)
    bars = base.mark_rule(strokeWidth=5, opacity=0.35).encode(
        alt.X("low:Q", title=title, scale=scale), alt.X2("high:Q")
    )
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(
        across, tooltip=["what:N", "value:Q", "low:Q", "high:Q"]
    )
    return alt.layer(bars, dots).properties(width="container", height={"step": 22})


def table(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """Rows as an HTML table with the keys of the first as its head.

    Numbers are shown with two decimals, estimates with their interval.

    Raises
    ------
    ValueError
        If there are no rows, or they differ in keys.
    """
    if not rows:
        raise ValueError("a table needs at least one row")
    head = list(rows[0])
    if any(list(row) != head for row in rows):
        raise ValueError(f"rows must have the columns {', '.join(head)}")
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(_shown(row[name]))}</td>" for name in head) + "</tr>"
        for row in rows
    )
    titles = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return Picture(
        '<div style="overflow-x:auto"><table class="table"><thead><tr>'
        f"{titles}</tr></thead><tbody>{cells}</tbody></table></div>"
    )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        number = float(value.get("value", value.get("accuracy", np.nan)))
        ends = value.get("interval")
        return f"{number:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "")
    if isinstance(value, float | np.floating):
        return f"{value:.2f}"
    return str(value)
