"""jPCA, its surrogates and tangling against planted dynamics and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import subspace_angles
from scipy.optimize import minimize

from handtraj.dynamics.rotations import jpca, shuffle_control, tangling
from handtraj.dynamics.surrogates import MAKERS

FloatArray = NDArray[np.float64]


def turns(frequency: float, steps: int, phase: float, radius: float = 1.0) -> FloatArray:
    """Points on a circle, anticlockwise, (steps, 2)."""
    angle = frequency * np.arange(steps) + phase
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


def planted(
    rng: np.random.Generator,
    frequencies: tuple[float, ...] = (0.5, 0.2, 0.07),
    noise: float = 0.0,
    steps: int = 60,
    conditions: int = 12,
    units: int = 40,
) -> tuple[list[FloatArray], FloatArray]:
    """Trials that turn in planes of their own, about a mean; and the axes (N, 2 P)."""
    axes = np.linalg.qr(rng.normal(size=(units, 2 * len(frequencies))))[0]
    mean = rng.normal(size=(steps, units))
    trials = []
    for _ in range(conditions):
        low = [turns(f, steps, rng.uniform(0, 2 * np.pi), rng.uniform(1, 2)) for f in frequencies]
        trials.append(np.hstack(low) @ axes.T + mean + noise * rng.normal(size=(steps, units)))
    return trials, axes


def smooth(
    rng: np.random.Generator, conditions: int = 24, units: int = 30, steps: int = 50
) -> list[FloatArray]:
    """Smooth noise in few dimensions, without dynamics of any kind."""
    axes = rng.normal(size=(8, units)) * (0.8 ** np.arange(8))[:, None]
    lag = np.subtract.outer(np.arange(steps), np.arange(steps))
    root = np.linalg.cholesky(np.exp(-(lag**2) / (2 * 4.0**2)) + 1e-6 * np.eye(steps))
    return [root @ rng.normal(size=(steps, 8)) @ axes for _ in range(conditions)]


def test_planted_rotation_is_found() -> None:
    """Frequencies, planes, direction and fit; noise does not move them much."""
    for noise, angle in ((0.0, 1e-6), (0.05, 2.0)):
        trials, axes = planted(np.random.default_rng(1), noise=noise)
        found = jpca(trials)
        np.testing.assert_allclose(found.frequencies, [0.5, 0.2, 0.07], rtol=0.01)
        for k in range(3):
            true = axes[:, 2 * k : 2 * k + 2]
            assert np.degrees(subspace_angles(found.planes[k], true)).max() < angle
            # The turn goes from the first axis to the second, as it was planted.
            assert np.linalg.det(true.T @ found.planes[k]) > 0.9
        np.testing.assert_allclose(found.periods, 2 * np.pi / found.frequencies)
        if not noise:
            assert found.skew_r2 == pytest.approx(1)
            assert found.ratio == pytest.approx(1)
            assert found.captured.sum() == pytest.approx(1)


def test_rotation_is_exact_however_fast_and_in_units_of_the_step() -> None:
    """Two radians a step, at 5 ms a step."""
    trials, _ = planted(np.random.default_rng(2), (2.0,))
    found = jpca(trials, dimension=2, step=0.005)
    np.testing.assert_allclose(found.frequencies, [2.0 / 0.005], rtol=1e-9)


def test_projections_turn_anticlockwise_and_keep_their_variance() -> None:
    """The angle in the plane grows by the frequency; first axis the longer one."""
    trials, _ = planted(np.random.default_rng(3))
    found = jpca(trials)
    pooled = np.concatenate(found.projections)
    for k, frequency in enumerate((0.5, 0.2, 0.07)):
        x, y = found.projections[4][:, k].T
        np.testing.assert_allclose(np.diff(np.unwrap(np.arctan2(y, x))), frequency, rtol=1e-6)
        assert pooled[:, k, 0].var() >= pooled[:, k, 1].var()
        np.testing.assert_allclose(found.planes[k].T @ found.planes[k], np.eye(2), atol=1e-12)


def test_skew_fit_is_the_least_squares_one() -> None:
    """Against a numerical search over the free entries of a skew matrix."""
    rng = np.random.default_rng(4)
    trials = [np.cumsum(rng.normal(size=(30, 5)), axis=0) for _ in range(4)]
    found = jpca(trials, dimension=4)
    mean = np.mean(trials, axis=0)
    low = [(t - mean) @ found.basis for t in trials]
    mid = np.concatenate([(t[1:] + t[:-1]) / 2 for t in low])
    change = np.concatenate([t[1:] - t[:-1] for t in low])
    upper = np.triu_indices(4, 1)

    def loss(entries: FloatArray) -> float:
        m = np.zeros((4, 4))
        m[upper] = entries
        return float(((change - mid @ (m - m.T).T) ** 2).sum())

    best = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(found.skew[upper], best.x, atol=1e-6)
    np.testing.assert_allclose(found.skew, -found.skew.T, atol=1e-12)
    assert found.skew_r2 == pytest.approx(1 - best.fun / (change**2).sum())
    free = np.linalg.lstsq(mid, change, rcond=None)[0].T
    np.testing.assert_allclose(found.free, free)


def test_decay_does_not_turn() -> None:
    """Linear dynamics with real eigenvalues: the free fit is whole, the skew one poor."""
    rng = np.random.default_rng(5)
    rates = np.array([0.95, 0.9, 0.85, 0.8])
    trials = [rng.normal(size=4) * rates ** np.arange(40)[:, None] for _ in range(60)]
    found = jpca(trials, dimension=4)
    assert found.free_r2 == pytest.approx(1)
    assert found.skew_r2 < 0.1
    # Through the mean of both steps a decay by r has slope 2 (r - 1) / (r + 1).
    np.testing.assert_allclose(
        np.sort(np.linalg.eigvals(found.free).real), np.sort(2 * (rates - 1) / (rates + 1))
    )


def test_white_noise_has_no_dynamics() -> None:
    rng = np.random.default_rng(6)
    found = jpca([rng.normal(size=(200, 10)) for _ in range(10)])
    assert found.skew_r2 < 0.02
    assert found.free_r2 < 0.04


@pytest.mark.parametrize("kind", ["tensor", "phase", "reverse", "time"])
def test_controls_tell_rotation_from_none(kind: str) -> None:
    """A planted rotation beats every surrogate; smooth noise only the one that is not smooth."""
    rng = np.random.default_rng(7)
    trials, _ = planted(rng, noise=0.2, steps=40, conditions=16)
    turning = shuffle_control(trials, 39, rng, kind=kind)
    assert turning.p_skew_r2 == pytest.approx(1 / 40)
    assert turning.skew_r2 == pytest.approx(jpca(trials).skew_r2)
    assert turning.null_ratio.shape == turning.null_skew_r2.shape == (39,)
    if kind == "time":
        assert turning.null_skew_r2.max() < 0.1
        return
    p = [shuffle_control(smooth(rng), 39, rng, kind=kind).p_skew_r2 for _ in range(6)]
    # Six uniform p: all below 0.2 would happen once in 15,000.
    assert max(p) > 0.2
    assert np.mean(p) > 0.15


def test_decay_passes_no_control() -> None:
    rng = np.random.default_rng(8)
    rates = 0.95 - 0.05 * np.arange(6)
    trials = [rng.normal(size=6) * rates ** np.arange(30)[:, None] for _ in range(24)]
    assert shuffle_control(trials, 39, rng, kind="tensor").p_skew_r2 > 0.2


def test_tensor_surrogates_keep_three_covariances() -> None:
    """Mean second moments over many draws against those of the data, along each mode."""
    rng = np.random.default_rng(9)
    data = np.stack(smooth(rng, conditions=9, units=5, steps=12))
    make = MAKERS["tensor"](list(data), rng)
    draws = np.stack([np.stack(make()) for _ in range(1500)])
    for letters in ("dkta,dkua->tu", "dkta,dktb->ab", "dkta,dlta->kl"):
        mean = np.einsum(letters, draws, draws) / len(draws)
        true = np.einsum(letters, data[None], data[None])
        assert np.abs(mean - true).max() < 0.05 * np.abs(true).max()


def test_phase_surrogates_keep_spectra_and_lose_lags() -> None:
    """A cosine that fits the loop forth and back stays one, of another phase a component."""
    rng = np.random.default_rng(10)
    # cos(pi k (t + 1/2) / T) runs on smoothly where the trial is turned back.
    wave = np.cos(np.pi * 6 * (np.arange(30) + 0.5) / 30)
    made = MAKERS["phase"]([np.column_stack([wave, wave, 2 * wave])], rng)()[0]
    turn = np.exp(2j * np.pi * 3 * np.arange(30) / 30)
    shares = made.T @ turn * 2 / 30
    np.testing.assert_allclose(np.abs(shares), [1, 1, 2], atol=1e-12)
    np.testing.assert_allclose(made, (shares * turn.conj()[:, None]).real, atol=1e-12)
    assert np.abs(np.diff(np.angle(shares))).min() > 0.05


def test_tangling_of_a_circle_and_of_a_crossing() -> None:
    """Closed forms: a circle turns sin w a step and lies 2 r apart at most."""
    w = 2 * np.pi / 100
    circle = tangling([turns(w, 201, 0.0, 3.0)])[0]
    # epsilon is 0.1 r² but for the one step that is counted twice.
    np.testing.assert_allclose(circle, np.sin(w) ** 2 * 4 / 4.1, rtol=0.01)
    angle = w * np.arange(200)
    eight = np.column_stack([np.sin(angle), np.sin(2 * angle) / 2])
    q = tangling([eight], epsilon=0.0625)[0]
    # At the crossing the speeds are (1, 1) w and (-1, 1) w, and the places equal.
    assert q[50 * 2] == pytest.approx(q.max(), rel=0.05)
    assert q[50 * 2] > 0.98 * 4 * w**2 / 0.0625
    assert q.max() > 10 * circle.max()
    np.testing.assert_allclose(tangling([eight])[0], q)
    np.testing.assert_allclose(tangling([eight], step=0.5)[0], 4 * q)


def test_tangling_in_blocks_is_the_plain_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several trials, against a double loop; blocks of a few rows."""
    rng = np.random.default_rng(11)
    trials = [rng.normal(size=(n, 3)) for n in (7, 12, 5)]
    monkeypatch.setattr("handtraj.dynamics.rotations._BLOCK", 50)
    found = tangling(trials, epsilon=0.3)
    x = np.concatenate(trials)
    d = np.concatenate([np.gradient(t, axis=0, edge_order=2) for t in trials])
    plain = [
        max(((d[i] - d[j]) ** 2).sum() / (((x[i] - x[j]) ** 2).sum() + 0.3) for j in range(len(x)))
        for i in range(len(x))
    ]
    assert [len(q) for q in found] == [7, 12, 5]
    np.testing.assert_allclose(np.concatenate(found), plain)


def test_bad_input_is_refused_in_one_line() -> None:
    rng = np.random.default_rng(12)
    good = [rng.normal(size=(20, 8)) for _ in range(4)]
    flat = [np.zeros((20, 8))] * 4
    bad = np.full((20, 8), np.nan)
    cases = [
        (lambda: jpca([]), "at least one trial"),
        (lambda: jpca([good[0], good[1][:, :5]]), "same N"),
        (lambda: jpca([good[0], bad]), "finite"),
        (lambda: jpca([good[0][:1]] * 2), "2 steps or more"),
        (lambda: jpca([good[0], good[1][:9]]), "one length"),
        (lambda: jpca(good[:1]), "two or more"),
        (lambda: jpca(good, dimension=5), "even"),
        (lambda: jpca(good, dimension=10), r"rank of the centred data \(8\)"),
        (lambda: jpca(flat, dimension=2), r"rank of the centred data \(0\)"),
        (lambda: jpca(good, step=0), "step"),
        (lambda: jpca([np.tile(t[:1], (9, 1)) for t in good], dimension=2), "never change"),
        (lambda: shuffle_control(good, 3, rng, kind="other"), "kind must be one of"),
        (lambda: shuffle_control(good, 0, rng), "draws"),
        (lambda: shuffle_control([good[0], good[1][:9]], 3, rng, subtract_mean=False), "one len"),
        (
            lambda: shuffle_control(good[:1], 3, rng, subtract_mean=False, kind="reverse"),
            "two or more",
        ),
        (lambda: tangling([good[0][:2]]), "3 steps"),
        (lambda: tangling(flat), "epsilon"),
        (lambda: tangling(good, epsilon=-1.0), "epsilon"),
        (lambda: tangling(good, step=np.inf), "step"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
