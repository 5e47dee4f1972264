"""The corpus file, its splits, and what is drawn from it."""

from __future__ import annotations

import zipfile
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from helpers import wave

from handtraj.alphabet import Alphabet
from handtraj.batches import (
    Sampler,
    SamplingConfig,
    baseline,
    capped_shares,
    dequantise,
    item,
    pad,
)
from handtraj.corpus import (
    QUANTUM,
    SPLITS,
    build_corpus,
    load_corpus,
    save_corpus,
    split_of,
)
from handtraj.ink import Ink
from handtraj.sources.line import Line


def make_lines(writers=40, lines=8, words=8):
    """Waves with texts that some writers share; writer 0 wrote most."""
    found = []
    for w in range(writers):
        name = f"{'ab'[w % 2]}{w // 2 + 1:03d}"
        for k in range(lines * (10 if w == 0 else 1)):
            ink = wave(60 + 7 * (k % 5), seed=100 * w + k)
            found.append(Line(ink, f"text number {k}", name, "lex", "line", 0.004))
        for k in range(words):
            found.append(
                Line(wave(24, seed=1000 + 100 * w + k), f"w{k}", name, "kar", "word", 0.01)
            )
    return found


@pytest.fixture(scope="module")
def lines():
    """The lines that go in."""
    return make_lines()


@pytest.fixture(scope="module")
def corpus(lines):
    """The corpus of them."""
    return build_corpus(lines, about={"name": "waves"})


@pytest.fixture(scope="module")
def path(corpus, tmp_path_factory):
    """Its file."""
    path = tmp_path_factory.mktemp("corpus") / "waves.npz"
    save_corpus(corpus, path)
    return path


def test_lines_survive_the_file(lines, path):
    """Positions to half a quantum, everything else exactly."""
    again = load_corpus(path)
    assert len(again) == len(lines)
    assert again.about["name"] == "waves"
    for index, want in enumerate(lines):
        have = again.line(index)
        assert (have.text, have.writer, have.source, have.kind) == (
            *(want.text, want.writer),
            *(want.source, want.kind),
        )
        np.testing.assert_allclose(
            have.ink.points, want.ink.points - want.ink.points[0], atol=QUANTUM
        )
        assert (have.ink.offsets[:, 2] == want.ink.offsets[:, 2]).all()
        assert have.noise == pytest.approx(want.noise)


def test_long_offsets_survive():
    """Steps beyond eight bits, alone and in a row."""
    points = np.array([[0.0, 0], [3, 0], [3.1, -5], [30, 40], [30.1, 40]])
    corpus = build_corpus([Line(Ink.from_strokes([points]), "jump", "a001", "x")])
    assert len(corpus.long_at) == 3
    np.testing.assert_allclose(corpus.line(0).ink.points, points, atol=QUANTUM)


def test_big_arrays_are_memory_mapped(path):
    """Opening a corpus reads none of its ink."""
    corpus = load_corpus(path)
    for name in ("small", "lifts", "start", "noise"):
        assert isinstance(getattr(corpus, name), np.memmap), name


def test_a_file_cut_short_is_refused(path, tmp_path):
    """At any place, with one line."""
    data = path.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        (tmp_path / "cut.npz").write_bytes(data[: int(share * len(data))])
        with pytest.raises(ValueError, match="not a corpus file, or is cut short"):
            load_corpus(tmp_path / "cut.npz")


def test_other_files_are_refused(tmp_path):
    """A missing one, text, another zip, other arrays, compressed ones."""
    with pytest.raises(ValueError, match="does not exist"):
        load_corpus(tmp_path / "none.npz")
    (tmp_path / "a.npz").write_text("hello")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("a", "b")
    np.savez(tmp_path / "c.npz", small=np.zeros(3))
    np.savez_compressed(tmp_path / "d.npz", small=np.zeros(3))
    for name in "abcd":
        with pytest.raises(ValueError, match="not a corpus file"):
            load_corpus(tmp_path / f"{name}.npz")


def test_tables_that_do_not_fit_are_refused(corpus, path, tmp_path):
    """Ink of another corpus under these texts."""
    arrays = dict(np.load(path))
    arrays["start"] = arrays["start"][:-1]
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(ValueError, match="damaged"):
        load_corpus(tmp_path / "odd.npz")


def test_an_empty_corpus_is_refused():
    """There is nothing to learn from."""
    with pytest.raises(ValueError, match="at least one line"):
        build_corpus([])


def check_splits(corpus):
    """Writers of test and validation, and texts of "text", are in no training line."""
    writers, texts = defaultdict(set), defaultdict(set)
    for i in range(len(corpus)):
        writers[corpus.splits[i]].add(corpus.writers[i])
        if corpus.kinds[i] == "line":
            texts[corpus.splits[i]].add(corpus.texts[i])
    assert set(writers) <= set(SPLITS)
    seen = writers["train"] | writers["text"]
    assert not writers["test"] & writers["validation"]
    assert not seen & (writers["test"] | writers["validation"])
    assert not texts["text"] & texts["train"]
    return writers, texts


def test_splits_are_disjoint(corpus):
    """One writer in ten for testing, one in twenty for validation."""
    writers, _ = check_splits(corpus)
    assert len(writers["test"]) == 4
    assert len(writers["validation"]) == 2


@pytest.mark.slow
def test_splits_of_the_real_corpus_are_disjoint(unipen_lines):
    """Also where texts repeat across writers; every part has something."""
    writers, texts = check_splits(build_corpus(unipen_lines[0]))
    assert len(writers["test"]) > 30
    assert len(writers["validation"]) > 15
    assert len(texts["text"]) > 50


def test_one_text_is_held_out_in_fifty():
    """5 of 256 hash values, for lines; never for words."""
    ranks = {"a001": 0}
    parts = Counter(split_of("a001", f"text {k}", "line", ranks) for k in range(5000))
    assert parts["text"] / 5000 == pytest.approx(5 / 256, rel=0.3)
    assert {split_of("a001", f"w{k}", "word", ranks) for k in range(500)} == {"train"}


def test_select_takes_split_kind_and_writer(corpus):
    """All three at once, against a loop; an unknown split is refused."""
    have = corpus.select(("train", "text"), kind="line", writer="a001")
    assert len(have) == 80
    assert all(corpus.writers[i] == "a001" and corpus.kinds[i] == "line" for i in have)
    with pytest.raises(ValueError, match="split must be one of"):
        corpus.select("training")


def test_report_adds_up(corpus, lines):
    """Rows by source and kind."""
    rows = {(row["source"], row["kind"]): row for row in corpus.report()}
    assert sum(row["lines"] for row in rows.values()) == len(lines)
    assert rows["kar", "word"]["writers"] == 40
    assert rows["kar", "word"]["points"] == 24 * 320
    assert rows["lex", "line"]["distinct_texts"] == 80


def sampler(corpus, **settings):
    """A sampler with a small batch."""
    config = SamplingConfig(**{"points": 3000, "pool": 8, **settings})
    return Sampler(corpus, Alphabet(), 1.0, config, seed=3)


@pytest.mark.parametrize(
    ("weights", "cap", "expected"),
    [
        ([8, 1, 1], 0.5, [0.5, 0.25, 0.25]),
        ([1, 1, 2], 0.9, [0.25, 0.25, 0.5]),
        ([5, 1], 0.1, [0.5, 0.5]),
        ([90, 9, 1], 0.4, [0.4, 0.4, 0.2]),
    ],
)
def test_shares_are_capped_and_the_rest_stays_in_proportion(weights, cap, expected):
    """Worked by hand; the cap is never below an even share."""
    np.testing.assert_allclose(capped_shares(np.array(weights, float), cap), expected)


def test_no_writer_is_drawn_beyond_the_cap(corpus):
    """Measured on items drawn: one writer holds a quarter of the lines, and gets 5 %."""
    lines_only = sampler(corpus, lines=1.0, composed=0.0, cap=0.05)
    drawn = Counter(
        corpus.writers[places[0]]
        for number in range(40)
        for batch in lines_only.round(number)
        for places in batch.lines
    )
    total = drawn.total()
    training = Counter(corpus.writers[i] for i in corpus.select("train", kind="line"))
    assert training["a001"] / training.total() > 0.15
    # Three standard errors of a share of 5 %.
    assert max(drawn.values()) / total < 0.05 + 3 * np.sqrt(0.05 * 0.95 / total)


def test_only_training_lines_are_drawn(corpus):
    """Held-out writers and texts stay out, in composed items too."""
    allowed = set(corpus.select("train").tolist())
    for batch in sampler(corpus).round(0):
        assert {i for places in batch.lines for i in places} <= allowed


def test_same_seed_and_round_give_the_same_batches(corpus):
    """Another sampler, in another order of rounds; another round differs."""
    one, two = sampler(corpus), sampler(corpus)
    list(two.round(7))
    first, second = list(one.round(5)), list(two.round(5))
    assert len(first) == len(second) > 1
    for a, b in zip(first, second, strict=True):
        assert (a.x == b.x).all()
        assert (a.codes == b.codes).all()
        assert a.lines == b.lines
    assert [b.lines for b in one.round(6)] != [b.lines for b in first]


def test_shares_of_kinds_are_those_asked_for(corpus):
    """A third each of lines, composed items and words."""
    kinds = Counter()
    third = sampler(corpus, lines=1 / 3, composed=1 / 3, pool=200)
    rng = np.random.default_rng(0)
    for _ in range(1500):
        drawn = third._draw(rng, False)
        single = "word" if corpus.kinds[drawn.lines[0]] == "word" else "line"
        kinds["composed" if len(drawn.lines) > 1 else single] += 1
    for kind in ("line", "word", "composed"):
        assert kinds[kind] / 1500 == pytest.approx(1 / 3, abs=0.04)


def test_composed_words_stand_apart_on_one_baseline(corpus):
    """Boxes do not overlap, feet agree, and the text joins the words."""
    one = sampler(corpus, longest=10_000)
    mine = corpus.select("train", kind="word", writer="a001")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        words = [int(i) for i in rng.choice(mine, rng.integers(2, 6))]
        drawn = one._compose(words, rng)
        assert drawn.lines == tuple(words)
        assert drawn.text == " ".join(corpus.texts[i] for i in drawn.lines) + " "
        xy = np.cumsum(drawn.offsets[:, :2], axis=0)
        parts = np.split(np.arange(len(xy)), np.cumsum(corpus.lengths[list(drawn.lines)])[:-1])
        feet = []
        for left, right in pairwise(parts):
            gap = xy[right, 0].min() - xy[left, 0].max()
            assert 1.2 * 0.8 - 1e-3 < gap < 2.1 * 1.25 + 1e-3
        for part in parts:
            own = drawn.offsets[part].copy()
            own[0, :2] = 0
            feet.append(xy[part[0], 1] + baseline(own))
        # Each word is set with a deviation of 0.08, as hands do.
        assert np.std(feet) < 0.4


def test_baseline_is_the_median_foot():
    """Local minima at 0, 0 and -2 (a descender), from a start at 1."""
    y = np.array([1.0, 0, 1, -2, 1, 0, 1])
    offsets = np.zeros((7, 3), np.float32)
    offsets[1:, 1] = np.diff(y)
    assert baseline(offsets) == pytest.approx(-1)


def test_long_items_are_cut_and_whole_ones_end_in_a_blank(corpus):
    """Ink to the point, text to one and a half times the ink's share."""
    index = int(corpus.select("train", kind="line")[0])
    text, length = corpus.texts[index], int(corpus.lengths[index])
    whole = item(corpus, index, length)
    assert whole.text == text + " "
    assert len(whole.offsets) == length
    cut = item(corpus, index, length // 3)
    assert len(cut.offsets) == length // 3
    assert text.startswith(cut.text)
    assert len(text) / 3 < len(cut.text) < len(text)


def test_dequantised_ink_stays_within_half_a_unit():
    """Positions move by at most the noise from the first point's own move."""
    offsets = wave(50).offsets
    noisy = dequantise(offsets, 0.01, np.random.default_rng(0))
    moved = np.cumsum(noisy[:, :2] - offsets[:, :2], axis=0)
    assert 0.005 < np.abs(moved).max() <= 0.02 + 1e-5
    assert (noisy[:, 2] == offsets[:, 2]).all()


def test_padding_is_zero_and_masked(corpus):
    """Offsets are divided by the scale; codes beyond the text are 0."""
    items = [item(corpus, i, 1000) for i in (0, 1)]
    batch = pad(items, Alphabet(), 2.0)
    for b, one in enumerate(items):
        n = len(one.offsets)
        np.testing.assert_allclose(batch.x[:n, b, :2], one.offsets[:, :2] / 2)
        assert batch.mask[:, b].sum() == n
        assert not batch.x[n:, b].any()
        assert Alphabet().decode(batch.codes[b]) == one.text


def test_batches_stay_within_their_points(corpus):
    """Padded size at most what was asked for."""
    for batch in sampler(corpus).round(1):
        assert batch.mask.size <= 3000


def test_two_processes_share_a_round_without_overlap(corpus):
    """Ranks split every group."""
    config = SamplingConfig(points=3000, pool=8)
    both = [Sampler(corpus, Alphabet(), 1.0, config, seed=3, rank=rank, world=2) for rank in (0, 1)]
    alone = sampler(corpus)
    for whole, first, second in zip(*(s.round(2) for s in (alone, *both)), strict=True):
        assert sorted(whole.lines) == sorted(first.lines + second.lines)


@pytest.mark.parametrize(
    "settings",
    [{"lines": 0.8, "composed": 0.4}, {"lines": -0.1}, {"cap": 0}, {"longest": 0}, {"pool": 0}],
)
def test_bad_sampling_is_refused(settings):
    """Shares, cap and sizes have bounds."""
    with pytest.raises(ValueError, match=r"must be|are shares"):
        SamplingConfig(**settings)
