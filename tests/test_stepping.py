"""Steps of the packed network, draws and recordings, against Network.step and Mixture."""

import copy

import numpy as np
import pytest
import torch
from helpers import small_checkpoint, small_network

from handtraj import packing
from handtraj.checkpoint import load_checkpoint, shipped_weights
from handtraj.drawing import Sampler
from handtraj.mixture import BIAS_FORMS, Mixture
from handtraj.native import CompilerError
from handtraj.packing import PackedNetwork, Product
from handtraj.stepping import (
    CompiledStepper,
    NetworkStepper,
    Stepper,
    Tape,
    rest_of_prime,
)
from handtraj.writing import Writer

PARTS = ("h", "c", "window", "kappa")


def halved(network):
    """The same network with weights that half precision holds."""
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(p.half().float())
    return network


def some_codes(batch, length=9, seed=0):
    """Texts of unequal length, padded."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, 80, (batch, length))
    for row, keep in zip(codes, rng.integers(3, length + 1, batch), strict=True):
        row[keep:] = 0
    return codes


def some_points(steps, batch, seed=0):
    """Offsets with lifts."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.8, (steps, batch, 3)).astype(np.float32)
    x[..., 2] = x[..., 2] > 1
    return x


@pytest.fixture
def two_threads():
    """Let torch share its work between two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[Stepper, CompiledStepper])
def kind(request):
    """Either stepper; the compiled one is skipped where there is no compiler."""
    if request.param is CompiledStepper:
        request.getfixturevalue("compiled")
    return request.param


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("layers", "units", "batch"),
    [(1, 7, 1), (2, 12, 3), (3, 16, 1), (3, 10, 16), (4, 8, 1), (4, 7, 3), (5, 9, 2), (2, 70, 7)],
)
def test_driven_steps_equal_those_of_the_network(layers, units, batch, half, kind):
    """300 steps along given points, texts padded: outputs, window and state."""
    network = small_network(units=units, layers=layers)
    if half:
        halved(network)
    codes = some_codes(batch)
    stepper = kind(PackedNetwork(network), codes)
    text, state = network.one_hot(torch.from_numpy(codes)), network.initial_state(batch)
    with torch.no_grad():
        for t, x in enumerate(some_points(300, batch)):
            raw = stepper.step(x)
            expected, state = network.step(torch.from_numpy(x), text, state)
            np.testing.assert_allclose(raw, expected, rtol=1e-5, atol=2e-6)
            if t % 50 == 0:
                for name in PARTS:
                    torch.testing.assert_close(
                        getattr(stepper.state, name), getattr(state, name), rtol=1e-5, atol=2e-6
                    )


@pytest.mark.parametrize("batch", [1, 2, 5, 13])
def test_trained_steps_equal_those_in_float64(batch, kind, two_threads):
    """At full size, with the shipped weights, up to the rounding of float32."""
    network = load_checkpoint(shipped_weights()).network
    exact = copy.deepcopy(network).double()
    codes = some_codes(batch, 24)
    stepper = kind(PackedNetwork(network), codes)
    text, state = exact.one_hot(torch.from_numpy(codes)), exact.initial_state(batch)
    with torch.no_grad():
        for x in some_points(60, batch):
            raw, state = exact.step(torch.from_numpy(x).double(), text, state)
            np.testing.assert_allclose(stepper.step(x), raw, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(stepper.state.h.double(), state.h, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 33])
def test_product_equals_one_in_float64(rows, half, two_threads):
    """For rows by themselves, a few and many, of one thread and of two."""
    rng = np.random.default_rng(rows)
    weight = torch.from_numpy(rng.normal(size=(50, 37)).astype(np.float32))
    weight = weight.half().float() if half else weight
    wide = rng.normal(size=(rows, 60)).astype(np.float32)
    x = wide[:, 11:48]
    product = Product(weight)
    assert (product.half(rows) is not None) <= half
    multiply = product.bind(x)
    for _ in range(2):
        expected = x.astype(np.float64) @ weight.numpy().astype(np.float64).T
        np.testing.assert_allclose(multiply().numpy(), expected, rtol=1e-5, atol=1e-5)
        x += 1  # what is bound is the place, not what lay there


def test_half_precision_product_has_a_successor(monkeypatch):
    """Without the deprecated product the other takes its place."""
    monkeypatch.delattr(torch, "fbgemm_linear_fp16_weight_fp32_activation", raising=False)
    weight = torch.arange(12.0).view(3, 4)
    product, x = Product(weight), np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(product.bind(x)().numpy(), [[6, 22, 38]])


def test_small_weights_are_not_rounded():
    """What half precision would round to zero stays in float32."""
    weight = torch.full((2, 3), 1e-9)
    product = Product(weight)
    assert product.half(1) is None
    np.testing.assert_allclose(product.bind(np.ones((1, 3), np.float32))(), 3e-9, rtol=1e-5)


def test_state_round_trips_and_goes_on_the_same(kind):
    """A stepper set to another's state writes on as that one does."""
    packed, codes, points = PackedNetwork(small_network()), some_codes(3), some_points(20, 3)
    first = kind(packed, codes)
    for x in points[:10]:
        first.step(x)
    second = kind(packed, codes, first.state)
    for name in PARTS:
        assert torch.equal(getattr(first.state, name), getattr(second.state, name))
    np.testing.assert_array_equal(first.phi, second.phi)
    np.testing.assert_array_equal(first.output(), second.output())
    for x in points[10:]:
        np.testing.assert_array_equal(first.step(x), second.step(x))


def test_selected_rows_go_on_alone(kind):
    """Rows that are kept do not notice that others left, nor that the text is shorter."""
    check_selection(lambda network, codes: kind(PackedNetwork(network), codes))


def test_selected_rows_go_on_alone_on_any_device():
    """The same of the network's own step."""
    check_selection(NetworkStepper)


def check_selection(make):
    network, codes, points = small_network(), some_codes(5), some_points(20, 5)
    codes[3] = 0
    codes[3, :2] = 7
    index = np.array([3, 1])
    whole = make(network, codes)
    for x in points[:10]:
        whole.step(x)
    part = whole.select(index)
    for x in points[10:]:
        raw, few = whole.step(x), part.step(x[index])
        np.testing.assert_allclose(few, raw[index], rtol=1e-5, atol=1e-6)
        width = part.phi.shape[1]
        assert width == (codes[index] > 0).sum(1).max() + 1
        np.testing.assert_allclose(part.phi, whole.phi[index, :width], rtol=1e-5, atol=1e-6)
    for few, raw in zip(part.hidden(), whole.hidden(), strict=True):
        assert few.shape == (2, *raw.shape[1:])
        np.testing.assert_allclose(few, raw[index], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("half", [False, True])
def test_compiled_line_does_not_depend_on_its_neighbours(half, compiled):
    """To the last bit: by itself, with one other, among thirteen; one thread or two."""
    network, codes, points = small_network(units=40), some_codes(13), some_points(30, 13)
    packed = PackedNetwork(halved(network) if half else network)
    groups = [np.arange(n) for n in (1, 2, 3, 4, 5, 6, 8, 13)]
    steppers = [CompiledStepper(packed, codes[g]) for g in groups]
    for x in points:
        raws = [stepper.step(x[g]) for stepper, g in zip(steppers, groups, strict=True)]
        for raw in raws:
            np.testing.assert_array_equal(raw[0], raws[0][0])
            np.testing.assert_array_equal(raw[-1], raws[-1][len(raw) - 1])


def test_compiled_step_shows_what_is_not_finite(compiled):
    """A number that is none comes out as none."""
    stepper = CompiledStepper(PackedNetwork(small_network()), some_codes(2))
    stepper.c[1, 0, 3] = np.nan
    raw = stepper.step(some_points(1, 2)[0])
    assert np.isnan(raw[0]).any()
    assert np.isfinite(raw[1]).all()


def test_without_a_compiled_step_the_other_is_taken(monkeypatch):
    """A writer on a machine where nothing was compiled; asking for it says what to do."""
    monkeypatch.setattr(packing, "compiled_already", lambda: False)
    writer = Writer(small_checkpoint())
    assert type(writer.stepper(some_codes(1))) is Stepper
    with pytest.raises(CompilerError, match="call compiled_layers"):
        CompiledStepper(PackedNetwork(small_network()), some_codes(1))


def test_state_changed_in_place_moves_the_network(kind):
    """Outputs pushed by hand enter the mixture and the next step."""
    network, codes = small_network(), some_codes(2)
    stepper, x = kind(PackedNetwork(network), codes), some_points(2, 2)
    stepper.step(x[0])
    stepper.h[2] += 0.3
    stepper.c[1] *= -1
    stepper.kappa += 0.5
    moved = NetworkStepper(network, codes, stepper.state)
    np.testing.assert_allclose(stepper.output(), moved.output(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stepper.step(x[1]), moved.step(x[1]), rtol=1e-5, atol=1e-6)


def test_state_of_another_batch_is_refused():
    """As many states as texts."""
    network = small_network()
    with pytest.raises(ValueError, match="2 texts need a state of 2 rows, got 3"):
        Stepper(PackedNetwork(network), some_codes(2), network.initial_state(3))


@pytest.mark.parametrize("rows", [1, 4, 5, 40])
@pytest.mark.parametrize("form", BIAS_FORMS)
@pytest.mark.parametrize("bias", [0, 0.7])
def test_draws_equal_those_of_the_mixture(bias, form, rows):
    """From the same random numbers, one by one and many at once."""
    rng = np.random.default_rng(rows)
    sampler = Sampler(bias, form, min_sigma=0.01, components=7)
    for spread in (1, 3):
        raw = rng.normal(0, spread, (rows, 43)).astype(np.float32)
        random = np.hstack([rng.random((rows, 2)), rng.normal(size=(rows, 2))]).astype(np.float32)
        mixture = Mixture.from_raw(torch.from_numpy(raw)).biased(bias, form)
        uniform, normal = torch.from_numpy(random).split(2, 1)
        expected = mixture.transform(uniform, normal)
        np.testing.assert_allclose(sampler.draw(raw, random), expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 6])
def test_draws_from_huge_outputs_stay_finite(rows):
    """However far off the network is; the largest uniform number included."""
    sampler = Sampler(1.0, "pen", min_sigma=0.01, components=3)
    random = np.tile(np.float32([1 - 2**-24, 1 - 2**-24, 3, -3]), (rows, 1))
    for scale in (-1e4, 1e4):
        raw = np.linspace(-scale, scale, 19, dtype=np.float32)[None].repeat(rows, 0)
        x = sampler.draw(raw, random)
        assert np.isfinite(x).all()
        assert set(x[:, 2]) <= {0.0, 1.0}


def test_bias_is_refused_as_by_the_mixture():
    """Negative, or of an unknown form."""
    for bias, form, match in ((-1, "sigma", ">= 0"), (0.5, "soft", "bias form")):
        with pytest.raises(ValueError, match=match):
            Sampler(bias, form, min_sigma=0.01, components=3)


@pytest.mark.parametrize("record", [False, True])
def test_tape_hands_every_line_its_points(record, kind):
    """Line 1 ends first: each gets its own points, in order, in the last width."""
    stepper = kind(PackedNetwork(small_network()), some_codes(3))
    tape, alive, kept = Tape(3, record=record), np.arange(3), [[], [], []]
    for t, x in enumerate(some_points(9, 3)):
        if t == 4:
            tape.cut(alive)
            alive = np.array([0, 2])
            stepper = stepper.select(alive)
        x = x[alive]
        stepper.step(x)
        tape.add(x, stepper)
        for place, line in enumerate(alive):
            kept[line].append((x[place], stepper.phi[place], *(s[place] for s in stepper.hidden())))
    tape.cut(alive)
    tape.cut(alive)  # nothing new: nothing changes
    for line, points in enumerate(kept):
        found = tape.line(line)
        assert len(found) == (5 if record else 2)
        for array, expected in zip(found, zip(*points, strict=True), strict=False):
            assert len(array) == (4 if line == 1 else 9)
            for row, other in zip(array, expected, strict=True):
                np.testing.assert_array_equal(row, other[: len(row)])


def test_writer_notices_changed_weights():
    """The packed copy is made again, once the network was changed."""
    checkpoint = small_checkpoint()
    writer = Writer(checkpoint)
    seeded = torch.Generator().manual_seed
    before = writer.write("sea", generator=seeded(0), max_points=9)
    packed = writer.stepper(some_codes(1))._packed
    assert writer.stepper(some_codes(1))._packed is packed
    assert packed.fits(writer.network)
    with torch.no_grad():
        writer.network.head.bias[1:] += 1
    assert not packed.fits(writer.network)
    after = writer.write("sea", generator=seeded(0), max_points=9)
    other = Writer(checkpoint).write("sea", generator=seeded(0), max_points=9)
    np.testing.assert_array_equal(after.ink.offsets, other.ink.offsets)
    assert not np.array_equal(before.ink.offsets, after.ink.offsets)


def test_writer_is_copied_without_its_packed_weights():
    """A writer that wrote can be copied, and the copy writes the same."""
    writer = Writer(small_checkpoint())
    lines = [writer.write("sea", generator=torch.Generator().manual_seed(0), max_points=9)]
    again = copy.deepcopy(writer)
    lines.append(again.write("sea", generator=torch.Generator().manual_seed(0), max_points=9))
    np.testing.assert_array_equal(lines[0].ink.offsets, lines[1].ink.offsets)


def test_rest_of_prime_is_the_whole_strokes_made_before_the_window_left():
    """A dot for the prime, a stroke half for each, one for the text: the first alone goes."""
    offsets = np.zeros((9, 3), np.float32)
    offsets[[1, 4, 8], 2] = 1
    window = np.zeros((9, 5), np.float32)
    window[:2, 1] = 1  # the dot: on the prime, whose text has two characters
    window[2, 1], window[3:5, 2] = 1, 1  # two of three points on the text
    window[5:, 3] = 1
    assert rest_of_prime(offsets, window, 2) == 2
    # Nothing is left of a line that never looked at its text: it is kept.
    window[:] = 0
    window[:, 0] = 1
    assert rest_of_prime(offsets, window, 2) == 5
    # A window that sees nothing at all says nothing.
    assert rest_of_prime(offsets, np.zeros_like(window), 2) == 0
