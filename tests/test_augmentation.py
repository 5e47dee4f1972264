"""Changes of ink against what geometry says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import small_corpus, small_network, wave

from handtraj.alphabet import Alphabet
from handtraj.augmentation import AugmentationConfig, augment, wander
from handtraj.batches import Sampler, SamplingConfig, item, pad
from handtraj.loss import batch_loss


def changed(seed=0, **sizes):
    """A wave, and the same after augmentation."""
    before = wave(60).offsets
    return before, augment(before, AugmentationConfig(**sizes), np.random.default_rng(seed))


def affine(before, after):
    """The linear map that takes one path to the other, by least squares."""
    a, b = (np.cumsum(o[:, :2], axis=0, dtype=np.float64) for o in (before, after))
    solution, residual, *_ = np.linalg.lstsq(a, b, rcond=None)
    assert residual.max() < 1e-8
    return solution.T


def test_nothing_asked_nothing_done():
    """All zero: the very same array."""
    before, after = changed()
    assert after is before


def test_size_scales_both_axes_alike():
    """The map is a multiple of the identity."""
    m = affine(*changed(size=0.3))
    assert m == pytest.approx(np.eye(2) * m[0, 0], abs=1e-5)
    assert abs(m[0, 0] - 1) > 0.01


def test_width_leaves_heights():
    """Only x is stretched."""
    m = affine(*changed(width=0.3))
    assert m[1] == pytest.approx([0, 1], abs=1e-5)
    assert m[0, 1] == pytest.approx(0, abs=1e-5)
    assert abs(m[0, 0] - 1) > 0.01


def test_slant_is_a_shear():
    """x moves with y; heights and widths stay."""
    m = affine(*changed(slant=0.3))
    assert m[1] == pytest.approx([0, 1], abs=1e-5)
    assert m[0, 0] == pytest.approx(1, abs=1e-5)
    assert abs(m[0, 1]) > 0.01


def test_factors_have_the_stated_spread():
    """Logs of the size are Gaussian with the standard deviation asked for."""
    before = wave(40).offsets
    rng = np.random.default_rng(0)
    config = AugmentationConfig(size=0.2)
    logs = [np.log(augment(before, config, rng)[5, 1] / before[5, 1]) for _ in range(2000)]
    # Four standard errors.
    assert np.mean(logs) == pytest.approx(0, abs=4 * 0.2 / 2000**0.5)
    assert np.std(logs) == pytest.approx(0.2, abs=4 * 0.2 / 4000**0.5)


@pytest.mark.parametrize("seed", range(5))
def test_speed_keeps_path_strokes_and_lifts(seed):
    """More or fewer points on the same polyline; strokes end where they ended."""
    before, after = changed(seed, speed=0.4)
    assert len(after) != len(before)
    assert after[:, 2].sum() == before[:, 2].sum()
    a, b = (np.cumsum(o[:, :2], axis=0, dtype=np.float64) for o in (before, after))
    assert b[after[:, 2] > 0] == pytest.approx(a[before[:, 2] > 0], abs=1e-4)
    # Every new point lies on a segment of the old path.
    start, step = a[:-1], np.diff(a, axis=0)
    for point in b:
        along = np.clip(((point - start) * step).sum(1) / np.square(step).sum(1), 0, 1)
        nearest = np.linalg.norm(start + along[:, None] * step - point, axis=1).min()
        assert nearest < 1e-4


def test_wandering_pen_comes_back_to_its_line():
    """Seen position plus the wanted movement is the true next position; hand-made loss."""
    network, corpus, device = small_network(), small_corpus(), torch.device("cpu")
    batch = pad([item(corpus, 0, 50)], Alphabet(), 0.4)
    error = wander(len(batch.x), 0.3, np.random.default_rng(1))
    off = replace(batch, wander=error[:, None])
    total, count = batch_loss(network, off, device)
    true = np.cumsum(batch.x[:, 0, :2], axis=0)
    seen = true + error
    inputs = batch.x.copy()
    inputs[:, 0, :2] = np.diff(seen, axis=0, prepend=np.zeros((1, 2)))
    # The first point is given with its own error.
    text = network.one_hot(torch.tensor(batch.codes))
    raw = network(torch.tensor(inputs[:-1]), text).raw
    wanted = batch.x[1:].copy()
    wanted[:, 0, :2] = true[1:] - seen[:-1]
    expected = -network.mixture(raw).log_prob(torch.tensor(wanted)).sum()
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert count == len(batch.x) - 1


def test_wander_is_shared_by_ranks():
    """Two ranks see the errors that one process sees."""
    config = SamplingConfig(
        points=400, pool=2, longest=80, augmentation=AugmentationConfig(wander=0.1)
    )

    def errors(rank, world):
        sampler = Sampler(small_corpus(), Alphabet(), 0.4, config, seed=3, rank=rank, world=world)
        return next(sampler.round(0)).wander

    whole, first, second = errors(0, 1), errors(0, 2), errors(1, 2)
    assert np.abs(whole).max() > 0
    assert whole[:, 0] == pytest.approx(first[:, 0])
    assert whole[: len(second), 1] == pytest.approx(second[:, 0])


@pytest.mark.parametrize("name", ["size", "width", "slant", "speed", "wander"])
def test_impossible_strengths_are_refused(name):
    """The message names the setting and its range."""
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\]"):
        AugmentationConfig(**{name: -0.1})


def test_resampling_does_not_smooth_the_noise() -> None:
    """Ink that does not move, so that all that is left is noise: as much with speed as without."""
    spread = {}
    for speed in (0.0, 0.3):
        still = replace(small_corpus(), noise=np.full(len(small_corpus()), 0.05, np.float32))
        still.small[:] = 0
        still.long[:] = 0
        config = SamplingConfig(lines=0, composed=0, augmentation=AugmentationConfig(speed=speed))
        batches = list(Sampler(still, Alphabet(), 1.0, config, seed=0).round(0))
        inside = [b.x[1:][b.mask[1:] > 0][:, :2] for b in batches]
        spread[speed] = float(np.concatenate(inside).std())
    # The difference of two even draws of half width a has a standard deviation of a sqrt(2/3).
    for found in spread.values():
        assert abs(found / (0.05 * np.sqrt(2 / 3)) - 1) < 0.03
