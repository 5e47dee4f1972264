"""The network's step as a map of the state alone, pen input and window held.

The network is always driven: at every step it reads a pen offset and a soft
symbol.  :func:`hold` keeps both as they are and leaves a map of the state, s ->
F(s), which :mod:`handtraj.dynamics.local` takes apart.

A state is one vector of 2 L N numbers in the order h1 … hL, c1 … cL, outputs
before cells; :func:`state_vectors` makes it of other forms.

Two departures from a recorded step.  While writing, layer 1 reads the window of
the step before and the layers above the fresh one; here all read the same
vector.  And the window does not answer to layer 1: the loop through its position
is cut.  With it cut, no layer hears from a layer above it, so the Jacobian is
block triangular by layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from handtraj.layers import lstm_cell
from handtraj.network import Network, State

__all__ = ["Held", "StateLike", "hold", "state_vectors"]

FloatArray: TypeAlias = NDArray[np.float64]
StateLike: TypeAlias = State | ArrayLike | tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True, eq=False)
class Held:
    """The network's step with pen input and window held: a map of state vectors.

    Made by :func:`hold`.  Call it with a tensor (…, 2 L N).

    Parameters
    ----------
    drives : tuple of Tensor, each (4 N,)
        What offset, window and bias together give the gates of each layer.
    recurrent : tuple of Tensor, each (4 N, N)
        Weights from each layer's own output.
    below : tuple of Tensor, each (4 N, N)
        Weights of layers 2 to L from the output of the layer below.
    """

    drives: tuple[Tensor, ...]
    recurrent: tuple[Tensor, ...]
    below: tuple[Tensor, ...]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.drives)

    @property
    def size(self) -> int:
        """Length of a state vector, 2 L N."""
        return 2 * sum(u.shape[1] for u in self.recurrent)

    def cells(self, state: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Summed gates (…, 4 N), new outputs and new cells (…, N), a list over layers."""
        parts = state.chunk(2 * self.layers, -1)
        gates: list[Tensor] = []
        hs: list[Tensor] = []
        cs: list[Tensor] = []
        for k in range(self.layers):
            z = self.drives[k] + parts[k] @ self.recurrent[k].T
            if k:
                z = z + hs[-1] @ self.below[k - 1].T
            h, c = lstm_cell(z, parts[self.layers + k])
            gates.append(z)
            hs.append(h)
            cs.append(c)
        return gates, hs, cs

    def __call__(self, state: Tensor) -> Tensor:
        """The state one step later."""
        _, hs, cs = self.cells(state)
        return torch.cat(hs + cs, -1)

    def _layers(self, state: Tensor) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
        """Recurrent weights and slopes of each layer in turn."""
        gates, _, cs = self.cells(state)
        old = state.chunk(2 * self.layers, -1)[self.layers :]
        for k, weight in enumerate(self.recurrent):
            yield weight, _slopes(gates[k], old[k], cs[k])

    def blocks(self, state: Tensor) -> list[Tensor]:
        """Derivative of each layer's new (h, c) by its own old (h, c), (…, 2 N, 2 N).

        In closed form: these blocks need no matrix product.
        """
        found = []
        for weight, slopes in self._layers(state):
            cell, out = _through(weight.unflatten(0, (4, -1)), slopes)
            f, through = slopes[4:]
            top = torch.cat([out, torch.diag_embed(through * f)], -1)
            found.append(torch.cat([top, torch.cat([cell, torch.diag_embed(f)], -1)], -2))
        return found

    def jacobian(self, state: Tensor) -> Tensor:
        """Derivative of the next state by the state, (2 L N, 2 L N), of one state (2 L N,).

        In closed form: a layer's gates see its own past output and, through the
        new output of the layer below, all that one has seen.
        """
        n, layers = self.recurrent[0].shape[1], self.layers
        # Ordered (h1, c1, h2, c2, …) while it is filled: what a layer has seen is
        # then the columns up to its own.
        found = state.new_zeros(layers, 2, n, layers, 2, n)
        flat = found.view(layers, 2, n, -1)
        own = torch.arange(n, device=state.device)
        for k, (weight, slopes) in enumerate(self._layers(state)):
            seen = 2 * n * k
            gates = state.new_zeros(4, n, seen + n)
            if k:
                gates.view(4 * n, -1)[:, :seen] = self.below[k - 1] @ flat[k - 1, 0, :, :seen]
            gates[..., seen:] = weight.unflatten(0, (4, n))
            cell, out = _through(gates, slopes)
            flat[k, 0, :, : seen + n], flat[k, 1, :, : seen + n] = out, cell
            f, through = slopes[4:]
            found[k, 0, own, k, 1, own] = through * f
            found[k, 1, own, k, 1, own] = f
        return found.permute(1, 0, 2, 4, 3, 5).reshape(self.size, self.size)

    def implicit_step(self, state: Tensor, shift: Tensor) -> Tensor:
        """Solve ((1 + shift) I - J) d = F(s) - s, layer by layer from the lowest.

        With `shift` (…, 1) zero that is Newton's step to a fixed point; with
        shift 1 / t an implicit Euler step of length t along ds/dt = F(s) - s.  A
        cell's own past enters its equation alone, so cells are eliminated and
        each layer leaves N equations for its outputs.
        """
        _, hs, cs = self.cells(state)
        parts = state.chunk(2 * self.layers, -1)
        d_h: list[Tensor] = []
        d_c: list[Tensor] = []
        change = torch.zeros_like(hs[0])  # of the new output of the layer below
        for k, (weight, slopes) in enumerate(self._layers(state)):
            right_h, right_c = hs[k] - parts[k], cs[k] - parts[self.layers + k]
            if k:
                by = (change @ self.below[k - 1].T).unflatten(-1, (4, -1)).movedim(-2, 0)
                cell, out = _through(by[..., None], slopes)
                right_h, right_c = right_h + out[..., 0], right_c + cell[..., 0]
            cell, out = _through(weight.unflatten(0, (4, -1)), slopes)
            f, through = slopes[4:]
            leak = 1 + shift - f
            share = through * f / leak
            eye = torch.eye(weight.shape[1], dtype=state.dtype, device=state.device)
            matrix = (1 + shift)[..., None] * eye - out - share[..., None] * cell
            d_h.append(torch.linalg.solve(matrix, right_h + share * right_c))
            d_c.append((right_c + (cell @ d_h[k][..., None])[..., 0]) / leak)
            change = (1 + shift) * d_h[k] - (hs[k] - parts[k])
        return torch.cat(d_h + d_c, -1)


def _slopes(gates: Tensor, old: Tensor, new: Tensor) -> tuple[Tensor, ...]:
    """Slopes of the cell by gates i, f and g, of the output by gate o; f; output by cell."""
    i, f, g, o = gates.chunk(4, -1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    out = new.tanh()
    return (
        g * i * (1 - i),
        old * f * (1 - f),
        i * (1 - g * g),
        out * o * (1 - o),
        f,
        o * (1 - out * out),
    )


def _through(gates: Tensor, slopes: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Slopes of the new cell and output by whatever `gates` (4, …, N, any) are slopes by."""
    d_i, d_f, d_g, d_o, _, through = (v[..., None] for v in slopes)
    cell = d_i * gates[0] + d_f * gates[1] + d_g * gates[2]
    return cell, through * cell + d_o * gates[3]


def hold(
    network: Network, x: ArrayLike, window: ArrayLike, *, dtype: torch.dtype = torch.float64
) -> Held:
    """The network's step as a map of the state, pen input and window held.

    Parameters
    ----------
    network : Network
    x : array, shape (3,)
        Pen input (dx, dy, pen_up), the offset in standardised units: x-heights
        divided by the checkpoint's scale.
    window : array, shape (symbols,)
        Soft symbol that every layer reads.
    dtype : torch.dtype
        Precision of the map; q of a fixed point bottoms out near 1e-15 times
        the size of the state in float32, near 1e-32 in float64.

    Raises
    ------
    ValueError
        If a shape is wrong or a value is not finite.
    """
    weight = network.head.weight
    config = network.config
    with torch.no_grad():
        drive = torch.cat(
            [_vector(x, 3, "x"), _vector(window, config.symbols, "window")],
        ).to(weight.device, dtype)
        wide = 3 + config.symbols
        ins = [w.detach().to(dtype) for w in network.input_weight]
        return Held(
            tuple(
                w[:, :wide] @ drive + b.detach().to(dtype)
                for w, b in zip(ins, network.gate_bias, strict=True)
            ),
            tuple(u.detach().to(dtype) for u in network.recurrent_weight),
            tuple(w[:, wide:].contiguous() for w in ins[1:]),
        )


def _vector(value: ArrayLike, length: int, name: str) -> Tensor:
    found = torch.as_tensor(np.asarray(value, dtype=np.float64))
    if found.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), got {tuple(found.shape)}")
    if not found.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return found


def state_vectors(state: StateLike) -> FloatArray:
    """States as vectors in the order h1 … hL, c1 … cL.

    Parameters
    ----------
    state : State, pair of arrays (h, c), or array
        A State gives (B, 2 L N).  A pair holds outputs and cells, each
        (…, L, N), as :class:`handtraj.writing.Writing` keeps them.  An array
        (…, 2 L N) is taken as it is.

    Raises
    ------
    ValueError
        If h and c differ in shape, or a value is not finite.
    """
    if isinstance(state, State):
        state = (state.h.detach().cpu().transpose(0, 1), state.c.detach().cpu().transpose(0, 1))
    if isinstance(state, tuple):
        h, c = (np.asarray(v, dtype=np.float64) for v in state)
        if h.shape != c.shape or h.ndim < 2:
            raise ValueError(f"h and c must both be (…, layers, N), got {h.shape} and {c.shape}")
        found = np.concatenate([v.reshape(*v.shape[:-2], -1) for v in (h, c)], -1)
    else:
        found = np.asarray(state, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError("a state must be finite, got NaN or infinity")
    return found
