"""Features of ink against shapes whose features are known."""

import numpy as np
import pytest

from handtraj.evaluation import (
    FEATURES,
    STYLE_FEATURES,
    describe,
    ink_features,
    style_features,
)
from handtraj.ink import Ink
from handtraj.sources.scribe import make_scribe_corpus


def zigzag(slant=0.0, width=0.4, strokes=4):
    """Upright strokes of one x-height, sheared to `slant` degrees, `width` apart."""
    up = np.column_stack([np.zeros(11), np.linspace(0, 1, 11)])
    up[:, 0] += np.tan(np.radians(slant)) * up[:, 1]
    return Ink.from_strokes([up + np.array([width * k, 0]) for k in range(strokes)])


def feature(name, ink, text):
    """One feature by its name."""
    return ink_features(ink, text)[FEATURES.index(name)]


@pytest.mark.parametrize("angle", [-20.0, 0.0, 15.0, 30.0])
def test_slant_is_the_angle_of_the_shear(angle):
    """Degrees from the vertical, positive to the right."""
    assert feature("slant", zigzag(angle), "llll") == pytest.approx(angle, abs=1e-3)


def test_slant_does_not_ask_which_way_the_pen_went():
    """Strokes drawn downwards have the slant of strokes drawn upwards."""
    ink = zigzag(15)
    turned = Ink.from_strokes([s[::-1] for s in ink.strokes])
    assert feature("slant", turned, "llll") == pytest.approx(15, abs=1e-3)


def test_lifts_and_width_are_per_character():
    """Four strokes, 1.2 x-heights wide, as two or four characters."""
    assert feature("lifts", zigzag(), "llll") == pytest.approx(1)
    assert feature("lifts", zigzag(), "ll") == pytest.approx(2)
    assert feature("width", zigzag(), "ll") == pytest.approx(0.6, rel=1e-5)


def test_roundness_of_a_circle_is_its_turn_per_point():
    """A regular polygon of n corners turns 360 / n degrees at each."""
    t = np.linspace(0, 2 * np.pi, 37)
    circle = Ink.from_strokes([np.column_stack([np.cos(t), np.sin(t)])])
    assert feature("roundness", circle, "o") == pytest.approx(10, abs=0.05)
    assert feature("step", circle, "o") == pytest.approx(2 * np.sin(np.radians(5)), rel=1e-3)


def test_height_ignores_rare_extremes():
    """The 5th to 95th percentile of an even spread is nine tenths of it."""
    assert feature("height", zigzag(), "llll") == pytest.approx(0.95, abs=0.06)


def test_description_follows_the_features():
    """Words change with lean and joins."""
    assert describe(ink_features(zigzag(-20), "llll")).startswith("leaning left, separate letters")
    assert describe(ink_features(zigzag(30), "l" * 12)).startswith("leaning right, joined")


def test_features_need_text_and_points():
    """Too little to say anything about."""
    with pytest.raises(ValueError, match="empty"):
        ink_features(zigzag(), "")
    with pytest.raises(ValueError, match="at least 8 points"):
        ink_features(Ink.from_strokes([[[0, 0], [1, 1]]]), "l")


def style(ink, text="two words"):
    """Style features by name."""
    return dict(zip(STYLE_FEATURES, style_features(ink, text), strict=True))


def garland(seed=0):
    """Two words of round waves, with ascenders, of varying size, and a dot each."""
    rng = np.random.default_rng(seed)
    strokes = []
    for left in (0.0, 9.0):
        t = np.linspace(0, 10 * np.pi, 200)
        high = np.repeat(rng.choice([1.0, 1.0, 1.1, 2.0], 10), 20)
        y = 0.5 * high * (1 - np.cos(t))
        strokes += [np.column_stack([left + 0.2 * t + 0.2 * np.sin(t), y]), [[left + 3, 2.2]]]
    return strokes


@pytest.mark.parametrize("angle", [-25.0, 10.0, 35.0])
def test_shear_adds_to_the_slant_and_to_nothing_else(angle):
    """Tangents of slants add; what is measured upright stays."""
    lean = np.tan(np.radians(angle))
    plain = garland()
    bent = [np.asarray(s) @ [[1, 0], [lean, 1]] for s in plain]
    before, after = style(Ink.from_strokes(plain)), style(Ink.from_strokes(bent))
    wanted = np.degrees(np.arctan(np.tan(np.radians(before["slant"])) + lean))
    assert after.pop("slant") == pytest.approx(wanted, abs=0.01)
    before.pop("slant")
    assert after == pytest.approx(before, abs=2e-3)


def test_upright_bars_have_no_slant_and_sheared_bars_their_angle():
    assert style(zigzag(0.0))["slant"] == pytest.approx(0, abs=1e-3)
    down = Ink.from_strokes([s[::-1] for s in zigzag(20.0).strokes])
    assert style(down)["slant"] == pytest.approx(20, abs=0.01)


def test_stretching_sideways_scales_aspect_and_spacing():
    strokes = garland()
    wide = [np.asarray(s) * [1.5, 1] for s in strokes]
    before, after = style(Ink.from_strokes(strokes)), style(Ink.from_strokes(wide))
    # The slant's tangent, too, is a way sideways over a way up.
    lean, leant = (np.tan(np.radians(one["slant"])) for one in (before, after))
    assert leant == pytest.approx(1.5 * lean, abs=1e-3)
    for name in ("aspect", "spacing"):
        assert after[name] == pytest.approx(1.5 * before[name], rel=1e-3)
    for name in ("ascent", "lifts"):
        assert after[name] == pytest.approx(before[name], rel=1e-3)


def test_size_changes_nothing():
    """All lengths are in x-heights of the line itself."""
    ink = Ink.from_strokes(garland())
    assert style(ink.scaled(1.7)) == pytest.approx(style(ink), abs=2e-3)


def test_aspect_spacing_and_ascent_of_bars():
    """Two words of ten bars, two of them twice as high, with known distances."""
    up = np.column_stack([np.zeros(11), np.linspace(0, 1, 11)])
    places = np.concatenate([np.arange(10) * 0.4, 3.6 + 1.9 + np.arange(10) * 0.4])
    highs = np.where(np.arange(20) % 10 == 4, 2.0, 1.0)
    bars = [up * [1, h] + [x, 0] for x, h in zip(places, highs, strict=True)]
    found = style(Ink.from_strokes(bars), "l" * 5 + " " + "l" * 5)
    assert found["spacing"] == pytest.approx(1.9, abs=1e-4)
    assert found["aspect"] == pytest.approx(7.2 / 10, abs=1e-4)
    assert found["ascent"] == pytest.approx(2.0, abs=1e-2)
    assert found["lifts"] == pytest.approx(20 / 11)
    assert found["pace"] == pytest.approx(np.mean(np.log(0.1 * highs)), abs=1e-4)
    assert found["bursts"] == pytest.approx(np.percentile(np.log(highs), 90), abs=1e-4)


def test_roundness_of_a_circle_is_one_and_of_a_square_nought():
    t = np.linspace(0, 2 * np.pi, 100)
    circle = Ink.from_strokes([0.5 + 0.5 * np.column_stack([np.cos(t), np.sin(t)])])
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=float)
    along = np.linspace(0, 4, 41)
    square = np.column_stack([np.interp(along, range(5), corners[:, k]) for k in (0, 1)])
    assert style(circle)["roundness"] == pytest.approx(1)
    assert style(Ink.from_strokes([square]))["roundness"] == pytest.approx(0, abs=1e-6)


def test_an_ellipse_in_even_phase_obeys_the_two_thirds_power_law():
    t = np.linspace(0, 2 * np.pi, 400)
    ellipse = np.column_stack([2 * np.cos(t), np.sin(t)])
    assert style(Ink.from_strokes([ellipse]))["power"] == pytest.approx(-1 / 3, abs=2e-3)


def test_start_and_end_are_logarithms_of_slower_fifths():
    """Ten movements: two at a half, six at one, two at a quarter of the pace."""
    ways = 0.2 * np.array([0.5, 0.5, 1, 1, 1, 1, 1, 1, 0.25, 0.25])
    y = np.concatenate([[0], np.cumsum(ways)])
    strokes = [np.column_stack([np.full(11, k), y]) for k in range(3)]
    found = style(Ink.from_strokes(strokes))
    assert found["start"] == pytest.approx(np.log(0.5), abs=1e-4)
    assert found["end"] == pytest.approx(np.log(0.25), abs=1e-4)


def test_features_that_a_line_cannot_show_are_nan():
    """One word has no word gap, short strokes no profile; nothing warns."""
    found = style(zigzag(), "llll")
    assert np.isnan([found["spacing"], found["power"]]).all()
    with pytest.raises(ValueError, match="empty"):
        style(zigzag(), " ")
    with pytest.raises(ValueError, match="at least 8 points"):
        style(Ink.from_strokes([[[0, 0], [1, 1]]]))


def test_planted_hands_are_recovered():
    """Means of eight lines by 32 synthetic writers follow what was planted."""
    corpus = make_scribe_corpus(32, 8, seed=3)
    planted = corpus.about["styles"]
    rows = [style_features(corpus.line(i).ink, corpus.texts[i]) for i in range(len(corpus))]
    found = np.array(
        [
            np.mean([r for r, w in zip(rows, corpus.writers, strict=True) if w == name], axis=0)
            for name in planted
        ]
    )
    pairs = {
        ("slant", "slant"): 0.95,
        ("aspect", "aspect"): 0.95,
        ("spacing", "spacing"): 0.95,
        ("ascent", "loop"): 0.95,
        ("lifts", "connectedness"): -0.9,
        # Pulses that overlap much level the speed; the shape hardly shows it.
        ("bursts", "roundness"): -0.8,
    }
    for (feature_name, parameter), least in pairs.items():
        truth = [one[parameter] for one in planted.values()]
        r = np.corrcoef(found[:, STYLE_FEATURES.index(feature_name)], truth)[0, 1]
        assert r * np.sign(least) >= abs(least), f"{feature_name} follows {parameter} with {r:.2f}"
