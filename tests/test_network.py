"""The network: fast reading against stepping, autograd, padding, the window."""

import pytest
import torch
from helpers import small_network

from handtraj.layers import LOG_CAP, window_parameters, window_weights
from handtraj.network import NetworkConfig, State, resolve_device


def inputs(network, steps=17, batch=4, length=9, seed=0, dtype=torch.float64):
    """Random offsets and texts of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, 3, generator=generator).to(dtype)
    codes = torch.randint(1, network.config.symbols, (batch, length), generator=generator)
    codes[1, 5:] = 0
    return x, network.to(dtype).one_hot(codes)


def stepped(network, x, text, state=None):
    """Run the loop of single steps."""
    state = state or network.initial_state(x.shape[1])
    raws = []
    for point in x:
        raw, state = network.step(point, text, state)
        raws.append(raw)
    return torch.stack(raws), state


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_forward_equals_a_loop_of_steps(layers):
    """Outputs and final state of the fast path, to 1e-5 in float32 and 1e-12 in float64."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        network = small_network(layers=layers)
        x, text = inputs(network, dtype=dtype)
        reading = network(x, text)
        raw, state = stepped(network, x, text)
        torch.testing.assert_close(reading.raw, raw, atol=tolerance, rtol=0)
        for fast, slow in zip(
            (reading.state.h, reading.state.c, reading.state.window, reading.state.kappa),
            (state.h, state.c, state.window, state.kappa),
            strict=True,
        ):
            torch.testing.assert_close(fast, slow, atol=tolerance, rtol=0)


def test_gradients_of_the_fast_path_equal_autograd_through_steps():
    """Every parameter, hand-written backward against plain autograd, to 1e-10."""
    network = small_network()
    x, text = inputs(network)
    out = network(x, text).raw
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).double()
    (out * weight).sum().backward()
    fast = {name: p.grad.clone() for name, p in network.named_parameters()}
    network.zero_grad()
    (stepped(network, x, text)[0] * weight).sum().backward()
    for name, p in network.named_parameters():
        torch.testing.assert_close(fast[name], p.grad, atol=1e-10, rtol=1e-9, msg=name)


def test_gradients_respect_the_cap_of_the_window():
    """Beyond the cap the window's logs get no gradient, as autograd's clamp says."""
    network = small_network()
    with torch.no_grad():
        network.window_head.bias[4:8] = LOG_CAP + 1
    x, text = inputs(network, steps=5)
    network(x, text).raw.sum().backward()
    fast = network.window_head.bias.grad.clone()
    network.zero_grad()
    stepped(network, x, text)[0].sum().backward()
    torch.testing.assert_close(fast, network.window_head.bias.grad)
    assert (fast[4:8] == 0).all()


def test_priming_then_continuing_equals_running_straight_through():
    """k points, then the rest from the state, against all at once."""
    network = small_network()
    x, text = inputs(network)
    whole = network(x, text).raw
    first = network(x[:7], text)
    rest = network(x[7:], text, first.state)
    torch.testing.assert_close(torch.cat([first.raw, rest.raw]), whole, atol=1e-12, rtol=0)
    raw, _ = stepped(network, x[7:], text, first.state)
    torch.testing.assert_close(raw, whole[7:], atol=1e-12, rtol=0)


def test_padding_of_text_and_batch_changes_nothing():
    """A row alone, without its padding, gives what it gives in the batch."""
    network = small_network()
    x, text = inputs(network)
    alone = network(x[:, 1:2], text[1:2, :5]).raw
    torch.testing.assert_close(network(x, text).raw[:, 1:2], alone, atol=1e-12, rtol=0)


def test_window_is_the_published_sum():
    """Weights against Graves' equation 46 written out in plain Python."""
    generator = torch.Generator().manual_seed(0)
    alpha, beta, kappa = (torch.rand(2, 3, generator=generator) * 3 for _ in range(3))
    weights = window_weights(alpha, beta, kappa, 6)
    for b in range(2):
        for u in range(6):
            expected = sum(
                float(alpha[b, k])
                * 2.718281828459045 ** (-float(beta[b, k]) * (float(kappa[b, k]) - u) ** 2)
                for k in range(3)
            )
            assert float(weights[b, u]) == pytest.approx(expected, rel=1e-5)


def test_window_vector_sums_the_symbols_it_looks_at():
    """The window's vector, summed over symbols, is the summed weight of the text."""
    network = small_network()
    x, text = inputs(network, steps=1)
    _, state = network.step(x[0], text, network.initial_state(4))
    alpha, beta, _ = window_parameters(network.window_head(state.h[0]))
    weights = window_weights(alpha, beta, state.kappa, text.shape[1])
    present = text.sum(-1)
    torch.testing.assert_close(state.window.sum(-1), (weights * present).sum(-1))


def test_positions_never_move_back():
    """kappa grows at every step, whatever the input."""
    network = small_network()
    x, text = inputs(network)
    kappa = network(100 * x, text).kappa
    assert (kappa.diff(dim=0) > 0).all()


def test_one_hot_of_padding_is_zero():
    """Code 0 stands for no symbol."""
    hot = small_network(symbols=5).one_hot(torch.tensor([[1, 4, 0]]))
    assert hot.sum(-1).tolist() == [[1, 1, 0]]


def test_select_takes_rows():
    """Rows of a state keep their order."""
    state = State(*(torch.arange(6.0).reshape(1, 3, 2),) * 2, torch.eye(3), torch.eye(3))
    chosen = state.select(torch.tensor([2, 0]))
    assert chosen.h[0].tolist() == [[4, 5], [0, 1]]
    assert chosen.kappa.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_same_generator_same_weights():
    """Fresh weights follow from the generator alone."""
    first, second = small_network(seed=3), small_network(seed=3)
    other = small_network(seed=4)
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("change", [{"units": 0}, {"windows": -1}, {"min_sigma": 0.0}])
def test_bad_configuration_is_refused(change):
    """Sizes below one and bounds out of range name themselves."""
    with pytest.raises(ValueError, match=next(iter(change))):
        NetworkConfig(**change)


def test_unknown_or_missing_device_is_refused():
    """A device that is no device, or is not there, is an error that says so."""
    with pytest.raises(ValueError, match="unknown device"):
        resolve_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="none"):
            resolve_device("cuda")


def test_published_size_has_the_published_number_of_weights():
    """3 x 400 units, 10 windows, 20 mixtures: about 3.7 million (Graves, section 5.3)."""
    from handtraj.network import Network

    total = sum(p.numel() for p in Network().parameters())
    assert 3.4e6 < total < 3.8e6


def test_dropout_hides_the_same_outputs_of_a_whole_line_and_keeps_the_mean():
    """One layer, so the head is linear in what it sees: the mean of many draws is the whole."""
    network = small_network(layers=1, units=10).eval()
    x, text = inputs(network, batch=2, dtype=torch.float32)
    whole = network(x, text)
    network.train()
    network.dropout, network.hiding = 0.4, torch.Generator().manual_seed(0)
    draws = torch.stack([network(x, text).raw for _ in range(4000)])
    assert (draws.mean(0) - whole.raw).abs().max() < 0.06 * draws.std(0).max()
    # What one draw shows is the outputs times one row of 0 and 1 / 0.6 a line.
    shown = (draws[0] - network.head.bias).detach()
    wanted = torch.linalg.lstsq(
        torch.einsum("tn,kn->tkn", whole.h[0][:, 0], network.head.weight).flatten(0, 1).detach(),
        shown[:, 0].reshape(-1, 1),
    ).solution.squeeze(1)
    kept = (wanted - 1 / 0.6).abs() < 1e-2
    assert (kept | (wanted.abs() < 1e-2)).all()
    assert 0 < kept.sum() < 10
    network.eval()
    torch.testing.assert_close(network(x, text).raw, whole.raw)
