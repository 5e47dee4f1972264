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
    x: Tensor,
    w_in: Tensor,
    w_rec: Tensor,
    bias: Tensor,
    h: Tensor,
    c: Tensor,
    products: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """A whole LSTM layer over time by the library's kernel: outputs (T, B, N) and last c.

    `products` is the precision of the kernel; what goes in and out is in
    that of `x`.
    """
    kind = x.dtype
    if products != torch.float32:
        x, w_in, w_rec, bias, h, c = (v.to(products) for v in (x, w_in, w_rec, bias, h, c))
    out, _, last = torch.lstm(
        x,
        (h.unsqueeze(0), c.unsqueeze(0)),
        [w_in, w_rec, bias, torch.zeros_like(bias)],
        True,
        1,
        0.0,
        torch.is_grad_enabled(),
        False,
        False,
    )
    return out.to(kind), last[0].to(kind)


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
        products: torch.dtype = torch.float32,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Outputs, window vectors and kappa over time, and the last cell state.

        `products` is the precision of the large matrix products.
        """
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
        full = products in (torch.float32, projected.dtype)
        w_t, head_t = weight.T.contiguous(), head_weight.T.contiguous()
        w_t = w_t if full else w_t.to(products)
        for t in range(steps):
            z = gates[t]
            if full:
                torch.addmm(projected[t], joint[t], w_t, out=z)
            else:
                torch.add(projected[t], joint[t].to(products) @ w_t, out=z)
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
        ctx.products = products if not full else None
        ctx.save_for_backward(weight, head_weight, text, joint, gates, cells, heads, kappas)
        windows, outs = joint[1:, :, :symbols].contiguous(), joint[1:, :, symbols:].contiguous()
        last = cells[-1].clone()
        ctx.mark_non_differentiable(kappas, last)
        return outs, windows, kappas, last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the projected input, the weights, and the window's head.

        What does not depend on later steps is computed for all steps at once;
        the loop keeps the recurrence alone.
        """
        weight, head_weight, text, joint, gates, cells, heads, kappas = ctx.saved_tensors
        short: torch.dtype | None = ctx.products
        low = weight if short is None else weight.to(short)
        steps, batch, width = gates.shape
        n, symbols = width // 4, text.shape[-1]
        slopes = _gate_slopes(gates, cells)
        bells, moves = _window_slopes(heads, kappas, text.shape[1])
        d_gates, d_heads = torch.empty_like(gates), torch.empty_like(heads)
        two_k = 2 * kappas.shape[-1]
        text_t = text.transpose(1, 2).contiguous()
        # What reaches window and output of a step from above; from the step
        # after it comes d_gates @ weight.
        d_joint = torch.cat([grads[1], grads[0]], -1)
        d_cell = joint.new_zeros(batch, n)
        d_kappa = torch.zeros_like(kappas[0])
        now = d_joint[-1]
        for t in range(steps - 1, -1, -1):
            d_phi = torch.bmm(now[:, :symbols].unsqueeze(1), text_t)  # (B, 1, C)
            q = torch.bmm(bells[t], d_phi.transpose(1, 2)).squeeze(2)
            d_head = d_heads[t]
            d_head[:, :two_k] = q[:, :two_k]
            d_kappa = d_kappa + q[:, two_k:]
            torch.mul(d_kappa, moves[t], out=d_head[:, two_k:])
            d_h = torch.addmm(now[:, symbols:], d_head, head_weight)
            by_cell, by_output, through, forget = slopes[t]
            d_cell = torch.addcmul(d_cell, d_h, through)
            d_z = d_gates[t]
            torch.mul(by_cell, d_cell.unsqueeze(1), out=d_z[:, : 3 * n].view(batch, 3, n))
            torch.mul(d_h, by_output, out=d_z[:, 3 * n :])
            d_cell = d_cell * forget
            if not t:
                break
            if short is None:
                now = torch.addmm(d_joint[t - 1], d_z, weight)
            else:
                now = d_joint[t - 1] + d_z.to(short) @ low
        flat, seen = d_gates.view(-1, width), joint[:-1].reshape(-1, symbols + n)
        d_weight = flat.T @ seen if short is None else (flat.to(short).T @ seen.to(short)).to(seen)
        outs = joint[1:, :, symbols:].reshape(-1, n)
        flat_heads = d_heads.view(-1, d_heads.shape[-1])
        return (
            d_gates,
            d_weight,
            flat_heads.T @ outs,
            flat_heads.sum(0),
            *(None,) * 6,
        )


def _gate_slopes(gates: Tensor, cells: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Factors of the backward pass of every step.

    Of input, forget and cell gate by the cell's gradient (B, 3, N); of the
    output gate by the output's; of the cell by the output's; the forget gate.
    """
    i, f, g, o = gates.chunk(4, -1)
    squashed = cells[1:].tanh()
    by_cell = torch.stack([g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g.square())], 2)
    by_output = squashed * o * (1 - o)
    through = o * (1 - squashed.square())
    return list(
        zip(by_cell.unbind(0), by_output.unbind(0), through.unbind(0), f.unbind(0), strict=True)
    )


def _window_slopes(heads: Tensor, kappas: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Slopes of the window weights (T, B, 3 K, C), and of kappa by its head (T, B, K).

    By the logs of height and width, and by kappa (Graves eq. 57 to 60).
    """
    alpha, beta, move = (p.unsqueeze(-1) for p in window_parameters(heads))
    u = torch.arange(length, device=kappas.device, dtype=kappas.dtype)
    away = kappas.unsqueeze(-1) - u
    bell = torch.exp(-beta * away.square()).mul_(alpha)
    free_alpha, free_beta, free_move = (heads < LOG_CAP).unsqueeze(-1).chunk(3, -2)
    pull = bell * away
    slopes = torch.cat(
        [bell * free_alpha, -(beta * free_beta) * pull * away, -2 * beta * pull], dim=-2
    )
    return slopes, (move * free_move).squeeze(-1)
