"""Findings beside their controls."""

from __future__ import annotations

import pytest
import vl_convert

from handtraj.charts import evidence, evidence_row, table


def test_figure_holds_every_row_with_its_interval() -> None:
    """What is drawn is what was recorded."""
    rows = [
        evidence_row("moved", "found", {"value": 0.84, "interval": [0.7, 0.9]}),
        evidence_row("random", "control", {"accuracy": 0.06, "interval": None}),
        evidence_row("a guess", "chance", 0.125),
    ]
    spec = evidence(rows, "share", domain=(0, 1)).to_dict()
    data = spec["data"]["values"][0]
    assert data["value"] == [0.84, 0.06, 0.125]
    assert data["low"] == [0.7, 0.06, 0.125]
    assert vl_convert.vegalite_to_svg({**spec, "width": 400}).count("moved") >= 1


def test_table_shows_estimates_with_their_intervals() -> None:
    """Escaped, two decimals."""
    html = table([{"what": "a < b", "r": {"value": 0.5, "interval": [0.25, 0.75]}, "n": 3}]).html
    assert "<td>a &lt; b</td><td>0.50 [0.25, 0.75]</td><td>3</td>" in html


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: evidence([], "x"), "at least one row"),
        (lambda: evidence_row("a", "proof", 1.0), "role must be one of found, control"),
        (lambda: table([]), "at least one row"),
        (lambda: table([{"a": 1}, {"b": 2}]), "must have the columns a"),
    ],
)
def test_bad_rows_are_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    """One line that says what is allowed."""
    with pytest.raises(ValueError, match=message):
        make()
