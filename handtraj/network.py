"""Graves' synthesis network: stacked LSTM, soft window over the text, mixture.

Graves (2013), section 5, equations 46 to 52.  Two ways to run the same
weights: :meth:`Network.forward` reads given ink (teacher forcing) with every
time-parallel product outside the loop, :meth:`Network.step` takes one point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handtraj.layers import WindowedLayer, lstm_cell, lstm_layer, window_parameters, window_weights
from handtraj.mixture import Mixture, raw_size
from handtraj.native import CompiledLSTM, CompiledWindowedLayer

__all__ = ["Network", "NetworkConfig", "Reading", "State", "resolve_device"]


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network; the defaults are Graves' (2013, section 5.3).

    Raises
    ------
    ValueError
        If a size is below 1, or `min_sigma` is not in (0, 1).
    """

    symbols: int = 80
    units: int = 400
    layers: int = 3
    windows: int = 10
    components: int = 20
    min_sigma: float = 0.01
    #: Characters a fresh window moves on per point: one in 18, as in the corpus.
    window_step: float = 1 / 18

    def __post_init__(self) -> None:
        for name in ("symbols", "units", "layers", "windows", "components"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 < self.min_sigma < 1:
            raise ValueError(f"min_sigma must be in (0, 1), got {self.min_sigma}")


@dataclass(frozen=True)
class State:
    """Everything the network carries from one point to the next.

    Parameters
    ----------
    h, c : Tensor, shape (layers, B, N)
        Output and cell of every LSTM layer.
    window : Tensor, shape (B, symbols)
        Soft symbol of the last point.
    kappa : Tensor, shape (B, K)
        Positions of the window's Gaussians, in characters.
    """

    h: Tensor
    c: Tensor
    window: Tensor
    kappa: Tensor

    def select(self, index: Tensor) -> State:
        """The rows `index` of the batch."""
        return State(
            self.h[:, index].contiguous(),
            self.c[:, index].contiguous(),
            self.window[index],
            self.kappa[index],
        )

    @classmethod
    def join(cls, states: Sequence[State]) -> State:
        """The rows of several states as one batch."""
        return cls(
            torch.cat([s.h for s in states], 1),
            torch.cat([s.c for s in states], 1),
            torch.cat([s.window for s in states]),
            torch.cat([s.kappa for s in states]),
        )

    def to(self, device: torch.device | str) -> State:
        """The same state on another device."""
        return State(*(t.to(device) for t in (self.h, self.c, self.window, self.kappa)))


@dataclass(frozen=True)
class Reading:
    """What :meth:`Network.forward` returns.

    `raw` has shape (T, B, 6 M + 1); `h` is a list of (T, B, N), one a layer;
    `state` is the state after the last point.
    """

    raw: Tensor
    h: list[Tensor]
    window: Tensor
    kappa: Tensor
    state: State


def resolve_device(name: str = "auto") -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:1", "mps" into a device that exists.

    Raises
    ------
    ValueError
        If the name is unknown, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but this machine has none; use cpu or auto")
    return device


class Network(nn.Module):
    """The synthesis network.

    Time runs first in every sequence: (T, B, …).
    """

    def __init__(
        self, config: NetworkConfig | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        c, n = self.config, self.config.units
        below = 3 + c.symbols
        # Layer l reads (x, window, h of the layer below) and its own h.
        self.input_weight = nn.ParameterList(
            [
                nn.Parameter(torch.empty(4 * n, below + (n if layer else 0)))
                for layer in range(c.layers)
            ]
        )
        self.recurrent_weight = nn.ParameterList(
            [nn.Parameter(torch.empty(4 * n, n)) for _ in range(c.layers)]
        )
        self.gate_bias = nn.ParameterList(
            [nn.Parameter(torch.empty(4 * n)) for _ in range(c.layers)]
        )
        self.window_head = nn.Linear(n, 3 * c.windows)
        self.head = nn.Linear(c.layers * n, raw_size(c.components))
        #: Precision of the matrix products of :meth:`forward`; state and loss
        #: keep that of the weights.
        self.products = torch.float32
        #: Who runs the recurrent layers of :meth:`forward`: "torch", or "compiled"
        #: once :func:`handtraj.native.compiled_layers` has been called.
        self.kernels = "torch"
        #: Share of each layer's outputs that :meth:`forward` hides, in training
        #: mode, from the layers above and from the head: the same ones for a
        #: whole line (Gal and Ghahramani 2016).  Drawn from `hiding`.
        self.dropout = 0.0
        self.hiding: torch.Generator | None = None
        self.reset(generator)

    @torch.no_grad()
    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw fresh weights."""
        n, k = self.config.units, self.config.windows
        bound = 1 / math.sqrt(n)
        for p in (
            *self.input_weight,
            *self.recurrent_weight,
            self.window_head.weight,
            self.head.weight,
        ):
            p.uniform_(-bound, bound, generator=generator)
        for b in self.gate_bias:
            b.zero_()
            b[n : 2 * n] = 1.0  # forget gates start open
        self.window_head.weight.mul_(0.2)
        self.window_head.bias.zero_()
        self.window_head.bias[:k] = -math.log(k)
        self.window_head.bias[2 * k :] = math.log(self.config.window_step)
        self.head.bias.zero_()
        # Lifts are rare: one point in about twenty.
        self.head.bias[0] = -3.0

    def initial_state(self, batch: int) -> State:
        """The state before the first point: all zero."""
        p = self.head.weight
        c = self.config
        return State(
            p.new_zeros(c.layers, batch, c.units),
            p.new_zeros(c.layers, batch, c.units),
            p.new_zeros(batch, c.symbols),
            p.new_zeros(batch, c.windows),
        )

    def one_hot(self, codes: Tensor) -> Tensor:
        """Codes (B, C) to (B, C, symbols); padding (code 0) gives zero rows."""
        hot = torch.zeros(
            *codes.shape, self.config.symbols, device=codes.device, dtype=self.head.weight.dtype
        )
        hot.scatter_(-1, codes.unsqueeze(-1), 1.0)
        return hot * (codes > 0).unsqueeze(-1)

    def step(self, x: Tensor, text: Tensor, state: State) -> tuple[Tensor, State]:
        """One point.

        Parameters
        ----------
        x : Tensor, shape (B, 3)
            Standardised offset.
        text : Tensor, shape (B, C, symbols)
            From :meth:`one_hot`.
        state : State

        Returns
        -------
        raw : Tensor, shape (B, 6 M + 1)
        State
        """
        hs, cs = [], []
        window, kappa = state.window, state.kappa
        below = torch.cat([x, window], -1)
        for layer in range(self.config.layers):
            gates = (
                below @ self.input_weight[layer].T
                + state.h[layer] @ self.recurrent_weight[layer].T
                + self.gate_bias[layer]
            )
            h, c = lstm_cell(gates, state.c[layer])
            hs.append(h)
            cs.append(c)
            if layer == 0:
                alpha, beta, move = window_parameters(self.window_head(h))
                kappa = kappa + move
                weights = window_weights(alpha, beta, kappa, text.shape[1])
                window = torch.bmm(weights.unsqueeze(1), text).squeeze(1)
            below = torch.cat([x, window, h], -1)
        raw = self.head(torch.cat(hs, -1))
        return raw, State(torch.stack(hs), torch.stack(cs), window, kappa)

    def forward(self, x: Tensor, text: Tensor, state: State | None = None) -> Reading:
        """Read given ink.

        Parameters
        ----------
        x : Tensor, shape (T, B, 3)
            Standardised offsets.
        text : Tensor, shape (B, C, symbols)
        state : State, optional
            Where to start; default: all zero.  It receives no gradient.

        Returns
        -------
        Reading
        """
        state = state or self.initial_state(x.shape[1])
        compiled = self.kernels == "compiled"
        layer_over_time = CompiledLSTM.apply if compiled else lstm_layer
        first, window, kappa, last_c = self._first_layer(x, text, state, compiled)
        hs, last = [first], [last_c]
        shown = [self._hide(first)]
        for layer in range(1, self.config.layers):
            h, c = layer_over_time(
                torch.cat([x, window, shown[-1]], -1),
                self.input_weight[layer],
                self.recurrent_weight[layer],
                self.gate_bias[layer],
                state.h[layer],
                state.c[layer],
                self.products,
            )
            hs.append(h)
            last.append(c)
            shown.append(self._hide(h))
        raw = self.head(torch.cat(shown, -1))
        final = State(torch.stack([h[-1] for h in hs]), torch.stack(last), window[-1], kappa[-1])
        return Reading(raw, hs, window, kappa, final)

    def _first_layer(
        self, x: Tensor, text: Tensor, state: State, compiled: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Outputs, window vectors and kappa over time, and the last cells."""
        w_x, w_w = self.input_weight[0].split([3, self.config.symbols], dim=1)
        weight = torch.cat([w_w, self.recurrent_weight[0]], 1)
        head = self.window_head.weight, self.window_head.bias
        start = state.h[0], state.c[0], state.window, state.kappa
        if compiled:
            # Rows of zeros are past the end of a text: their code is 0.
            codes, bias = text.argmax(-1), self.gate_bias[0]
            return CompiledWindowedLayer.apply(
                x, codes, w_x, weight, bias, *head, *start, self.products
            )
        projected = x @ w_x.T + self.gate_bias[0]
        return WindowedLayer.apply(projected, weight, *head, text, *start, self.products)

    def _hide(self, h: Tensor) -> Tensor:
        """Outputs (T, B, N) with some of them 0 throughout, the others larger to make up for it."""
        if not (self.dropout and self.training):
            return h
        kept = torch.rand(h.shape[1:], generator=self.hiding) >= self.dropout
        return h * (kept / (1 - self.dropout)).to(h)

    def mixture(self, raw: Tensor) -> Mixture:
        """The density that `raw` describes."""
        return Mixture.from_raw(raw, min_sigma=self.config.min_sigma)
