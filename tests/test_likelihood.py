"""Nats and calibration against scipy, loops over points, and ink of known origin."""

import math

import numpy as np
import pytest
import torch
from helpers import small_checkpoint, small_corpus
from scipy import integrate, special, stats

from handtraj.alphabet import Alphabet
from handtraj.batches import Item, pad
from handtraj.checkpoint import Checkpoint
from handtraj.evaluation.likelihood import (
    Forecasts,
    Pit,
    forecast,
    forecast_items,
    line_nats,
    pen_calibration,
    pit,
    reliability,
    rosenblatt,
)
from handtraj.loss import mean_nats
from handtraj.mixture import Mixture
from handtraj.network import Network, NetworkConfig


@pytest.fixture(scope="module")
def corpus():
    return small_corpus(writers=12)


@pytest.fixture(scope="module")
def checkpoint():
    """An untrained network whose densities differ from point to point."""
    made = small_checkpoint()
    with torch.no_grad():
        made.network.head.weight.mul_(4)
    return made


@pytest.fixture(scope="module")
def found(checkpoint, corpus):
    return forecast(checkpoint, corpus, range(9), longest=40)


def mixture_of(seed=0, components=3, batch=()):
    """A mixture with strong correlations and unlike components, in double precision."""
    g = torch.Generator().manual_seed(seed)
    raw = 1.5 * torch.randn((*batch, 6 * components + 1), generator=g, dtype=torch.float64)
    return Mixture.from_raw(raw)


def components_of(mixture):
    """Weights, means and covariances of a mixture without leading dimensions."""
    sigma = mixture.log_sigma.exp().numpy()
    off = mixture.rho.numpy() * sigma.prod(1)
    cov = np.array([[[a * a, o], [o, b * b]] for (a, b), o in zip(sigma, off, strict=True)])
    return mixture.log_weight.exp().numpy(), mixture.mean.numpy(), cov


def plain_nats(checkpoint, one):
    """Nats of one item, a point at a time, by scipy: offset part and pen part."""
    network = checkpoint.network.double()
    try:
        batch = pad([one], checkpoint.alphabet, checkpoint.scale)
        text = network.one_hot(torch.tensor(batch.codes))
        x, state = torch.tensor(batch.x).double(), network.initial_state(1)
        offset = pen = 0.0
        for t in range(len(x) - 1):
            raw, state = network.step(x[t], text, state)
            mixture = network.mixture(raw[0])
            density = sum(
                w * stats.multivariate_normal(m, c).pdf(x[t + 1, 0, :2].numpy())
                for w, m, c in zip(*components_of(mixture), strict=True)
            )
            chance = special.expit(float(mixture.pen_logit))
            offset -= math.log(density)
            pen -= math.log(chance if x[t + 1, 0, 2] else 1 - chance)
        return offset, pen
    finally:
        network.float()


def test_nats_agree_with_a_loop_over_points(checkpoint, corpus):
    items = [
        Item(corpus.offsets(i)[:n], corpus.texts[i] + " ", (i,)) for i, n in ((0, 30), (7, 17))
    ]
    with torch.no_grad():
        wanted = [plain_nats(checkpoint, one) for one in items]
    nats = line_nats(forecast_items(checkpoint, items))
    assert nats.points.tolist() == [29, 16]
    np.testing.assert_allclose(nats.offset, [w[0] for w in wanted], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(nats.pen, [w[1] for w in wanted], rtol=1e-4, atol=1e-4)
    assert nats.per_point == pytest.approx(np.sum(wanted) / 45, rel=1e-4)


def test_nats_agree_with_the_loss_of_training(checkpoint, corpus):
    items = [Item(corpus.offsets(i)[:50], corpus.texts[i] + " ", (i,)) for i in range(6)]
    batch = pad(items, checkpoint.alphabet, checkpoint.scale)
    wanted = mean_nats(checkpoint.network, [batch], torch.device("cpu"))
    assert line_nats(forecast_items(checkpoint, items)).per_point == pytest.approx(wanted, rel=1e-5)


def test_constant_turns_nats_into_those_of_x_heights():
    """In x-heights means grow by the scale and covariances by its square."""
    scale, mixture = 0.3825, mixture_of(3)
    x = np.random.default_rng(1).normal(0, 0.5, (20, 2))
    wanted = -np.log(
        sum(
            w * stats.multivariate_normal(scale * m, scale**2 * c).pdf(x)
            for w, m, c in zip(*components_of(mixture), strict=True)
        )
    )
    offset = -mixture.log_prob_offset(torch.tensor(x / scale)[:, None]).numpy()[:, 0]
    off, none = np.zeros(20), np.zeros(20, dtype=bool)
    nats = line_nats(
        Forecasts(np.arange(20) // 5, offset, off, np.zeros((20, 2)), off, none, none, 4, scale)
    )
    found = nats.nats + nats.to_x_heights * nats.points
    np.testing.assert_allclose(found, wanted.reshape(4, 5).sum(1), rtol=1e-9)
    assert nats.to_x_heights < 0


def test_network_blind_to_scale_has_the_same_nats_in_x_heights(corpus):
    """With constant outputs only the unit differs: the sum in x-heights must not."""
    network = Network(NetworkConfig(units=4, windows=2, components=1))
    with torch.no_grad():
        network.head.weight.zero_()
    items = [Item(corpus.offsets(0), corpus.texts[0] + " ", (0,))]
    sums = []
    for scale in (0.2, 0.5):
        with torch.no_grad():
            # One Gaussian of deviation 0.4 x-heights, whatever the unit.
            network.head.bias[4:6] = math.log(0.4 / scale)
        nats = line_nats(forecast_items(Checkpoint(network, Alphabet(), scale), items))
        sums.append(nats.per_point + nats.to_x_heights)
    assert sums[0] == pytest.approx(sums[1], abs=1e-5)
    moves = corpus.offsets(0)[1:, :2]
    plain = -stats.norm(0, 0.4).logpdf(moves).sum() / len(moves)
    assert sums[0] - nats.pen.sum() / len(moves) == pytest.approx(plain, abs=1e-5)


def test_transform_is_the_distribution_function_of_scipy():
    mixture = mixture_of(1)
    weights, means, covs = components_of(mixture)
    for point in np.random.default_rng(0).normal(size=(5, 2)):
        first, second = rosenblatt(mixture, torch.tensor(point)).numpy()
        sd = np.sqrt(covs[:, 0, 0])
        assert first == pytest.approx((weights * stats.norm(means[:, 0], sd).cdf(point[0])).sum())
        # P(dy < y | dx = x): the density along the line x, added up to y.
        y = np.linspace(-20, 20, 100_001)
        line = np.column_stack([np.full(len(y), point[0]), y])
        along = sum(
            w * stats.multivariate_normal(m, c).pdf(line)
            for w, m, c in zip(weights, means, covs, strict=True)
        )
        share = integrate.cumulative_simpson(along, x=y, initial=0)
        assert second == pytest.approx(np.interp(point[1], y, share / share[-1]), abs=1e-4)


def test_samples_of_the_mixture_transform_to_independent_even_numbers():
    mixture = mixture_of(2, components=4, batch=(6000,))
    sample = mixture.sample(generator=torch.Generator().manual_seed(5))
    made = Pit(rosenblatt(mixture, sample[:, :2]).numpy())
    for k in range(2):
        assert stats.kstest(made.uniform[:, k], "uniform").pvalue > 0.01
    assert abs(stats.spearmanr(*made.uniform.T).statistic) < 0.04
    wider = Pit(rosenblatt(mixture.biased(0.7), sample[:, :2]).numpy())
    assert (wider.histogram(10)[:, [0, -1]] > 1.3).all()  # too narrow a density: full ends
    assert (wider.distance > 3 * made.distance).all()


def test_distance_and_histogram_agree_with_scipy_and_numpy():
    uniform = np.random.default_rng(3).beta(2, 1.5, size=(500, 2))
    made = Pit(uniform)
    for k in range(2):
        assert made.distance[k] == pytest.approx(stats.kstest(uniform[:, k], "uniform").statistic)
        wanted = np.histogram(uniform[:, k], 8, (0, 1), density=True)[0]
        np.testing.assert_allclose(made.histogram(8)[k], wanted)


def written_by(checkpoint, count=40, length=150):
    """Items that the network wrote itself, a point at a time."""
    network, g = checkpoint.network, torch.Generator().manual_seed(9)
    text = "salt sea foam "
    hot = network.one_hot(torch.tensor(checkpoint.alphabet.encode(text))[None]).expand(
        count, -1, -1
    )
    x, state = torch.zeros(count, 3), network.initial_state(count)
    points = [x]
    with torch.no_grad():
        for _ in range(length - 1):
            raw, state = network.step(x, hot, state)
            x = network.mixture(raw).sample(generator=g)
            points.append(x)
    offsets = torch.stack(points, 1).numpy().copy()
    offsets[..., :2] *= checkpoint.scale
    return [Item(o.astype(np.float32), text, ()) for o in offsets]


def test_network_is_calibrated_on_its_own_ink(checkpoint):
    made = forecast_items(checkpoint, written_by(checkpoint))
    for k in range(2):
        assert stats.kstest(pit(made).uniform[:, k], "uniform").pvalue > 0.01
    pen = pen_calibration(made, edges=[0, 0.02, 0.05, 0.1, 0.2, 1])
    full = pen.count > 50
    error = np.sqrt(pen.predicted * (1 - pen.predicted) / np.maximum(1, pen.count))
    assert full.sum() >= 3
    assert (np.abs(pen.predicted - pen.observed)[full] < 3.5 * error[full]).all()
    assert pen.calibration_error < 0.01
    assert pen.count.sum() == 40 * 149


def test_reliability_of_known_coins():
    rng = np.random.default_rng(1)
    p = rng.uniform(size=40_000)
    honest = reliability(p, rng.uniform(size=len(p)) < p)
    assert honest.calibration_error < 0.01
    # Brier's score of honest odds is the mean of p (1 - p): 1/2 - 1/3.
    assert honest.brier == pytest.approx(1 / 6, abs=0.003)
    assert honest.brier_base == pytest.approx(1 / 4, abs=0.003)
    np.testing.assert_allclose(honest.predicted, np.arange(10) / 10 + 0.05, atol=0.003)
    # Things happen with probability p² instead: off by p - p², 1/6 in the mean.
    proud = reliability(p, rng.uniform(size=len(p)) < p**2)
    assert proud.calibration_error == pytest.approx(1 / 6, abs=0.01)
    np.testing.assert_allclose(proud.observed, honest.predicted**2, atol=0.03)


def test_reliability_by_hand():
    made = reliability([0.1, 0.2, 0.6, 1.0], [0, 1, 1, 1], edges=[0, 0.3, 0.5, 1])
    assert made.count.tolist() == [2, 0, 2]
    assert made.predicted[[0, 2]].tolist() == pytest.approx([0.15, 0.8])
    assert made.observed[[0, 2]].tolist() == [0.5, 1]
    assert math.isnan(made.observed[1])
    assert made.brier == pytest.approx((0.01 + 0.64 + 0.16 + 0) / 4)
    assert made.brier_base == pytest.approx(3 / 16)
    assert made.calibration_error == pytest.approx((0.35 * 2 + 0.2 * 2) / 4)


def test_points_stand_in_order_and_know_the_air(found, corpus):
    """Whatever the grouping by length, columns follow the lines asked for."""
    lengths = np.minimum(corpus.lengths[:9], 40)
    assert found.lines.tolist() == np.repeat(np.arange(9), lengths - 1).tolist()
    for k in range(9):
        flags = corpus.offsets(k)[: lengths[k], 2] > 0
        assert (found.lifted[found.lines == k] == flags[1:]).all()
        assert (found.in_air[found.lines == k] == flags[:-1]).all()
    air, drawn = pit(found, in_air=True), pit(found, in_air=False)
    assert len(air.uniform) + len(drawn.uniform) == len(pit(found).uniform)
    assert len(air.uniform) == found.in_air.sum() > 0


def test_line_does_not_depend_on_its_neighbours(found, checkpoint, corpus):
    alone = forecast(checkpoint, corpus, [4], longest=40)
    mine = found.lines == 4
    np.testing.assert_allclose(alone.offset_nats, found.offset_nats[mine], rtol=1e-4, atol=1e-5)
    other = forecast(checkpoint, corpus, [4], longest=40, seed=1)
    assert np.abs(other.offset_nats - alone.offset_nats).max() > 1e-3


def test_line_of_one_point_has_no_nats(checkpoint, corpus):
    dot = Item(np.zeros((1, 3), dtype=np.float32), ". ", ())
    wave = Item(corpus.offsets(1)[:20], corpus.texts[1] + " ", ())
    nats = line_nats(forecast_items(checkpoint, [dot, wave]))
    assert nats.points.tolist() == [0, 19]
    assert nats.nats[0] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, d: forecast(c, d, []), "none of 0 lines"),
        (lambda c, d: forecast(c, d, [10_000]), "indices must be in 0 to 71, got 10000"),
        (lambda c, d: reliability([0.5], [1, 0]), "as many outcomes"),
        (lambda c, d: reliability([1.5], [1]), r"\[0, 1\]"),
        (lambda c, d: reliability([0.5], [1], edges=[0, 0.5, 0.5, 1]), "rise from 0 to 1"),
        (lambda c, d: Pit(np.zeros((3, 2))).histogram(0), "bins must be >= 1"),
        (lambda c, d: pit(forecast(c, d, [1], longest=5), in_air=True), "in the air"),
    ],
)
def test_bad_input_is_refused(call, message, checkpoint, corpus):
    with pytest.raises(ValueError, match=message):
        call(checkpoint, corpus)
