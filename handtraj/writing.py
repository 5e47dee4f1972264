"""Writing: a network, a text and a style in; ink with its alignment and states out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.checkpoint import Checkpoint, load_checkpoint, shipped_weights
from handtraj.drawing import CHUNK, Sampler, random_numbers
from handtraj.ink import Ink, clean_text
from handtraj.layers import window_parameters, window_weights
from handtraj.network import State, resolve_device
from handtraj.packing import PackedNetwork
from handtraj.stepping import (
    CompiledStepper,
    FloatArray,
    IntArray,
    NetworkStepper,
    Stepper,
    Tape,
    rest_of_prime,
)
from handtraj.style import Style, load_style, shipped_styles, user_styles

__all__ = ["MAX_TEXT", "Hook", "Writer", "Writing", "load_writer"]

#: Longest text of one line, in characters.
MAX_TEXT = 200
#: Points a character after which a line is given up.
POINTS_PER_CHARACTER = 40
#: Called after every step, and with step -1 before the first, with the lines
#: (their places in the batch) that the stepper's rows stand for; may change the
#: stepper's state in place (see :mod:`handtraj.interventions`).
Hook = Callable[[int, Stepper | NetworkStepper, IntArray], None]


@dataclass(frozen=True, eq=False)
class Writing:
    """One line the network wrote.

    Parameters
    ----------
    text : str
        What it was asked to write.
    ink : Ink
        In x-heights.
    window : array, shape (T, C), float32
        Weight of each character of `text` at each point.
    finished : bool
        Whether the pen was lifted with the window past the text and did not
        go back; otherwise the line was given up.
    style : str
        Name of the style, "" without a prime.
    bias : float
    seed : int
        Seed of the random numbers of this line.
    h, c : array, shape (T, layers, N), float32, or None
        State at each point, after reading it, where recording was asked for.
    seen : array, shape (T, symbols), float32, or None
        What the window showed the network at each point, likewise.
    """

    text: str
    ink: Ink
    window: NDArray[np.float32]
    finished: bool
    style: str
    bias: float
    seed: int
    h: NDArray[np.float32] | None = None
    c: NDArray[np.float32] | None = None
    seen: NDArray[np.float32] | None = None

    @property
    def characters(self) -> NDArray[np.int64]:
        """Index of the character the window looks at, shape (T,)."""
        return self.window.argmax(1)


class Writer:
    """Writes with a trained network.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : str
        See :func:`handtraj.network.resolve_device`.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str = "cpu") -> None:
        self.device = resolve_device(device)
        self.checkpoint = checkpoint
        self.network = checkpoint.network.to(self.device).eval()
        self.alphabet = checkpoint.alphabet
        self.scale = checkpoint.scale
        self._packed: PackedNetwork | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Packed weights cannot be copied; they are made again where needed.
        return {**self.__dict__, "_packed": None}

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these weights from others."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:12]

    def style(self, name: str) -> Style:
        """A shipped style by name, or one the user added.

        Raises
        ------
        ValueError
            If there is none of that name; the message lists those there are.
        """
        styles = {**user_styles(), **shipped_styles()}
        if name not in styles:
            raise ValueError(f"no style {name!r}; there are: {', '.join(styles) or 'none'}")
        return load_style(styles[name])

    @torch.inference_mode()
    def prime(
        self, ink: Ink, text: str, *, name: str = "mine", source: str = "", check: bool = True
    ) -> Style:
        """Force the pen along `ink` and keep the state (Graves 2013, section 5.5).

        Parameters
        ----------
        ink : Ink
            In x-heights, sampled like the corpus
            (:func:`handtraj.ink.normalise` does both).
        text : str
            What the ink says.
        check : bool
            Refuse a text that the window does not follow to its end; a network
            that has not learned to write follows none.

        Raises
        ------
        ValueError
            If the text holds unknown symbols, the ink has fewer than two
            points, or the window ends nowhere near the end of the text.
        """
        text = clean_text(text)
        codes = self.alphabet.encode(text + " ")
        if len(ink) < 2:
            raise ValueError(f"a prime needs at least 2 points, got {len(ink)}")
        x = torch.from_numpy(ink.offsets.copy()).to(self.device)
        x[:, :2] /= self.scale
        hot = self.network.one_hot(torch.from_numpy(codes)[None].to(self.device))
        reading = self.network(x[:, None], hot)
        end = self._position(reading.state, len(codes))
        slack = max(4.0, 0.2 * len(text))
        if check and abs(end - len(text)) > slack:
            raise ValueError(
                f"the text does not fit the ink: after {len(ink)} points the window stands at "
                f"character {end:.0f} of {len(text)}; check the text, or the ink's scale"
            )
        return Style(name, reading.state, text + " ", len(ink), source, self.fingerprint)

    def write(
        self,
        text: str,
        *,
        style: Style | None = None,
        bias: float = 0.5,
        bias_form: str = "sigma",
        generator: torch.Generator | None = None,
        record: bool = False,
        max_points: int | None = None,
        hook: Hook | None = None,
    ) -> Writing:
        """Write one line.  See :meth:`write_many`."""
        return self.write_many(
            [text],
            styles=[style],
            bias=bias,
            bias_form=bias_form,
            generator=generator,
            record=record,
            max_points=max_points,
            hook=hook,
        )[0]

    @torch.inference_mode()
    def write_many(
        self,
        texts: Sequence[str],
        *,
        styles: Sequence[Style | None] | None = None,
        bias: float = 0.5,
        bias_form: str = "sigma",
        generator: torch.Generator | None = None,
        record: bool = False,
        max_points: int | None = None,
        hook: Hook | None = None,
    ) -> list[Writing]:
        """Write several lines at once.

        Every line has random numbers of its own, seeded in turn from
        `generator`, so a line does not depend on its neighbours.

        Parameters
        ----------
        texts : sequence of str
            Each at most MAX_TEXT characters of the alphabet.
        styles : sequence of Style or None, optional
            One a text; None writes without a prime.
        bias : float
            Sampling sharpness, >= 0.
        bias_form : str
            See :data:`handtraj.mixture.BIAS_FORMS`.
        generator : torch.Generator, optional
            Default: a fresh one with a random seed.
        record : bool
            Keep h and c of every layer, and the window, at every point.
        max_points : int, optional
            Give a line up after so many points; default 40 a character.
        hook : Hook, optional
            Watches, or moves, the state while it writes.

        Raises
        ------
        ValueError
            If a text is empty, too long, or holds unknown symbols; if a style
            belongs to other weights; if `bias` is negative.
        """
        texts = [clean_text(text) for text in texts]
        chosen: list[Style | None] = [None] * len(texts) if styles is None else list(styles)
        if len(chosen) != len(texts):
            raise ValueError(f"{len(texts)} texts need as many styles, got {len(chosen)}")
        for text, style in zip(texts, chosen, strict=True):
            self._check(text, style)
        if not texts:
            return []
        if generator is None:
            generator = torch.Generator()
            generator.seed()
        seeds = torch.randint(2**62, (len(texts),), generator=generator).tolist()
        return self._run(texts, chosen, seeds, bias, bias_form, record, max_points, hook)

    def _check(self, text: str, style: Style | None) -> None:
        self.alphabet.encode(text)
        if len(text) > MAX_TEXT:
            raise ValueError(
                f"text has {len(text)} characters, a line takes at most {MAX_TEXT}; "
                "break it into lines"
            )
        if style is None:
            return
        if style.weights and style.weights != self.fingerprint:
            raise ValueError(
                f"style {style.name!r} was primed with other weights ({style.weights}, "
                f"these are {self.fingerprint}); prime it again"
            )

    def _run(
        self,
        texts: list[str],
        styles: list[Style | None],
        seeds: list[int],
        bias: float,
        bias_form: str,
        record: bool,
        max_points: int | None,
        hook: Hook | None,
    ) -> list[Writing]:
        config = self.network.config
        sampler = Sampler(bias, bias_form, min_sigma=config.min_sigma, components=config.components)
        wholes = [(s.text if s else "") + t + " " for s, t in zip(styles, texts, strict=True)]
        ends = np.array([len(whole) for whole in wholes])
        codes = np.zeros((len(texts), ends.max()), np.int64)
        for row, whole in zip(codes, wholes, strict=True):
            row[: len(whole)] = self.alphabet.encode(whole)
        stepper, raw = self._start(styles, codes)
        limits = np.array([max_points or POINTS_PER_CHARACTER * len(t) + 60 for t in texts])
        generators = [torch.Generator().manual_seed(s) for s in seeds]
        tape, alive = Tape(len(texts), record=record), np.arange(len(texts))
        finished, at_end = np.zeros((2, len(texts)), bool)
        if hook:
            hook(-1, stepper, alive)
            raw = stepper.output()
        for t in range(limits.max() + 1):
            if t % CHUNK == 0:
                draws = np.stack([random_numbers(generators[b]) for b in alive], 1)
            x = sampler.draw(raw, draws[t % CHUNK])
            # The pen was lifted with the window on the blank after the text.  If
            # it now goes back, a dot or a bar is still missing; else all is said.
            said = at_end & (x[:, 0] >= 0)
            over = said | (t >= limits)
            if over.any():
                tape.cut(alive)
                finished[alive] = said
                index = np.flatnonzero(~over)
                if not len(index):
                    break
                alive, stepper = alive[index], stepper.select(index)
                ends, limits, draws, x = ends[index], limits[index], draws[:, index], x[index]
            raw = stepper.step(x)
            if hook:
                hook(t, stepper, alive)
                raw = stepper.output()
            tape.add(x, stepper)
            at_end = x[:, 2] > 0
            if at_end.any():
                at_end &= stepper.phi.argmax(1) >= ends - 1
        return [
            self._finish(tape.line(b), text, styles[b], bool(finished[b]), bias, seeds[b])
            for b, text in enumerate(texts)
        ]

    def _start(
        self, styles: list[Style | None], codes: IntArray
    ) -> tuple[Stepper | NetworkStepper, FloatArray]:
        """Batch the primed states; lines without a prime read the origin first."""
        states = [style.state.to(self.device) if style else None for style in styles]
        fresh = np.array([b for b, state in enumerate(states) if state is None], np.int64)
        if len(fresh):
            first = self.stepper(codes[fresh])
            first.step(np.zeros((len(fresh), 3), np.float32))
            state = first.state
            for place, b in enumerate(fresh):
                states[b] = state.select(torch.tensor([place], device=self.device))
        known = [state for state in states if state is not None]
        stepper = self.stepper(codes, State.join(known))
        # The output depends on the layers' outputs alone.
        return stepper, stepper.output()

    def stepper(self, codes: IntArray, state: State | None = None) -> Stepper | NetworkStepper:
        """What runs the network point by point: packed for speed on a CPU.

        Parameters are those of :class:`handtraj.stepping.Stepper`.  The
        weights are packed once, and again after they were changed.
        """
        if self.device.type != "cpu":
            return NetworkStepper(self.network, codes, state)
        if self._packed is None or not self._packed.fits(self.network):
            self._packed = PackedNetwork(self.network)
        kind = CompiledStepper if self._packed.panels else Stepper
        return kind(self._packed, codes, state)

    def _position(self, state: State, length: int) -> float:
        alpha, beta, _ = window_parameters(self.network.window_head(state.h[0]))
        return float(window_weights(alpha, beta, state.kappa, length + 8)[0].argmax())

    def _finish(
        self,
        found: tuple[FloatArray, ...],
        text: str,
        style: Style | None,
        finished: bool,
        bias: float,
        seed: int,
    ) -> Writing:
        before = len(style.text) if style else 0
        first = rest_of_prime(found[0], found[1], before) if before else 0
        offsets, window, *hidden = (piece[first:] for piece in found)
        offsets[:, :2] *= self.scale
        # Where the line begins says nothing: the way from the prime is cut.
        offsets[0, :2] = 0
        # A line ends with the pen up, finished or not.
        offsets[-1, 2] = 1
        weights = window[:, before : before + len(text)].copy()
        name = style.name if style else ""
        return Writing(text, Ink(offsets), weights, finished, name, bias, seed, *hidden)


def load_writer(path: str | os.PathLike[str] | None = None, *, device: str = "cpu") -> Writer:
    """A writer with the shipped weights, or those at `path`.

    Raises
    ------
    CheckpointError
        If the file is missing or broken.
    """
    return Writer(load_checkpoint(path or shipped_weights()), device=device)
