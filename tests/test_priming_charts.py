"""Charts of the priming experiment: valid, small, and true to the record."""

from __future__ import annotations

import json
from typing import Any

import pytest
import vl_convert

from handtraj.charts import Chart
from handtraj.charts.priming import (
    by_length,
    by_line,
    feature_distances,
    own_and_written,
    rows_where,
)

FEATURES = ("slant", "lifts")


def table(keys: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Every combination of the keys, with values that tell the rows apart."""
    rows: list[dict[str, Any]] = [{}]
    for name, values in keys.items():
        rows = [{**row, name: value} for row in rows for value in values]
    made = {name: [row[name] for row in rows] for name in keys}
    made["value"] = [0.3 + 0.5 * i / len(rows) for i in range(len(rows))]
    made["low"] = [v - 0.1 for v in made["value"]]
    made["high"] = [v + 0.1 for v in made["value"]]
    return made


@pytest.fixture
def record() -> dict[str, Any]:
    """A record as the experiment writes it, of two lengths and two writers."""
    common = {"group": ["all", "inside", "outside"], "feature": ["mean", *FEATURES]}
    measures = ["named", "kept", "distance"]
    values = {"writer": [0, 0, 1], "slant": [10.0, 20.0, -5.0], "lifts": [0.5, None, None]}
    return {
        "rows": table(
            {"points": [0, 100], "bias": [0.0, 0.5], "measure": measures, **common},
        ),
        "real": table({"measure": ["named", "kept", "distance", "other"], **common}),
        "fading": table({"line": [1, 2, 3], "measure": measures, **common}),
        "values": {"own": values, "primed": values, "unprimed": values},
        "chance": {"all": 0.2, "inside": 0.25, "outside": 0.15},
        "features": list(FEATURES),
        "bias": 0.5,
    }


def rendered(chart: Chart) -> str:
    """The chart as SVG, which fails where the specification is wrong."""
    spec = chart.to_dict()
    assert len(json.dumps(spec)) < 20_000
    return vl_convert.vegalite_to_svg(json.dumps({**spec, "width": 500}))


def data_of(chart: Chart) -> list[dict[str, list[Any]]]:
    """The columns of every layer."""
    layers = chart.to_dict()["layer"]
    return [layer["data"]["values"][0] for layer in layers if "data" in layer]


def test_rows_are_chosen_by_their_values(record: dict[str, Any]) -> None:
    """All that fit, in order; what does not exist is said."""
    found = rows_where(record["rows"], measure="kept", group="all", feature="slant", bias=0.5)
    assert found["points"] == [0, 100]
    assert set(found["measure"]) == {"kept"}
    with pytest.raises(ValueError, match="no column 'size'; there are: points, bias"):
        rows_where(record["rows"], size=3)
    with pytest.raises(ValueError, match="no row with points = 7"):
        rows_where(record["rows"], points=7)


def test_lengths_stand_beside_chance_and_real_lines(record: dict[str, Any]) -> None:
    """The ceiling is a place of its own at the right end; chance goes across."""
    chart = by_length(record, "named")
    svg = rendered(chart)
    for word in (">chance<", ">real lines<", "inside training", "points of the prime"):
        assert word in svg
    thread, *_, marks = data_of(chart)
    assert thread["points"] == ["0", "100"] * 2
    assert marks["at"][0] == 0.2
    dots = next(rows for rows in data_of(chart) if "real lines" in rows.get("points", []))
    real = rows_where(record["real"], measure="named", group="outside", feature="mean")
    assert dots["value"][-1] == pytest.approx(real["value"][0], abs=1e-3)


@pytest.mark.parametrize("measure", ["kept", "distance"])
def test_other_measures_have_their_own_marks(record: dict[str, Any], measure: str) -> None:
    """Another hand is drawn across."""
    assert ">other writers<" in rendered(by_length(record, measure))
    assert ">other writers<" in rendered(by_line(record, measure))


def test_lines_stand_for_groups_or_for_biases(record: dict[str, Any]) -> None:
    """Not for both at once."""
    assert "bias 0.5" in rendered(by_length(record, groups=["all"], biases=[0.0, 0.5]))
    with pytest.raises(ValueError, match="several of one only"):
        by_length(record, biases=[0.0, 0.5])


def test_long_texts_stand_beside_fresh_primes(record: dict[str, Any]) -> None:
    """Both at every line; fresh ones are those of the longest prime."""
    chart = by_line(record)
    assert ">chance<" in rendered(chart)
    fresh = rows_where(
        record["rows"], measure="named", group="all", feature="mean", bias=0.5, points=100
    )
    assert data_of(chart)[0]["value"][-3:] == [round(fresh["value"][0], 3)] * 3


def test_features_stand_between_own_and_others(record: dict[str, Any]) -> None:
    """Four kinds of lines a feature, and all features together."""
    svg = rendered(feature_distances(record))
    for word in ("all together", ">slant<", "lines of other writers", "between-writer s.d."):
        assert word in svg


def test_writers_are_one_dot_each(record: dict[str, Any]) -> None:
    """Means of what a writer's lines show; a writer without the feature has none."""
    chart = own_and_written(record, "slant", "slant (degrees)")
    assert "slant (degrees), written" in rendered(chart)
    assert data_of(chart)[1]["own"] == [15, -5, 15, -5]
    assert data_of(own_and_written(record, "lifts", "lifts"))[1]["own"] == [0.5, 0.5]
    with pytest.raises(ValueError, match="no feature 'size'; there are: slant, lifts"):
        own_and_written(record, "size", "size")
