"""Writing: a network, a text and a style in; ink with its alignment and states out."""

from __future__ import annotations

import hashlib
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handtraj.checkpoint import Checkpoint, load_checkpoint, shipped_weights
from handtraj.ink import Ink, clean_text
from handtraj.layers import window_parameters, window_weights
from handtraj.network import State, resolve_device
from handtraj.style import Style, load_style, shipped_styles

__all__ = ["MAX_TEXT", "Writer", "Writing", "load_writer", "wrap"]

#: Longest text of one line, in characters.
MAX_TEXT = 200
#: Points a character after which a line is given up.
POINTS_PER_CHARACTER = 40
#: Random numbers are drawn for this many points at a time.
_CHUNK = 256


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

    @property
    def characters(self) -> NDArray[np.int64]:
        """Index of the character the window looks at, shape (T,)."""
        return self.window.argmax(1)


@dataclass
class _Row:
    """What one line of a batch collects while it is written."""

    offsets: list[Tensor]
    window: list[Tensor]
    h: list[Tensor]
    c: list[Tensor]
    finished: bool = False


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

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these weights from others."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:12]

    def style(self, name: str) -> Style:
        """A shipped style by name.

        Raises
        ------
        ValueError
            If there is none of that name; the message lists those there are.
        """
        styles = shipped_styles()
        if name not in styles:
            raise ValueError(f"no style {name!r}; there are: {', '.join(styles) or 'none'}")
        return load_style(styles[name])

    @torch.inference_mode()
    def prime(self, ink: Ink, text: str, *, name: str = "mine", source: str = "") -> Style:
        """Force the pen along `ink` and keep the state (Graves 2013, section 5.5).

        Parameters
        ----------
        ink : Ink
            In x-heights, sampled like the corpus
            (:func:`handtraj.ink.normalise` does both).
        text : str
            What the ink says.

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
        if abs(end - len(text)) > slack:
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
            Keep h and c of every layer at every point.
        max_points : int, optional
            Give a line up after so many points; default 40 a character.

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
        return self._run(texts, chosen, seeds, bias, bias_form, record, max_points)

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
    ) -> list[Writing]:
        network = self.network
        before = [len(s.text) if s else 0 for s in styles]
        wholes = [(s.text if s else "") + t + " " for s, t in zip(styles, texts, strict=True)]
        ends = torch.tensor([len(w) for w in wholes], device=self.device)
        codes = torch.zeros(len(texts), int(ends.max()), dtype=torch.int64)
        for b, whole in enumerate(wholes):
            codes[b, : len(whole)] = torch.from_numpy(self.alphabet.encode(whole))
        hot = network.one_hot(codes.to(self.device))
        state, raw = self._start(styles, hot)
        limits = torch.tensor([max_points or POINTS_PER_CHARACTER * len(t) + 60 for t in texts])
        generators = [torch.Generator().manual_seed(s) for s in seeds]
        rows = [_Row([], [], [], []) for _ in texts]
        alive = torch.arange(len(texts))
        draws = torch.empty(0)
        at_end = torch.zeros(len(texts), dtype=torch.bool, device=self.device)
        for t in range(int(limits.max()) + 1):
            if t % _CHUNK == 0:
                draws = torch.stack([_draw(generators[b]) for b in alive], 1).to(self.device)
            at = draws[t % _CHUNK]
            mixture = network.mixture(raw).biased(bias, bias_form)
            x = mixture.transform(at[:, :2], at[:, 2:])
            # The pen was lifted with the window on the blank after the text.  If
            # it now goes back, a dot or a bar is still missing; else all is said.
            said = at_end & (x[:, 0] >= 0)
            over = said | (t >= limits[alive]).to(self.device)
            if over.any():
                for place in over.nonzero()[:, 0].tolist():
                    rows[int(alive[place])].finished = bool(said[place])
                index = (~over).nonzero()[:, 0]
                if not len(index):
                    break
                alive, state, hot = alive[index.cpu()], state.select(index), hot[index]
                ends, draws, x = ends[index], draws[:, index], x[index]
            raw, state = network.step(x, hot, state)
            weights = self._window(state, int(ends.max()) + 1)
            at_end = (weights.argmax(1) >= ends - 1) & (x[:, 2] > 0)
            for place, b in enumerate(alive.tolist()):
                row = rows[b]
                row.offsets.append(x[place])
                row.window.append(weights[place, before[b] : before[b] + len(texts[b])])
                if record:
                    row.h.append(state.h[:, place])
                    row.c.append(state.c[:, place])
        return [
            self._finish(row, texts[b], styles[b], bias, seeds[b], record)
            for b, row in enumerate(rows)
        ]

    def _start(self, styles: list[Style | None], hot: Tensor) -> tuple[State, Tensor]:
        """Batch the primed states; lines without a prime read the origin first."""
        fresh, raw = self.network.initial_state(1), None
        states, raws = [], []
        for b, style in enumerate(styles):
            if style is None:
                origin = torch.zeros(1, 3, device=self.device)
                raw, state = self.network.step(origin, hot[b : b + 1], fresh)
            else:
                state = style.state.to(self.device)
                # The output depends on the layers' outputs alone.
                raw = self.network.head(state.h.transpose(0, 1).flatten(1))
            states.append(state)
            raws.append(raw)
        return (
            State(
                torch.cat([s.h for s in states], 1),
                torch.cat([s.c for s in states], 1),
                torch.cat([s.window for s in states]),
                torch.cat([s.kappa for s in states]),
            ),
            torch.cat(raws),
        )

    def _window(self, state: State, length: int) -> Tensor:
        """Weights of characters 0 to length - 1; those past the text count too."""
        alpha, beta, _ = window_parameters(self.network.window_head(state.h[0]))
        return window_weights(alpha, beta, state.kappa, length)

    def _position(self, state: State, length: int) -> float:
        weights = self._window(state, length + 8)[0]
        return float(weights.argmax())

    def _finish(
        self, row: _Row, text: str, style: Style | None, bias: float, seed: int, record: bool
    ) -> Writing:
        offsets = torch.stack(row.offsets).cpu().numpy().astype(np.float32)
        offsets[:, :2] *= self.scale
        # Where the line begins says nothing: the way from the prime is cut.
        offsets[0, :2] = 0
        # A line ends with the pen up, finished or not.
        offsets[-1, 2] = 1
        return Writing(
            text,
            Ink(offsets),
            torch.stack(row.window).cpu().numpy(),
            row.finished,
            style.name if style else "",
            bias,
            seed,
            torch.stack(row.h).cpu().numpy() if record else None,
            torch.stack(row.c).cpu().numpy() if record else None,
        )


def _draw(generator: torch.Generator) -> Tensor:
    """Random numbers of one line for the next points, shape (_CHUNK, 4)."""
    uniform = torch.rand(_CHUNK, 2, generator=generator)
    return torch.cat([uniform, torch.randn(_CHUNK, 2, generator=generator)], 1)


def load_writer(path: str | os.PathLike[str] | None = None, *, device: str = "cpu") -> Writer:
    """A writer with the shipped weights, or those at `path`.

    Raises
    ------
    CheckpointError
        If the file is missing or broken.
    """
    return Writer(load_checkpoint(path or shipped_weights()), device=device)


def wrap(text: str, width: int = 34) -> list[str]:
    """Break a text into lines of at most `width` characters, at words.

    Line breaks in the text stay.

    Raises
    ------
    ValueError
        If the text is empty, or a word is longer than MAX_TEXT.
    """
    if width < 1:
        raise ValueError(f"width must be >= 1 characters, got {width}")
    lines = [
        row
        for part in text.splitlines()
        for row in textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False)
    ]
    if not lines:
        raise ValueError("text is empty; give at least one character")
    return lines
