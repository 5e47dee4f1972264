"""Ink files of every format, their refusals, and what makes a prime of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from handtraj.ink import vertical_runs, x_height
from handtraj.sources.ink_file import measure_ink, order_strokes, prepare_prime, read_ink_file

BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><ink><trace>&b;</trace></ink>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]><svg><text>&a;</text></svg>'


def waves(letters, height=30.0):
    """A sine of one period a letter, `height` high, 25 points a period."""
    t = np.arange(25 * letters + 1) / 25
    return np.column_stack([height * t, height / 2 * np.sin(2 * np.pi * t)])


def put(folder, name, content):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_json_without_times(tmp_path):
    """y turns over; the text given wins over the text of the file."""
    document = json.dumps({"text": "ab", "strokes": [[[0, 1], [2, 3]], [], [[9, 5]]]})
    found = read_ink_file(put(tmp_path, "a.json", document))
    assert (found.text, found.rate_known, found.format) == ("ab", False, "json")
    np.testing.assert_array_equal(found.strokes[0], [[0, -1], [2, -3]])
    np.testing.assert_array_equal(found.strokes[1], [[9, -5]])
    assert read_ink_file(tmp_path / "a.json", text=" x  y ").text == "x y"


def test_times_are_made_even(tmp_path):
    """A gap of three intervals is filled on the straight line; a dot stays a dot."""
    document = {"strokes": [[[0, 0, 0], [1, 0, 10], [4, 3, 40], [5, 3, 50]], [[7, 7, 90]]]}
    found = read_ink_file(put(tmp_path, "a.json", json.dumps(document)))
    assert found.rate_known
    want = [[0, 0], [1, 0], [2, -1], [3, -2], [4, -3], [5, -3]]
    np.testing.assert_allclose(found.strokes[0], want)
    np.testing.assert_allclose(found.strokes[1], [[7, -7]])


def test_content_decides_not_the_name(tmp_path):
    """InkML, SVG and UNIPEN under names that say nothing."""
    inkml = '<ink><annotation type="truth">a</annotation><trace>1 2, 3 4</trace></ink>'
    found = read_ink_file(put(tmp_path, "one", inkml))
    assert (found.format, found.text, found.rate_known) == ("inkml", "a", False)
    found = read_ink_file(put(tmp_path, "two", '<svg><path d="M0 0h1"/></svg>'))
    assert (found.format, found.text, found.rate_known) == ("svg", "", False)
    unipen = '.COORD X Y\n.SEGMENT LINE 0-1 ? "to"\n.PEN_DOWN\n1 2\n3 4\n.PEN_UP\n5 6\n'
    found = read_ink_file(put(tmp_path, "three", unipen))
    assert (found.format, found.text, found.rate_known) == ("unipen", "to", True)
    np.testing.assert_array_equal(found.strokes, [[[1, 2], [3, 4]]])


def test_line_strokes_of_iam(tmp_path):
    """Three points with even times, y turned over."""
    points = "".join(f'<Point x="{k}" y="{2 * k}" time="{0.5 * k}"/>' for k in range(3))
    document = (
        "<WhiteboardCaptureSession><StrokeSet><Stroke>"
        f"{points}</Stroke></StrokeSet></WhiteboardCaptureSession>"
    )
    found = read_ink_file(put(tmp_path, "a.xml", document), text="hi")
    assert (found.format, found.text, found.rate_known) == ("iam", "hi", True)
    np.testing.assert_allclose(found.strokes, [[[0, 0], [1, -2], [2, -4]]])


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.inkml", BOMB, "declares entities"),
        ("a.svg", OUTSIDE, "declares entities"),
        ("a.inkml", "<ink><trace>1 2", "not well-formed"),
        ("a.inkml", "<ink/>", "no pen-down ink"),
        ("a.svg", "<svg/>", "no pen-down ink"),
        ("a.xml", "<html/>", "XML of kind 'html'"),
        ("a.json", "{", "not a JSON ink file"),
        ("a.json", b"\xff\xff", "not UTF-8"),
        ("a.json", '{"strokes": [[[1, NaN]]]}', "NaN"),
        ("a.json", '{"strokes": [[[1, 2, 5], [1, 3, 4]]]}', "backwards"),
        ("a.json", '{"strokes": [[[1, 2, NaN], [1, 3, 4]]]}', "time is NaN"),
        ("a.json", '{"strokes": [[[1, 2, 0], [1, 3, 0]]]}', "the same"),
        ("a.json", '{"strokes": [[[1, 2, 0], [1, 2, 1], [1, 2, 2], [1, 3, 1e9]]]}', "intervals"),
        ("a.bin", bytes(range(256)), "no ink file"),
        ("a.dat", "", "no ink file"),
        ("a.dat", '.SEGMENT LINE 0 ? "a"\n.SEGMENT LINE 0 ? "b"\n.PEN_DOWN\n1 2\n', "2 lines"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, content, match):
    with pytest.raises(ValueError, match=match) as error:
        read_ink_file(put(tmp_path, name, content))
    assert "\n" not in str(error.value)


def test_missing_folder_and_huge(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="cannot read"):
        read_ink_file(tmp_path / "none.svg")
    with pytest.raises(ValueError, match="is a folder"):
        read_ink_file(tmp_path)
    huge = tmp_path / "huge.json"
    with huge.open("wb") as stream:
        stream.truncate(21 * 2**20)
    with pytest.raises(ValueError, match="larger than 20 MiB"):
        read_ink_file(huge)
    monkeypatch.setattr("handtraj.sources.inkml.MAX_POINTS", 3)
    with pytest.raises(ValueError, match="more than 3 points"):
        read_ink_file(put(tmp_path, "a.inkml", "<ink><trace>1 2,3 4,5 6,7 8</trace></ink>"))


def test_strokes_out_of_order_are_sorted_and_a_plausible_order_stays():
    """Backwards letters are turned round; the dot follows its letter."""
    letters = [waves(2) + np.array([100, 0]) * k for k in range(5)]
    dot = np.array([[130.0, 40]])
    written = [*letters, dot]
    for have, want in zip(order_strokes(written), written, strict=True):
        assert have is want
    have = order_strokes([dot, *letters[::-1]])
    want = [*letters[:2], dot, *letters[2:]]
    assert [s[0].tolist() for s in have] == [s[0].tolist() for s in want]


def test_measures_of_a_known_line():
    """A wave as wide as high, two runs a letter: counted by hand."""
    ink, warnings = prepare_prime([waves(12)], "a" * 12, rate_known=True)
    found = measure_ink(ink, "a" * 12)
    # A period of 25 samples has runs of 12 or 13: a step of two samples.
    assert found["points per character"] == pytest.approx(12.5, abs=0.7)
    assert found["width per character"] == pytest.approx(1, abs=0.05)
    assert found["lifts per character"] == pytest.approx(1 / 12)
    assert found["slope"] == pytest.approx(0, abs=0.01)
    assert any("pen lifts per character" in w for w in warnings)


def test_prime_warns_of_a_text_that_does_not_fit():
    """A text three times too long: few points, narrow letters."""
    strokes = [waves(2) + np.array([80, 0]) * k for k in range(8)]
    ink, warnings = prepare_prime(strokes, "x" * 40, rate_known=False)
    assert x_height(vertical_runs(ink.strokes)) == pytest.approx(1, rel=0.1)
    assert any("points per character" in w for w in warnings)
    assert all(w.endswith(".") and "\n" not in w for w in warnings)
    assert prepare_prime(strokes, "m" * 12, rate_known=False)[1] == []
    with pytest.raises(ValueError, match="text of the ink is empty"):
        prepare_prime(strokes, " ", rate_known=False)
    with pytest.raises(ValueError, match="no vertical strokes"):
        prepare_prime([[[0, 0]]], "x", rate_known=False)
