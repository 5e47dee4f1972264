"""Charts of trajectories and subspaces: valid, small, and true to what they are given."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import vl_convert
from numpy.typing import NDArray

from handtraj.charts import Chart
from handtraj.charts.subspaces import alignment, angles, between_means, course, gaps, naming
from handtraj.charts.trajectories import (
    clouds,
    dots,
    over_steps,
    paths,
    state_map,
    variance_curves,
)
from handtraj.results import load_result
from handtraj.trajectories import COLUMNS, Trajectories


def rendered(chart: Chart, size: int = 100_000) -> str:
    """The chart as SVG, at the width of a phone; fails where the specification is wrong."""
    spec = chart.to_dict()
    assert len(json.dumps(spec)) < size
    assert spec["width"] == "container"
    return vl_convert.vegalite_to_svg(json.dumps({**spec, "width": 330}))


def data(chart: Chart) -> list[dict[str, Any]]:
    """Rows of columns in a chart, the largest first; altair names them by content."""
    spec = chart.to_dict()
    found = [rows[0] for rows in spec.get("datasets", {}).values()]
    stack: list[Any] = [spec]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            values = node.get("data", {}).get("values") if "data" in node else None
            found += values or []
            stack += node.get("layer", [])
    return sorted(found, key=lambda row: -len(json.dumps(row)))


def spiral(writings: int = 3, steps: int = 200) -> tuple[Trajectories, NDArray[np.float64]]:
    """Writings that wind outwards, each in a style of its own; the plane they lie in."""
    rows = writings * steps
    table: dict[str, NDArray[Any]] = {name: np.zeros(rows) for name in COLUMNS}
    table["writing"] = np.repeat(np.arange(writings), steps)
    table["style"] = np.array([f"hand{w}" for w in table["writing"]])
    table["text"] = np.array(["a b"] * rows)
    table["step"] = np.tile(np.arange(steps), writings)
    table["character"] = np.array(list("a b"))[table["step"] * 3 // steps]
    turn = table["step"] / 20
    plane = np.stack([turn * np.cos(turn), turn * np.sin(turn)], 1) + table["writing"][:, None]
    return Trajectories({"c1": plane.astype(np.float32)}, table), plane


def test_paths_are_thinned_and_keep_their_shape() -> None:
    """A tile holds its projection in one unit, and no more points than asked for."""
    traj, plane = spiral()
    chart = paths({"c1, 100%": plane, "turned": plane[:, ::-1]}, traj, rows=300)
    svg = rendered(chart)
    for text in ("c1, 100%", "turned", "hand0", "hand2"):
        assert text in svg
    rows = data(chart)[0]
    assert len(rows["x"]) == 300
    first = np.array([v == 0 for v in rows["tile"]])
    drawn = np.stack([rows["x"], rows["y"]], 1)[first]
    assert 0 < drawn[:, 0].min() < drawn[:, 0].max() < 100
    given = plane[traj.column("step") % 4 == 0]
    unit = np.ptp(drawn, axis=0) / np.ptp(plane, axis=0)
    assert unit[0] == pytest.approx(unit[1], rel=0.02)
    np.testing.assert_allclose(np.diff(drawn, axis=0), np.diff(given, axis=0) * unit[0], atol=0.6)


def test_paths_by_character_show_those_asked_for() -> None:
    """Other characters stay grey, a blank is seen as such."""
    traj, plane = spiral()
    svg = rendered(paths({"c1": plane}, traj, colour="character", show=["a", " "]))
    assert ">␣<" in svg
    assert ">b<" not in svg
    assert ">b<" in rendered(paths({"c1": plane}, traj, colour="character"))


def test_paths_refuse_what_cannot_be_drawn() -> None:
    """Coordinates of other steps, and more colours than eyes can tell apart."""
    traj, plane = spiral()
    with pytest.raises(ValueError, match=r"needs coordinates \(600, 2\), got \(599, 2\)"):
        paths({"c1": plane[1:]}, traj)
    many, plane = spiral(writings=7, steps=30)
    with pytest.raises(ValueError, match="7 colours cannot be told apart"):
        paths({"c1": plane}, many)


def test_legend_chooses_a_path() -> None:
    """A click on the legend is a selection bound to it."""
    traj, plane = spiral()
    spec = paths({"c1": plane}, traj).to_dict()
    assert [p["name"] for p in spec["params"] if p.get("bind") == "legend"] == ["chosen"]


def test_clouds_share_one_unit() -> None:
    """A cloud twice as wide is drawn twice as wide, in whichever tile."""
    square = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    chart = clouds({"small": {"a": square}, "large": {"a": 2 * square}})
    assert "large" in rendered(chart)
    x = np.array(data(chart)[0]["x"]).reshape(2, 4)
    assert np.ptp(x[1]) == pytest.approx(2 * np.ptp(x[0]), abs=0.2)


def test_state_map_scales_units_and_averages_steps() -> None:
    """A unit that switches half-way is red, then blue; a constant one is neither."""
    switch = np.repeat([0.0, 1.0], 50)[:, None]
    blocks = {"switch": switch, "constant": np.ones((100, 1))}
    chart = state_map(blocks, list("a" * 50 + " " * 50), every=10)
    svg = rendered(chart)
    assert ">switch<" in svg
    assert ">␣<" in svg
    rows = data(chart)[0]
    assert rows["sign"][:10] == [0] * 5 + [1] * 5
    assert rows["size"][:10] == [0.5] * 10
    assert rows["size"][10:] == [0.0] * 10
    with pytest.raises(ValueError, match="has 100 steps, the letters have 3"):
        state_map(blocks, list("abc"))


def test_curves_and_dots_render() -> None:
    """Plain charts of this package are valid, with and without marks."""
    curves = {"h1": ([1, 10, 100], [0.2, 0.6, 1.0]), "c2": ([1, 10, 100], [0.5, 0.8, 1.0])}
    assert "components kept" in rendered(variance_curves(curves, {"h1": 12.0}))
    assert "components kept" in rendered(variance_curves(curves))
    assert "at random" in rendered(over_steps(curves, title="distance", marks={"at random": 1}))
    rows = {"place": ["h1", "c2"], "group": ["style", "style"], "value": [0.1, 0.6]}
    assert "share" in rendered(dots(rows, title="share"))
    ends = {"low": [0.05, 0.5], "high": [0.2, 0.7]}
    assert "share" in rendered(dots({**rows, **ends}, title="share", mark=0.2, percent=False))
    assert "degrees" in rendered(angles({"same": [1.0, 30.0], "other": [20.0, 80.0]}))


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """The experiment that the charts of subspaces draw."""
    return load_result("styles")


def test_alignment_draws_every_kind_at_every_dimension(record: dict[str, Any]) -> None:
    """Ceiling, others, shuffled and random, with their values."""
    table = record["layers"]["c2"]["alignment"]["raw"]
    chart = alignment(table)
    svg = rendered(chart)
    for name in ("same style, other texts", "random subspaces", "writings shuffled"):
        assert name in svg
    rows = data(chart)[0]
    assert len(rows["value"]) == 5 * len(table)
    assert rows["value"][0] == pytest.approx(table["2"]["same"]["value"], abs=1e-4)
    with pytest.raises(ValueError, match="no kind 'best'; there are: same"):
        alignment(table, kinds=["best"])


def test_gaps_and_means_have_a_row_a_layer(record: dict[str, Any]) -> None:
    """Values are those of the record, beside the shuffles."""
    for chart in (gaps(record), between_means(record)):
        svg = rendered(chart)
        for layer in record["layers"]:
            assert f">{layer}<" in svg
    rows = data(gaps(record))[0]
    at = [rows["place"][i] == "c2" and rows["group"][i] == "raw" for i in range(len(rows["place"]))]
    found = record["layers"]["c2"]["alignment"]["raw"]["10"]["apart"]
    assert rows["value"][at.index(True)] == pytest.approx(found["value"], abs=1e-4)
    assert rows["low"][at.index(True)] == pytest.approx(found["interval"][0], abs=1e-4)


def test_naming_and_course_stand_beside_ink(record: dict[str, Any]) -> None:
    """What is decoded from states is drawn with ink and chance."""
    svg = rendered(naming(record))
    for name in ("ink, whole line", "ink, 60 points", "covariance, mean removed"):
        assert name in svg
    chart = course(record, ["c2", "h1"])
    svg = rendered(chart)
    assert ">chance<" in svg
    assert "ink alone, 60 points" in svg
    assert len(data(chart)[0]["value"]) == sum(
        len(record["layers"][layer]["course"]) for layer in ("c2", "h1")
    )
