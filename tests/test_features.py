"""Features of ink against shapes whose features are known."""

import numpy as np
import pytest

from handtraj.evaluation import FEATURES, describe, ink_features
from handtraj.ink import Ink


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
