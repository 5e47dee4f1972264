"""Recording the states of a network while it writes, or while it reads given ink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.ink import Ink, clean_text
from handtraj.network import State
from handtraj.stepping import Tape
from handtraj.style import Style
from handtraj.trajectories import COLUMNS, Trajectories
from handtraj.writing import Writer, Writing

__all__ = ["EXTRAS", "layer_names", "read", "record"]

#: What can be recorded beside h and c of the layers.
EXTRAS = ("window", "mixture")

#: A writing without its states, and the states that are kept.
_Row = tuple[Writing, dict[str, NDArray[np.float32]]]


def layer_names(writer: Writer) -> tuple[str, ...]:
    """Names of the states of a network: "h1", ..., "c1", ..."""
    layers = range(1, writer.network.config.layers + 1)
    return (*(f"h{i}" for i in layers), *(f"c{i}" for i in layers))


def record(
    writer: Writer,
    texts: Sequence[str],
    styles: Sequence[Style | None],
    repeats: int = 1,
    *,
    generator: torch.Generator,
    bias: float = 0.5,
    layers: Sequence[str] | None = None,
    batch: int = 64,
) -> Trajectories:
    """Write every text in every style and keep the states.

    Parameters
    ----------
    writer : Writer
    texts : sequence of str
    styles : sequence of Style or None
        None writes without a prime; its name is "".
    repeats : int
        Writings of a text in a style, with other random numbers.
    generator : torch.Generator
    bias : float
        See :meth:`Writer.write_many`.
    layers : sequence of str, optional
        What to keep, of :func:`layer_names` and EXTRAS; default: h and c of
        every layer.  400,000 steps of the shipped network are 0.64 GB a layer.
    batch : int
        Lines written at once.

    Returns
    -------
    Trajectories
        Writings in the order styles, texts, repeats.  A line that was not
        finished is kept, and marked in `about`.

    Raises
    ------
    ValueError
        If there is no text or no style, a style repeats, or a layer does not
        exist.
    """
    names = _check(writer, texts, layers)
    if not styles:
        raise ValueError("give at least one style, or [None] to write without a prime")
    called = [style.name if style else "" for style in styles]
    if len(set(called)) < len(called):
        raise ValueError(f"styles must differ in name, got {called}")
    if repeats < 1 or batch < 1:
        raise ValueError(f"repeats and batch must be >= 1, got {repeats} and {batch}")
    jobs = [(style, text) for style in styles for text in texts for _ in range(repeats)]
    # Lines of like length end together: few rows are carried along in vain.
    order = sorted(range(len(jobs)), key=lambda i: -len(jobs[i][1]))
    found: dict[int, _Row] = {}
    for low in range(0, len(order), batch):
        chosen = order[low : low + batch]
        writings = writer.write_many(
            [jobs[i][1] for i in chosen],
            styles=[jobs[i][0] for i in chosen],
            bias=bias,
            generator=generator,
            record=True,
        )
        for i, one in zip(chosen, writings, strict=True):
            found[i] = (replace(one, h=None, c=None, seen=None), _states(writer, names, one))
    rows = [found.pop(i) for i in range(len(jobs))]
    return _gathered(rows, names, writer, "sampled")


def read(
    writer: Writer,
    inks: Sequence[Ink],
    texts: Sequence[str],
    *,
    styles: Sequence[Style | None] | None = None,
    names: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    batch: int = 64,
) -> Trajectories:
    """Force the pen along given ink (teacher forcing) and keep the states.

    Parameters
    ----------
    writer : Writer
    inks : sequence of Ink
        In x-heights.
    texts : sequence of str
        What each ink says.
    styles : sequence of Style or None, optional
        State each reading starts from; default: the network's beginning.
    names : sequence of str, optional
        What to call the style of each ink, the writer for instance; default:
        the names of `styles`.
    layers, batch
        See :func:`record`.

    Raises
    ------
    ValueError
        If the lists differ in length or are empty, or a layer does not exist.
    """
    kept = _check(writer, texts, layers)
    starts: list[Style | None] = [None] * len(texts) if styles is None else list(styles)
    called = [s.name if s else "" for s in starts] if names is None else list(names)
    if not len(inks) == len(texts) == len(starts) == len(called):
        raise ValueError(
            f"every ink needs its text, got {len(inks)} inks, {len(texts)} texts, "
            f"{len(starts)} styles, {len(called)} names"
        )
    order = sorted(range(len(inks)), key=lambda i: -len(inks[i]))
    found: dict[int, _Row] = {}
    for low in range(0, len(order), batch):
        chosen = order[low : low + batch]
        pieces = _force(
            writer,
            [inks[i] for i in chosen],
            [clean_text(texts[i]) for i in chosen],
            [starts[i] for i in chosen],
        )
        for i, (weights, h, c, seen) in zip(chosen, pieces, strict=True):
            text = clean_text(texts[i])
            one = Writing(text, inks[i], weights, True, called[i], 0.0, 0, h, c, seen)
            found[i] = (replace(one, h=None, c=None, seen=None), _states(writer, kept, one))
    return _gathered([found.pop(i) for i in range(len(inks))], kept, writer, "teacher forced")


def _check(writer: Writer, texts: Sequence[str], layers: Sequence[str] | None) -> tuple[str, ...]:
    """The layers to keep, after a look at them and at the texts."""
    known = (*layer_names(writer), *EXTRAS)
    chosen = layer_names(writer) if layers is None else tuple(layers)
    unknown = [name for name in chosen if name not in known]
    if isinstance(layers, str) or unknown or not chosen:
        raise ValueError(f"layers must be some of {', '.join(known)}, got {layers!r}")
    if isinstance(texts, str) or not texts:
        raise ValueError(f"texts must be a list of at least one text, got {texts!r}")
    return chosen


def _force(
    writer: Writer, inks: list[Ink], texts: list[str], styles: list[Style | None]
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Window over the text, h, c and what was seen, for every ink; longest ink first."""
    wholes = [(s.text if s else "") + t + " " for s, t in zip(styles, texts, strict=True)]
    codes = np.zeros((len(texts), max(map(len, wholes))), np.int64)
    for row, whole in zip(codes, wholes, strict=True):
        row[: len(whole)] = writer.alphabet.encode(whole)
    none = writer.network.initial_state(1)
    start = State.join([style.state if style else none for style in styles])
    stepper = writer.stepper(codes, start)
    tape, alive, lengths = Tape(len(inks), record=True), len(inks), [len(ink) for ink in inks]
    x = np.zeros((max(lengths), len(inks), 3), np.float32)
    for b, ink in enumerate(inks):
        x[: len(ink), b] = ink.offsets
    x[..., :2] /= writer.scale
    for t in range(len(x)):
        left = sum(length > t for length in lengths)
        if left < alive:
            tape.cut(np.arange(alive))
            alive, stepper = left, stepper.select(np.arange(left))
        stepper.step(x[t, :alive])
        tape.add(x[t, :alive], stepper)
    tape.cut(np.arange(alive))
    for b, (style, text) in enumerate(zip(styles, texts, strict=True)):
        _, weights, h, c, seen = tape.line(b)
        before = len(style.text) if style else 0
        yield weights[:, before : before + len(text)].copy(), h, c, seen


def _states(
    writer: Writer, names: tuple[str, ...], writing: Writing
) -> dict[str, NDArray[np.float32]]:
    """The states asked for; those of the writing are (T, layers, units)."""
    h, c, seen = (np.asarray(a) for a in (writing.h, writing.c, writing.seen))
    made: dict[str, NDArray[np.float32]] = {}
    for name in names:
        if name == "window":
            made[name] = seen
        elif name == "mixture":
            with torch.inference_mode():
                outputs = torch.from_numpy(h.reshape(len(h), -1)).to(writer.device)
                made[name] = writer.network.head(outputs).cpu().numpy()
        else:
            made[name] = (h if name[0] == "h" else c)[:, int(name[1:]) - 1].copy()
    return made


def _phase(index: NDArray[np.int64]) -> NDArray[np.float32]:
    """How far each stay of the window at a character has gone, 0 to 1."""
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    lengths = np.diff(np.append(starts, len(index)))
    inside = np.arange(len(index)) - np.repeat(starts, lengths)
    last = np.repeat(lengths - 1, lengths)
    return np.divide(inside, last, out=np.full(len(index), 0.5), where=last > 0).astype(np.float32)


def _gathered(
    rows: list[_Row],
    names: tuple[str, ...],
    writer: Writer,
    how: str,
) -> Trajectories:
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
    for number, (one, _) in enumerate(rows):
        steps, index = len(one.ink), one.characters
        values: dict[str, Any] = {
            "writing": number,
            "style": one.style,
            "text": one.text,
            "character": np.array(list(one.text))[index],
            "index": index,
            "phase": _phase(index),
            "step": np.arange(steps),
            "pen": one.ink.offsets[:, 2].astype(np.int8),
            "dx": one.ink.offsets[:, 0],
            "dy": one.ink.offsets[:, 1],
            "bias": np.float32(one.bias),
            "seed": one.seed,
        }
        for name, value in values.items():
            columns[name].append(np.broadcast_to(value, (steps,)))
    table = {name: np.concatenate(pieces) for name, pieces in columns.items()}
    about = {
        "weights": writer.fingerprint,
        "how": how,
        "finished": [one.finished for one, _ in rows],
    }
    # Layer by layer, so that no more than one is held twice.
    states = {name: np.concatenate([kept.pop(name) for _, kept in rows]) for name in names}
    return Trajectories(states, table, about)
