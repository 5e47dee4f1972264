"""The weights of a network in the order that writing on a CPU reads them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from handtraj.mixture import raw_size
from handtraj.native import compiled_already
from handtraj.network import Network

__all__ = ["PackedNetwork", "Panels", "Product", "shared_tensor"]

FloatArray = NDArray[np.float32]
Multiply = Callable[[Tensor], Tensor]

#: From this many rows on, the half precision product that can use several
#: threads gains more by them than its slower call costs.
_THREADED_ROWS = 8
#: Up to this many rows, numpy row by row beats a matrix product in float32.
_SINGLE_ROWS = 3


class PackedNetwork:
    """The weights of a network, one matrix a layer.

    All that enters a step lies in one row, in such an order that what a layer
    reads is one piece of it: (1, x, window), h 0, h 1, (1, x, window), h 2,
    h 3, (1, x, window), …  The rows of a layer's gates are input, forget,
    output, cell, those of the cell doubled: tanh(z) = 2 sigmoid(2 z) - 1, so
    one sigmoid does for all four.

    Parameters
    ----------
    network : Network
        With float32 weights on the CPU.  They are copied; :meth:`fits` tells
        whether they changed since.

    Attributes
    ----------
    blocks, outputs : list of int
        Where in the row each (1, x, window) and each layer's output begins.
    width : int
        Length of the row.
    spans : list of slice
        The piece that each layer reads.
    layers : list of Product
        Gates of each layer from its piece, biases included.
    window, head : Product
        Parameters of the window from the first piece, and of the mixture from
        the whole row.
    """

    def __init__(self, network: Network) -> None:
        self.config = c = network.config
        self._stamp = _stamp(network)
        n, block = c.units, 4 + c.symbols
        self.blocks, self.outputs, self.width = _places(c.layers, n, block)
        with torch.no_grad():
            packed = [self._pack_layer(network, layer) for layer in range(c.layers)]
            window = torch.zeros(3 * c.windows, block + n)
            window[:, 0] = network.window_head.bias
            window[:, block:] = network.window_head.weight
            head = torch.zeros(raw_size(c.components), self.width)
            head[:, 0] = network.head.bias
            for own, weight in zip(self.outputs, network.head.weight.split(n, 1), strict=True):
                head[:, own : own + n] = weight
            self.spans = [span for span, _ in packed]
            self.layers = [Product(weight) for _, weight in packed]
            self.window, self.head = Product(window), Product(head)
        self._matrices = [weight for _, weight in packed], window, head

    @cached_property
    def panels(self) -> Panels | None:
        """The same for the compiled step; None where it was not compiled."""
        return Panels(self, *self._matrices) if compiled_already() else None

    def _pack_layer(self, network: Network, layer: int) -> tuple[slice, Tensor]:
        """The piece of the row that a layer reads, and its weights (4 N, piece)."""
        n, block = self.config.units, 4 + self.config.symbols
        at, own = self.blocks[layer // 2], self.outputs[layer]
        whole = torch.zeros(4 * n, self.width)
        whole[:, at] = network.gate_bias[layer]
        whole[:, own : own + n] = network.recurrent_weight[layer]
        inputs = network.input_weight[layer]
        whole[:, at + 1 : at + block] = inputs[:, : block - 1]
        ends = {at: at + block, own: own + n}
        if layer:
            below = self.outputs[layer - 1]
            whole[:, below : below + n] = inputs[:, block - 1 :]
            ends[below] = below + n
        span = slice(min(ends), max(ends.values()))
        i, f, g, o = whole[:, span].chunk(4)
        return span, torch.cat([i, f, o, 2 * g])

    def fits(self, network: Network) -> bool:
        """Whether these still are the weights of `network`.

        Told by where they lie and how often they were changed in place; a
        change through ``parameter.data`` goes unseen.
        """
        return self._stamp == _stamp(network)


class Panels:
    """A packed network as the compiled step reads it (native/step.cpp).

    Every matrix lies in panels of as many columns as four vectors hold: of a
    layer, the four gates of some units.  Half precision, where it is exact.

    Attributes
    ----------
    layers : list of Tensor
    window, head : Tensor
        As those of :class:`PackedNetwork`, (panels, in, `size`).
    """

    def __init__(
        self, packed: PackedNetwork, layers: list[Tensor], window: Tensor, head: Tensor
    ) -> None:
        config, self.size = packed.config, torch.ops.handtraj.panel()
        units = config.units
        self.layers = [self._lay_out(w.view(4, units, -1)) for w in layers]
        self.window, self.head = (self._lay_out(w.unsqueeze(0)) for w in (window, head))
        self._places = packed.blocks, packed.outputs, [s.start for s in packed.spans]
        self._symbols, self._columns = config.symbols, raw_size(config.components)

    def _lay_out(self, weight: Tensor) -> Tensor:
        """Kinds of rows (kinds, N, in) side by side in panels (P, in, size)."""
        kinds, rows, width = weight.shape
        each = self.size // kinds
        whole = functional.pad(weight, (0, 0, 0, -rows % each))
        panels = whole.view(kinds, -1, each, width).permute(1, 3, 0, 2)
        panels = panels.reshape(-1, width, self.size).contiguous()
        narrow = _halved(panels)
        return panels if narrow is None else narrow

    def advance(
        self, row: Tensor, c: Tensor, kappa: Tensor, x: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One point; moves `row`, `c` and `kappa` on and gives the mixture and phi."""
        raw, phi = torch.ops.handtraj.advance(
            row,
            c,
            kappa,
            x,
            codes,
            self.layers,
            self.window,
            self.head,
            *self._places,
            self._symbols,
            self._columns,
        )
        return raw, phi

    def look(self, row: Tensor, kappa: Tensor, codes: Tensor) -> Tensor:
        """Weights of the window where it stands, (B, C)."""
        first = self._places[0][0]
        phi: Tensor = torch.ops.handtraj.look(row, kappa, codes, self.window, first, self._symbols)
        return phi

    def output(self, row: Tensor) -> Tensor:
        """Parameters of the mixture for the layers' outputs as they stand."""
        raw: Tensor = torch.ops.handtraj.multiply(row, 0, self.head, self._columns)
        return raw


def _halved(weight: Tensor) -> Tensor | None:
    """The weights in half precision, if it holds them exactly."""
    narrow = weight.half()
    return narrow if torch.equal(narrow.float(), weight) else None


def _stamp(network: Network) -> list[tuple[int, int]]:
    return [(p.data_ptr(), 0 if p.is_inference() else p._version) for p in network.parameters()]


def _places(layers: int, units: int, block: int) -> tuple[list[int], list[int], int]:
    """Where the blocks (1, x, window) and the layers' outputs begin, and the width."""
    blocks, outputs, at = [], [], 0
    for layer in range(layers):
        if layer % 2 == 0:
            blocks.append(at)
            at += block
        outputs.append(at)
        at += units
    return blocks, outputs, at


class Product:
    """``x @ weight.T`` for one weight and many x.

    Weights that half precision holds exactly, as those of a checkpoint saved
    with ``half=True``, are kept in it: they are widened on their way into a
    float32 product, so nothing is rounded and half the memory is read.  All
    others stay in float32.

    Parameters
    ----------
    weight : Tensor, shape (out, in), float32
    """

    def __init__(self, weight: Tensor) -> None:
        self._narrow = _halved(weight)
        self._wide = weight.T.contiguous().numpy() if self._narrow is None else None

    @cached_property
    def _single(self) -> Multiply | None:
        return None if self._narrow is None else _half_product(self._narrow.float())

    @cached_property
    def _threaded(self) -> Multiply | None:
        return None if self._narrow is None else _threaded_half_product(self._narrow.float())

    @cached_property
    def _weight(self) -> FloatArray:
        if self._wide is None:
            assert self._narrow is not None
            self._wide = self._narrow.float().T.contiguous().numpy()
        return self._wide

    def half(self, rows: int) -> Multiply | None:
        """The half precision product for so many rows, where there is one."""
        if rows >= _THREADED_ROWS and torch.get_num_threads() > 1:
            return self._threaded or self._single
        return self._single or self._threaded

    def bind(self, x: FloatArray) -> Callable[[], Tensor]:
        """A function that multiplies what the array `x` (B, in) then holds.

        Its result may be overwritten by the next call.
        """
        rows = len(x)
        multiply, there = self.half(rows), shared_tensor(x)
        if multiply is not None:
            return lambda: multiply(there)
        weight = self._weight
        tall, out = shared_tensor(weight), np.empty((rows, weight.shape[1]), np.float32)
        result = shared_tensor(out)

        def whole() -> Tensor:
            # Not by numpy: its threads and those of torch would be in each other's way.
            return torch.mm(there, tall, out=result)

        def by_row() -> Tensor:
            for row, place in zip(x, out, strict=True):
                np.dot(row, weight, out=place)
            return result

        return by_row if rows <= _SINGLE_ROWS else whole


def shared_tensor(array: FloatArray) -> Tensor:
    """A tensor over the same memory, free to be changed in place in any mode."""
    with torch.inference_mode(False):
        return torch.from_numpy(array)


def _half_product(weight: Tensor) -> Multiply | None:
    """Half precision weights, one thread; None where torch has no such product."""
    with warnings.catch_warnings():
        # Marked as deprecated in torch 2.13.  Once it is gone, the other one
        # below takes its place.
        warnings.simplefilter("ignore")
        try:
            packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
            multiply = torch.fbgemm_linear_fp16_weight_fp32_activation
            multiply(torch.zeros(1, weight.shape[1]), packed, None)
        except (AttributeError, RuntimeError):
            return None
    return lambda x: multiply(x, packed, None)


def _threaded_half_product(weight: Tensor) -> Multiply | None:
    """The same with several threads; a call costs some 20 microseconds more."""
    try:
        packed = torch.ops.quantized.linear_prepack_fp16(weight, None)
        multiply = torch.ops.quantized.linear_dynamic_fp16
        multiply(torch.zeros(1, weight.shape[1]), packed)
    except (AttributeError, RuntimeError):
        return None
    return lambda x: multiply(x, packed)
