"""One point after the other: the network's step, and what is kept.

:meth:`handtraj.network.Network.step` says what a step is.  A writing spends
nearly all its time there, so on a CPU :class:`Stepper` runs the same step with
one matrix product a layer, in place, without a temporary tensor for every term,
and :class:`CompiledStepper` runs all of it in one call, where it was compiled.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handtraj.layers import LOG_CAP, window_parameters, window_weights
from handtraj.native import CompilerError
from handtraj.network import Network, State
from handtraj.packing import PackedNetwork, shared_tensor

__all__ = [
    "CompiledStepper",
    "NetworkStepper",
    "Stepper",
    "Tape",
    "rest_of_prime",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


class Stepper:
    """A packed network on its way through a batch of texts, its state in place.

    Parameters
    ----------
    packed : PackedNetwork
    codes : array, shape (B, C), int64
        Codes of the texts, 0 after the end of the shorter ones.
    state : State, optional
        Where to start; default: all zero.

    Attributes
    ----------
    h : list of array, shape (B, N), float32
        Output of every layer.  Here and in `c` and `kappa` a change in place
        moves the network; :meth:`output` then gives its new output.
    c : array, shape (layers, B, N)
        Cells of every layer.
    kappa : array, shape (B, K)
    phi : array, shape (B, C + 1)
        Weight of each character, and of one more place past the longest text
        (Graves 2013, eq. 46), at the last step.

    Raises
    ------
    ValueError
        If `state` has another number of rows than `codes`.
    """

    def __init__(self, packed: PackedNetwork, codes: IntArray, state: State | None = None) -> None:
        config = packed.config
        batch, n, block = len(codes), config.units, 4 + config.symbols
        if state is not None and len(state.kappa) != batch:
            raise ValueError(f"{batch} texts need a state of {batch} rows, got {len(state.kappa)}")
        self._packed, self._codes, self._k = packed, codes, config.windows
        row: FloatArray = np.zeros((batch, packed.width), np.float32)
        blocks = [row[:, at : at + block] for at in packed.blocks]
        for piece in blocks:
            piece[:, 0] = 1
        self._x = [piece[:, 1:4] for piece in blocks]
        self._windows = [piece[:, 4:] for piece in blocks]
        self.h = [row[:, at : at + n] for at in packed.outputs]
        self.c: FloatArray = np.zeros((config.layers, batch, n), np.float32)
        self.kappa: FloatArray = np.zeros((batch, config.windows), np.float32)
        self._bind(row)
        if state is not None:
            self.state = state
        else:
            self._look()

    def _bind(self, row: FloatArray) -> None:
        """What the steps need beside the state, which lies in `row`."""
        packed, (_, batch, n) = self._packed, self.c.shape
        self._u = np.arange(self._codes.shape[1] + 1, dtype=np.float32)
        symbols = packed.config.symbols
        hot = np.zeros((*self._codes.shape, symbols), np.float32)
        np.put_along_axis(hot, self._codes[:, :, None], 1, 2)
        self._text: FloatArray = hot * (self._codes > 0)[:, :, None]
        self._products = [
            layer.bind(row[:, span])
            for layer, span in zip(packed.layers, packed.spans, strict=True)
        ]
        self._window_head = packed.window.bind(row[:, : 4 + symbols + n])
        self._head = packed.head.bind(row)
        self._ifog: FloatArray = np.empty((4, batch, n), np.float32)
        # Products have the gates of a row together, here those of a kind are:
        # for one row the same, for more a cheaper way to go on.
        self._gates = shared_tensor(self._ifog if batch > 1 else self._ifog.reshape(1, 4 * n))
        self._squashed: FloatArray = np.empty((batch, n), np.float32)

    @property
    def state(self) -> State:
        """A copy of the state; set it to go on from another."""
        arrays = (np.stack(self.h), self.c.copy(), self._windows[0].copy(), self.kappa.copy())
        return State(*(torch.from_numpy(a) for a in arrays))

    @state.setter
    def state(self, state: State) -> None:
        for own, other in zip(self.h, state.h, strict=True):
            own[:] = _array(other)
        self.c[:] = _array(state.c)
        self.kappa[:] = _array(state.kappa)
        for piece in self._windows:
            piece[:] = _array(state.window)
        self._look()

    def hidden(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Copies of h and c, shape (B, layers, N), and of the window, (B, symbols)."""
        return np.stack(self.h, 1), self.c.transpose(1, 0, 2).copy(), self._windows[0].copy()

    def select(self, index: IntArray) -> Stepper:
        """A stepper that goes on with the rows `index`, the text as long as they need."""
        codes = _shortest(self._codes[index])
        return type(self)(self._packed, codes, self.state.select(torch.from_numpy(index)))

    def step(self, x: FloatArray) -> FloatArray:
        """One point.

        Parameters
        ----------
        x : array, shape (B, 3)
            Standardised offset.

        Returns
        -------
        array, shape (B, 6 M + 1)
            Parameters of the mixture; may be overwritten by the next step.
        """
        for piece in self._x:
            piece[:] = x
        i, f, o, g = self._ifog
        squashed, several = self._squashed, len(self.kappa) > 1
        for layer, product in enumerate(self._products):
            gates = product()
            if several:
                gates = gates.view(-1, 4, gates.shape[1] // 4).transpose(0, 1)
            torch.sigmoid(gates, out=self._gates)
            c = self.c[layer]
            # c = f c + i (2 g - 1), then h = o tanh(c).
            np.subtract(g, 0.5, out=g)
            np.multiply(g, i, out=g)
            np.multiply(c, f, out=c)
            np.add(g, g, out=g)
            np.add(c, g, out=c)
            np.tanh(c, out=squashed)
            np.multiply(squashed, o, out=self.h[layer])
            if layer == 0:
                self._move()
        return self.output()

    def output(self) -> FloatArray:
        """Parameters of the mixture for the layers' outputs as they stand."""
        raw: FloatArray = self._head().numpy()
        return raw

    def _window_parameters(self) -> FloatArray:
        """Heights, widths and steps of the Gaussians, (B, 3 K) (Graves eq. 49 to 51)."""
        head: FloatArray = self._window_head().numpy()
        np.minimum(head, LOG_CAP, out=head)
        np.exp(head, out=head)
        return head

    def _look(self, head: FloatArray | None = None) -> None:
        """What the window sees from where it stands (Graves eq. 46)."""
        head = self._window_parameters() if head is None else head
        k = self._k
        away = self.kappa[:, :, None] - self._u
        np.square(away, out=away)
        np.multiply(away, -head[:, k : 2 * k, None], out=away)
        np.exp(away, out=away)
        self._seen = np.matmul(head[:, None, :k], away)
        self.phi: FloatArray = self._seen[:, 0]

    def _move(self) -> None:
        """Move the window as the first layer says, and pass on what it sees there."""
        head = self._window_parameters()
        self.kappa += head[:, 2 * self._k :]
        self._look(head)
        window = np.matmul(self._seen[:, :, :-1], self._text)[:, 0]
        for piece in self._windows:
            piece[:] = window


class CompiledStepper(Stepper):
    """The same with a compiled step; parameters and attributes are those of `Stepper`.

    Sums are taken in the same order however many rows there are, so no line
    depends on those written beside it.

    Raises
    ------
    CompilerError
        If the step was not compiled (:func:`handtraj.native.compiled_layers`).
    """

    def _bind(self, row: FloatArray) -> None:
        panels = self._packed.panels
        if panels is None:
            raise CompilerError("the step was not compiled; call compiled_layers() before")
        self._panels, self._row = panels, shared_tensor(row)
        self._carried = shared_tensor(self.c), shared_tensor(self.kappa)
        # One more place past the longest text.
        self._places = torch.from_numpy(np.pad(self._codes, ((0, 0), (0, 1))))

    def step(self, x: FloatArray) -> FloatArray:
        """One point: x (B, 3) to the parameters of the mixture (B, 6 M + 1)."""
        there = torch.from_numpy(np.ascontiguousarray(x, np.float32))
        raw, phi = self._panels.advance(self._row, *self._carried, there, self._places)
        self.phi = phi.numpy()
        mixture: FloatArray = raw.numpy()
        return mixture

    def output(self) -> FloatArray:
        """Parameters of the mixture for the layers' outputs as they stand."""
        mixture: FloatArray = self._panels.output(self._row).numpy()
        return mixture

    def _look(self, head: FloatArray | None = None) -> None:
        self.phi = self._panels.look(self._row, self._carried[1], self._places).numpy()


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().cpu().numpy()
    return array


def _shortest(codes: IntArray) -> IntArray:
    """Without the columns that only pad."""
    return codes[:, : int((codes > 0).sum(1).max())]


class NetworkStepper:
    """:meth:`Network.step` behind the same face as :class:`Stepper`, on any device.

    Parameters are those of :class:`Stepper`, with a network for its packed
    form; `h`, `c` and `kappa` are reached through `state`.
    """

    @torch.no_grad()
    def __init__(self, network: Network, codes: IntArray, state: State | None = None) -> None:
        self._network, self._codes = network, codes
        self._device = network.head.weight.device
        self._text = network.one_hot(torch.from_numpy(codes).to(self._device))
        self.state = state.to(self._device) if state else network.initial_state(len(codes))
        self._look()

    def hidden(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Copies of h and c, shape (B, layers, N), and of the window, (B, symbols)."""
        h, c = (_array(t.transpose(0, 1)).copy() for t in (self.state.h, self.state.c))
        return h, c, _array(self.state.window).copy()

    def select(self, index: IntArray) -> NetworkStepper:
        """A stepper that goes on with the rows `index`, the text as long as they need."""
        rows = torch.from_numpy(index).to(self._device)
        return NetworkStepper(self._network, _shortest(self._codes[index]), self.state.select(rows))

    @torch.no_grad()
    def step(self, x: FloatArray) -> FloatArray:
        """One point: x (B, 3) to the parameters of the mixture (B, 6 M + 1)."""
        there = torch.from_numpy(x).to(self._device)
        raw, self.state = self._network.step(there, self._text, self.state)
        self._look()
        return _array(raw)

    @torch.no_grad()
    def output(self) -> FloatArray:
        """Parameters of the mixture for the layers' outputs as they stand."""
        return _array(self._network.head(self.state.h.transpose(0, 1).flatten(1)))

    def _look(self) -> None:
        alpha, beta, _ = window_parameters(self._network.window_head(self.state.h[0]))
        length = self._codes.shape[1] + 1
        self.phi = _array(window_weights(alpha, beta, self.state.kappa, length))


class Tape:
    """Keeps what a batch of lines writes, point after point, and hands it out by line."""

    def __init__(self, lines: int, *, record: bool) -> None:
        self._record = record
        self._points: list[tuple[FloatArray, ...]] = []
        self._pieces: list[list[list[FloatArray]]] = [[] for _ in range(lines)]

    def add(self, x: FloatArray, stepper: Stepper | NetworkStepper) -> None:
        """One more point of every line that is still written."""
        hidden = stepper.hidden() if self._record else ()
        self._points.append((x, stepper.phi, *hidden))

    def cut(self, alive: IntArray) -> None:
        """Give the points since the last cut to the lines `alive`, one a row."""
        if not self._points:
            return
        stacks = [np.stack(found) for found in zip(*self._points, strict=True)]
        for place, line in enumerate(alive):
            self._pieces[line].append([stack[:, place] for stack in stacks])
        self._points = []

    def line(self, line: int) -> tuple[FloatArray, ...]:
        """Offsets, window weights and, if recorded, h, c and the window of one line."""
        x, phi, *hidden = zip(*self._pieces[line], strict=True)
        # A cut may make the text, and with it the window, narrower.
        width = min(piece.shape[1] for piece in phi)
        seen = [piece[:, :width] for piece in phi]
        return tuple(np.concatenate(pieces) for pieces in (x, seen, *hidden))


#: A first stroke with less of the window's weight on the new text ends the prime.
_NEW = 0.6


def rest_of_prime(offsets: FloatArray, window: FloatArray, before: int) -> int:
    """Points at the start of a line that still belong to its prime.

    A prime may end with a dot or bar still missing; the network then makes it
    first.  Such strokes are whole, come first, and are made while the window
    looks at the text of the prime.

    Parameters
    ----------
    offsets : array, shape (T, 3)
    window : array, shape (T, C)
        Weights over the whole text, that of the prime included.
    before : int
        Characters of the prime's text.
    """
    start = 0
    for end in np.flatnonzero(offsets[:-1, 2] > 0) + 1:
        seen = window[start:end].sum(1)
        new = window[start:end, before:].sum(1)
        share = np.divide(new, seen, out=np.ones_like(new), where=seen > 0).mean()
        if share >= _NEW:
            break
        start = int(end)
    return start
