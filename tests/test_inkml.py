"""InkML: channels, differences, contexts, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from handtraj.sources.inkml import parse_inkml, parse_xml, trace_points

NAMESPACE = 'xmlns="http://www.w3.org/2003/InkML"'


def ink(body):
    return parse_inkml(parse_xml(f"<ink {NAMESPACE}>{body}</ink>".encode()))


def test_differences_are_summed_by_hand():
    """Explicit, first and second differences; marks persist; blanks may be missing."""
    points = trace_points("1125 18432,'23'43,\"7\"-8,3-5,7 -3,6 2,6 8")
    x = [1125, 1148, 1178, 1211, 1251, 1297, 1349]
    y = [18432, 18475, 18510, 18540, 18567, 18596, 18633]
    np.testing.assert_array_equal(points, np.column_stack([x, -np.array(y)]))


def test_explicit_mark_and_wildcard():
    """! goes back to positions; * repeats the value, or the difference."""
    points = trace_points("1 2,'3'4,* *,!10 !20,* 30")
    np.testing.assert_array_equal(points, [[1, -2], [4, -6], [7, -10], [10, -20], [10, -30]])


def test_channels_contexts_and_pen_up():
    """T in the middle, Y upwards, a context by reference, a trace in the air."""
    strokes, text = ink(
        '<definitions><traceFormat xml:id="f"><channel name="Y" orientation="-ve"/>'
        '<channel name="T"/><channel name="F"/><channel name="X"/></traceFormat>'
        '<context xml:id="c" traceFormatRef="#f"/></definitions>'
        '<annotation type="truth">hel  lo</annotation><trace>1 2, 3 4</trace>'
        '<traceGroup contextRef="#c"><annotation type="truth">h</annotation>'
        "<traceGroup><trace>1 10 0 3, 2 20 0 4</trace></traceGroup></traceGroup>"
        '<trace type="penUp">5 5</trace><trace/>'
    )
    assert text == "hel lo"
    assert len(strokes) == 2
    np.testing.assert_array_equal(strokes[0], [[1, -2], [3, -4]])
    np.testing.assert_array_equal(strokes[1], [[3, 1, 10], [4, 2, 20]])


def test_a_context_between_traces_holds_from_there_on():
    """The current context changes; words are joined to a text."""
    strokes, text = ink(
        '<trace>1 2</trace><context><inkSource><traceFormat><channel name="X"/>'
        '<channel name="Y"/><intermittentChannels><channel name="T"/></intermittentChannels>'
        "</traceFormat></inkSource></context><trace>1 2 3, 4 5 6</trace><trace>1 2, 4 5</trace>"
        '<traceGroup><annotation type="truth">a</annotation></traceGroup>'
        '<traceGroup><annotation type="text">b</annotation></traceGroup>'
    )
    assert [s.shape for s in strokes] == [(1, 2), (2, 3), (2, 2)]
    assert text == "a b"


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("<trace>1 2, 3</trace>", "point 1 of a trace has 1 values"),
        ("<trace>1 2 3</trace>", "has 3 values"),
        ("<trace>1 two</trace>", "no list of numbers"),
        ("<trace>1 NaN</trace>", "no list of numbers"),
        ("<trace>1 1e999</trace>", "NaN or infinity"),
        ('<trace contextRef="#x">1 2</trace>', "does not hold"),
        ('<context><traceFormat><channel name="X"/></traceFormat></context>', "X and Y"),
        (
            '<definitions><context xml:id="a" contextRef="#b"/><context xml:id="b" '
            'contextRef="#a"/></definitions><trace contextRef="#a">1 2</trace>',
            "circle",
        ),
    ],
)
def test_broken_inkml_is_refused(body, match):
    with pytest.raises(ValueError, match=match):
        ink(body)
