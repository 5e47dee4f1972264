"""The network that is trained live: its corpus, its size, and that it learns."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import handtraj as ht
from handtraj.live import (
    LIVE_RANGES,
    NEW_WORDS,
    WORDS,
    live_corpus,
    live_network,
    live_style,
    live_training,
)
from handtraj.sources.scribe import ScribeStyle


@pytest.fixture(scope="module")
def corpus():
    return live_corpus(writers=40, words=8, seed=5)


def curve(folder):
    """Nats a point of every update of a run."""
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [row["nats"] for row in rows if "nats" in row]


def test_words_need_nine_letters_and_new_words_are_new():
    assert set("".join(WORDS)) == set("".join(NEW_WORDS)) == set("aelmnorsu")
    assert not set(WORDS) & set(NEW_WORDS)
    assert len(set(WORDS)) == len(WORDS)


def test_styles_differ_in_five_parameters_within_their_ranges():
    rng = np.random.default_rng(0)
    styles = [asdict(live_style(rng)) for _ in range(300)]
    usual = asdict(ScribeStyle())
    for name in usual:
        values = np.array([style[name] for style in styles])
        if name in LIVE_RANGES:
            low, high = LIVE_RANGES[name]
            assert low <= values.min() < low + 0.05 * (high - low)
            assert high >= values.max() > high - 0.05 * (high - low)
        else:
            assert set(values) == {usual[name]}


def test_corpus_holds_its_words_and_what_was_planted(corpus):
    assert len(corpus) == 320
    assert set(corpus.texts) <= set(WORDS)
    assert set(corpus.kinds) == {"word"}
    assert set(corpus.about["styles"]) == set(corpus.writers)
    assert len({corpus.writers[i] for i in corpus.select("test")}) == 4
    assert len({corpus.writers[i] for i in corpus.select("validation")}) == 2
    slants = {style["slant"] for style in corpus.about["styles"].values()}
    assert len(slants) == 40


def test_planted_slant_is_in_the_ink(corpus):
    """Upright ink is sheared by the tangent of the slant: the fitted shear tells it.

    Measured against an upright twin: the mean of dx / dy over downward
    movements grows by just that tangent.
    """
    wanted, found = [], []
    for name in sorted(set(corpus.writers)):
        steps = np.concatenate(
            [corpus.offsets(int(i))[1:] for i in corpus.select(kind="word", writer=name)]
        )
        down = steps[(steps[:, 1] < -0.05) & (steps[:, 2] == 0)]
        found.append(down[:, 0].sum() / down[:, 1].sum())
        wanted.append(np.tan(np.radians(corpus.about["styles"][name]["slant"])))
    slope, _ = np.polyfit(wanted, found, 1)
    assert np.corrcoef(wanted, found)[0, 1] > 0.95
    assert slope == pytest.approx(1.0, abs=0.1)


def test_same_seed_same_ink(corpus):
    again = live_corpus(writers=40, words=8, seed=5)
    np.testing.assert_array_equal(again.small, corpus.small)
    other = live_corpus(writers=40, words=8, seed=6)
    assert other.about["styles"] != corpus.about["styles"]


@pytest.mark.parametrize("given", [{"writers": 0}, {"words": 0}, {"seed": -1}])
def test_corpus_says_what_it_refuses(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        live_corpus(**given)


def test_a_few_updates_resume_bit_for_bit(corpus, tmp_path):
    """The settings work with the loop: a run, and the same one with a stop."""
    config, size = live_training(points=12_000), replace(live_network(), units=16)
    setting = {"config": config, "network": size, "device": "cpu", "precision": "float32"}
    whole = ht.train(corpus, tmp_path / "whole", **setting)
    ht.train(corpus, tmp_path / "parts", **setting, stop_after=3)
    parts = ht.train(corpus, tmp_path / "parts", resume=True)
    assert curve(tmp_path / "whole") == curve(tmp_path / "parts")
    assert whole.read_bytes()[-1000:] == parts.read_bytes()[-1000:]


def standstill(corpus, scale):
    """Nats a point of the best Gaussian and the best coin that never look at the past."""
    every = np.concatenate([corpus.offsets(i)[1:] for i in range(len(corpus))])
    xy = every[:, :2].astype(float) / scale
    gauss = -multivariate_normal(xy.mean(0), np.cov(xy.T)).logpdf(xy).mean()
    p = every[:, 2].mean()
    return gauss - (p * np.log(p) + (1 - p) * np.log(1 - p))


@pytest.mark.slow
def test_a_minute_of_training_is_on_its_way(tmp_path):
    """A fifth of the run: far below what needs no past, and still falling."""
    corpus = live_corpus(writers=100)
    best = ht.train(
        corpus,
        tmp_path / "run",
        config=live_training(points=130_000),
        network=live_network(),
        device="cpu",
        precision="float32",
    )
    nats = curve(tmp_path / "run")
    checkpoint = ht.load_checkpoint(best)
    assert sum(p.numel() for p in checkpoint.network.parameters()) < 250_000
    floor = standstill(corpus, checkpoint.scale)
    assert np.mean(nats[-10:]) < floor - 0.8
    assert np.mean(nats[-10:]) < np.mean(nats[20:40]) - 0.2
