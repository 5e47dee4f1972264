"""Labels of UNIPEN and wrapped rows."""

from __future__ import annotations

import numpy as np
import pytest

from handtraj.alphabet import UNIPEN_SYMBOLS
from handtraj.sources.unipen_text import (
    Unit,
    clean_label,
    is_wrapped,
    match_units,
    rows_of_units,
    unusable_label,
)


def word(x, y, width=8.0):
    """A stroke of x-height 1 from x on, standing at y."""
    t = np.linspace(0, 1, 40)
    return np.column_stack([x + width * t, y + 0.5 + 0.5 * np.sin(40 * t)])


@pytest.mark.parametrize(
    ("label", "clean"),
    [
        ("with us .", "with us."),
        ("it wasn ' t ( so )", "it wasn't (so)"),
        ("2 8 2 2 7", "28227"),
        ("$ 5 , not  # 6", "$5, not #6"),
        ("room 7 of 3 1", "room 7 of 31"),
    ],
)
def test_tokenised_labels_are_joined_as_written(label, clean):
    """Punctuation, apostrophes and digits stand together on paper."""
    assert clean_label(label, tokenised=True) == clean


def test_other_labels_keep_their_blanks():
    """Only runs of white space shrink."""
    assert clean_label(" a .  b ", tokenised=False) == "a . b"


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("Word!", "placeholder or mark"),
        ("an XXX here", "placeholder or mark"),
        ("@ item", "placeholder or mark"),
        ("AmpersanD", "placeholder or mark"),
        ("a", "length"),
        ("a" * 61, "length"),
        ("né", "symbol"),
        ("a b c", "spaced characters"),
        ("a line, (good)", None),
        ("I a", None),
    ],
)
def test_unusable_labels_are_named(label, reason):
    """Each rule once."""
    assert unusable_label(label, UNIPEN_SYMBOLS, 60) == reason


def test_units_take_blanks_and_order_by_place():
    """Units come in writing order and spell the text."""
    units = [Unit("sea", [word(9, 0)], (1, 0)), Unit("the", [word(0, 0)], (0, 0))]
    pieces = match_units("the sea", units)
    assert [(text, unit.label) for text, unit in pieces] == [("the", "the"), (" sea", "sea")]


@pytest.mark.parametrize("labels", [["the"], ["the", "se"], ["the", "sea", "x"], ["he", "sea"]])
def test_units_that_do_not_spell_the_text_match_nothing(labels):
    """Too few, too short, too many, wrong."""
    units = [Unit(label, [word(0, 0)], (k, 0)) for k, label in enumerate(labels)]
    assert match_units("the sea", units) is None


def test_wrapped_text_is_cut_at_the_word_that_starts_the_row():
    """Three words on one row, two on the next."""
    places = [(0, 0), (10, 0), (20, 0), (0, -5), (10, -5)]
    labels = ["one", "two", "three", "four", "five"]
    strokes = [word(x, y) for x, y in places]
    units = [
        Unit(label, [s], (k, 0)) for k, (label, s) in enumerate(zip(labels, strokes, strict=True))
    ]
    assert is_wrapped(strokes, 1.0)
    rows = rows_of_units(match_units("one two three four five", units), 1.0)
    assert [text for text, _ in rows] == ["one two three", "four five"]
    assert [len(ink) for _, ink in rows] == [3, 2]
    assert not any(is_wrapped(ink, 1.0) for _, ink in rows)


def test_dots_and_crosses_are_no_new_row():
    """A stroke far to the left but not below is a delayed one."""
    line = [word(0, 0), word(10, 0), word(20, 0)]
    dot = np.array([[1.0, 1.5], [1.1, 1.5]])
    assert not is_wrapped([*line, dot], 1.0)
    assert not is_wrapped(line, 1.0)
