"""Charts of moved states and of letters: valid, small, and true to the record."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import numpy as np
import pytest
import vl_convert

import handtraj as ht
from handtraj.charts import COLOURS, Chart, dynamics, interventions
from handtraj.dynamics.letters import Letters
from handtraj.evaluation.features import FEATURES

GARLAND = np.stack([np.linspace(0, 6, 120), np.sin(np.linspace(0, 20, 120))], axis=1)
SECOND = GARLAND + np.array([7.0, 0.0])


def estimate(value: float) -> dict[str, Any]:
    """As `Estimate.as_dict` makes it."""
    return {"value": value, "interval": [value - 0.05, value + 0.05], "n": 5, "items": 10}


def condition(old: float, new: float) -> dict[str, Any]:
    """What became of the lines of one condition."""
    return {
        "old": estimate(old),
        "new": estimate(new),
        "moved": {name: estimate(new) for name in FEATURES},
        "character_error": estimate(0.1),
        "finished": 1.0,
    }


@pytest.fixture
def swaps() -> dict[str, Any]:
    """A record as the experiment writes it."""
    return {
        "chance": 0.25,
        "undisturbed": condition(0.8, 0.1),
        "new style throughout": condition(0.1, 0.8),
        "swaps": {"c1": condition(0.75, 0.15), "c2": condition(0.15, 0.75)},
    }


@pytest.fixture
def letters() -> dict[str, Any]:
    """A record of two layers."""
    ways = ("raw", "centred", "procrustes")
    one = {
        "chance": 0.1,
        "decoding": {name: estimate(0.6) for name in ("within", *ways)},
        "distance": {name: estimate(2.0) for name in (*ways, "mismatched")}
        | {f"floor_{name}": estimate(0.5) for name in ways},
    }
    pair = {"same": estimate(0.1), "other": estimate(0.3)}
    return {
        "layers": {"c2": one, "h1": one},
        "similarity": {"c2": {"styles": pair, "letters": pair}},
    }


def rendered(chart: Chart, width: int = 500) -> str:
    """The chart as SVG, which fails where the specification is wrong."""
    spec = chart.to_dict()
    assert len(json.dumps(spec)) < 60_000
    assert spec["config"]["background"] == "transparent"
    return vl_convert.vegalite_to_svg(json.dumps({**spec, "width": width}))


def rows_of(chart: Chart) -> dict[str, list[Any]]:
    """Columns of the first data a chart holds."""
    spec = chart.to_dict()
    layers = [spec, *spec.get("layer", [])]
    found: dict[str, list[Any]] = next(s["data"] for s in layers if "data" in s)["values"][0]
    return found


def paths(svg: str) -> list[str]:
    """Outlines of strokes, the tick apart."""
    return re.findall(r'<path d="([^"]+)"/>', svg)


def test_moved_line_is_whole_in_two_tones() -> None:
    """A stroke that is cut leaves no gap; nothing is lost or drawn twice."""
    line = ht.Ink.from_strokes([GARLAND, SECOND])
    html = interventions.moved_lines([line], [60], ["a < b"])._repr_html_()
    assert "a &lt; b" in html
    assert "a < b" not in html
    pale, dark = html.split(f'stroke="{COLOURS["network"]}">')
    assert len(paths(pale)) == 1
    assert len(paths(dark)) == 2
    end = paths(pale)[0].split()[-2:]
    start = re.match(r"M([\d.]+) ([\d.]+)", paths(dark)[0])
    assert start is not None
    assert [float(v) for v in end] == [float(v) for v in start.groups()]


def test_moved_line_cut_between_strokes_joins_nothing() -> None:
    """Where the pen was lifted there is no line."""
    line = ht.Ink.from_strokes([GARLAND, SECOND])
    html = interventions.moved_lines([line], [120], ["x"])._repr_html_()
    pale, dark = html.split(f'stroke="{COLOURS["network"]}">')
    assert len(paths(pale)) == len(paths(dark)) == 1


@pytest.mark.parametrize("step", [0, 240])
def test_moved_line_in_one_tone_has_no_tick(step: int) -> None:
    """All before, or all after."""
    line = ht.Ink.from_strokes([GARLAND, SECOND])
    html = interventions.moved_lines([line], [step], ["x"])._repr_html_()
    assert len(paths(html)) == 2
    assert html.count("<path") == 2


def test_moved_lines_refuse_what_does_not_fit() -> None:
    """A label a line; a step inside it."""
    line = ht.Ink.from_strokes([GARLAND])
    with pytest.raises(ValueError, match="1 inks, 2 steps, 1 labels"):
        interventions.moved_lines([line], [1, 2], ["x"])
    with pytest.raises(ValueError, match=r"step must be in 0\.\.120, got 121"):
        interventions.moved_lines([line], [121], ["x"])


def test_courses_render_with_bands_and_marks() -> None:
    """A logarithmic axis bears 0; names of marks are drawn."""
    rows: dict[str, Any] = {"x": [0, 1, 10], "y": [1.0, 0.5, 0.1], "group": ["g"] * 3}
    rows |= {"low": [0.9, 0.4, 0.05], "high": [1.0, 0.6, 0.2]}
    chart = interventions.courses(
        rows, x="x", y="y", group="group", titles=("steps", "left"), log="xy", marks={"floor": 0.1}
    )
    svg = rendered(chart, 330)
    assert "floor" in svg
    assert "steps" in svg
    assert "NaN" not in svg


def test_estimates_keep_value_and_interval() -> None:
    """One row a condition and group; without an interval the point alone."""
    lone = {"value": 0.4, "interval": None, "n": 1, "items": 3}
    chart = interventions.estimates({"a": {"g": estimate(0.5)}, "b": {"g": lone}}, "share")
    assert rows_of(chart)["value"] == [0.5, 0.4]
    assert rows_of(chart)["low"] == [0.45, 0.4]
    rendered(chart)
    with pytest.raises(ValueError, match="no condition was given"):
        interventions.estimates({}, "share")


def test_named_stands_between_its_references(swaps: dict[str, Any]) -> None:
    """Lines left alone come first, those of the new style last."""
    chart = interventions.named(swaps, {"layer 2": "c2"})
    assert rows_of(chart)["row"][::2] == ["left alone", "layer 2", "new style throughout"]
    assert rows_of(chart)["value"] == [0.8, 0.1, 0.15, 0.75, 0.1, 0.8]
    assert "layer 2" in rendered(chart, 330)
    assert len(rows_of(interventions.named(swaps))["row"]) == 8
    with pytest.raises(ValueError, match="no condition 'c9'; there are: c1, c2"):
        interventions.named(swaps, {"x": "c9"})


def test_named_over_numbers_has_both_styles(swaps: dict[str, Any]) -> None:
    """Sorted by number; the empty key is the line left alone."""
    chart = interventions.named_over(swaps, {1: "c2", 0: ""}, "strength")
    rows = rows_of(chart)
    assert rows["x"] == [0.0, 1.0, 0.0, 1.0]
    assert rows["share"] == [0.8, 0.15, 0.1, 0.75]
    assert "new style throughout" in rendered(chart)


def test_ablations_show_one_layer(swaps: dict[str, Any]) -> None:
    """Undisturbed lines, the style's place, random subspaces; numbers are dimensions."""
    record = {k: swaps[k] for k in ("chance", "undisturbed")}
    record["ablations"] = {
        "c2, 5 dimensions, style": condition(0.3, 0.1),
        "c2, 5 dimensions, random 1": condition(0.6, 0.1),
        "c1, 5 dimensions, style": condition(0.7, 0.1),
    }
    rows = rows_of(interventions.ablations(record))
    assert rows["kind"] == ["undisturbed", "style's place", "random"]
    assert rows["size"] == ["", "5", "5"]
    assert rows["kept"] == [0.8, 0.3, 0.6]
    rendered(interventions.ablations(record, "c1"), 330)
    with pytest.raises(ValueError, match="'h1' was not ablated; there are: c2, c1"):
        interventions.ablations(record, "h1")


def test_letter_paths_have_menus_and_labels() -> None:
    """A reader chooses the layer; the first is shown at first."""
    count = 6
    rows: dict[str, Any] = {
        "x": np.arange(2 * count) / 7,
        "y": np.arange(2 * count) / 9,
        "phase": list(range(count)) * 2,
        "path": [0] * count + [1] * count,
        "letter": ["a"] * count + ["e"] * count,
        "style": ["s"] * (2 * count),
        "kind": ["mean"] * count + ["single"] * count,
        "layer": ["c2"] * count + ["h1"] * count,
    }
    chart = dynamics.letter_paths(rows, titles=("one", "two"), choose=["layer"])
    spec = chart.to_dict()
    assert [p["name"] for p in spec["params"]] == ["chosen_layer"]
    assert spec["params"][0]["bind"]["options"] == ["c2", "h1"]
    svg = rendered(chart, 330)
    assert ">a</text>" in svg
    with pytest.raises(ValueError, match="paths need the columns kind"):
        dynamics.letter_paths({k: v for k, v in rows.items() if k != "kind"}, titles=("", ""))


def test_letter_planes_lay_shifted_styles_over_each_other() -> None:
    """Two styles that differ by a shift have one path once their means are removed."""
    rng = np.random.default_rng(0)
    path = rng.normal(size=(3, 5, 8)).cumsum(axis=1)
    warped = np.concatenate([path, path + 10 * rng.normal(size=8)]).astype(np.float32)
    number, label = np.arange(6), np.repeat(["s", "t"], 3)
    letters = Letters(warped, label, label, number, np.array(list("aeoaeo")), number, number)
    chart = dynamics.letter_planes({"c2": letters, "h1": letters}, "aeo", singles=1)
    records = chart.to_dict()["data"]["values"]
    assert len(records) == 2 * 2 * 6 * 2
    means = [r for r in records if r["kind"] == "mean" and r["layer"] == "h1"]
    apart: dict[str, list[float]] = {"as they are": [], "style means removed": []}
    for one, other in itertools.combinations(means, 2):
        if one["letter"] == other["letter"] and one["states"] == other["states"]:
            gap = np.subtract([one["x"], one["y"]], [other["x"], other["y"]])
            apart[one["states"]].append(float(np.abs(gap).max()))
    assert max(apart["style means removed"]) < 0.01
    assert min(apart["as they are"]) > 1
    rendered(chart, 330)
    with pytest.raises(ValueError, match="no layer was given"):
        dynamics.letter_planes({}, "a")


def test_letter_charts_read_the_record(letters: dict[str, Any]) -> None:
    """Layers in their order, distances over their floor, chance and ceiling drawn."""
    named = dynamics.letters_named(letters)
    assert rows_of(named)["group"][::2] == [
        "within a style",
        "raw",
        "means removed",
        "after Procrustes",
    ]
    assert "chance" in rendered(named, 330)
    distance = dynamics.letter_distances(letters)
    assert rows_of(distance)["value"] == [4.0] * 8
    assert "same style" in rendered(distance, 330)
    assert rows_of(dynamics.similarity(letters))["value"] == [0.1, 0.3, 0.1, 0.3]
    rendered(dynamics.similarity(letters))
    with pytest.raises(ValueError, match="no estimate was given"):
        dynamics.by_layer({}, "share")


def test_variance_shares_are_joined() -> None:
    """What depends on style, in time or not, is one bar; below 0 is nothing."""
    shares = {"s": 0.5, "st": 0.1, "l": 0.2, "lt": 0.1, "t": 0.1, "sl": -0.02, "slt": 0.01}
    chart = dynamics.variance_shares({"c2": shares})
    rows = rows_of(chart)
    assert rows["due to"] == ["style", "letter", "time", "style and letter"]
    assert rows["share"] == pytest.approx([0.6, 0.3, 0.1, 0.0])
    rendered(chart, 330)
    with pytest.raises(ValueError, match="no layer was given"):
        dynamics.variance_shares({})
