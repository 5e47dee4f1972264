"""Ink: offsets, strokes, geometry, files."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from handtraj.corpus import load_corpus
from handtraj.ink import Ink, clean_text, estimate_tempo, normalise, replace_file
from handtraj.strokes import (
    deskew,
    estimate_slope,
    resample_by_length,
    resample_in_time,
    resample_strokes,
    run_duration,
    simplify,
    vertical_runs,
    x_height,
)


def zigzag(teeth=20, height=10.0, samples=5):
    """A line of teeth: every run is `height` high and `samples` long."""
    y = np.concatenate([[0.0], *[np.linspace(0, 1, samples + 1)[1:] for _ in range(2 * teeth)]])
    for k in range(1, 2 * teeth, 2):
        y[k * samples + 1 : (k + 1) * samples + 1] = 1 - np.linspace(0, 1, samples + 1)[1:]
    return np.column_stack([np.arange(len(y), dtype=float), height * y])


def slow_runs(strokes):
    """Runs, point by point, as the definition says."""
    rows = []
    for stroke in strokes:
        points = [(0, *stroke[0])] if len(stroke) else []
        for time in range(1, len(stroke)):
            if (stroke[time] != stroke[time - 1]).any() or time == len(stroke) - 1:
                points.append((time, *stroke[time]))
        direction, begin, stop = 0, None, None
        for a, b in pairwise(points):
            sign = np.sign(b[2] - a[2])
            if sign and sign != direction:
                if direction:
                    rows.append((abs(stop[2] - begin[2]), stop[0] - begin[0]))
                direction, begin = sign, a
            if sign:
                stop = b
        if direction:
            rows.append((abs(stop[2] - begin[2]), stop[0] - begin[0]))
    return np.array(rows, dtype=float).reshape(-1, 2)


def random_strokes(seed):
    """Integer strokes with rests, repeated points and single dots."""
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 30, 3, 1, 50]
    return [np.cumsum(rng.integers(-1, 2, (n, 2)), axis=0).astype(float) for n in lengths]


def test_strokes_to_offsets_and_back_is_identity():
    """Two strokes survive the round trip; pen_up marks their ends."""
    strokes = [np.array([[0.0, 0], [1, 2], [3, 1]]), np.array([[5.0, 5], [4, 4]])]
    ink = Ink.from_strokes([strokes[0], np.empty((0, 2)), strokes[1]])
    assert ink.offsets[:, 2].tolist() == [0, 0, 1, 0, 1]
    assert ink.offsets[3, :2].tolist() == [2, 4]
    for have, want in zip(ink.strokes, strokes, strict=True):
        np.testing.assert_allclose(have, want)


@pytest.mark.parametrize(
    ("offsets", "match"),
    [
        (np.zeros((3, 2)), "shape"),
        (np.full((2, 3), np.nan), "finite"),
        (np.full((2, 3), 0.5), "pen_up"),
    ],
)
def test_ink_refuses_bad_offsets(offsets, match):
    """Wrong shape, NaN, a half-lifted pen."""
    with pytest.raises(ValueError, match=match):
        Ink(offsets)


@pytest.mark.parametrize("strokes", [[], [np.empty((0, 2))], [[[0, np.nan]]], [[[1, 2, 3]]]])
def test_from_strokes_refuses_what_is_no_stroke(strokes):
    """Nothing, nothing but empty ones, NaN, three columns."""
    with pytest.raises(ValueError, match=r"stroke"):
        Ink.from_strokes(strokes)


def test_scaled_scales_positions_not_pen():
    """Positions double, lifts stay; zero is refused."""
    ink = Ink.from_strokes([[[0, 0], [1, 2]]])
    np.testing.assert_allclose(ink.scaled(2).points, 2 * ink.points)
    assert ink.scaled(2).offsets[1, 2] == 1
    with pytest.raises(ValueError, match="positive"):
        ink.scaled(0)


def test_json_turns_y_over_and_back():
    """The file has y down; reading it gives the ink and the text again."""
    ink = Ink.from_strokes([[[0, 0], [1, 2]], [[3, 4], [5, 6]]])
    document = ink.to_json("né")
    assert json.loads(document)["strokes"][0][1] == [1, -2]
    again, text = Ink.from_json(document)
    assert text == "né"
    np.testing.assert_allclose(again.offsets, ink.offsets)


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        "{}",
        '{"strokes": 3}',
        '{"strokes": []}',
        '{"strokes": [["a"]]}',
        '{"strokes": [[[1]]]}',
        '{"strokes": [[[1, NaN]]]}',
        '{"strokes": [[[1, 2], [3]]]}',
        '{"strokes": [[[1, 2]]], "text": 5}',
        "[" * 100_000,
    ],
)
def test_json_that_is_no_ink_is_refused(document):
    """One ValueError of one line for each."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Ink.from_json(document)
    assert "\n" not in str(error.value)


def test_json_with_too_many_points_is_refused(monkeypatch):
    """The bound is on the sum over strokes."""
    monkeypatch.setattr("handtraj.ink.MAX_POINTS", 3)
    with pytest.raises(ValueError, match="more than 3 points"):
        Ink.from_json('{"strokes": [[[1, 2], [3, 4]], [[1, 2], [3, 4]]]}')


def test_vertical_runs_of_a_zigzag_are_its_teeth():
    """40 runs of height 10 and 5 samples."""
    runs = vertical_runs([zigzag()])
    np.testing.assert_allclose(runs, np.tile([10.0, 5.0], (40, 1)))
    assert x_height(runs) == pytest.approx(10)
    assert run_duration(runs) == 5


@pytest.mark.parametrize("seed", range(5))
def test_vertical_runs_agree_with_a_loop(seed):
    """All strokes at once give what one point at a time gives."""
    strokes = random_strokes(seed)
    np.testing.assert_allclose(vertical_runs(strokes), slow_runs(strokes))


def test_no_movement_has_no_runs_and_no_height():
    """A dot and a level dash."""
    runs = vertical_runs([np.zeros((1, 2)), np.array([[0.0, 1], [5, 1]])])
    assert runs.shape == (0, 2)
    assert x_height(runs) == run_duration(runs) == 0.0


def test_x_height_ignores_small_wiggles():
    """Runs below a fifth of the 90th percentile do not count."""
    runs = np.array([[10.0, 6]] * 10 + [[1.0, 1]] * 9)
    assert x_height(runs) == 10
    assert run_duration(runs) == 6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", [0.7, 2.0, 100.0])
def test_resample_in_time_agrees_with_interp(seed, step):
    """Every stroke is np.interp of its points without repeats, at even times."""
    strokes = random_strokes(seed)
    for have, stroke in zip(resample_strokes(strokes, step), strokes, strict=True):
        keep = [0, *(i for i in range(1, len(stroke)) if (stroke[i] != stroke[i - 1]).any())]
        times = sorted({*keep, len(stroke) - 1})
        at = np.linspace(0, times[-1], max(1, round(times[-1] / step)) + 1)
        if len(stroke) == 1:
            at = np.zeros(1)
        want = np.column_stack([np.interp(at, times, stroke[times, k]) for k in (0, 1)])
        np.testing.assert_allclose(have, want, atol=1e-12)
        np.testing.assert_allclose(resample_in_time(stroke, step), want, atol=1e-12)


def test_resampling_keeps_both_ends_and_a_rest():
    """A pen that rests for 10 samples rests for 5 after step 2."""
    stroke = np.array([[0.0, 0]] * 10 + [[1.0, 0], [2.0, 0]])
    even = resample_in_time(stroke, 1.0)
    assert len(even) == 12
    np.testing.assert_allclose(even[[0, -1]], stroke[[0, -1]])
    np.testing.assert_allclose(even[10], [1, 0])


def test_resample_by_length_gives_equal_steps():
    """An L of length 7 in steps of 1."""
    even = resample_by_length(np.array([[0.0, 0], [3, 0], [3, 4]]), 1.0)
    np.testing.assert_allclose(np.hypot(*np.diff(even, axis=0).T), np.ones(7))


@pytest.mark.parametrize("resample", [resample_in_time, resample_by_length])
def test_resampling_refuses_a_step_of_zero(resample):
    """A step must be positive."""
    with pytest.raises(ValueError, match="step must be > 0"):
        resample(np.zeros((3, 2)), 0)


@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.13])
def test_slope_of_a_sheared_line_is_found_and_taken_out(slope):
    """Feet on a line of known slope; deskew inverts the shear."""
    flat = zigzag()
    line = flat + np.column_stack([np.zeros(len(flat)), slope * flat[:, 0]])
    assert estimate_slope([line[:90], line[90:]]) == pytest.approx(slope, abs=1e-9)
    np.testing.assert_allclose(deskew([line], slope)[0], flat, atol=1e-9)


def test_slope_agrees_with_all_pairs():
    """The median over all pairs of feet a third of the line apart."""
    rng = np.random.default_rng(0)
    stroke = zigzag() + rng.normal(0, 1, (201, 2))
    y = stroke[:, 1]
    feet = [stroke[i] for i in range(1, 200) if y[i] <= y[i - 1] and y[i] < y[i + 1]]
    width = max(p[0] for p in feet) - min(p[0] for p in feet)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a in feet for b in feet if b[0] - a[0] > width / 3]
    assert estimate_slope([stroke]) == pytest.approx(np.median(slopes))
    assert estimate_slope([stroke[:4]]) == 0.0


def test_simplify_stays_within_tolerance():
    """A straight line keeps its ends; a corner stays; a loop does not vanish."""
    straight = np.column_stack([np.arange(10.0), np.zeros(10)])
    assert len(simplify(straight, 0.01)) == 2
    corner = np.concatenate([straight, straight[:, ::-1] + [9, 0]])
    assert [9.0, 0.0] in simplify(corner, 0.01).tolist()
    angle = np.linspace(0, 2 * np.pi, 100)
    assert len(simplify(np.column_stack([np.cos(angle), np.sin(angle)]), 0.01)) > 10


def test_normalise_gives_unit_height_and_six_points_a_run():
    """Scale, tempo and slope of the input do not matter."""
    flat = zigzag(height=37.0, samples=11)
    ink = normalise([flat + np.column_stack([np.zeros(len(flat)), 0.1 * flat[:, 0]])])
    runs = vertical_runs(ink.strokes)
    assert x_height(runs) == pytest.approx(1, rel=0.1)
    assert run_duration(runs) == pytest.approx(6, abs=1)


def test_tempo_of_an_ellipse_follows_the_two_thirds_law():
    """Speed at the flat and at the sharp sides, away from the ends, by the closed form."""
    angle = np.linspace(0, 6 * np.pi, 3000)
    a, b = 3.0, 1.0
    even = estimate_tempo(np.column_stack([a * np.cos(angle), b * np.sin(angle)]))
    speed = np.hypot(*np.diff(even, axis=0).T)[200:-200]
    middle = ((even[1:] + even[:-1]) / 2)[200:-200]
    sharp, flat = np.abs(middle[:, 0]) > 2.99, np.abs(middle[:, 1]) > 0.999
    want = ((b / a**2 + 0.3) / (a / b**2 + 0.3)) ** (-1 / 3)
    assert speed[flat].mean() / speed[sharp].mean() == pytest.approx(want, rel=0.05)


def test_normalise_without_a_rate_forgets_the_spacing():
    """The same path at two spacings gives the same ink; dots stay; a stray point is refused."""
    x = np.linspace(0, 20, 4001)
    dense = np.column_stack([x, 0.5 * np.sin(np.pi * x)])
    uneven = dense[np.unique((4000 * np.linspace(0, 1, 700) ** 2).astype(int))]
    one, two = (normalise([40 * s, [[0, 50.0]]], rate_known=False) for s in (dense, uneven))
    assert run_duration(vertical_runs(one.strokes)) == pytest.approx(6, abs=1)
    assert len(one) == pytest.approx(len(two), abs=1)
    assert len(one.strokes[1]) == 1
    with pytest.raises(ValueError, match="times its letters' height"):
        normalise([dense, [[0, 0], [1e6, 0]]], rate_known=False)


def test_tempo_of_real_lines_is_nearer_than_even_spacing():
    """Steps estimated from the path alone against the pen's, on held-out writers."""
    file = Path(__file__).parents[1] / "data" / "unipen.npz"
    if not file.is_file():
        pytest.skip("no prepared corpus at data/unipen.npz")
    corpus = load_corpus(file)
    correlation, ours, plain = [], [], []
    for index in corpus.select("validation", kind="line")[:60]:
        steps, guess = [], []
        for stroke in corpus.line(int(index)).ink.strokes:
            true = np.hypot(*np.diff(stroke, axis=0).T)
            if len(true) < 3 or true.sum() < 0.3:
                continue
            path = estimate_tempo(stroke)
            length = np.append(0, np.cumsum(np.hypot(*np.diff(path, axis=0).T)))
            at = np.append(0, np.cumsum(true)) * length[-1] / true.sum()
            # Time that the estimate gives every true step.
            guess.append(np.diff(np.interp(at, length, np.arange(len(path)))))
            steps.append(true)
        if not steps:
            continue
        true, time = np.concatenate(steps), np.concatenate(guess)
        moving = (true > 1e-6) & (time > 1e-9)
        true, time = true[moving], time[moving]
        correlation.append(np.corrcoef(np.log(true / time), np.log(true))[0, 1])
        # Every true step takes one unit of time.
        ours.append(np.abs(time / time.mean() - 1).mean())
        plain.append(np.abs(true / true.mean() - 1).mean())
    assert np.mean(correlation) > 0.7
    assert np.mean(ours) < 0.75 * np.mean(plain)


def test_replace_file_leaves_nothing_after_a_failure(tmp_path):
    """A failing writer keeps the old file and no temporary one."""
    target = tmp_path / "a.bin"
    replace_file(target, lambda stream: stream.write(b"old"))

    def fail(stream):
        stream.write(b"new")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        replace_file(target, fail)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(ValueError, match="is a folder"):
        replace_file(tmp_path, fail)


def test_clean_text_collapses_blanks():
    """Tabs and line ends become one blank."""
    assert clean_text(" a\t b\n\nc ") == "a b c"


def test_normalised_ink_is_the_same_whichever_way_the_tablet_lay():
    """A shear of the baseline goes out whole: it leaves no trace in the scale either."""
    t = np.linspace(0, 30 * np.pi, 900)
    line = np.column_stack([4.0 * t, 30 * np.sin(t) * (1 + 0.2 * np.sin(t / 7))])
    level = normalise([line])
    for slope in (-0.2, -0.1, 0.1, 0.2):
        askew = normalise([line + np.column_stack([0 * t, slope * line[:, 0]])])
        heights = [np.ptp(ink.points[:, 1]) for ink in (askew, level)]
        np.testing.assert_allclose(*heights, rtol=0.02)
