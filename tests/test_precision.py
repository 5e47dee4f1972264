"""Precision of products: what may be chosen, and that short products stay near."""

import pytest
import torch
from helpers import small_network

from handtraj.layers import WindowedLayer
from handtraj.mixture import Mixture
from handtraj.network import Network, NetworkConfig
from handtraj.precision import Arithmetic, choose_arithmetic

CPU = torch.device("cpu")


def test_small_networks_stay_with_torch_in_float32():
    """Nothing to gain: no probe."""
    assert choose_arithmetic(small_network(), CPU) == Arithmetic("float32", "torch")


def test_probe_chooses_what_runs_here_and_leaves_the_network_alone():
    """A network worth a probe: the answer can be trained in; network and gradients as before."""
    network = Network(NetworkConfig(units=200))
    chosen = choose_arithmetic(network, CPU, steps=12, batch=4)
    assert chosen.products in ("float32", "bfloat16")
    assert chosen.kernels in ("torch", "compiled")
    assert (network.products, network.kernels) == (torch.float32, "torch")
    assert all(p.grad is None for p in network.parameters())
    asked = {"products": chosen.products, "kernels": chosen.kernels}
    assert choose_arithmetic(network, CPU, **asked, steps=4, batch=2) == chosen


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ({"products": "half"}, "precision must be one of auto, float32, bfloat16"),
        ({"kernels": "fast"}, "kernels must be one of auto, torch, compiled"),
    ],
)
def test_unknown_arithmetic_is_refused(asked, known):
    """The message lists what there is."""
    with pytest.raises(ValueError, match=known):
        choose_arithmetic(small_network(), CPU, **asked)


def gradients(layer_inputs, weights, products):
    """Gradients of a plain function of the windowed layer's outputs."""
    outs, windows, _, _ = WindowedLayer.apply(
        layer_inputs[0], *weights, *layer_inputs[1:], products
    )
    return torch.autograd.grad((outs.sin() * windows.sum(-1, keepdim=True)).sum(), weights)


def test_short_products_of_the_windowed_layer_keep_its_gradients_near():
    """bfloat16 keeps eight bits: gradients within 1e-2 of float32, relative to their norm."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    n, symbols, k, batch, steps = 32, 20, 3, 4, 30
    weights = [
        (draw(4 * n, symbols + n) / n**0.5).requires_grad_(),
        (0.2 * draw(3 * k, n) / n**0.5).requires_grad_(),
        torch.tensor([-1.0] * k + [0.0] * k + [-2.5] * k).requires_grad_(),
    ]
    text = torch.nn.functional.one_hot(
        torch.randint(0, symbols, (batch, 9), generator=generator), symbols
    ).float()
    inputs = [
        draw(steps, batch, 4 * n),
        text,
        torch.zeros(batch, n),
        torch.zeros(batch, n),
        torch.zeros(batch, symbols),
        torch.zeros(batch, k),
    ]
    exact = gradients(inputs, weights, torch.float32)
    short = gradients(inputs, weights, torch.bfloat16)
    for a, b in zip(exact, short, strict=True):
        assert float((a - b).norm() / a.norm()) < 1e-2
        assert not torch.equal(a, b)


def test_bfloat16_training_is_near_float32_where_it_runs():
    """Gradients of the whole network within 1e-2 in norm; skipped where no kernel exists."""
    network = small_network(units=32)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(25, 4, 3, generator=generator)
    text = network.one_hot(torch.randint(1, 80, (4, 8), generator=generator))

    def grads():
        network.zero_grad()
        raw = network(x, text).raw
        (-Mixture.from_raw(raw).log_prob(x)).mean().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    exact = grads()
    network.products = torch.bfloat16
    try:
        short = grads()
    except RuntimeError as error:
        pytest.skip(f"no bfloat16 LSTM on this processor: {error}")
    assert float((exact - short).norm() / exact.norm()) < 1e-2
