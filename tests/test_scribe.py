"""Synthetic writers: exact boundaries, known pulses, parameters found again in the ink."""

import dataclasses

import numpy as np
import pytest
from scipy.signal import find_peaks
from scipy.stats import lognorm

from handtraj.alphabet import UNIPEN_SYMBOLS
from handtraj.sources.kinematics import (
    lognormal_progress,
    lognormal_speed,
    move_along,
    turning_points,
)
from handtraj.sources.letterforms import letterform
from handtraj.sources.scribe import (
    RANGES,
    ScribeStyle,
    make_scribe_corpus,
    random_style,
    scribe_lines,
    write_line,
)

TEXT = "the noon summer moves us over nine warm rivers and we hum a common tune"


def rng(seed=0):
    return np.random.default_rng(seed)


def test_pulse_is_the_lognormal_density_and_its_integral():
    t = np.linspace(0, 1, 200)
    known = lognorm(s=0.3, loc=0.1, scale=np.exp(-1.5))
    np.testing.assert_allclose(lognormal_speed(t, 0.1, -1.5, 0.3), known.pdf(t), atol=1e-9)
    np.testing.assert_allclose(lognormal_progress(t, 0.1, -1.5, 0.3), known.cdf(t), atol=1e-12)


def test_speed_dips_at_corners():
    """The slowest sample between the ends of a bent path is near its corner."""
    path = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    points, done = move_along(path, tempo=0.1, overlap=0.2, rate=1000.0)
    speed = np.hypot(*np.diff(points, axis=0).T)
    inside = (done[1:] > 0.5) & (done[1:] < 2.0)
    slowest = np.flatnonzero(inside)[speed[inside].argmin()]
    assert done[slowest] == pytest.approx(1.0, abs=0.15)
    assert speed[slowest] < 0.4 * speed.max()
    np.testing.assert_allclose(points[[0, -1]], path[[0, -1]], atol=1e-12)


def test_turning_points_are_corners_and_extrema():
    zigzag = np.array([[0, 0], [1, 1], [2, 2], [3, 1], [4, 0.0]])
    assert turning_points(zigzag).tolist() == [0, 2, 4]


@pytest.mark.parametrize("symbol", UNIPEN_SYMBOLS.strip())
def test_every_symbol_is_drawn(symbol):
    line = write_line(f"a{symbol}", ScribeStyle(), rng())
    assert set(line.characters) == {0, 1}
    size = np.ptp(np.concatenate([*letterform(symbol).body, *letterform(symbol).late]), axis=0)
    assert 0 < size.max() < 4


def test_boundaries_are_exact():
    """Separate letters: each stroke is one character's, in order; counts agree."""
    style = ScribeStyle(connectedness=0.0)
    line = write_line("me no us", style, rng())
    assert len(line.characters) == sum(len(s) for s in line.strokes)
    assert len(line.strokes) == 6
    ends = np.cumsum([len(s) for s in line.strokes])[:-1]
    owners = [set(part) for part in np.split(line.characters, ends)]
    assert owners == [{0}, {1}, {3}, {4}, {6}, {7}]


def test_joined_letters_share_a_stroke_and_late_marks_go_back():
    joined = write_line("minimum", ScribeStyle(connectedness=1.0, late_marks=1.0), rng())
    assert len(joined.strokes) == 3
    body = len(joined.strokes[0])
    assert (np.diff(joined.characters[:body]) >= 0).all()
    assert set(joined.characters[:body]) == set(range(7))
    assert list(dict.fromkeys(joined.characters[body:])) == [1, 3]
    early = write_line("minimum", ScribeStyle(connectedness=1.0, late_marks=0.0), rng())
    assert (np.diff(early.characters) >= 0).all()
    assert len(early.strokes) == 5


def estimates(line):
    """Slant, size, aspect and spacing from the strokes and the text alone."""
    strokes = [s for s in line.strokes if len(s) > 4]
    xy = np.concatenate(strokes)
    drift = np.polyfit(*xy.T, 1)[0]
    level = [np.column_stack([s[:, 0], s[:, 1] - drift * s[:, 0]]) for s in strokes]
    step = np.concatenate([np.diff(s[::2], axis=0) for s in level])
    # Lean of the path: the shear that makes sideways and vertical movement independent
    # on the way down.
    down = step[(step[:, 1] < 0) & (np.abs(step[:, 1]) > np.abs(step[:, 0]))]
    lean = down[:, 0].sum() / down[:, 1].sum()
    upright = [np.column_stack([s[:, 0] - lean * s[:, 1], s[:, 1]]) for s in level]
    y = np.concatenate(upright)[:, 1]
    feet, tops = [], []
    for s in upright:
        # A turn of the tremor is not prominent, one of a letter is.
        tops += list(s[find_peaks(s[:, 1], prominence=0.15 * np.ptp(y))[0], 1])
        feet += list(s[find_peaks(-s[:, 1], prominence=0.15 * np.ptp(y))[0], 1])
    base = np.median(feet)
    tops = np.array(tops)
    size = np.median(tops[tops > base + 0.15 * np.ptp(y)]) - base
    ends = sorted((s[:, 0].min(), s[:, 0].max()) for s in upright)
    right = np.maximum.accumulate([e[1] for e in ends])
    gaps = np.sort([b[0] - r for b, r in zip(ends[1:], right[:-1], strict=True)])
    blanks = line.text.count(" ")
    spacing = np.mean(gaps[-blanks:]) / size
    letters = len(line.text) - blanks
    width = (right[-1] - ends[0][0] - np.sum(gaps[-blanks:])) / size / letters
    # A letter gap is 0.15 / 1.4 of a word gap.
    return np.degrees(np.arctan(lean)), size, width - 0.15 / 1.4 * spacing, spacing


def test_planted_parameters_are_found_in_the_ink():
    generator = rng(5)
    styles = [random_style(generator) for _ in range(60)]
    found = np.array(
        [
            np.mean([estimates(write_line(TEXT, s, generator)) for _ in range(4)], axis=0)
            for s in styles
        ]
    )
    r = {}
    for name, column in zip(("slant", "size", "aspect", "spacing"), found.T, strict=True):
        r[name] = np.corrcoef(column, [getattr(s, name) for s in styles])[0, 1]
    assert min(r.values()) >= 0.95, r


def test_lines_are_normalised_and_every_symbol_occurs():
    lines, planted = scribe_lines(4, 40, seed=3)
    assert len(lines) == 160
    assert len(planted) == 4
    assert set("".join(line.text for line in lines)) == set(UNIPEN_SYMBOLS)
    for line in lines:
        assert line.source == "scribe"
        assert 1 <= np.ptp(line.ink.points[:, 1]) <= 9.5
    for row in planted:
        assert set(row) == {"writer", *(f.name for f in dataclasses.fields(ScribeStyle))}
        assert all(low <= row[k] <= high for k, (low, high) in RANGES.items())


def test_same_seed_same_ink():
    one, two, other = (scribe_lines(2, 3, seed)[0] for seed in (7, 7, 8))
    for a, b in zip(one, two, strict=True):
        assert a.text == b.text
        np.testing.assert_array_equal(a.ink.offsets, b.ink.offsets)
    assert any(a.text != c.text for a, c in zip(one, other, strict=True))


def test_corpus_keeps_the_planted_styles():
    corpus = make_scribe_corpus(3, 4, 1)
    assert len(corpus) == 12
    assert set(corpus.about["styles"]) == set(corpus.writers)
    assert corpus.about["styles"]["scribe001"]["size"] == scribe_lines(1, 1, 1)[1][0]["size"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: write_line("naïve", ScribeStyle(), rng()), "'ï'"),
        (lambda: write_line("  ", ScribeStyle(), rng()), "only blanks"),
        (lambda: write_line("", ScribeStyle(), rng()), "empty"),
        (lambda: letterform("é"), "no letterform for 'é'"),
        (lambda: ScribeStyle(connectedness=2.0), "connectedness must be between 0 and 1"),
        (lambda: ScribeStyle(size=float("nan")), "size must be between"),
        (lambda: scribe_lines(0, 1, 1), "writers must be at least 1"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
