"""SVG ink: path commands, shapes, transforms, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from handtraj.ink import Ink
from handtraj.sources.inkml import parse_xml
from handtraj.sources.svg_ink import CURVE_POINTS, parse_svg


def svg(body):
    document = f'<svg xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    return [s * [1, -1] for s in parse_svg(parse_xml(document.encode()))]


def path(data):
    return svg(f'<path d="{data}"/>')


def test_straight_commands_absolute_and_relative():
    """The same corner four ways; two subpaths are two strokes; z closes."""
    for data in ("M1 2L4 2 4 6", "m1 2l3 0 0 4", "M1,2H4V6", "M1 2 h3 v4"):
        np.testing.assert_allclose(path(data)[0], [[1, 2], [4, 2], [4, 6]])
    first, second, third = path("m1 1 l2 0 l0 2 z l5 5 m1 0 h1")
    np.testing.assert_allclose(first, [[1, 1], [3, 1], [3, 3], [1, 1]])
    np.testing.assert_allclose(second, [[1, 1], [6, 6]])
    np.testing.assert_allclose(third, [[7, 6], [8, 6]])


def test_curves_follow_their_formulas():
    """Bernstein polynomials for C, S, Q, T; a circle for A."""
    t = np.linspace(0, 1, CURVE_POINTS + 1)[:, None]

    def cubic(a, b, c, d):
        a, b, c, d = map(np.array, (a, b, c, d))
        return a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3

    def quadratic(a, b, c):
        a, b, c = map(np.array, (a, b, c))
        return a * (1 - t) ** 2 + 2 * b * t * (1 - t) + c * t**2

    one = cubic((0, 0), (1, 2), (3, 2), (4, 0))
    two = cubic((4, 0), (5, -2), (7, -2), (8, 0))
    np.testing.assert_allclose(path("M0 0C1 2 3 2 4 0S7-2 8 0")[0], [*one, *two[1:]], atol=1e-9)
    np.testing.assert_allclose(path("M0 0c1 2 3 2 4 0s3-2 4 0")[0], [*one, *two[1:]], atol=1e-9)
    one, two = quadratic((0, 0), (1, 2), (2, 0)), quadratic((2, 0), (3, -2), (4, 0))
    np.testing.assert_allclose(path("M0 0Q1 2 2 0T4 0")[0], [*one, *two[1:]], atol=1e-9)
    np.testing.assert_allclose(path("M0 0q1 2 2 0t2 0")[0], [*one, *two[1:]], atol=1e-9)
    for data in ("M10 0A10 10 0 0 1 0 10", "M10 0a10 10 0 0 1-10 10"):
        arc = path(data)[0]
        np.testing.assert_allclose(np.hypot(*arc.T), 10, atol=1e-6)
        np.testing.assert_allclose(arc[-1], [0, 10], atol=1e-9)
        assert (arc >= -1e-6).all()


def test_shapes_and_nested_transforms():
    """Turned by 90 degrees, doubled, moved: (x, y) -> (3 - 2y, 4 + 2x)."""
    strokes = svg(
        '<g transform="translate(3 4) rotate(90)"><g transform="scale(2)">'
        '<polyline points="0,0 1,0 1,2"/><polygon points="0 0 1 0 1 2"/>'
        '<line x1="1px" y1="0" x2="2" y2="5"/></g></g>'
        '<defs><path d="M0 0h9"/></defs><path style="display: none" d="M0 0h9"/>'
    )
    np.testing.assert_allclose(strokes[0], [[3, 4], [3, 6], [-1, 6]], atol=1e-9)
    np.testing.assert_allclose(strokes[1], [[3, 4], [3, 6], [-1, 6], [3, 4]], atol=1e-9)
    np.testing.assert_allclose(strokes[2], [[3, 6], [-7, 8]], atol=1e-9)


def test_own_svg_comes_back():
    """Ends of strokes and a dot survive drawing and reading, up to scale and place."""
    ink = Ink.from_strokes([[[0, 0], [1, 2], [2, 0.5]], [[3, 3]]])
    strokes = parse_svg(parse_xml(ink.to_svg().encode()))
    assert len(strokes[1]) == 1
    ends = np.array([strokes[0][0], strokes[0][-1], strokes[1][0]])
    np.testing.assert_allclose((ends - ends[0]) / 20, [[0, 0], [2, 0.5], [3, 3]], atol=0.01)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ('<path d="L 3 3"/>', "path data"),
        ('<path d="M 0 0 L nan 3"/>', "path data"),
        ('<path d="M 0 0 L 1"/>', "path data"),
        ('<path d="M 0 0 L 1e999 3"/>', "NaN or infinity"),
        ('<path d="M 0 0 L 1 1 foo"/>', "path data"),
        (f'<path d="M {"1" * 5000}x"/>', "path data"),
        (f'<polyline points="{"1" * 5000}x"/>', "pairs"),
        ('<polyline points="1 2 3"/>', "pairs"),
        ('<polyline points="1 x"/>', "pairs"),
        ('<line x1="10%"/>', "length"),
        ('<g transform="matrix(1 2)"><line x2="1"/></g>', "transform"),
        ('<g transform="wobble(1)"><line x2="1"/></g>', "transform"),
    ],
)
def test_broken_svg_is_refused(body, match):
    with pytest.raises(ValueError, match=match) as error:
        svg(body)
    assert "\n" not in str(error.value)
