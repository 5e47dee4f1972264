"""Variance by style, letter and time; demixed components; dynamical similarity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handtraj.dynamics import (
    Letters,
    demix,
    dpca_array,
    dsa_distance,
    dsa_matrix,
    marginal_test,
    marginal_variances,
)

S, L, T = 4, 3, 5
#: Zero-sum factors with mean squares 2.5, 2/3 and 2.
STYLE = np.array([-2.0, -1, 1, 2])
LETTER = np.array([-1.0, 0, 1])
TIME = np.array([-2.0, -1, 0, 1, 2])


def factors() -> NDArray[np.float64]:
    """One unit for each marginal, (7, S, L, T); its offset is no variance."""
    ones = np.ones((S, L, T))
    s, l, t = STYLE[:, None, None] * ones, LETTER[:, None] * ones, TIME * ones  # noqa: E741
    return np.stack([s, l, t, s * l, s * t, l * t, s * l * t]) + np.arange(7)[:, None, None, None]


def noisy(signal: NDArray[np.float64], groups: int, noise: float, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return signal + rng.normal(0, noise, (groups, *signal.shape))


def test_marginal_variances_have_their_closed_form() -> None:
    """Products of zero-sum factors fall into one marginal each."""
    x = factors()
    found = marginal_variances(x)
    s, l, t = 2.5, 2 / 3, 2.0  # noqa: E741
    expected = {"s": s, "l": l, "t": t, "sl": s * l, "st": s * t, "lt": l * t, "slt": s * l * t}
    assert found.variances == pytest.approx(expected, abs=1e-12)
    assert sum(found.variances.values()) == pytest.approx(x.var(axis=(1, 2, 3)).sum())
    total = sum(expected.values())
    joined = found.shares(joined=True)
    assert joined["s"] == pytest.approx((s + s * t) / total)
    assert joined["t"] == pytest.approx(t / total)
    assert sum(joined.values()) == pytest.approx(1)
    mixed = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0]
    turned = marginal_variances(np.einsum("mn,n...->m...", mixed, x))
    assert turned.variances == pytest.approx(expected, abs=1e-10)
    with pytest.raises(ValueError, match="needs trials"):
        found.shares(corrected=True)


def test_groups_take_the_noise_out() -> None:
    """Noise of variance v adds v times its degrees of freedom; the product of groups does not."""
    signal = factors()[:2] - np.array([0, 1])[:, None, None, None]
    plain, clean = [], []
    for seed in range(200):
        trials = noisy(signal, 2, 1.0, seed)
        found = marginal_variances(trials.mean(axis=0), trials)
        assert found.corrected is not None
        plain.append(found.variances["slt"])
        clean.append([found.corrected[name] for name in ("s", "slt")])
    freedom = (S - 1) * (L - 1) * (T - 1)
    assert np.mean(plain) == pytest.approx(2 * 0.5 * freedom / (S * L * T), rel=0.05)
    np.testing.assert_allclose(np.mean(clean, axis=0), [2.5, 0], atol=0.08)


def test_permutations_tell_factors_from_noise() -> None:
    """Small where planted, spread out where not, and bounded by the permutations there are."""
    signal = factors()
    signal[[0, 3, 4, 6]] = 0
    found = [marginal_test(noisy(signal, 3, 1.5, seed), draws=199) for seed in range(40)]
    assert np.mean([p["l"] < 0.1 for p in found]) > 0.9
    for name in ("s", "sl"):
        assert np.mean([p[name] < 0.1 for p in found]) < 0.3
        assert 0.3 < np.mean([p[name] for p in found]) < 0.7
    both = marginal_test(noisy(factors(), 3, 0.5, 0), draws=199)
    assert both["s"] < 0.02
    assert both["sl"] < 0.02
    two = np.stack([factors()[:, [0, 3]]] * 2)
    assert marginal_test(two, draws=199)["s"] > 0.4


def test_demixed_components_agree_with_closed_form() -> None:
    """Planted factors in mixed units: what the package explains is what the formula says."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(12, 12)))[0][:, :7]
    signal = np.einsum("mn,n...->m...", axes, factors())
    trials = noisy(signal, 3, 0.05, 1)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = demix(trials.mean(axis=0), trials, draws=99)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    shares = found.marginals.shares(joined=True)
    exact = marginal_variances(factors()).shares(joined=True)
    assert shares == pytest.approx(exact, abs=0.01)
    for name, share in exact.items():
        assert found.explained[name].sum() == pytest.approx(share, abs=0.01)
        assert found.components[name].shape == (3, S, L, T)
        assert found.decoders[name].shape == found.encoders[name].shape == (12, 3)
        assert found.purity[name][0] > 0.98
    assert found.held_out is not None
    assert min(found.held_out.values()) > 0.9
    assert found.p_values is not None
    assert max(found.p_values.values()) < 0.05
    again = demix(trials.mean(axis=0), trials, draws=99)
    np.testing.assert_array_equal(again.components["s"], found.components["s"])
    alone = demix(signal, regularizer=1e-6)
    assert alone.p_values is None
    assert alone.marginals.corrected is None


def letters(styles: str = "AB", texts: tuple[str, ...] = ("abc", "bca", "cab", "abd")) -> Letters:
    """Units: place of the letter, place of the style, time, a constant, number of the text."""
    rows = [(s, t, n, c) for s in styles for n, t in enumerate(texts) for c in t]
    warped = np.zeros((len(rows), 4, 5), np.float32)
    for k, (s, _, n, c) in enumerate(rows):
        warped[k] = ["abcd".index(c), styles.index(s), 0, 7, n]
    warped[..., 2] = np.arange(4)
    style, text, number, character = (np.array(v) for v in zip(*rows, strict=True))
    writing = number + 10 * (style == "B")
    return Letters(warped, style, text, writing, character, writing, writing)


def test_array_of_letters_is_complete() -> None:
    """A letter that one group lacks is left out, and means are those of the groups."""
    found = dpca_array(letters(), components=None)
    assert found.styles == ("A", "B")
    assert found.characters == ("a", "b", "c")
    assert found.means.shape == (5, 2, 3, 4)
    assert found.trials.shape == (2, 5, 2, 3, 4)
    np.testing.assert_allclose(found.means[0], np.arange(3)[None, :, None] * np.ones((2, 3, 4)))
    np.testing.assert_allclose(found.means[1, 1], 1)
    np.testing.assert_allclose(found.means[2, 0, 0], np.arange(4))
    np.testing.assert_allclose(found.trials[:, 3], 7)
    few = dpca_array(letters(), components=3)
    assert few.means.shape == (3, 2, 3, 4)
    assert few.kept == pytest.approx(1, abs=0.1)
    full, cut = (marginal_variances(x.means).variances for x in (found, few))
    assert sum(cut.values()) == pytest.approx(few.kept * sum(full.values()))
    by_writing = dpca_array(letters(texts=("abc", "abc", "cab", "cab")), by="writing")
    assert by_writing.characters == ("a", "b", "c")


def test_bad_arrays_are_refused() -> None:
    """One line each."""
    with pytest.raises(ValueError, match="got 1 styles"):
        dpca_array(letters("A"))
    with pytest.raises(ValueError, match="style 'A' has no letter 'd' in group"):
        dpca_array(letters(), characters="abd")
    with pytest.raises(ValueError, match="0 letters are found in every group"):
        dpca_array(letters(texts=("ab", "cd")))
    with pytest.raises(ValueError, match="'text' or 'writing', got 'ink'"):
        dpca_array(letters(), by="ink")
    with pytest.raises(ValueError, match="two styles and two letters"):
        marginal_variances(np.zeros((3, 1, 4, 5)))
    with pytest.raises(ValueError, match="two groups at least"):
        demix(factors(), factors()[None])
    with pytest.raises(ValueError, match="from 1 to 7 units, got 8"):
        demix(factors(), components=8)
    with pytest.raises(ValueError, match="regularizer must be None or a number"):
        demix(factors(), regularizer=-1)


def spirals(frequency: float, axes_seed: int, trials: int = 6) -> list[NDArray[np.float64]]:
    """Rotations by `frequency` radians a step, in a plane of six units of its own."""
    rng = np.random.default_rng(axes_seed)
    plane = np.linalg.qr(rng.normal(size=(6, 6)))[0][:, :2]
    angles = [
        frequency * np.arange(40 + k)[:, None] + rng.uniform(0, 2 * np.pi) for k in range(trials)
    ]
    return [np.concatenate([np.cos(a), np.sin(a)], axis=1) @ plane.T for a in angles]


def test_dynamical_distance_has_its_closed_form() -> None:
    """None between turned copies; between frequencies that of the eigenvalues."""
    options = {"delays": 1, "rank": 2, "components": 2}
    a = spirals(0.3, 1)
    assert dsa_distance(a, spirals(0.3, 2), **options) < 1e-3
    expected = abs(np.exp(0.3j) - np.exp(0.8j)) ** 2
    assert dsa_distance(a, spirals(0.8, 3), **options) == pytest.approx(expected, abs=0.01)
    options |= {"method": "angular", "iterations": 100}
    near = dsa_distance(a, spirals(0.3, 2), **options)
    far = dsa_distance(a, spirals(0.8, 3), **options)
    assert near < 0.1
    assert far == pytest.approx(0.5, abs=0.05)
    torch.manual_seed(99)
    assert dsa_distance(a, spirals(0.8, 3), **options) == far


def test_matrix_of_distances_has_its_floor() -> None:
    """Halves of one group on the diagonal, by text where texts are given."""
    groups = {"slow": spirals(0.3, 1), "turned": spirals(0.3, 2), "fast": spirals(0.8, 3)}
    texts = {name: [f"t{k // 2}" for k in range(6)] for name in groups}
    found = dsa_matrix(groups, texts=texts, delays=2, rank=2, components=2)
    assert found.names == ("slow", "turned", "fast")
    np.testing.assert_array_equal(found.distances, found.distances.T)
    assert found.floor.max() < 1e-3
    assert found.distances[0, 1] < 1e-3
    assert found.distances[0, 2] > 0.1


def test_bad_trials_are_refused() -> None:
    """One line each."""
    a = spirals(0.3, 1)
    with pytest.raises(ValueError, match="more than 41 steps"):
        dsa_distance(a, a, delays=41)
    with pytest.raises(ValueError, match="for rank 30"):
        dsa_distance(a, a, delays=2, rank=30)
    with pytest.raises(ValueError, match="does not move"):
        dsa_distance(a, [np.ones((40, 6))] * 6, delays=1, rank=2)
    with pytest.raises(ValueError, match="method must be one of"):
        dsa_distance(a, a, method="cosine")
    with pytest.raises(ValueError, match="rank must be >= 1"):
        dsa_distance(a, a, rank=0)
    with pytest.raises(ValueError, match="two groups at least, got 1"):
        dsa_matrix({"a": a})
    with pytest.raises(ValueError, match="has no trial in one half"):
        dsa_matrix({"a": a, "b": a[:1]})
