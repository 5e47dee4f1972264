"""Local dynamics: slow points of the driven network, its linearisation, time constants.

With pen input and window held (:mod:`handtraj.dynamics.held`) the step is a map
of the state, s -> F(s).  Its fixed and slow points (Sussillo and Barak 2013,
Neural Computation 25:626) are *conditional*: they belong to one offset and one
symbol, and the pen passes near them rather than coming to rest.

A fixed point of an LSTM has c = i g / (1 - f) and h = o tanh(c), with gates that
depend on h and the input alone: c is a function of h there, and h a function of
(h, c).  Away from fixed points neither holds, so the search is over h and c
together and q = |F(s) - s|² / 2 counts both alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from handtraj.dynamics.held import Held, StateLike, hold, state_vectors
from handtraj.dynamics.timescales import (
    autocorrelation,
    rotation_period,
    time_constants,
    unit_time_constants,
)
from handtraj.network import Network

__all__ = [
    "Held",
    "SlowPoints",
    "autocorrelation",
    "hold",
    "jacobian",
    "layer_spectra",
    "rotation_period",
    "slow_points",
    "spectrum",
    "speed",
    "state_vectors",
    "time_constants",
    "unit_time_constants",
]

FloatArray: TypeAlias = NDArray[np.float64]
ComplexArray: TypeAlias = NDArray[np.complex128]

#: Pairs of step and change of slope that the descent remembers.
_MEMORY = 20
#: Lengths tried along one direction.
_TRIALS = 25
#: States searched from at once: bounds the memory of the blocks.
_CHUNK = 8


@dataclass(frozen=True, eq=False)
class SlowPoints:
    """Slow points found, the slowest first.

    Parameters
    ----------
    states : array, shape (M, 2 L N)
    speeds : array, shape (M,)
        q of each.
    converged : array of bool, shape (M,)
        Whether q came down to the tolerance: a fixed point.  The others are
        where the search stood when it ended; see `slopes`.
    slopes : array, shape (M,)
        Length of the gradient of q; small beside sqrt(q) at a local minimum of
        q that is no fixed point.
    starts : array of int, shape (M,)
        Row of the start that led to each, the best of those that did.
    counts : array of int, shape (M,)
        Number of starts that led there.
    """

    states: FloatArray
    speeds: FloatArray
    converged: NDArray[np.bool_]
    slopes: FloatArray
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.states)


def _vectors(held: Held, state: StateLike, *, one: bool = False) -> Tensor:
    found = torch.as_tensor(state_vectors(state))
    if one and found.ndim == 2 and len(found) == 1:
        found = found[0]
    if found.ndim not in ((1,) if one else (1, 2)) or found.shape[-1] != held.size:
        wanted = f"({held.size},)" if one else f"({held.size},) or (B, {held.size})"
        raise ValueError(f"state must have shape {wanted}, got {tuple(found.shape)}")
    return found.to(held.drives[0])


def speed(network: Network, state: StateLike, x: ArrayLike, window: ArrayLike) -> FloatArray:
    """Speed q = |F(s) - s|² / 2 of one state or several (Sussillo and Barak 2013, eq. 1).

    Parameters
    ----------
    network, x, window
        As in :func:`handtraj.dynamics.held.hold`.
    state : State or array
        As in :func:`state_vectors`: (2 L N,) or (B, 2 L N).

    Returns
    -------
    array, shape () or (B,)
    """
    held = hold(network, x, window)
    s = _vectors(held, state)
    return (0.5 * (held(s) - s).square().sum(-1)).cpu().numpy()


def slow_points(
    network: Network,
    states: StateLike,
    x: ArrayLike,
    window: ArrayLike,
    *,
    steps: int = 500,
    method: str = "descend",
    tolerance: float = 1e-12,
    unique: float = 1e-3,
) -> SlowPoints:
    """Search for slow points from recorded states, in double precision.

    Every start goes its own way: what it finds does not depend on its neighbours.

    Parameters
    ----------
    network, x, window
        As in :func:`handtraj.dynamics.held.hold`.
    states : State or array
        Starts, (B, 2 L N) or another form :func:`state_vectors` knows.
    steps : int
        Most steps of the search.
    method : {"descend", "settle"}
        "descend" goes down q by L-BFGS and stays near the start: it finds slow
        and fixed points of either stability, but crawls where cells hardly leak.
        "settle" follows ds/dt = F(s) - s by implicit Euler steps that lengthen
        as it slows (pseudo-transient continuation, Kelley and Keyes 1998) and
        ends as Newton's method: it finds where the held network goes in the long
        run, or a point it circles there, which may be far from any state seen
        while writing.  Whether that is stable, its spectrum tells.
    tolerance : float
        q of a fixed point.
    unique : float
        Points nearer to each other than this, in Euclidean distance, are one.

    Raises
    ------
    ValueError
        If the method is unknown, a number is out of range, or a shape is wrong.
    """
    ways = {"descend": _descend, "settle": _settle}
    if method not in ways:
        raise ValueError(f"method must be one of {', '.join(ways)}, got {method!r}")
    if steps < 1 or not tolerance > 0 or not unique >= 0:
        raise ValueError(
            "steps must be >= 1, tolerance > 0 and unique >= 0, "
            f"got {steps}, {tolerance} and {unique}"
        )
    held = hold(network, x, window)
    starts = torch.atleast_2d(_vectors(held, states))
    if not len(starts):
        raise ValueError("slow points need at least one state to start from, got none")
    found = [
        _polish(held, ways[method](held, part, steps, tolerance), tolerance)
        for part in starts.split(_CHUNK)
    ]
    ends = torch.cat(found)
    q, g = _value(held, ends)
    slopes = g.norm(dim=-1)
    return _merged(ends.cpu().numpy(), q.cpu().numpy(), slopes.cpu().numpy(), tolerance, unique)


def _merged(
    ends: FloatArray, q: FloatArray, slopes: FloatArray, tolerance: float, unique: float
) -> SlowPoints:
    kept: list[int] = []
    counts: list[int] = []
    for row in np.argsort(q, kind="stable"):
        away = np.linalg.norm(ends[kept] - ends[row], axis=1)
        if len(away) and away.min() < unique:
            counts[int(away.argmin())] += 1
        else:
            kept.append(int(row))
            counts.append(1)
    return SlowPoints(
        ends[kept],
        q[kept],
        q[kept] <= tolerance,
        slopes[kept],
        np.array(kept, dtype=np.int64),
        np.array(counts, dtype=np.int64),
    )


def _value(held: Held, s: Tensor) -> tuple[Tensor, Tensor]:
    """Speed q (B,) and its gradient (B, 2 L N)."""
    s = s.detach().requires_grad_()
    q = 0.5 * (held(s) - s).square().sum(-1)
    (g,) = torch.autograd.grad(q.sum(), s)
    return q.detach(), g


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _descend(held: Held, s: Tensor, steps: int, tolerance: float) -> Tensor:
    """L-BFGS down q (Nocedal 1980), a row a problem."""
    ends, live = s.clone(), torch.arange(len(s), device=s.device)
    q, g = _value(held, s)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(steps):
        d = _direction(g, pairs)
        # Without curvature to go by, the first step is no longer than 1.
        first = torch.ones_like(d[:, :1]) if pairs else 1 / d.norm(dim=-1, keepdim=True).clamp(1)
        new, new_q, new_g = _line_search(held, s, q, g, d, first)
        turn = _dot(new - s, new_g - g)
        pairs = [
            *pairs[-_MEMORY + 1 :],
            (new - s, new_g - g, torch.where(turn > 0, 1 / turn, 0.0)),
        ]
        going = (new_q < q) & (new_q > tolerance)
        ends[live] = new
        if not going.any():
            break
        live, s, q, g = live[going], new[going], new_q[going], new_g[going]
        pairs = [(a[going], b[going], r[going]) for a, b, r in pairs]
    return ends


def _direction(g: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two-loop recursion; pairs without positive curvature have weight zero."""
    d, shares = -g, []
    for step, change, weight in reversed(pairs):
        shares.append(weight * _dot(step, d))
        d = d - shares[-1] * change
    if pairs:
        _, change, weight = pairs[-1]
        d = d * torch.where(weight > 0, 1 / (weight * _dot(change, change)), 1.0)
    for (step, change, weight), share in zip(pairs, reversed(shares), strict=True):
        d = d + step * (share - weight * _dot(change, d))
    return d


def _line_search(
    held: Held, s: Tensor, q: Tensor, g: Tensor, d: Tensor, t: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Lengths that meet the weak Wolfe conditions, by doubling and halving.

    Lewis and Overton (2013).  Returns the best point met in each row, its q and
    gradient; the start itself where none was better.
    """
    slope = _dot(g, d)
    low, high = torch.zeros_like(t), torch.full_like(t, torch.inf)
    best, best_q, best_g = s.clone(), q.clone(), g.clone()
    rows = torch.arange(len(s), device=s.device)
    for _ in range(_TRIALS):
        new = s[rows] + t[rows] * d[rows]
        new_q, new_g = _value(held, new)
        far = new_q[:, None] > q[rows, None] + 1e-4 * t[rows] * slope[rows]
        near = ~far & (_dot(new_g, d[rows]) < 0.9 * slope[rows])
        better = new_q < best_q[rows]
        took = rows[better]
        best[took], best_q[took], best_g[took] = new[better], new_q[better], new_g[better]
        high[rows] = torch.where(far, t[rows], high[rows])
        low[rows] = torch.where(near, t[rows], low[rows])
        rows = rows[(far | near)[:, 0]]
        if not len(rows):
            break
        middle = (low[rows] + high[rows]) / 2
        t[rows] = torch.where(high[rows].isinf(), 2 * low[rows], middle)
    return best, best_q, best_g


def _settle(held: Held, s: Tensor, steps: int, tolerance: float) -> Tensor:
    """Implicit Euler along ds/dt = F(s) - s, shift = 1 / length of the step."""
    ends, live = s.clone(), torch.arange(len(s), device=s.device)
    q = 0.5 * (held(s) - s).square().sum(-1)
    shift = torch.ones_like(s[:, :1])
    for _ in range(steps):
        new = s + held.implicit_step(s, shift)
        new_q = 0.5 * (held(new) - new).square().sum(-1)
        # q may rise for a while on the way, not leap.
        good = new_q < 4 * q
        pace = (new_q / q).sqrt().clamp(0.1, 1.5)
        shift = shift * torch.where(good, pace, 4.0)[:, None]
        s, q = torch.where(good[:, None], new, s), torch.where(good, new_q, q)
        ends[live] = s
        going = q > tolerance
        if not going.any():
            break
        live, s, q, shift = live[going], s[going], q[going], shift[going]
    return ends


def _polish(held: Held, s: Tensor, tolerance: float) -> Tensor:
    """Newton steps for the fixed points among `s`, so that equal ones can be told."""
    for _ in range(4):
        q = 0.5 * (held(s) - s).square().sum(-1)
        rows = torch.nonzero((q <= tolerance) & (q > 0))[:, 0]
        if not len(rows):
            break
        part = s[rows]
        new = part + held.implicit_step(part, torch.zeros_like(part[:, :1]))
        new_q = 0.5 * (held(new) - new).square().sum(-1)
        s = s.index_copy(0, rows, torch.where((new_q < q[rows])[:, None], new, part))
    return s


def jacobian(network: Network, state: StateLike, x: ArrayLike, window: ArrayLike) -> FloatArray:
    """Derivative of the next state by the state, (2 L N, 2 L N), input and window held.

    Parameters
    ----------
    network, x, window
        As in :func:`handtraj.dynamics.held.hold`.
    state : State or array
        One state, as in :func:`state_vectors`.
    """
    held = hold(network, x, window)
    s = _vectors(held, state, one=True)
    return held.jacobian(s).cpu().numpy()


def spectrum(jacobian: ArrayLike) -> ComplexArray:
    """Eigenvalues of a square matrix, largest modulus first.

    Raises
    ------
    ValueError
        If it is not square or not finite.
    """
    matrix = np.asarray(jacobian)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise ValueError(f"a Jacobian must be square and finite, got shape {matrix.shape}")
    return _sorted(np.linalg.eigvals(matrix))


def _sorted(values: NDArray[Any]) -> ComplexArray:
    order = np.argsort(-np.abs(values), axis=-1, kind="stable")
    return np.take_along_axis(values, order, -1).astype(np.complex128)


def layer_spectra(
    network: Network, state: StateLike, x: ArrayLike, window: ArrayLike
) -> ComplexArray:
    """Eigenvalues of the Jacobian, told apart by the layer they belong to.

    No layer hears from one above it while the window is held, so the eigenvalues
    of the Jacobian are those of its L diagonal blocks of 2 N x 2 N: the same
    numbers as :func:`spectrum` of :func:`jacobian`, without the large matrix.

    Parameters
    ----------
    network, state, x, window
        As in :func:`speed`.

    Returns
    -------
    array, shape (L, 2 N) or (B, L, 2 N)
        Largest modulus first within a layer.
    """
    held = hold(network, x, window)
    blocks = held.blocks(_vectors(held, state))
    return _sorted(np.stack([np.linalg.eigvals(b.cpu().numpy()) for b in blocks], -2))
