"""Charts: valid specifications, small data, and HTML that is what it says."""

from __future__ import annotations

import json

import altair as alt
import numpy as np
import pytest
import torch
import vl_convert

import handtraj as ht
from handtraj import charts
from handtraj.mixture import raw_size

GARLAND = np.stack([np.linspace(0, 6, 120), np.sin(np.linspace(0, 20, 120))], axis=1)


@pytest.fixture
def line() -> ht.Ink:
    """A wave and a dot."""
    return ht.Ink.from_strokes([GARLAND, [[2.0, 2.0]]])


@pytest.fixture
def mixture(generator: torch.Generator) -> ht.Mixture:
    """The density of one step."""
    return ht.Mixture.from_raw(torch.randn(raw_size(5), generator=generator))


@pytest.fixture
def writing(line: ht.Ink) -> ht.Writing:
    """A writing whose window walks evenly over a text that needs escaping."""
    text = 'a "b" \\</script>'
    at = np.linspace(0, len(text) - 1, len(line))[:, None]
    weights = np.exp(-((at - np.arange(len(text))) ** 2)).astype(np.float32)
    return ht.Writing(text, line, weights, True, "", 0.5, 1)


def rendered(chart: charts.Chart) -> str:
    """The chart as SVG, which fails where the specification is wrong."""
    spec = chart.to_dict()
    assert len(json.dumps(spec)) < 60_000
    assert spec["config"]["background"] == "transparent"
    return vl_convert.vegalite_to_svg(json.dumps({**spec, "width": 500}))


def test_columns_keep_one_row_of_rounded_arrays() -> None:
    """Data travels as one row, without negative zeros."""
    chart = charts.columns({"x": np.array([-0.00001, 1 / 3]), "name": ["a", "b"]}, digits=2)
    spec = chart.mark_point().encode(x="x:Q").to_dict()
    assert json.dumps(spec["data"]["values"]) == '[{"x": [0.0, 0.33], "name": ["a", "b"]}]'


def test_columns_of_unequal_length_are_refused() -> None:
    """The message names the lengths."""
    with pytest.raises(ValueError, match="equal length, got"):
        charts.columns({"x": [1, 2], "y": [1]})


@pytest.mark.parametrize("by_stroke", [False, True])
def test_ink_draws_strokes_and_jumps(line: ht.Ink, by_stroke: bool) -> None:
    """Two strokes and the dashed way between them."""
    svg = rendered(charts.ink(line, by_stroke=by_stroke))
    assert "stroke-dasharray" in svg


def test_ink_has_even_units(line: ht.Ink) -> None:
    """An x-height is as long upwards as sideways at any width."""
    spec = charts.ink(line, height=100).to_dict()
    encoding = spec["layer"][0]["encoding"]
    domains = [encoding[axis]["scale"] for axis in "xy"]
    units = []
    for domain, size in zip(domains, (300, 100), strict=True):
        low, high = (
            eval(domain[end]["expr"], {"__builtins__": {}}, {"width": 300, "min": min})
            for end in ("domainMin", "domainMax")
        )
        units.append(size / (high - low))
    assert units[0] == pytest.approx(units[1], rel=1e-3)


def test_offsets_speed_and_window_render(line: ht.Ink, writing: ht.Writing) -> None:
    """Charts of one writing are valid, whatever its text."""
    assert "offset (x-heights)" in rendered(charts.offsets(line, last=60))
    assert "x-heights a step" in rendered(charts.speed(line))
    assert ">␣<" in rendered(charts.window(writing))


def test_density_renders_with_draws(mixture: ht.Mixture) -> None:
    """The map takes draws and finds its own reach."""
    svg = rendered(charts.density(mixture, unit=0.4, drawn=[[0.1, 0.2]]))
    assert "dx (x-heights)" in svg


def test_density_of_many_steps_is_refused(generator: torch.Generator) -> None:
    """One step at a time."""
    many = ht.Mixture.from_raw(torch.randn(3, raw_size(5), generator=generator))
    with pytest.raises(ValueError, match="one step, got shape"):
        charts.density(many)


def test_plain_plots_render() -> None:
    """Histogram, scatter, shares and learning curve are valid."""
    rendered(charts.histogram({"data": [1.0, 2.0, 2.0], "network": [1.5, 1.0, 3.0]}, "value"))
    rendered(charts.scatter([1, 2], [2, 1], titles=("a", "b")))
    rows = {"bias": [0, 1], "form": ["f", "f"], "share": [1, 0.5], "low": [0.8, 0.3]}
    rendered(charts.shares({**rows, "high": [1, 0.7]}, x="bias", group="form", title="share"))
    rendered(charts.learning_curve({"data": ([1e6, 2e6], [-1.0, -1.5])}))


def test_page_labels_and_escapes(line: ht.Ink) -> None:
    """One SVG a line, in the colour of its concept, labels escaped."""
    html = charts.page([line, line], ["a < b", "c"], colour=["data", "red"])._repr_html_()
    assert html.count("<svg ") == 2
    assert "a &lt; b" in html
    assert "a < b" not in html
    assert charts.COLOURS["data"] in html


def test_page_refuses_labels_that_do_not_match(line: ht.Ink) -> None:
    """A label a line."""
    with pytest.raises(ValueError, match="2 inks, 1 labels"):
        charts.page([line, line], ["one"])


def test_theme_is_registered_and_on() -> None:
    """Importing the charts switches the theme on, for Altair's default renderer."""
    assert alt.theme.active == "handtraj"
