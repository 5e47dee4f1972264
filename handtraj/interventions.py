"""The hand on the lever: change the state while the network writes.

An intervention is a hook of :meth:`handtraj.writing.Writer.write_many`: after
every step it may change the outputs (h) or cells (c) of a layer in place; the
next point is drawn from, and the next step goes on from, the changed state.
Cells carry the memory of an LSTM; a change of h alone lasts one step, unless it
is made again.

An intervention of size zero changes nothing, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.stepping import NetworkStepper, Stepper
from handtraj.style import Style
from handtraj.writing import Hook

__all__ = [
    "Always",
    "Intervention",
    "Once",
    "ablate",
    "add",
    "clamp",
    "combine",
    "matched_directions",
    "matched_subspace",
    "middle",
    "swap",
]

Array = NDArray[Any]


@dataclass
class Always:
    """At every step from `first` to `last`, both included.

    Parameters
    ----------
    first : int
        Steps count from 0; -1 also changes the primed state itself.
    last : int, optional
        Default: to the end.
    character : array, shape (L,), optional
        For each line, a place in the whole text the window reads (that of the
        prime included, see :func:`middle`): nothing happens before the window
        gets there, everything after.
    """

    first: int = 0
    last: int | None = None
    character: NDArray[np.int64] | None = None
    _reached: NDArray[np.bool_] | None = field(default=None, init=False, repr=False)

    def now(
        self, step: int, stepper: Stepper | NetworkStepper, rows: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which of the stepper's rows are to be changed at this step, shape (B,), bool."""
        inside = step >= self.first and (self.last is None or step <= self.last)
        if self.character is None:
            return np.full(len(rows), inside)
        if step < 0 or self._reached is None:
            self._reached = np.zeros(len(self.character), bool)
        self._reached[rows] |= stepper.phi.argmax(1) >= self.character[rows]
        return self._reached[rows] & inside


@dataclass
class Once(Always):
    """At the first step only at which :class:`Always` would act, in each line."""

    _done: NDArray[np.bool_] | None = field(default=None, init=False, repr=False)

    def now(
        self, step: int, stepper: Stepper | NetworkStepper, rows: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """See :meth:`Always.now`."""
        if step < 0 or self._done is None:
            self._done = np.zeros(1 + (int(rows.max()) if len(rows) else 0), bool)
        found = super().now(step, stepper, rows) & ~self._done[rows]
        self._done[rows] |= found
        return found


@dataclass(frozen=True, eq=False)
class Intervention:
    """x <- x + offset + (target - (x - centre) basis) basis' in one layer, at given steps.

    Made by :func:`add`, :func:`swap`, :func:`clamp` and :func:`ablate`.

    Parameters
    ----------
    layer : str
        "h1", "c1", ... of the layers from below.
    when : Always or Once
    offset : array, shape (N,) or (L, N), optional
        What is added, for all lines or line by line.
    basis : array, shape (N, D), optional
        Orthonormal columns.
    centre : array, shape (N,), optional
    target : array, shape (D,) or (L, D), optional
        What the coordinates along the basis, from the centre, become.
    """

    layer: str
    when: Always
    offset: Array | None = None
    basis: Array | None = None
    centre: Array | None = None
    target: Array | None = None

    def __call__(
        self, step: int, stepper: Stepper | NetworkStepper, rows: NDArray[np.int64]
    ) -> None:
        """The hook."""
        now = self.when.now(step, stepper, rows)
        if not now.any():
            return
        layers = stepper.h if isinstance(stepper, Stepper) else stepper.state.h
        kind, number = self.layer[:1], self.layer[1:]
        if kind not in ("h", "c") or not number.isdigit() or not 0 < int(number) <= len(layers):
            there = ", ".join(f"{k}{i + 1}" for k in "hc" for i in range(len(layers)))
            raise ValueError(f"no layer {self.layer!r}; there are: {there}")
        place = int(number) - 1
        if isinstance(stepper, Stepper):
            state = (stepper.h if kind == "h" else stepper.c)[place]
            state[now] = self._changed(state[now], rows[now])
        else:
            tensor = getattr(stepper.state, kind)[place]
            mask = torch.from_numpy(now).to(tensor.device)
            old = tensor[mask].cpu().numpy()
            tensor[mask] = torch.from_numpy(self._changed(old, rows[now])).to(tensor)

    def _changed(self, x: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        y = x
        if self.offset is not None:
            y = y + _of_rows(self.offset, rows)
        if self.basis is not None:
            along = (x - (0 if self.centre is None else self.centre)) @ self.basis
            target = 0 if self.target is None else _of_rows(self.target, rows)
            y = y + (target - along) @ self.basis.T
        return y.astype(np.float32)


def _of_rows(values: Array, rows: NDArray[np.int64]) -> Array:
    return values if values.ndim == 1 else values[rows]


def _basis(basis: Array) -> Array:
    basis = np.asarray(basis, np.float64)
    if basis.ndim != 2 or not basis.shape[1] or basis.shape[1] > basis.shape[0]:
        raise ValueError(f"a basis has shape (units, dimensions), got {basis.shape}")
    if not np.allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-4):
        raise ValueError("the columns of a basis must be orthonormal; use numpy.linalg.qr first")
    return basis


def add(
    layer: str, vectors: Array, *, strength: float = 1.0, when: Always | None = None
) -> Intervention:
    """Add a vector to the state of a layer.

    Parameters
    ----------
    layer : str
    vectors : array, shape (N,) or (L, N)
        For all lines, or one a line.
    strength : float
        Factor.
    when : Always or Once, optional
        Default: at every step.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    scaled = strength * np.asarray(vectors, np.float64)
    if not np.isfinite(scaled).all():
        raise ValueError("vectors and strength must be finite")
    return Intervention(layer, when or Always(), offset=scaled)


def swap(
    layer: str,
    old: Array,
    new: Array,
    *,
    basis: Array | None = None,
    strength: float = 1.0,
    when: Always | None = None,
) -> Intervention:
    """Move the state by the difference of two centres, within a subspace.

    Parameters
    ----------
    layer : str
    old, new : array, shape (N,) or (L, N)
        Centre of the style the line is in, and of that it shall go on in.
        With `old` equal to `new` nothing changes.
    basis : array, shape (N, D), optional
        Only the part of the difference in its span is moved; default: all.
    strength : float
        Factor, 1 for the whole way.
    when : Always or Once, optional
        Default: once, at the start.  A change of the cells stays, so adding
        the difference at every step would be many times too much.
    """
    difference = np.asarray(new, np.float64) - np.asarray(old, np.float64)
    if basis is not None:
        basis = _basis(basis)
        difference = difference @ basis @ basis.T
    return add(layer, difference, strength=strength, when=when or Once(first=-1))


def clamp(
    layer: str,
    basis: Array,
    points: Array,
    *,
    centre: Array | None = None,
    when: Always | None = None,
) -> Intervention:
    """Hold the coordinates along a basis at those of given points.

    Unlike :func:`swap` this also takes away what moved along the basis.

    Parameters
    ----------
    layer : str
    basis : array, shape (N, D)
    points : array, shape (N,) or (L, N)
        States whose coordinates are kept.
    centre : array, shape (N,), optional
        Where coordinates are counted from; makes no difference to the result.
    when : Always or Once, optional
        Default: at every step.
    """
    basis = _basis(basis)
    start = np.zeros(len(basis)) if centre is None else np.asarray(centre, np.float64)
    target = (np.asarray(points, np.float64) - start) @ basis
    return Intervention(layer, when or Always(), basis=basis, centre=start, target=target)


def ablate(layer: str, basis: Array, centre: Array, *, when: Always | None = None) -> Intervention:
    """Take away what varies along a basis: the coordinates become those of `centre`.

    Parameters
    ----------
    layer : str
    basis : array, shape (N, D)
    centre : array, shape (N,)
        The mean over all styles, so that what is left lies where states lie
        (mean ablation); zero would itself be an unusual state.
    when : Always or Once, optional
        Default: at every step.
    """
    return clamp(layer, basis, centre, when=when)


def combine(*hooks: Hook) -> Hook:
    """Several hooks as one, in the order given."""

    def every(step: int, stepper: Stepper | NetworkStepper, rows: NDArray[np.int64]) -> None:
        for hook in hooks:
            hook(step, stepper, rows)

    return every


def middle(
    texts: Sequence[str], styles: Sequence[Style | None], share: float = 0.5
) -> NDArray[np.int64]:
    """Place of a part of each text in what the window reads: prime's text and text.

    Parameters
    ----------
    texts : sequence of str
    styles : sequence of Style or None
        As given to :meth:`Writer.write_many`.
    share : float
        In [0, 1]; the first word that begins at or after this share of the
        text, or that share itself where no word does.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}")
    places = []
    for text, style in zip(texts, styles, strict=True):
        at = round(share * len(text))
        blank = text.find(" ", max(at - 1, 0))
        place = blank + 1 if 0 <= blank < len(text) - 1 else at
        places.append(place + (len(style.text) if style else 0))
    return np.array(places, np.int64)


def matched_directions(vectors: Array, generator: np.random.Generator) -> NDArray[np.float64]:
    """Random directions of the same lengths: the control of :func:`add` and :func:`swap`."""
    drawn = generator.normal(size=np.shape(vectors))
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True) * lengths


def matched_subspace(
    covariance: Array,
    dimension: int,
    variance: float,
    generator: np.random.Generator,
    *,
    avoid: Array | None = None,
) -> NDArray[np.float64]:
    """A random subspace that holds a given variance: the control of :func:`ablate`.

    Random directions are drawn from Gaussians whose covariance is a power of
    that of the states; the power is found by bisection so that the subspace
    holds as much variance as the one it is compared with.

    Parameters
    ----------
    covariance : array, shape (N, N)
        Of the states.
    dimension : int
    variance : float
        Trace of the covariance within the subspace that is wanted.
    generator : numpy.random.Generator
    avoid : array, shape (N, D), optional
        Orthonormal columns the subspace shall be orthogonal to.

    Returns
    -------
    array, shape (N, dimension)
        Orthonormal columns.

    Raises
    ------
    ValueError
        If no subspace of that dimension holds so much, or so little.
    """
    covariance = np.asarray(covariance, np.float64)
    if avoid is not None:
        rest = np.eye(len(covariance)) - avoid @ avoid.T
        covariance = rest @ covariance @ rest
    values, vectors = np.linalg.eigh(covariance)
    keep = values > values[-1] * 1e-9
    values, vectors = values[keep], vectors[:, keep]
    if not 0 < dimension <= len(values):
        raise ValueError(f"dimension must be in 1..{len(values)}, got {dimension}")
    low, high = values[:dimension].sum(), values[-dimension:].sum()
    if not low <= variance <= high * (1 + 1e-9):
        raise ValueError(
            f"{dimension} dimensions hold between {low:.4g} and {high:.4g} of the variance, "
            f"{variance:.4g} was asked for; choose another dimension"
        )
    drawn = generator.normal(size=(len(values), dimension))

    def at(power: float) -> NDArray[np.float64]:
        weight = np.exp(power * np.log(values / values[-1]))
        coordinates: NDArray[np.float64] = np.linalg.qr(drawn * weight[:, None])[0]
        return coordinates

    def held(power: float) -> float:
        return float((values[:, None] * at(power) ** 2).sum())

    bottom, top = -8.0, 8.0
    for _ in range(60):
        power = (bottom + top) / 2
        bottom, top = (power, top) if held(power) < variance else (bottom, power)
    return vectors @ at((bottom + top) / 2)
