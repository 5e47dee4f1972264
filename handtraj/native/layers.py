"""The compiled layers as functions that autograd knows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["CompiledLSTM", "CompiledWindowedLayer"]


class CompiledLSTM(torch.autograd.Function):
    """A whole LSTM layer over time; initial states receive no gradient.

    The scan keeps cells, outputs and sums in float32; `products` is what goes
    into the matrix products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w_in: Tensor,
        w_rec: Tensor,
        bias: Tensor,
        h: Tensor,
        c: Tensor,
        products: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """Outputs (T, B, N) and the last cells, from inputs (T, B, I)."""
        short = products == torch.bfloat16
        # bfloat16 is multiplied in pairs.
        seen = functional.pad(x, (0, x.shape[-1] % 2)).to(products) if short else x.contiguous()
        hidden, gates, cells = torch.ops.handtraj.lstm_forward(seen, w_in, w_rec, bias, h, c)
        ctx.save_for_backward(seen, w_in, w_rec, hidden, gates, cells)
        ctx.short, ctx.width = short, x.shape[-1]
        last = cells[-1].clone()
        ctx.mark_non_differentiable(last)
        return hidden[1:], last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of input, weights and bias."""
        seen, w_in, w_rec, hidden, gates, cells = ctx.saved_tensors
        d_gates, d_bias = torch.ops.handtraj.lstm_backward(
            grads[0].contiguous(), gates, cells, w_rec, ctx.short
        )
        flat = d_gates.flatten(0, 1)
        before = hidden[:-1].flatten(0, 1).to(flat.dtype)
        d_in = flat.T @ seen.flatten(0, 1)[:, : ctx.width]
        d_x = (d_gates @ w_in.to(flat.dtype)).to(w_in.dtype)
        return (d_x, d_in.to(w_in.dtype), (flat.T @ before).to(w_in.dtype), d_bias, *(None,) * 3)


class CompiledWindowedLayer(torch.autograd.Function):
    """The first layer with its window; as :class:`handtraj.layers.WindowedLayer`.

    It takes the codes of the text in place of their rows of zeros and ones,
    and the pen's offsets in place of what the weights make of them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        codes: Tensor,
        w_x: Tensor,
        weight: Tensor,
        bias: Tensor,
        head_weight: Tensor,
        head_bias: Tensor,
        h: Tensor,
        c: Tensor,
        window: Tensor,
        kappa: Tensor,
        products: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Outputs, window vectors and kappa over time, and the last cells."""
        short = products == torch.bfloat16
        x, w_x, weight = x.contiguous(), w_x.contiguous(), weight.contiguous()
        hidden, gates, cells, windows, kappas, heads = torch.ops.handtraj.windowed_forward(
            x, codes, w_x, weight, bias, head_weight, head_bias, h, c, window, kappa, short
        )
        ctx.save_for_backward(
            x, codes, weight, head_weight, hidden, gates, cells, windows, kappas, heads
        )
        ctx.short = short
        last = cells[-1].clone()
        ctx.mark_non_differentiable(kappas, last)
        return hidden[1:], windows[1:], kappas[1:], last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the weights, the biases and the window's head."""
        x, codes, weight, w_head, hidden, gates, cells, windows, kappas, heads = ctx.saved_tensors
        d_gates, d_heads, d_pen = torch.ops.handtraj.windowed_backward(
            grads[0].contiguous(),
            grads[1].contiguous(),
            gates,
            cells,
            kappas,
            heads,
            codes,
            x,
            weight,
            w_head,
            ctx.short,
        )
        flat = d_gates.flatten(0, 1)
        joint = torch.cat([windows[:-1], hidden[:-1]], -1).flatten(0, 1).to(flat.dtype)
        flat_heads, outs = d_heads.flatten(0, 1), hidden[1:].flatten(0, 1)
        return (
            None,
            None,
            d_pen[:3].T,
            (flat.T @ joint).to(weight.dtype),
            d_pen[3],
            flat_heads.T @ outs,
            flat_heads.sum(0),
            *(None,) * 5,
        )
