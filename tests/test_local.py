"""Held map, slow points, spectra and time constants against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import small_network
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import lfilter

from handtraj.dynamics.local import (
    autocorrelation,
    hold,
    jacobian,
    layer_spectra,
    rotation_period,
    slow_points,
    spectrum,
    speed,
    state_vectors,
    time_constants,
    unit_time_constants,
)
from handtraj.network import Network, NetworkConfig, State

FloatArray = NDArray[np.float64]
X = np.array([0.4, -0.7, 0.0])


def letter(symbols: int = 80, code: int = 5) -> FloatArray:
    """A window that sees one symbol."""
    return np.eye(symbols)[code]


def sigmoid(v: FloatArray | float) -> FloatArray | float:
    return 1 / (1 + np.exp(-v))


def stepped(network: Network, state: FloatArray, x: FloatArray, window: FloatArray) -> FloatArray:
    """The held step of one state written out in numpy, unit by unit."""
    count, n = network.config.layers, network.config.units
    h, c = state[: count * n].reshape(count, n), state[count * n :].reshape(count, n)
    below = np.concatenate([x, window])
    hs, cs = [], []
    for k in range(count):
        w_in, w_rec, bias = (
            p[k].detach().double().numpy()
            for p in (network.input_weight, network.recurrent_weight, network.gate_bias)
        )
        seen = np.concatenate([below, *hs[-1:]])
        i, f, g, o = (
            w_in[m * n : (m + 1) * n] @ seen
            + w_rec[m * n : (m + 1) * n] @ h[k]
            + bias[m * n : (m + 1) * n]
            for m in range(4)
        )
        cs.append(sigmoid(f) * c[k] + sigmoid(i) * np.tanh(g))
        hs.append(sigmoid(o) * np.tanh(cs[-1]))
    return np.concatenate(hs + cs)


def random_state(network: Network, seed: int = 0, rows: int | None = None) -> FloatArray:
    """States with outputs below 1 and larger cells."""
    size = network.config.layers * network.config.units
    rng = np.random.default_rng(seed)
    shape = (size,) if rows is None else (rows, size)
    return np.concatenate([rng.uniform(-0.9, 0.9, shape), rng.normal(0, 1.5, shape)], -1)


def leaky_network() -> Network:
    """Three layers that hear the layer below and the input, but not themselves."""
    network = small_network(units=5, seed=2)
    with torch.no_grad():
        for p in network.recurrent_weight:
            p.zero_()
        for p in network.input_weight:
            p.mul_(3)
    return network


def bistable_network(loop: float = 6.0) -> Network:
    """One unit with gates fixed by their biases and g = tanh(loop * h)."""
    network = Network(NetworkConfig(symbols=4, units=1, layers=1, windows=1, components=1))
    with torch.no_grad():
        network.input_weight[0].zero_()
        network.recurrent_weight[0].copy_(torch.tensor([[0.0], [0.0], [loop], [0.0]]))
        network.gate_bias[0].copy_(torch.tensor([-0.5, 1.5, 0.0, 1.0]))
    return network


def test_held_map_is_the_networks_step() -> None:
    """With a window that cannot move, the step of writing is the held map."""
    network = small_network(seed=1).double()
    with torch.no_grad():
        # Heights 1 / K, widths 0: the window is the sum over the text, one symbol.
        network.window_head.weight.zero_()
        network.window_head.bias[4:8] = -1e9
        text = network.one_hot(torch.tensor([[5]]))
        state = random_state(network)
        h, c = (torch.tensor(v.reshape(3, 1, 12)) for v in np.split(state, 2))
        start = State(h, c, text[:, 0], torch.zeros(1, 4, dtype=torch.float64))
        _, end = network.step(torch.tensor(X)[None], text, start)
    held = hold(network, X, letter())
    np.testing.assert_allclose(end.window[0], letter())
    np.testing.assert_allclose(held(torch.tensor(state)), state_vectors(end)[0], atol=1e-14)
    np.testing.assert_allclose(stepped(network, state, X, letter()), state_vectors(end)[0])


def test_states_come_in_several_forms() -> None:
    """A State, the h and c of a writing, and plain vectors are one thing."""
    network = small_network()
    vectors = random_state(network, rows=4)
    h, c = (v.reshape(4, 3, 12) for v in np.split(vectors, 2, axis=1))
    state = State(
        torch.tensor(h.transpose(1, 0, 2)),
        torch.tensor(c.transpose(1, 0, 2)),
        torch.zeros(4, 80),
        torch.zeros(4, 4),
    )
    for form in (state, (h, c), vectors, torch.tensor(vectors)):
        np.testing.assert_array_equal(state_vectors(form), vectors)
    np.testing.assert_array_equal(state_vectors((h[2], c[2])), vectors[2])
    np.testing.assert_array_equal(
        jacobian(network, state.select(torch.tensor([1])), X, letter()),
        jacobian(network, vectors[1], X, letter()),
    )


def test_speed_is_half_the_squared_step() -> None:
    network = small_network(seed=4)
    states = random_state(network, rows=3)
    gap = np.array([stepped(network, s, X, letter()) - s for s in states])
    expected = 0.5 * (gap**2).sum(1)
    np.testing.assert_allclose(speed(network, states, X, letter()), expected)
    np.testing.assert_allclose(speed(network, states[1], X, letter()), expected[1])


def test_jacobian_is_that_of_finite_differences() -> None:
    """Against central differences of the step written in numpy, and automatic ones."""
    network = small_network(units=6, seed=3)
    state, window = random_state(network, 1), np.random.default_rng(0).uniform(size=80)
    found = jacobian(network, state, X, window)
    eye = 1e-6 * np.eye(len(state))
    plain = [
        (stepped(network, state + e, X, window) - stepped(network, state - e, X, window)) / 2e-6
        for e in eye
    ]
    np.testing.assert_allclose(found, np.transpose(plain), atol=1e-8)
    held = hold(network, X, window)
    automatic = torch.autograd.functional.jacobian(held, torch.tensor(state))
    np.testing.assert_allclose(found, automatic, atol=1e-13)


def test_one_layer_is_torchs_own_cell() -> None:
    """Map and Jacobian of one layer against torch.nn.LSTMCell and its autograd."""
    network = small_network(units=7, layers=1, seed=5).double()
    cell = torch.nn.LSTMCell(83, 7, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.copy_(network.input_weight[0])
        cell.weight_hh.copy_(network.recurrent_weight[0])
        cell.bias_ih.copy_(network.gate_bias[0])
        cell.bias_hh.zero_()
    drive = torch.tensor(np.concatenate([X, letter()]))[None]

    def theirs(s: torch.Tensor) -> torch.Tensor:
        return torch.cat(cell(drive, (s[None, :7], s[None, 7:])), -1)[0]

    state = random_state(network)
    plain = torch.autograd.functional.jacobian(theirs, torch.tensor(state))
    np.testing.assert_allclose(jacobian(network, state, X, letter()), plain, atol=1e-13)


def test_layer_spectra_are_the_whole_spectrum() -> None:
    """Closed-form blocks against the large Jacobian: its blocks, zeros above, eigenvalues."""
    network = small_network(units=6, seed=6)
    state = random_state(network, 2)
    whole = jacobian(network, state, X, letter())
    held = hold(network, X, letter())
    for k, block in enumerate(held.blocks(torch.tensor(state))):
        own = np.r_[k * 6 : k * 6 + 6, 18 + k * 6 : 24 + k * 6]
        later = np.setdiff1d(np.arange(36), [i for m in range(k + 1) for i in _rows(m)])
        np.testing.assert_allclose(block, whole[np.ix_(own, own)], atol=1e-14)
        assert not whole[np.ix_(own, later)].any()
    values = layer_spectra(network, state, X, letter())
    assert values.shape == (3, 12)
    every = np.sort_complex(np.round(spectrum(whole), 9))
    np.testing.assert_allclose(np.sort_complex(np.round(values.ravel(), 9)), every, atol=1e-8)
    assert (np.diff(np.abs(values), axis=1) <= 0).all()
    several = layer_spectra(network, np.stack([state, state]), X, letter())
    np.testing.assert_allclose(several[1], values)


def _rows(layer: int) -> list[int]:
    return [*range(layer * 6, layer * 6 + 6), *range(18 + layer * 6, 24 + layer * 6)]


def test_implicit_step_solves_its_equation() -> None:
    """Layer by layer, against the large system."""
    network = small_network(units=6, seed=7)
    states = torch.tensor(random_state(network, 3, rows=2))
    held = hold(network, X, letter())
    shift = torch.tensor([[0.0], [0.7]], dtype=torch.float64)
    step = held.implicit_step(states, shift)
    for s, t, d in zip(states, shift, step, strict=True):
        matrix = (1 + t.item()) * np.eye(36) - jacobian(network, s, X, letter())
        np.testing.assert_allclose(matrix @ d.numpy(), held(s) - s, atol=1e-12)


@pytest.mark.parametrize("method", ["descend", "settle"])
def test_leaky_network_has_its_one_fixed_point(method: str) -> None:
    """Without recurrence c = i g / (1 - f), h = o tanh(c); eigenvalues f and 0."""
    network = leaky_network()
    below, hs, cs, forget = np.concatenate([X, letter()]), [], [], []
    for w, b in zip(network.input_weight, network.gate_bias, strict=True):
        seen = np.concatenate([below, *hs[-1:]])
        gates = (w.detach().double().numpy() @ seen + b.detach().double().numpy()).reshape(4, 5)
        i, f, g, o = sigmoid(gates[0]), sigmoid(gates[1]), np.tanh(gates[2]), sigmoid(gates[3])
        cs.append(i * g / (1 - f))
        hs.append(o * np.tanh(cs[-1]))
        forget.append(f)
    point = np.concatenate(hs + cs)
    starts = random_state(network, 5, rows=4)
    found = slow_points(network, starts, X, letter(), method=method, steps=400)
    assert len(found) == 1
    assert found.converged.all()
    assert found.counts.tolist() == [4]
    np.testing.assert_allclose(found.states[0], point, atol=1e-9)
    values = layer_spectra(network, found.states[0], X, letter())
    expected = np.sort(np.array(forget), axis=1)[:, ::-1]
    np.testing.assert_allclose(values[:, :5].real, expected, atol=1e-9)
    np.testing.assert_allclose(np.abs(values[:, 5:]), 0, atol=1e-9)
    np.testing.assert_allclose(time_constants(values[:, :5]), -1 / np.log(expected), rtol=1e-6)


def test_bistable_unit_has_a_saddle_between_two_wells() -> None:
    """c (1 - f) = i tanh(w o tanh c): zero, and a root found by bisection, of either sign."""
    network = bistable_network()
    i, f, o = sigmoid(-0.5), sigmoid(1.5), sigmoid(1.0)
    root = brentq(lambda c: c * (1 - f) - i * np.tanh(6 * o * np.tanh(c)), 0.1, 10, xtol=1e-14)
    grid = np.linspace(-2.5, 2.5, 11)
    starts = np.column_stack([o * np.tanh(grid), grid])
    found = slow_points(network, starts, np.zeros(3), np.zeros(4))
    cells = found.states[:, 1]
    order = np.argsort(cells)
    assert found.converged.all()
    np.testing.assert_allclose(cells[order], [-root, 0, root], atol=1e-9)
    np.testing.assert_allclose(found.states[:, 0], o * np.tanh(cells), atol=1e-9)
    assert found.counts.sum() == 11
    for c, state in zip(cells, found.states, strict=True):
        g = np.tanh(6 * o * np.tanh(c))
        expected = f + i * (1 - g**2) * 6 * o * (1 - np.tanh(c) ** 2)
        values = spectrum(jacobian(network, state, np.zeros(3), np.zeros(4)))
        np.testing.assert_allclose(values, [expected, 0], atol=1e-9)
        assert (abs(values[0]) > 1) == (abs(c) < 0.1)
    # Where the held network settles is a well, never the saddle, unless it starts there.
    wells = slow_points(network, starts[grid != 0], np.zeros(3), np.zeros(4), method="settle")
    np.testing.assert_allclose(np.sort(wells.states[:, 1]), [-root, root], atol=1e-9)
    assert wells.counts.tolist() == [5, 5]


def test_ghost_of_a_fixed_point_is_slow_but_not_converged() -> None:
    """Driven past the fold one well is gone; q keeps a minimum there, above zero."""
    network = bistable_network()
    with torch.no_grad():
        network.gate_bias[0][2] = 3.1  # g = tanh(6 h + 3.1)
    i, f, o = sigmoid(-0.5), sigmoid(1.5), sigmoid(1.0)
    grid = np.linspace(-4, 4, 4001)
    rest = i * np.tanh(6 * o * np.tanh(grid) + 3.1) - (1 - f) * grid
    ghost = grid[(grid < 0)][np.abs(rest[grid < 0]).argmin()]
    assert (np.diff(np.sign(rest)) != 0).sum() == 1
    start = np.array([[o * np.tanh(-1.0), -1.0]])
    found = slow_points(network, start, np.zeros(3), np.zeros(4))
    assert found.converged.tolist() == [False]
    assert found.slopes[0] < 1e-4
    assert found.speeds[0] > 1e-6
    assert found.states[0, 1] == pytest.approx(ghost, abs=0.1)


def test_search_of_a_start_does_not_depend_on_its_neighbours() -> None:
    network = small_network(seed=8)
    starts = random_state(network, 6, rows=20)
    for method in ("descend", "settle"):
        many = slow_points(network, starts, X, letter(), steps=5, method=method, unique=0)
        alone = slow_points(network, starts[18], X, letter(), steps=5, method=method)
        row = many.starts.tolist().index(18)
        np.testing.assert_allclose(many.states[row], alone.states[0], atol=1e-9)
    assert (np.diff(many.speeds) >= 0).all()
    np.testing.assert_allclose(many.speeds, speed(network, many.states, X, letter()))


def test_time_constants_and_periods_of_eigenvalues() -> None:
    values = np.array([np.exp(-1 / 7), 0.5j, 1, -1, 1j, 0, 2, np.exp(-0.1 + 0.3j)])
    np.testing.assert_allclose(
        time_constants(values),
        [7, 1 / np.log(2), np.inf, np.inf, np.inf, 0, -1 / np.log(2), 10],
    )
    assert not np.signbit(time_constants([0.0]))[0]
    np.testing.assert_allclose(
        rotation_period(values), [np.inf, 4, np.inf, 2, 4, np.inf, np.inf, 2 * np.pi / 0.3]
    )


def test_unit_time_constants_of_autoregressive_units() -> None:
    """AR(1) with coefficient exp(-1 / tau), in trials of several lengths."""
    rng = np.random.default_rng(9)
    tau = np.array([2.0, 5.0, 12.0])
    keep = np.exp(-1 / tau)
    trials = []
    for steps in (30_000, 50_000, 40_000):
        noise = rng.normal(size=(steps, 3))
        x = np.column_stack([lfilter([1], [1, -k], e) for k, e in zip(keep, noise.T, strict=True)])
        trials.append(np.column_stack([3 * x + 1, np.full(steps, 0.3)]))
    found = unit_time_constants(trials)
    np.testing.assert_allclose(found[:3], tau, rtol=0.1)
    assert np.isnan(found[3])
    # The lag itself against a sum written out.
    short = [t[:n] for t, n in zip(trials, (40, 3, 70), strict=True)]
    rho = autocorrelation(short, 4)
    mean = np.concatenate(short).mean(0)
    pairs = [(t[k] - mean, t[k + 4] - mean) for t in short for k in range(len(t) - 4)]
    zero = np.concatenate([t - mean for t in short])[:, :3].var(0)
    lag4 = np.mean([a * b for a, b in pairs], axis=0)[:3]
    np.testing.assert_allclose(rho[4, :3], lag4 / zero, rtol=1e-6)
    np.testing.assert_array_equal(rho[0, :3], 1)


def test_bad_input_is_refused_in_one_line() -> None:
    network = small_network(units=4)
    state = random_state(network)
    h = np.zeros((3, 4))
    trial = np.random.default_rng(0).normal(size=(30, 2))
    cases = [
        (lambda: hold(network, X[:2], letter()), r"x must have shape \(3,\)"),
        (lambda: hold(network, X, letter(10)), r"window must have shape \(80,\)"),
        (lambda: hold(network, X + np.inf, letter()), "x must be finite"),
        (lambda: speed(network, state[:5], X, letter()), r"state must have shape \(24,\)"),
        (lambda: speed(network, state + np.nan, X, letter()), "finite"),
        (lambda: state_vectors((h, h[:2])), "h and c"),
        (lambda: jacobian(network, np.stack([state] * 2), X, letter()), r"shape \(24,\), got"),
        (lambda: spectrum(np.ones((3, 2))), "square"),
        (lambda: slow_points(network, state, X, letter(), method="guess"), "descend, settle"),
        (lambda: slow_points(network, state, X, letter(), steps=0), "steps"),
        (lambda: slow_points(network, state, X, letter(), tolerance=0), "tolerance"),
        (lambda: slow_points(network, state, X, letter(), unique=-1), "unique"),
        (lambda: slow_points(network, np.empty((0, 24)), X, letter()), "got none"),
        (lambda: autocorrelation([trial], 30), "1 to 29"),
        (lambda: autocorrelation([trial], 0), "1 to 29"),
        (lambda: unit_time_constants([trial]), "lags must be 1 to 29"),
        (lambda: unit_time_constants([]), "at least one trial"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
