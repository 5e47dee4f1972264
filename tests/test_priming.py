"""The priming experiment: joined and cut primes, distances, long texts, a plan's promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_checkpoint

import handtraj as ht
from handtraj.corpus import Corpus, save_corpus
from handtraj.evaluation.fading import cut_lines, write_on
from handtraj.evaluation.features import STYLE_FEATURES
from handtraj.evaluation.naming import real_lines
from handtraj.evaluation.priming import (
    StyleTable,
    cut_prime,
    distances,
    join_lines,
    plan,
    primed_styles,
)
from handtraj.evaluation.priming_tables import Hands
from handtraj.sources.scribe import make_scribe_corpus

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scribe() -> Corpus:
    """Synthetic writers, four of them in validation and test."""
    return make_scribe_corpus(27, 14, seed=5)


@pytest.fixture(scope="module")
def hands(scribe: Corpus) -> Hands:
    """A plan of the synthetic writers, measured."""
    lines = plan(scribe, inside=10, outside=10, texts=2, points=300)
    return Hands(StyleTable.of(lines, scribe), scribe)


@pytest.fixture
def writer() -> ht.Writer:
    """A small untrained network."""
    return ht.Writer(small_checkpoint())


def zigzag(count: int, foot: float = 0.0) -> ht.Ink:
    """Sharp waves one x-height high above `foot`, half an x-height wide each."""
    t = np.linspace(0, count, 12 * count + 1)
    high = 1 - np.abs(1 - 2 * (t % 1))
    return ht.Ink.from_strokes([np.column_stack([0.5 * t, foot + high])])


def test_joined_lines_share_a_baseline_and_keep_their_gap() -> None:
    """The second begins a gap behind the right edge of the first, its feet as high."""
    ink, text = join_lines([zigzag(4), zigzag(6, foot=3.0)], ["abcd", "efg"], gap=1.6)
    assert text == "abcd efg"
    first, second = ink.strokes
    assert second[:, 0].min() - first[:, 0].max() == pytest.approx(1.6, abs=1e-5)
    assert second[:, 1].min() == pytest.approx(first[:, 1].min(), abs=1e-5)
    np.testing.assert_allclose(np.ptp(second, axis=0), [3, 1], atol=1e-5)
    with pytest.raises(ValueError, match="got 0 inks, 0 texts"):
        join_lines([], [])


def test_a_cut_prime_says_what_the_window_came_to(writer: ht.Writer) -> None:
    """Against the network stepped by hand: the furthest character with the largest weight."""
    text, ink = "waves and foam", zigzag(20)
    network, codes = writer.network, writer.alphabet.encode("waves and foam ")
    # A window that walks on makes the cut depend on the length.
    k = network.config.windows
    with torch.no_grad():
        network.window_head.bias[2 * k :] = np.log(0.06)
    hot = network.one_hot(torch.from_numpy(codes)[None])
    state, furthest, wanted = network.initial_state(1), 0, {}
    for step, row in enumerate(ink.offsets, start=1):
        x = torch.tensor([[row[0] / writer.scale, row[1] / writer.scale, row[2]]])
        with torch.no_grad():
            _, state = network.step(x, hot, state)
            raw = network.window_head(state.h[0])[0].exp()
        alpha, beta = raw[:k], raw[k : 2 * k]
        place = torch.arange(len(codes))[:, None]
        weight = (alpha * torch.exp(-beta * (state.kappa[0] - place) ** 2)).sum(1)
        furthest = max(furthest, int(weight.argmax()))
        wanted[step] = text[: furthest + 1].strip()
    found = cut_prime(writer, ink, text, (25, 60, 150, 10_000))
    assert set(found) == {25, 60, 150}
    assert len(set(wanted.values())) > 3
    for points, (piece, says) in found.items():
        np.testing.assert_array_equal(piece.offsets, ink.offsets[:points])
        assert says == wanted[points]
    with pytest.raises(ValueError, match="at least 2 points, got 1"):
        cut_prime(writer, ink, text, (1,))


def test_lengths_without_a_style_have_a_reason(writer: ht.Writer) -> None:
    """Ink that is too short for a length is refused, with a word on it."""
    styles, refused = primed_styles(writer, zigzag(4), "wave", (25, 100))
    assert set(styles) | set(refused) == {25, 100}
    assert "shorter" in refused[100]


def test_distance_of_shifted_values_is_the_shift() -> None:
    """And of a point from two others the mean distance; NaN is left out."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, 2))
    np.testing.assert_allclose(distances(a, a + np.array([0.5, -2.0])), [0.5, 2.0])
    one, two = np.array([[1.0, np.nan]]), np.array([[0.0, 1.0], [4.0, 1.0], [np.nan, 1.0]])
    np.testing.assert_allclose(distances(one, two), [(1 + 3) / 2, np.nan])


def test_long_writing_falls_apart_into_its_lines() -> None:
    """Strokes go to the line that the window looked at for most of their points."""
    texts = ["ab", "cde"]
    whole = " ".join(texts)
    at = [0] * 4 + [1] * 4 + [2] * 2 + [3] * 2 + [4] * 4 + [1] * 3 + [5] * 4
    strokes = [np.column_stack([np.arange(n), np.full(n, k)]) for k, n in enumerate((8, 8, 3, 4))]
    window = np.eye(len(whole), dtype=np.float32)[at]
    writing = ht.Writing(whole, ht.Ink.from_strokes(strokes), window, True, "", 0.5, 1)
    first, second = cut_lines(writing, texts)
    assert first is not None
    assert second is not None
    # The late mark comes after strokes of the second line, but belongs to the first.
    assert [len(s) for s in first.strokes] == [8, 3]
    assert [len(s) for s in second.strokes] == [8, 4]
    with pytest.raises(ValueError, match="not the 2 texts joined"):
        cut_lines(writing, ["ab", "cd"])


def test_writing_on_is_one_writing_per_row(writer: ht.Writer) -> None:
    """As many parts as lines; texts that are too long together are refused."""
    inks, finished = write_on(writer, [["ab", "cd"], ["e", "f"]], [None, None], bias=0, seed=1)
    assert [len(row) for row in inks] == [2, 2]
    assert len(finished) == 2
    with pytest.raises(ValueError, match="211 characters together, at most 200"):
        write_on(writer, [["a" * 105] * 2], [None], bias=0, seed=1)


def test_a_plan_keeps_lines_apart(scribe: Corpus, hands: Hands) -> None:
    """Texts asked about occur nowhere else; primes are long enough; groups are what they say."""
    lines = hands.plan
    texts = {scribe.texts[i] for i in lines.queries.ravel()}
    trained = {scribe.writers[i] for i in scribe.select("train")}
    assert len(lines.writers) >= 12
    assert 0 < lines.inside.sum() < len(lines.writers)
    for w, name in enumerate(lines.writers):
        ink, said = lines.primes[w]
        own = lines.reference[w]
        assert lines.inside[w] == (name in trained)
        assert {scribe.writers[i] for i in (*own, *lines.queries[w])} == {name}
        assert len(ink) >= 300
        assert texts.isdisjoint(scribe.texts[i] for i in own)
        assert not set(own.tolist()) & set(lines.queries[w].tolist())
        assert not any(text in said for text in texts)


def test_own_lines_are_at_the_floor_and_others_at_the_ceiling(hands: Hands) -> None:
    """What is kept is 1 of one's own lines and near 0 of another hand's."""
    own = hands.apart(hands.real)
    np.testing.assert_allclose(own, hands.floor)
    kept = hands.kept(own, "all")
    assert kept is not None
    assert kept.value == pytest.approx(1)
    # All writers are of one source: a line goes to the next writer.
    count = len(hands.plan.writers)
    moved = hands.real.only(np.ones(len(hands.real.writer), dtype=bool))
    moved.writer[:] = (moved.writer + 1) % count
    other = hands.kept(hands.apart(moved), "all")
    assert other is not None
    assert other.low is not None
    assert other.low < 0.2
    assert abs(other.value) < 0.3
    slant = STYLE_FEATURES.index("slant")
    assert hands.floor[:, slant].mean() < 0.4 < 0.8 < hands.ceiling[:, slant].mean()
    named = hands.named(hands.real, "all")
    assert named is not None
    assert named.value > 5 * hands.chance["all"]


def test_lines_too_short_count_as_not_named(scribe: Corpus, hands: Hands) -> None:
    """Nothing is dropped silently."""
    line = real_lines(scribe, hands.plan.queries[0, :1])[0]
    judged = hands.judge(
        [line, None, ht.Ink(line.offsets[:9])], np.zeros(3, dtype=np.int64), [hands.texts[0][0]] * 3
    )
    assert judged.right.tolist()[1:] == [0, 0]
    assert np.isfinite(judged.features[0]).all()
    assert np.isnan(judged.features[1:]).all()


@pytest.mark.slow
def test_the_experiment_runs_small(tmp_path: Path) -> None:
    """The script writes a record with every part, from any corpus."""
    save_corpus(make_scribe_corpus(21, 12, seed=5), tmp_path / "corpus.npz")
    out = tmp_path / "found.json"
    command = ["experiments/priming.py", str(tmp_path / "corpus.npz"), "--reduced", "-o", str(out)]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    found = json.loads(out.read_text())
    assert found["about"]["weights"]
    assert set(found["rows"]["points"]) == {0, 25, 200}
    assert set(found["rows"]["measure"]) == {"named", "distance", "kept"}
    assert {len(column) for column in found["rows"].values()} == {len(found["rows"]["value"])}
