"""Writing and priming: against a straight pass, neighbours, and bad input."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from helpers import small_checkpoint, wave

from handtraj.alphabet import wrap
from handtraj.checkpoint import CheckpointError
from handtraj.stepping import NetworkStepper
from handtraj.style import Style, load_style
from handtraj.writing import MAX_TEXT, Writer


@pytest.fixture(scope="module")
def writer():
    """An untrained writer whose window moves on, so that lines end."""
    checkpoint = small_checkpoint()
    with torch.no_grad():
        checkpoint.network.window_head.bias[8:] = np.log(1 / 3)
        checkpoint.network.head.bias[0] = 0.0
    return Writer(checkpoint)


def seeded(seed=0):
    """A fresh generator."""
    return torch.Generator().manual_seed(seed)


def loose_prime(writer, ink, text):
    """Prime with ink whose length does not matter to the untrained window."""
    points = 3 * len(text) - 3
    return writer.prime(type(ink)(ink.offsets[:points]), text)


def test_same_seed_same_line(writer):
    """One seed, one line; another seed, another line."""
    first = writer.write("sea", generator=seeded())
    again = writer.write("sea", generator=seeded())
    other = writer.write("sea", generator=seeded(1))
    assert np.array_equal(first.ink.offsets, again.ink.offsets)
    assert not np.array_equal(first.ink.offsets[:3], other.ink.offsets[:3])


def test_line_does_not_depend_on_its_neighbours(writer):
    """A line alone equals the first of many, up to the rounding of matrix products."""
    alone = writer.write("salt", generator=seeded())
    among = writer.write_many(["salt", "a much longer line", "foam"], generator=seeded())[0]
    assert alone.seed == among.seed
    n = min(len(alone.ink), len(among.ink))
    np.testing.assert_allclose(alone.ink.offsets[:n], among.ink.offsets[:n], atol=1e-4)


def test_writing_feeds_back_what_it_drew(writer):
    """Reading a written line again gives the states recorded while writing."""
    writing = writer.write("tide", generator=seeded(), record=True, bias=0.0)
    network = writer.network
    x = torch.from_numpy(writing.ink.offsets.copy())
    x[:, :2] /= writer.scale
    # The first movement is cut from the result; take it from the seed again.
    hot = network.one_hot(torch.from_numpy(writer.alphabet.encode("tide "))[None])
    with torch.inference_mode():
        raw, state = network.step(torch.zeros(1, 3), hot, network.initial_state(1))
        own = torch.Generator().manual_seed(writing.seed)
        uniform = torch.rand(256, 2, generator=own)
        normal = torch.randn(256, 2, generator=own)
        for t in range(len(writing.ink)):
            drawn = network.mixture(raw).transform(uniform[t : t + 1], normal[t : t + 1])
            if t:
                torch.testing.assert_close(drawn[0, :2], x[t, :2], atol=1e-5, rtol=1e-4)
            raw, state = network.step(drawn, hot, state)
            np.testing.assert_allclose(state.h[:, 0].numpy(), writing.h[t], atol=1e-5)
            np.testing.assert_allclose(state.c[:, 0].numpy(), writing.c[t], atol=1e-5)


def test_priming_then_writing_equals_one_uninterrupted_pass(writer):
    """Prime, then write: the points a single loop over ink and samples gives."""
    writer = copy.deepcopy(writer)
    with torch.no_grad():
        # Without a lift, no stroke at the start is taken for the prime's.
        writer.network.head.bias[0] = -30
    ink, text = wave(30), "wave sea"
    style = loose_prime(writer, ink, text)
    writing = writer.write("tide", style=style, generator=seeded(), bias=0.0)
    network = writer.network
    hot = network.one_hot(torch.from_numpy(writer.alphabet.encode("wave sea tide "))[None])
    forced = torch.from_numpy(ink.offsets[: style.points].copy())
    forced[:, :2] /= writer.scale
    own = torch.Generator().manual_seed(writing.seed)
    uniform, normal = torch.rand(256, 2, generator=own), torch.randn(256, 2, generator=own)
    state = network.initial_state(1)
    with torch.inference_mode():
        for x in forced:
            raw, state = network.step(x[None], hot, state)
        # Rounding grows from point to point, a hundredfold in a dozen.
        for t in range(12):
            x = network.mixture(raw).transform(uniform[t : t + 1], normal[t : t + 1])
            if t:
                np.testing.assert_allclose(
                    x[0, :2].numpy() * writer.scale, writing.ink.offsets[t, :2], atol=2e-3
                )
            raw, state = network.step(x, hot, state)


def test_style_file_round_trips_exactly(writer, tmp_path):
    """State, text, name and source come back bit for bit, and write the same line."""
    style = loose_prime(writer, wave(30), "wave sea")
    style.save(tmp_path / "s.safetensors")
    loaded = load_style(tmp_path / "s.safetensors")
    for name in ("h", "c", "window", "kappa"):
        assert torch.equal(getattr(style.state, name), getattr(loaded.state, name))
    assert (loaded.name, loaded.text, loaded.points) == (style.name, style.text, style.points)
    first = writer.write("tide", style=style, generator=seeded())
    second = writer.write("tide", style=loaded, generator=seeded())
    assert np.array_equal(first.ink.offsets, second.ink.offsets)


def test_shortened_style_keeps_positions(writer):
    """The window stands as far before the end of the text as it did."""
    style = loose_prime(writer, wave(60), "wave sea foam salt")
    short = style.shortened(4)
    assert short.text == style.text[-4:]
    before = len(style.text) - style.state.kappa
    torch.testing.assert_close(len(short.text) - short.state.kappa, before)


def test_mixed_style_lies_on_the_line_between_two(writer):
    """The ends are the styles themselves; half way every number is the mean."""
    a = loose_prime(writer, wave(40), "waves")
    b = loose_prime(writer, wave(60, seed=3), "the sea")
    for t, end in ((0.0, a), (1.0, b)):
        mixed = Style.mix(a, b, t)
        assert mixed.text == end.text
        for name in ("h", "c", "window", "kappa"):
            assert torch.equal(getattr(mixed.state, name), getattr(end.state, name))
    half = Style.mix(a, b, 0.5)
    for name in ("h", "c", "window"):
        mean = (getattr(a.state, name) + getattr(b.state, name)) / 2
        torch.testing.assert_close(getattr(half.state, name), mean)
    # Distance of the window from the end of its text, half way too.
    left = [s.state.kappa - len(s.text) for s in (a, b, half)]
    torch.testing.assert_close(left[2], (left[0] + left[1]) / 2)
    assert len(writer.write("tide", style=half, max_points=30).ink) > 0


def test_mix_refuses_what_lies_outside_and_what_does_not_fit(writer):
    a = loose_prime(writer, wave(40), "waves")
    with pytest.raises(ValueError, match=r"t must be in \[0, 1\], got 1.5"):
        Style.mix(a, a, 1.5)
    with pytest.raises(ValueError, match="different weights"):
        Style.mix(a, dataclasses.replace(a, weights="0123456789ab"), 0.5)


def test_prime_that_does_not_fit_its_text_is_refused(writer):
    """Ink far too short or too long for the text: the window is elsewhere."""
    with pytest.raises(ValueError, match="does not fit the ink"):
        writer.prime(wave(30), "a text of very many characters for so little ink")


def test_style_of_other_weights_is_refused(writer):
    """A primed state means nothing to another network."""
    style = loose_prime(writer, wave(30), "wave sea")
    other = Writer(small_checkpoint(seed=9))
    with pytest.raises(ValueError, match="other weights"):
        other.write("sea", style=style)


def test_unknown_style_lists_those_there_are(writer):
    """The message says what there is."""
    with pytest.raises(ValueError, match="no style 'nobody'"):
        writer.style("nobody")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("naïve", "'ï'"),
        ("x" * 10_000, f"at most {MAX_TEXT}"),
    ],
)
def test_bad_text_is_refused(writer, text, match):
    """Empty, foreign or endless text."""
    with pytest.raises(ValueError, match=match):
        writer.write(text)


def test_line_that_never_ends_is_given_up(writer):
    """The limit of points holds, and the writing says it is unfinished."""
    writing = writer.write("salt", generator=seeded(), max_points=5)
    assert len(writing.ink) == 5
    assert not writing.finished
    assert writing.ink.offsets[-1, 2] == 1


def test_recording_has_one_state_a_point(writer):
    """Shapes of states and window."""
    writing = writer.write("foam", generator=seeded(), record=True)
    steps = len(writing.ink)
    assert writing.h.shape == writing.c.shape == (steps, 3, 12)
    assert writing.window.shape == (steps, 4)
    assert writing.characters.max() <= 3


def test_broken_style_file_is_refused(tmp_path):
    """Cut short."""
    (tmp_path / "s.safetensors").write_bytes(b"\x10\0\0\0")
    with pytest.raises(CheckpointError, match="cut short"):
        load_style(tmp_path / "s.safetensors")


def test_wrap_breaks_at_words_and_keeps_line_breaks():
    """No line is longer than the width unless one word is."""
    assert wrap("one two three\nfour", 8) == ["one two", "three", "four"]
    assert wrap("incomprehensible it is", 5) == ["incomprehensible", "it is"]
    with pytest.raises(ValueError, match="empty"):
        wrap(" \n ")


class PlainWriter(Writer):
    """Runs the network's own step, as a writer does on other devices."""

    def stepper(self, codes, state=None):
        return NetworkStepper(self.network, codes, state)


@pytest.mark.parametrize("half", [False, True])
def test_packed_network_writes_the_same_lines(writer, half):
    """Lines of unequal length, with and without a prime: ink, window and states."""
    if half:
        checkpoint = small_checkpoint()
        with torch.no_grad():
            for own, p in zip(
                checkpoint.network.parameters(), writer.network.parameters(), strict=True
            ):
                own.copy_(p.half().float())
        writer = Writer(checkpoint)
    styles = [None, loose_prime(writer, wave(30), "wave sea"), None]
    texts = ["salt", "a much longer line", "foam"]
    written = [
        kind.write_many(texts, styles=styles, generator=seeded(), record=True)
        for kind in (writer, PlainWriter(writer.checkpoint))
    ]
    for fast, plain in zip(*written, strict=True):
        # Rounding grows from point to point; an untrained network does not forget.
        n = min(len(fast.ink), len(plain.ink), 25)
        for name in ("window", "h", "c"):
            np.testing.assert_allclose(getattr(fast, name)[:n], getattr(plain, name)[:n], atol=1e-3)
        np.testing.assert_allclose(fast.ink.offsets[: n - 1], plain.ink.offsets[: n - 1], atol=1e-3)
