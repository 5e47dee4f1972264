"""The compiled layers against steps one by one, and what happens where they cannot be had."""

import subprocess
import sys

import pytest
import torch
from helpers import small_corpus, small_network

from handtraj.layers import LOG_CAP
from handtraj.mixture import Mixture
from handtraj.native import CompilerError, build, compiled_layers
from handtraj.network import Network, NetworkConfig
from handtraj.precision import Arithmetic, choose_arithmetic
from handtraj.training import train

CPU = torch.device("cpu")


def inputs(network, steps, batch, length, seed=0):
    """Random offsets, and texts of which the second is short and the third empty."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, 3, generator=generator)
    codes = torch.randint(1, network.config.symbols, (batch, length), generator=generator)
    if batch > 2:
        codes[1, length // 2 :] = 0
        codes[2] = 0
    return x, network.one_hot(codes)


def start(network, batch, seed=5):
    """A state that is not zero."""
    generator = torch.Generator().manual_seed(seed)
    state = network.initial_state(batch)
    for part in (state.h, state.c, state.window):
        part.copy_(0.3 * torch.randn(part.shape, generator=generator))
    state.kappa.copy_(torch.rand(state.kappa.shape, generator=generator))
    return state


def by_steps(network, x, text, state):
    """The definition: one step after the other, gradients by autograd."""
    raws = []
    for point in x:
        raw, state = network.step(point, text, state)
        raws.append(raw)
    return torch.stack(raws), state


def gradients(network, raw):
    """Of a fixed weighting of the outputs, by parameter."""
    network.zero_grad()
    weight = torch.randn(raw.shape, generator=torch.Generator().manual_seed(1))
    (raw * weight).sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters()}


def distance(a, b):
    """Norm of the difference in parts of the norm."""
    return float((a - b).norm() / (a.norm() + 1e-12))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("units", "layers", "batch", "length"), [(12, 3, 4, 9), (13, 2, 1, 1), (50, 1, 7, 40)]
)
def test_outputs_states_and_gradients_equal_single_steps(
    compiled, units, layers, batch, length, threads
):
    """float32, 1e-5, whatever the sizes: none is a multiple of a vector's length."""
    network = small_network(units=units, layers=layers)
    x, text = inputs(network, 23, batch, length)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        network.kernels = "compiled"
        reading = network(x, text, start(network, batch))
        fast = gradients(network, reading.raw)
    finally:
        torch.set_num_threads(before)
    raw, state = by_steps(network, x, text, start(network, batch))
    torch.testing.assert_close(reading.raw, raw, atol=1e-5, rtol=0)
    for found, expected in (
        (reading.state.h, state.h),
        (reading.state.c, state.c),
        (reading.state.window, state.window),
        (reading.state.kappa, state.kappa),
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    slow = gradients(network, raw)
    for name, expected in slow.items():
        assert distance(expected, fast[name]) < 1e-5, name


def test_window_head_beyond_its_cap_gets_no_gradient(compiled):
    """As in torch: past e^6 the clamp is flat."""
    network = small_network(layers=1)
    with torch.no_grad():
        network.window_head.bias[:2] = LOG_CAP + 1
        network.window_head.weight[:2] = 0
    x, text = inputs(network, 9, 3, 6)
    network.kernels = "compiled"
    found = gradients(network, network(x, text).raw)["window_head.bias"]
    expected = gradients(network, by_steps(network, x, text, network.initial_state(3))[0])
    assert (found[:2] == 0).all()
    assert distance(expected["window_head.bias"], found) < 1e-5


def test_bfloat16_products_stay_within_a_hundredth(compiled):
    """Gradients of the published size; eight bits of each factor are kept."""
    network = Network(NetworkConfig(units=96), generator=torch.Generator().manual_seed(0))
    x, text = inputs(network, 40, 6, 12)

    def of_loss():
        network.zero_grad()
        (-Mixture.from_raw(network(x, text).raw).log_prob(x)).mean().backward()
        return {name: p.grad.clone() for name, p in network.named_parameters()}

    exact = of_loss()
    Arithmetic("bfloat16", "compiled").apply(network)
    try:
        short = of_loss()
    except RuntimeError as error:
        pytest.skip(f"no bfloat16 products on this processor: {error}")
    for name, expected in exact.items():
        assert 0 < distance(expected, short[name]) < 2e-2, name


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_what_is_not_finite_is_not_hidden(compiled, products):
    """A NaN in the ink reaches the output, so that training stops."""
    network = small_network(units=16)
    x, text = inputs(network, 8, 3, 5)
    x[3, 1, 0] = float("nan")
    Arithmetic(products, "compiled").apply(network)
    try:
        raw = network(x, text).raw
    except RuntimeError as error:
        pytest.skip(f"no {products} products on this processor: {error}")
    assert raw[3:, 1].isnan().any(-1).all()
    assert raw[:, 0].isfinite().all()


def test_training_with_compiled_layers_resumes_bit_for_bit(compiled, tmp_path):
    """And keeps its kernels without being told."""
    from test_training import FAST, SIZE, rows, weights

    corpus = small_corpus()
    train(corpus, tmp_path / "one", config=FAST, network=SIZE, kernels="compiled")
    train(corpus, tmp_path / "two", config=FAST, network=SIZE, kernels="compiled", stop_after=7)
    train(corpus, tmp_path / "two", resume=True)
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    legs = [row["kernels"] for row in rows(tmp_path / "two") if "leg" in row]
    assert legs == ["compiled", "compiled"]


def test_without_a_compiler_torch_does_it(monkeypatch, tmp_path):
    """ "auto" goes on with torch; asking for the compiled layers says what is missing."""
    monkeypatch.setattr(build, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    compiled_layers.cache_clear()
    network = Network(NetworkConfig(units=200))
    try:
        with pytest.raises(CompilerError, match="no C\\+\\+ compiler"):
            compiled_layers()
        found = choose_arithmetic(network, CPU, products="float32", steps=4, batch=2)
        assert found.kernels == "torch"
        with pytest.raises(ValueError, match="--kernels auto"):
            choose_arithmetic(network, CPU, kernels="compiled", steps=4, batch=2)
    finally:
        compiled_layers.cache_clear()
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_fails_says_why_and_leaves_nothing(monkeypatch, tmp_path):
    """The first line with an error, and an empty folder."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'scan.cpp:1: error: out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    folder = tmp_path / "cache"
    monkeypatch.setattr(build, "user_cache_path", lambda name: folder)
    monkeypatch.setenv("CXX", str(broken))
    compiled_layers.cache_clear()
    try:
        with pytest.raises(CompilerError, match="out of order"):
            compiled_layers()
    finally:
        compiled_layers.cache_clear()
    assert not list(folder.iterdir())


def test_import_compiles_nothing():
    """Only training asks for the compiler."""
    code = "import handtraj, torch; print(hasattr(torch.ops.handtraj, 'lstm_forward'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
