"""Letters cut from trajectories, named across styles and laid over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from handtraj.dynamics import (
    Letters,
    cut_letters,
    decode_letters,
    mean_letters,
    same_dynamics,
)
from handtraj.dynamics.comparison import overlay
from handtraj.trajectories import COLUMNS, Trajectories

TEXTS = ("abcdef", "fedcba", "badcfe", "cfbead")
Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def trajectories(runs: Sequence[tuple[int, int, int]], text: str = "ab c") -> Trajectories:
    """Runs (writing, index, steps); the state is (row, 1 - 10 row)."""
    writing = np.repeat([w for w, _, _ in runs], [n for _, _, n in runs])
    index = np.repeat([i for _, i, _ in runs], [n for _, _, n in runs])
    rows = len(writing)
    step = np.concatenate([np.arange((writing == w).sum()) for w in dict.fromkeys(writing)])
    table = {name: np.zeros(rows) for name in COLUMNS} | {
        "writing": writing,
        "index": index,
        "step": step,
        "character": np.array(list(text))[index],
        "style": np.array([f"hand{w}" for w in writing]),
        "text": np.array([text] * rows),
    }
    row = np.arange(rows, dtype=np.float32)
    return Trajectories({"h1": np.stack([row, 1 - 10 * row], axis=1)}, table)


def basis(letters: int = 6, points: int = 8, dims: int = 3, seed: int = 0) -> NDArray[np.float64]:
    """A trajectory for every letter, (letters, points, dims)."""
    return np.random.default_rng(seed).normal(size=(letters, points, dims))


def planted(
    maps: dict[str, NDArray[np.float64]], *, repeats: int = 2, noise: float = 0.02
) -> Letters:
    """Every style writes the texts with letters of its own, (6, points, units)."""
    rng = np.random.default_rng(1)
    rows = [
        (style, text, n, c)
        for n, (style, text) in enumerate(
            (s, t) for s in maps for t in TEXTS for _ in range(repeats)
        )
        for c in text
    ]
    warped = np.stack([maps[s]["abcdef".index(c)] for s, _, _, c in rows])
    warped = warped + rng.normal(0, noise, warped.shape)
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Letters(
        warped.astype(np.float32),
        *columns,
        index=np.arange(len(rows)) % 6,
        duration=np.full(len(rows), 8),
    )


def padded(x: NDArray[np.float64], before: int, units: int = 8) -> NDArray[np.float64]:
    """Put the last axis into other units, the others zero."""
    found = np.zeros((*x.shape[:2], units))
    found[..., before : before + x.shape[2]] = x
    return found


def test_letters_are_cut_and_warped_linearly() -> None:
    """A ramp stays a ramp; the visit back for a dot, the space and the short letter are out."""
    traj = trajectories([(0, 0, 5), (0, 1, 4), (0, 0, 2), (0, 2, 6), (0, 3, 3), (1, 0, 4)])
    letters = cut_letters(traj, "h1", points=4)
    assert letters.character.tolist() == ["a", "b", "a"]
    assert letters.style.tolist() == ["hand0", "hand0", "hand1"]
    assert letters.writing.tolist() == [0, 0, 1]
    assert letters.index.tolist() == [0, 1, 0]
    assert letters.duration.tolist() == [5, 4, 4]
    assert letters.dropped == 1
    assert letters.layer == "h1"
    assert letters.warped.dtype == np.float32
    row = np.array([[0, 4 / 3, 8 / 3, 4], [5, 6, 7, 8], [20, 21, 22, 23]])
    np.testing.assert_allclose(letters.warped[..., 0], row, rtol=1e-6)
    np.testing.assert_allclose(letters.warped[..., 1], 1 - 10 * row, rtol=1e-6)


def test_the_longest_visit_is_the_letter() -> None:
    """Also where it comes second, and rows left out end a visit."""
    letters = cut_letters(trajectories([(0, 1, 4), (0, 0, 4), (0, 1, 7)]), "h1", 2)
    assert letters.warped[..., 0].tolist() == [[4, 7], [8, 14]]
    traj = trajectories([(0, 0, 12)])
    parts = cut_letters(traj.select(np.arange(12) != 5), "h1", 2)
    assert parts.warped[..., 0].tolist() == [[6, 11]]


def test_kept_characters_can_be_chosen() -> None:
    """Nothing is left out where nothing is to be excluded."""
    traj = trajectories([(0, 0, 5), (0, 2, 6)])
    assert cut_letters(traj, "h1", exclude="").characters == (" ", "a")
    assert cut_letters(traj, "h1", exclude=" a"[:1]).characters == ("a",)


@pytest.mark.parametrize(
    ("layer", "options", "match"),
    [
        ("h9", {}, "no layer 'h9'; recorded: h1"),
        ("h1", {"points": 1}, "points and minimum must be >= 2"),
        ("h1", {"minimum": 30}, "none of 2 letters has 30 steps"),
    ],
)
def test_bad_cuts_are_refused(layer: str, options: dict[str, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        cut_letters(trajectories([(0, 0, 5), (0, 1, 4)]), layer, **options)


def test_mean_letters_by_hand() -> None:
    """Two letters 3 and 4 off their mean in two units: 5 apart from it."""
    warped = np.zeros((3, 2, 2), np.float32)
    warped[0, 0], warped[1, 0], warped[2] = (4, 6), (-2, -2), 7
    names = np.array(["x", "x", "y"])
    number = np.arange(3)
    letters = Letters(warped, names, names, number, np.array(["a"] * 3), number, number)
    found = mean_letters(letters)
    assert found.keys == [("x", "a"), ("y", "a")]
    assert found.counts.tolist() == [2, 1]
    np.testing.assert_allclose(found.means[0], [[1, 2], [0, 0]])
    np.testing.assert_allclose(found.spread, [[5, 0], [0, 0]])
    assert mean_letters(letters, minimum=2).keys == [("x", "a")]
    assert mean_letters(letters, ["character"]).counts.tolist() == [3]
    with pytest.raises(ValueError, match="the largest has 2"):
        mean_letters(letters, minimum=3)
    with pytest.raises(ValueError, match="group letters by a list of style"):
        mean_letters(letters, ["colour"])
    with pytest.raises(ValueError, match="no letter of style 'z'; there are: x, y"):
        letters.select(styles=["z"])


def test_overlay_recovers_a_planted_rotation() -> None:
    """Orthogonal map and shift, to rounding."""
    x = basis()
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    here, there, found = overlay(x, x @ turn + [1, -2, 3], "procrustes")
    np.testing.assert_allclose(found, turn, atol=1e-12)
    np.testing.assert_allclose(here @ turn + [1, -2, 3], there, atol=1e-12)


def test_alignment_finds_letters_in_another_place() -> None:
    """In units of its own a style cannot be read, until it is turned over the other."""
    x = basis()
    letters = planted({"A": padded(x, 0), "B": padded(x, 3)})
    within = decode_letters(letters)
    assert within.accuracy.value == 1
    assert within.letters == 2 * 4 * 2 * 6
    assert within.chance == pytest.approx(1 / 6)
    raw = decode_letters(letters, "across")
    assert abs(raw.accuracy.value - 1 / 6) < 0.12
    assert decode_letters(letters, "across", alignment="centred").accuracy.value < 0.5
    turned = decode_letters(letters, "across", alignment="procrustes")
    assert turned.accuracy.value == 1
    assert np.isnan(np.diagonal(turned.by_pair)).all()
    assert (turned.confusion == 16 * np.eye(6)).all()
    nearest = decode_letters(letters, "across", alignment="procrustes", decoder="nearest")
    assert nearest.accuracy.value == 1


def test_centring_removes_a_planted_offset() -> None:
    """The mean of other letters is enough."""
    x = padded(basis(), 0)
    letters = planted({"A": x, "B": x + np.array([9.0, -9, 9, 0, 0, 0, 0, 9])})
    assert decode_letters(letters, "across").accuracy.value < 0.5
    found = decode_letters(letters, "across", alignment="centred", train_styles=["A"])
    assert found.accuracy.value > 0.9
    assert found.styles == ("A", "B")
    assert np.isfinite(found.by_pair).sum() == 1


def test_alignment_does_not_invent_letters() -> None:
    """Unrelated letters of many dimensions stay unrelated: those tested were held out."""
    own = {s: padded(basis(dims=6, seed=n), 0) for n, s in enumerate("ABCD")}
    letters = planted(own)
    found = decode_letters(letters, "across", alignment="procrustes")
    assert found.accuracy.value < 0.4
    assert decode_letters(letters).accuracy.value > 0.95
    apart = same_dynamics(letters).summary()
    assert apart["procrustes"].value > 1
    assert abs(apart["procrustes"].value - apart["mismatched"].value) < 0.15
    assert apart["floor_procrustes"].value < 0.1


def test_distances_have_their_closed_form() -> None:
    """A rotation by 90 degrees and a shift, without noise."""
    x = padded(basis(points=30), 0, 4)
    turn = np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1], [0, 0, -1, 0]])
    shift = np.array([3.0, 0, 0, 4])
    letters = planted({"A": x, "B": x @ turn + shift}, repeats=1, noise=0)
    found = same_dynamics(letters, components=None, splits=2, character_folds=6)
    assert found.kept == pytest.approx(1)
    assert found.characters == tuple("abcdef")
    assert found.pairs.tolist() == [[0, 1]]
    assert found.procrustes[0] < 1e-6
    for name in ("raw", "centred", "procrustes"):
        assert getattr(found, f"floor_{name}").max() < 1e-6
    # Leave one letter out: means of the others, by hand.
    y = x @ turn + shift
    raw, centred, size = ((x - y) ** 2).sum(), 0.0, 0.0
    for c in range(6):
        rest = np.arange(6) != c
        u, v = x[c] - x[rest].mean(axis=(0, 1)), y[c] - y[rest].mean(axis=(0, 1))
        centred += ((u - v) ** 2).sum()
        size += ((u**2).sum() + (v**2).sum()) / 2
    assert found.raw[0] == pytest.approx(np.sqrt(raw / size), rel=1e-5)
    assert found.centred[0] == pytest.approx(np.sqrt(centred / size), rel=1e-5)
    assert found.centred[0] == pytest.approx(np.sqrt(2), rel=1e-5)
    assert found.mismatched[0] > 0.8
    assert found.summary()["raw"].n == 2


def test_bad_comparisons_are_refused() -> None:
    """One line each."""
    x = padded(basis(), 0)
    letters = planted({"A": x, "B": x})
    one = letters.select(styles=["A"])
    with pytest.raises(ValueError, match="across needs two styles, got A only"):
        decode_letters(one, "across")
    with pytest.raises(ValueError, match="two styles and two texts, got 1 and 4"):
        same_dynamics(one)
    for name, value in {"how": "between", "alignment": "cca", "decoder": "svm"}.items():
        with pytest.raises(ValueError, match=f"{name} must be one of"):
            decode_letters(letters, **{name: value})
    with pytest.raises(ValueError, match="nothing to align"):
        decode_letters(letters, alignment="centred")
    with pytest.raises(ValueError, match="from 2 to the number of texts, 4, got 9"):
        decode_letters(letters, folds=9)
    apart = letters.select((letters.style == "A") == np.isin(letters.character, ["a", "b"]))
    with pytest.raises(ValueError, match="0 letters in common"):
        decode_letters(apart, "across")
    with pytest.raises(ValueError, match="0 letters in common"):
        same_dynamics(apart)
    with pytest.raises(ValueError, match="no letter of style 'Z'"):
        decode_letters(letters, "across", test_styles=["Z"])


def test_a_text_or_writing_on_both_sides_is_refused() -> None:
    """Folds of one's own are checked."""
    letters = planted({"A": padded(basis(), 0)})
    whole = np.array([TEXTS.index(t) % 2 for t in letters.text])
    assert decode_letters(letters, folds=whole).accuracy.value == 1
    with pytest.raises(ValueError, match="text 'abcdef' is on both sides"):
        decode_letters(letters, folds=letters.writing % 2)
    fields = {**letters.__dict__, "writing": np.zeros(len(letters), np.int64)}
    with pytest.raises(ValueError, match="writing 0 is on both sides"):
        decode_letters(Letters(**fields), folds=whole)
