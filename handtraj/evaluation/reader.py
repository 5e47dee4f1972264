"""How well written ink can be read: a small recogniser, and errors by character.

The reader is an instrument.  It is trained on real ink alone, shares neither
weights nor states nor batches with the network that writes, and has no
language model and no word list: it is to read what stands there, not what it
expects.  Its answer is the best path of connectionist temporal classification
(Graves et al. 2006, "Connectionist temporal classification", section 3.2)
over the outputs of a bidirectional LSTM.

Limits.  It makes errors on real ink of hands it never saw; they are stored
with the weights (:attr:`Reader.about`), and an error on synthesised ink means
something only beside the error on real ink of the same kind.  A recurrent
network learns spelling from its training text, so without a language model it
still reads frequent letter sequences better than rare ones.  It knows the 79
symbols of the UNIPEN corpus, mostly English text, and few capitals, digits and
punctuation marks.  It sees the order of the strokes: ink that looks well on
paper but was written in an unusual order reads badly.  It follows the path of
the pen closely: trembling from point to point by a tenth of an x-height, which
an eye forgives, spoils its reading, and so do letters far from the usual size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handtraj.alphabet import UNIPEN_SYMBOLS, Alphabet
from handtraj.checkpoint import CheckpointError, read_tensors, write_tensors
from handtraj.evaluation.edits import (
    CharacterErrors,
    align,
    aligned_errors,
    character_errors,
    lenient_text,
)
from handtraj.ink import Ink

__all__ = [
    "CharacterErrors",
    "Reader",
    "ReaderConfig",
    "ReaderNetwork",
    "align",
    "aligned_errors",
    "best_path",
    "character_errors",
    "lenient_text",
    "load_reader",
    "reader_features",
    "save_reader",
    "trace",
]

VERSION = 1
#: Features of a point, see :func:`reader_features`.
FEATURES = 7
#: Half the window of the running height, in x-heights along the path.
HEIGHT_REACH = 12.0
#: Pen-up movements are cut into at most this many pieces.
AIR_PIECES = 6
#: Points, padding included, that are read at once.
READ_POINTS = 24_000


@dataclass(frozen=True)
class ReaderConfig:
    """Sizes of a reader.

    Parameters
    ----------
    symbols : str
        What it can read; code 0 is the blank of the classification.
    step, air_step : float
        Distance of points along ink and along pen-up movements, in x-heights.
    channels : tuple of two int
        Filters of the first convolution, and of the other two.
    units, layers : int
        LSTM units a direction, LSTM layers.
    dropout : float
        Between the layers, in training.
    """

    symbols: str = UNIPEN_SYMBOLS
    step: float = 0.24
    air_step: float = 0.45
    channels: tuple[int, int] = (32, 96)
    units: int = 80
    layers: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        Alphabet(self.symbols)
        for name in ("step", "air_step"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0 x-heights, got {getattr(self, name)}")
        if len(self.channels) != 2 or min(self.channels) < 1:
            raise ValueError(f"channels must be two numbers >= 1, got {self.channels}")
        object.__setattr__(self, "channels", tuple(self.channels))
        for name in ("units", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")


def trace(ink: Ink, step: float, air_step: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The pen's path at even distances, whatever the rate of the tablet.

    Every stroke, and every movement between strokes, is cut into pieces of
    equal length; both ends stay.

    Parameters
    ----------
    ink : Ink
        In x-heights.
    step, air_step : float
        Wanted length of the pieces on paper and in the air, in x-heights.
        The air gets at least one piece a movement and at most six.

    Returns
    -------
    points : array, shape (n, 2)
        Positions; the first is where the ink begins.
    air : array, shape (n,), bool
        Whether the piece that ends here was drawn in the air.
    """
    xy = ink.points
    lifted = ink.offsets[:-1, 2] > 0
    length = np.hypot(*np.diff(xy, axis=0).T)
    # Repeated points have no direction; a dot is what two moves in the air enclose.
    keep = (length > 1e-9) | lifted
    xy = np.concatenate([xy[:1], xy[1:][keep]])
    lifted, length = lifted[keep], length[keep]
    if not len(length):
        return xy, np.zeros(len(xy), dtype=bool)
    # A part is a whole stroke, or one movement in the air.
    border = np.flatnonzero(lifted[1:] | lifted[:-1]) + 1
    first = np.concatenate([[0], border])
    aloft = lifted[first]
    total = np.add.reduceat(length, first)
    pieces = np.maximum(1, np.round(total / np.where(aloft, air_step, step))).astype(np.int64)
    pieces = np.where(aloft, np.minimum(pieces, AIR_PIECES), pieces)
    number = np.repeat(np.arange(len(pieces)), pieces)
    count = np.arange(1, len(number) + 1) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    along = np.concatenate([[0.0], np.cumsum(length)])
    at = along[first][number] + total[number] * count / pieces[number]
    points = np.column_stack([np.interp(at, along, xy[:, 0]), np.interp(at, along, xy[:, 1])])
    return np.concatenate([xy[:1], points]), np.concatenate([[False], aloft[number]])


def reader_features(ink: Ink, config: ReaderConfig) -> NDArray[np.float32]:
    """What the reader sees of a line, one row a piece of the path.

    Returns
    -------
    array, shape (n, 7), float32
        Direction (cosine, sine), length against `step` (logarithm), pen in
        the air, height above the mean of the path 12 x-heights before and
        after, distance behind the rightmost point so far, and forward
        movement in the air.  Lengths are cut off and scaled to about one.

    Raises
    ------
    ValueError
        If the ink has no points.
    """
    if not len(ink):
        raise ValueError("the ink is empty; a reader needs at least one point")
    points, air = trace(ink, config.step, config.air_step)
    move = np.diff(points, axis=0, prepend=points[:1])
    length = np.hypot(move[:, 0], move[:, 1])
    n = len(points)
    reach = max(1, round(HEIGHT_REACH / config.step))
    low = np.maximum(np.arange(n) - reach, 0)
    high = np.minimum(np.arange(n) + reach + 1, n)
    total = np.concatenate([[0.0], np.cumsum(points[:, 1])])
    height = points[:, 1] - (total[high] - total[low]) / (high - low)
    behind = points[:, 0] - np.maximum.accumulate(points[:, 0])
    unit = move / np.maximum(length, 1e-9)[:, None]
    out = np.empty((n, FEATURES), dtype=np.float32)
    out[:, :2] = unit
    out[:, 2] = np.clip(np.log(np.maximum(length / config.step, 0.1)), -2, 4) / 2
    out[:, 3] = air
    out[:, 4] = np.clip(height, -4, 4)
    out[:, 5] = np.clip(behind, -6, 0) / 3
    out[:, 6] = np.where(air, np.clip(move[:, 0], -6, 6), 0)
    return out


class ReaderNetwork(nn.Module):
    """Three convolutions that shorten time, bidirectional LSTMs, one output a frame.

    A frame's outputs depend on its own line alone, whatever stands beside it
    in the batch and however long the padding is.
    """

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        near, far = config.channels
        self.points = nn.Conv1d(FEATURES, near, 5, padding=2)
        self.pairs = nn.Conv1d(near, far, 5, 2, padding=2)
        self.frames = nn.Conv1d(far, far, 3, 2, padding=1)
        sizes = [far] + [2 * config.units] * (config.layers - 1)
        # Two directions apart: packed sequences are slow to differentiate on a
        # CPU, and a padded one would reach the backward direction first.
        self.ahead = nn.ModuleList(nn.LSTM(size, config.units) for size in sizes)
        self.back = nn.ModuleList(nn.LSTM(size, config.units) for size in sizes)
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.Linear(2 * config.units, len(config.symbols) + 1)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the symbols.

        Parameters
        ----------
        x : Tensor, shape (B, n, 7)
            Features, padded with zeros.
        lengths : Tensor, shape (B,)
            Points of every line.

        Returns
        -------
        logp : Tensor, shape (F, B, symbols + 1)
            F = ceil(n / 4) frames; code 0 is the blank.
        frames : Tensor, shape (B,)
            Frames of every line.
        """
        h = x.transpose(1, 2)
        for layer in (self.points, self.pairs, self.frames):
            h = torch.relu(layer(h))
            lengths = (lengths - 1) // layer.stride[0] + 1
            # A bias makes padding speak; the next layer must not hear it.
            h = h * (torch.arange(h.shape[2]) < lengths[:, None])[:, None]
        h = h.permute(2, 0, 1)
        time = torch.arange(len(h))[:, None]
        mirror = torch.where(time < lengths, lengths - 1 - time, time)
        for ahead, back in zip(self.ahead, self.back, strict=True):
            h = self.drop(h)
            forward = ahead(h)[0]
            turned = back(_pick(h, mirror))[0]
            h = torch.cat([forward, _pick(turned, mirror)], dim=-1)
        return torch.log_softmax(self.out(self.drop(h)), dim=-1), lengths


def _pick(h: Tensor, at: Tensor) -> Tensor:
    """Row ``at[t, b]`` of column b, for all t and b; h is (T, B, K), `at` (T, B)."""
    return h.gather(0, at[..., None].expand_as(h))


def collate(features: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Pad features to one tensor (B, n, 7) and their lengths (B,)."""
    lengths = torch.tensor([len(f) for f in features])
    x = torch.zeros(len(features), int(lengths.max()), FEATURES)
    for row, one in zip(x, features, strict=True):
        row[: len(one)] = torch.from_numpy(one)
    return x, lengths


def best_path(codes: NDArray[np.int64], alphabet: Alphabet) -> str:
    """The text of the most likely codes (F,): repeats merged, then blanks dropped.

    Graves et al. 2006, equation 4 ("best path decoding").
    """
    changed = np.concatenate([[True], codes[1:] != codes[:-1]]) if len(codes) else codes > 0
    return alphabet.decode(codes[changed])


@dataclass(frozen=True, eq=False)
class Reader:
    """A trained recogniser.

    Parameters
    ----------
    network : ReaderNetwork
    about : dict
        Provenance: data, settings, and the error on real ink of other writers.
    """

    network: ReaderNetwork
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def alphabet(self) -> Alphabet:
        """The symbols it knows."""
        return Alphabet(self.network.config.symbols)

    def read(self, ink: Ink | Sequence[Ink]) -> list[str]:
        """Read lines, each on its own, without a language model.

        Parameters
        ----------
        ink : Ink or sequence of Ink
            In x-heights, level, y up (see :func:`handtraj.ink.normalise`).

        Returns
        -------
        list of str
            One text a line.

        Raises
        ------
        TypeError
            If something is no :class:`~handtraj.ink.Ink`.
        ValueError
            If a line has no points.
        """
        if isinstance(ink, str) or not isinstance(ink, Ink | Sequence):
            raise TypeError(f"read takes Ink or a list of Ink, got {type(ink).__name__}")
        lines = [ink] if isinstance(ink, Ink) else list(ink)
        for at, line in enumerate(lines):
            if not isinstance(line, Ink):
                raise TypeError(f"read takes a list of Ink; item {at} is {type(line).__name__}")
            if not len(line):
                raise ValueError(f"line {at} is empty; a reader needs at least one point")
        features = [reader_features(line, self.network.config) for line in lines]
        texts = [""] * len(lines)
        alphabet = self.alphabet
        was_training = self.network.training
        self.network.eval()
        with torch.no_grad():
            for group in _groups([len(f) for f in features], READ_POINTS):
                logp, frames = self.network(*collate([features[i] for i in group]))
                codes = logp.argmax(-1).numpy()
                for b, i in enumerate(group):
                    texts[i] = best_path(codes[: int(frames[b]), b], alphabet)
        self.network.train(was_training)
        return texts


def _groups(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices by falling length, in groups whose padded size is at most `most`."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if group and (len(group) + 1) * lengths[group[0]] > most:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def save_reader(path: str | Path, reader: Reader) -> None:
    """Write weights (float16), configuration and provenance to one safetensors file."""
    write_tensors(
        path,
        {name: t.to(torch.float16) for name, t in reader.network.state_dict().items()},
        {
            "version": VERSION,
            "kind": "reader",
            "config": dataclasses.asdict(reader.network.config),
            "about": reader.about,
        },
    )


def load_reader(path: str | Path | None = None) -> Reader:
    """Load a reader; without `path` the one that comes with the package.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, or holds something else.
    """
    if path is None:
        path = Path(str(resources.files("handtraj") / "assets" / "reader.safetensors"))
    tensors, about = read_tensors(path)
    if about.get("kind") != "reader" or about.get("version") != VERSION:
        raise CheckpointError(
            f"{path} holds {about.get('kind')!r} version {about.get('version')}, "
            f"expected 'reader' version {VERSION}"
        )
    try:
        network = ReaderNetwork(ReaderConfig(**about["config"]))
        network.load_state_dict({name: t.float() for name, t in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).replace("\n", " ")
        raise CheckpointError(f"{path}: weights do not fit their description: {reason}") from None
    return Reader(network.eval(), about.get("about", {}))
