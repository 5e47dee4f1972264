"""LSTM cell and soft window, and the fast windowed layer used in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["WindowedLayer", "lstm_cell", "lstm_layer", "window_parameters", "window_weights"]

#: Logs of window height, width and step are capped here: e^6 is 400 characters.
LOG_CAP = 6.0


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM update from summed gates (B, 4 N), order input, forget, cell, output."""
    i, f, g, o = gates.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def window_parameters(head: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Heights alpha, widths beta and steps of the K Gaussians (Graves eq. 49 to 51)."""
    alpha, beta, move = head.clamp(max=LOG_CAP).exp().chunk(3, -1)
    return alpha, beta, move


def window_weights(alpha: Tensor, beta: Tensor, kappa: Tensor, length: int) -> Tensor:
    """Weight of every character, shape (B, C) (Graves eq. 46); u counts from 0."""
    u = torch.arange(length, device=kappa.device, dtype=kappa.dtype)
    away = kappa.unsqueeze(-1) - u
    return (alpha.unsqueeze(-1) * torch.exp(-beta.unsqueeze(-1) * away.square())).sum(-2)


def lstm_layer(
    x: Tensor, w_in: Tensor, w_rec: Tensor, bias: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """A whole LSTM layer over time by the library's kernel: outputs (T, B, N) and last c."""
    weights = [w_in, w_rec, bias, torch.zeros_like(bias)]
    out, _, last = torch.lstm(
        x,
        (h.unsqueeze(0), c.unsqueeze(0)),
        weights,
        True,
        1,
        0.0,
        torch.is_grad_enabled(),
        False,
        False,
    )
    return out, last[0]


class WindowedLayer(torch.autograd.Function):
    """The first layer with its window over a whole sequence.

    Autograd would make one small matrix product a step for the gradient of
    the weights; here the backward pass keeps the gradients of the gates and
    takes the weights' share in one product over all steps.  Initial states
    and kappa receive no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        weight: Tensor,
        head_weight: Tensor,
        head_bias: Tensor,
        text: Tensor,
        h: Tensor,
        c: Tensor,
        window: Tensor,
        kappa: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Outputs, window vectors and kappa over time, and the last cell state."""
        steps, batch, width = projected.shape
        n, symbols = width // 4, window.shape[-1]
        new = projected.new_empty
        # Row t of `joint` is what step t sees: window and output of step t - 1.
        joint = new(steps + 1, batch, symbols + n)
        joint[0, :, :symbols], joint[0, :, symbols:] = window, h
        gates, cells, heads = (
            new(steps, batch, width),
            new(steps + 1, batch, n),
            new(steps, batch, head_bias.shape[0]),
        )
        kappas = new(steps, batch, kappa.shape[-1])
        cells[0] = c
        u = torch.arange(text.shape[1], device=text.device, dtype=text.dtype)
        w_t, head_t = weight.T.contiguous(), head_weight.T.contiguous()
        for t in range(steps):
            z = gates[t]
            torch.addmm(projected[t], joint[t], w_t, out=z)
            z[:, : 2 * n].sigmoid_()
            z[:, 2 * n : 3 * n].tanh_()
            z[:, 3 * n :].sigmoid_()
            i, f, g, o = z.split(n, 1)
            torch.mul(f, cells[t], out=cells[t + 1])
            cells[t + 1].addcmul_(i, g)
            out = joint[t + 1, :, symbols:]
            torch.mul(o, cells[t + 1].tanh(), out=out)
            torch.addmm(head_bias, out, head_t, out=heads[t])
            alpha, beta, move = window_parameters(heads[t])
            kappa = torch.add(kappa, move, out=kappas[t])
            away = (kappa.unsqueeze(-1) - u).square_().mul_(-beta.unsqueeze(-1)).exp_()
            phi = torch.bmm(alpha.unsqueeze(1), away)
            joint[t + 1, :, :symbols] = torch.bmm(phi, text).squeeze(1)
        ctx.save_for_backward(weight, head_weight, text, joint, gates, cells, heads, kappas)
        windows, outs = joint[1:, :, :symbols].contiguous(), joint[1:, :, symbols:].contiguous()
        last = cells[-1].clone()
        ctx.mark_non_differentiable(kappas, last)
        return outs, windows, kappas, last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the projected input, the weights, and the window's head."""
        d_outs, d_windows = grads[0], grads[1]
        weight, head_weight, text, joint, gates, cells, heads, kappas = ctx.saved_tensors
        steps, batch, width = gates.shape
        n, symbols = width // 4, text.shape[-1]
        d_gates = torch.empty_like(gates)
        d_heads = torch.empty_like(heads)
        u = torch.arange(text.shape[1], device=text.device, dtype=text.dtype)
        text_t = text.transpose(1, 2).contiguous()
        d_joint = joint.new_zeros(batch, symbols + n)
        d_cell = joint.new_zeros(batch, n)
        d_kappa = torch.zeros_like(kappas[0])
        for t in range(steps - 1, -1, -1):
            d_window = d_windows[t] + d_joint[:, :symbols]
            d_phi = torch.bmm(d_window.unsqueeze(1), text_t)  # (B, 1, C)
            alpha, beta, move = window_parameters(heads[t])
            away = kappas[t].unsqueeze(-1) - u  # (B, K, C)
            bell = torch.exp(-beta.unsqueeze(-1) * away.square()).mul_(d_phi)
            zeroth = bell.sum(-1)
            bell.mul_(away)
            first = bell.sum(-1)
            second = bell.mul_(away).sum(-1)
            d_kappa = d_kappa - 2 * alpha * beta * first
            d_head = d_heads[t]
            torch.cat([alpha * zeroth, -alpha * beta * second, d_kappa * move], 1, out=d_head)
            d_head.mul_(heads[t] < LOG_CAP)
            d_h = torch.addmm(d_outs[t] + d_joint[:, symbols:], d_head, head_weight)
            i, f, g, o = gates[t].split(n, 1)
            squashed = cells[t + 1].tanh()
            d_o = d_h * squashed
            d_cell = torch.addcmul(d_cell, d_h * o, 1 - squashed.square())
            di, df, dg, do = d_gates[t].split(n, 1)
            torch.mul(d_cell * g, i * (1 - i), out=di)
            torch.mul(d_cell * cells[t], f * (1 - f), out=df)
            torch.mul(d_cell * i, 1 - g.square(), out=dg)
            torch.mul(d_o, o * (1 - o), out=do)
            d_cell = d_cell * f
            d_joint = d_gates[t] @ weight
        flat = d_gates.view(-1, width)
        d_weight = flat.T @ joint[:-1].reshape(-1, symbols + n)
        outs = joint[1:, :, symbols:].reshape(-1, n)
        flat_heads = d_heads.view(-1, d_heads.shape[-1])
        return (
            d_gates,
            d_weight,
            flat_heads.T @ outs,
            flat_heads.sum(0),
            *(None,) * 5,
        )
