"""Files of written lines, and the SVG drawing."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from helpers import small_checkpoint, wave

from handtraj.export import export, step_table
from handtraj.ink import Ink
from handtraj.svg import stroke_path, svg_document
from handtraj.writing import Writer

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def writings():
    """Two short lines with states."""
    writer = Writer(small_checkpoint())
    generator = torch.Generator().manual_seed(0)
    return writer.write_many(["sea", "salt"], generator=generator, record=True, max_points=40)


def test_svg_has_one_path_a_stroke():
    """Well-formed, one path for each stroke, all inside the view."""
    ink = wave(60)
    root = ElementTree.fromstring(svg_document([ink], title="a < b"))
    paths = list(root.iter(f"{SVG}path"))
    assert len(paths) == len(ink.strokes) == 2
    assert root.find(f"{SVG}title").text == "a < b"
    _, _, width, height = map(float, root.get("viewBox").split())
    for path in paths:
        numbers = path.get("d").replace("M", " ").replace("C", " ").replace("l", " ")
        xy = np.array(numbers.split(), dtype=float).reshape(-1, 2)
        assert (xy.min(0) >= -1).all()
        assert (xy.max(0) <= [width + 1, height + 1]).all()


def test_svg_turns_y_down():
    """A stroke that rises on paper has falling y in the picture."""
    rising = Ink.from_strokes([[[0, 0], [1, 2]]])
    path = next(ElementTree.fromstring(svg_document([rising])).iter(f"{SVG}path")).get("d")
    start, end = path[1:].split("L")
    assert float(end.split()[1]) < float(start.split()[1])


def test_stroke_path_passes_through_its_points():
    """The Bézier's end points are the stroke's own points."""
    points = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0], [4.0, 4.0]])
    numbers = stroke_path(points).replace("M", "").replace("C", " ").split()
    xy = np.array(numbers, dtype=float).reshape(-1, 2)
    np.testing.assert_allclose(xy[[0, 3, 6, 9]], points)


def test_dot_is_drawn():
    """A stroke of one point becomes a zero-length line."""
    assert stroke_path(np.array([[1.5, 2.0]])) == "M1.5 2l0 0"


@pytest.mark.parametrize("suffix", [".svg", ".png", ".json", ".npz"])
def test_every_format_is_written(writings, tmp_path, suffix):
    """Each file begins as its format does."""
    path = tmp_path / f"out{suffix}"
    export(writings, path)
    head = path.read_bytes()[:8]
    start = {".svg": b"<svg", ".png": b"\x89PNG", ".json": b"{", ".npz": b"PK"}[suffix]
    assert head.startswith(start)


def test_json_reads_back_as_the_same_ink(writings, tmp_path):
    """One line: strokes return up to the rounding of pixels."""
    export(writings[:1], tmp_path / "out.json")
    document = (tmp_path / "out.json").read_text()
    ink, text = Ink.from_json(document)
    assert text == "sea"
    np.testing.assert_allclose(ink.points / 20, writings[0].ink.points, atol=1e-3)
    assert json.loads(document).keys() == {"text", "strokes"}


def test_npz_table_has_one_row_a_step(writings, tmp_path):
    """Columns agree with the writings they came from."""
    export(writings, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as table:
        total = sum(len(w.ink) for w in writings)
        assert table["h"].shape == (total, 3, 12)
        assert table["line"].tolist() == [0] * len(writings[0].ink) + [1] * len(writings[1].ink)
        second = table["line"] == 1
        assert np.array_equal(table["offsets"][second], writings[1].ink.offsets)
        assert set(table["character"][second]) <= set("salt")
        assert json.loads(str(table["about"]))[1]["text"] == "salt"


def test_states_are_left_out_where_not_recorded(writings):
    """No made-up states."""
    bare = [type(w)(**{**vars(w), "h": None, "c": None}) for w in writings]
    assert "h" not in step_table(bare)


def test_unknown_format_is_refused(writings, tmp_path):
    """The message lists the formats."""
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.json, \.npz"):
        export(writings, tmp_path / "out.gif")
    with pytest.raises(ValueError, match="does not exist"):
        export(writings, tmp_path / "no" / "out.svg")
