"""Fates of lines from windows made by hand."""

import numpy as np
import pytest
import torch
from helpers import small_checkpoint

from handtraj.evaluation.windows import Fate, fate, fate_of, fates, looked_at
from handtraj.ink import Ink
from handtraj.writing import Writer, Writing

TEXT = "we like old boats"  # words at 0-1, 3-6, 8-10, 12-16


def window(path, size=17, seed=0):
    """Soft windows whose largest weights follow a path of (character, points)."""
    at = np.repeat([c for c, _ in path], [n for _, n in path])
    weights = np.exp(-0.5 * (np.arange(size) - at[:, None]) ** 2)
    return weights * np.random.default_rng(seed).uniform(0.5, 2, (len(at), 1))


def through(*spans, points=18):
    """Visit the characters of each span in turn, as long as usual."""
    return [(c, points) for first, last in spans for c in range(first, last + 1)]


def test_looked_at_is_the_largest_weight_and_nothing_where_all_are_faint():
    made = window(through((0, 16)))
    assert (looked_at(made) == np.repeat(np.arange(17), 18)).all()
    made[-5:] = 0
    made[-6] *= 1e-6
    assert (looked_at(made)[-6:] == -1).all()
    assert (looked_at(made)[:-6] == np.repeat(np.arange(17), 18)[:-6]).all()
    assert (looked_at(np.zeros((3, 4))) == -1).all()


def test_usual_line_is_clean():
    found = fate_of(TEXT, window(through((0, 16))))
    assert found == Fate(4, True, (), (), (), ())
    assert found.clean
    assert not found.ran_away
    assert not found.stopped_early


@pytest.mark.parametrize("points", [0, 3])
def test_word_with_too_few_points_is_skipped(points):
    """ "old" needs 12 points; blanks do not count towards it."""
    path = [*through((0, 7)), (9, 3 * points), *through((11, 16))]
    found = fate_of(TEXT, window(path))
    assert (found.skipped, found.missing, found.clean) == ((2,), (), False)
    assert not found.stopped_early


def test_word_with_just_enough_points_is_written():
    path = [*through((0, 7)), (8, 5), (9, 7), *through((11, 16))]
    assert fate_of(TEXT, window(path)).clean


def test_end_of_the_text_left_out_is_missing_and_not_skipped():
    found = fate_of(TEXT, window([*through((0, 6)), (7, 30)]))
    assert (found.skipped, found.missing) == ((), (2, 3))
    assert found.stopped_early


def test_line_given_up_ran_away():
    found = fate_of(TEXT, window([*through((0, 2)), (3, 400)]), finished=False)
    assert found.ran_away
    assert not found.stopped_early
    assert (found.missing, found.stalled) == ((2, 3), (3,))


def test_going_back_two_words_repeats_them():
    path = through((0, 10), (0, 6), (7, 16))
    assert fate_of(TEXT, window(path)).repeated == (0,)
    path = through((0, 16), (0, 16), points=20)
    assert fate_of(TEXT, window(path)).repeated == (0, 1)


@pytest.mark.parametrize(
    "path",
    [
        through((0, 7), (5, 5), (8, 16)),  # a dot in the word just written
        [*through((0, 9)), (4, 12), *through((10, 16))],  # a bar, one word back
        [*through((0, 13)), (1, 7), *through((14, 16))],  # a flicker, far back
    ],
)
def test_late_strokes_and_flickers_are_no_repeats(path):
    assert fate_of(TEXT, window(path)).clean


def test_stalled_character_has_five_times_the_usual_points():
    path = through((0, 16))
    path[4] = (4, 90)
    assert fate_of(TEXT, window(path)).clean
    path[4] = (4, 91)
    assert fate_of(TEXT, window(path)).stalled == (4,)
    path[7] = (7, 120)
    assert fate_of(TEXT, window(path)).stalled == (4, 7)


def test_punctuation_alone_needs_one_point():
    text = "so - he"
    assert fate_of(text, window([*through((0, 2)), (3, 2), *through((4, 6))], 7)).clean
    assert fate_of(text, window(through((0, 2), (5, 6)), 7)).skipped == (1,)


def test_nothing_written_at_all():
    found = fate_of(TEXT, np.zeros((5, len(TEXT))))
    assert found.missing == (0, 1, 2, 3)
    assert found.stopped_early


def made(path, finished=True):
    """A writing with a window made by hand."""
    weights = window(path).astype(np.float32)
    offsets = np.zeros((len(weights), 3))
    return Writing(TEXT, Ink(offsets), weights, finished, "", 0.5, 0)


def test_counts_add_up():
    lines = [
        made(through((0, 16))),
        made(through((0, 7), (11, 16))),
        made(through((0, 10))),
        made([*through((0, 2)), (3, 400)], finished=False),
        made(through((0, 10), (0, 16))),
    ]
    assert fates(lines) == {
        "lines": 5,
        "finished": 4,
        "clean": 1,
        "stopped_early": 1,
        "ran_away": 1,
        "stalled": 1,
        "words": 20,
        "words_skipped": 1,
        "words_missing": 3,
        "words_repeated": 1,
    }
    assert fates([])["lines"] == 0


def test_untrained_network_runs_away():
    writer = Writer(small_checkpoint())
    written = writer.write(TEXT, generator=torch.Generator().manual_seed(0), max_points=40)
    found = fate(written)
    assert found.ran_away
    assert found.missing[-1] == 3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((3, 4)), "window has 4 characters, the text 17"),
        (np.ones(17), "shape"),
        (np.full((3, 17), np.nan), "finite"),
    ],
)
def test_bad_windows_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        fate_of(TEXT, bad)
