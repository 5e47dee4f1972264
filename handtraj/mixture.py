"""The output density: a mixture of bivariate Gaussians and a Bernoulli pen.

Graves (2013), equations 15 to 25; bias, equations 61 and 62.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["BIAS_FORMS", "Mixture", "raw_size"]

#: How sampling bias b sharpens the density.  "sigma" narrows the Gaussians
#: only; "graves" sharpens the weights too (his equations 61 and 62); "pen"
#: sharpens weights and the pen's odds, as much public code does.
BIAS_FORMS = ("sigma", "graves", "pen")

#: Correlations stay inside +-RHO_MAX, where the density is well conditioned.
RHO_MAX = 0.995
#: log standard deviations stay below this (in standardised offsets).
LOG_SIGMA_MAX = 6.0


def raw_size(components: int) -> int:
    """Length of the network's output vector for `components` Gaussians."""
    return 6 * components + 1


@dataclass(frozen=True)
class Mixture:
    """Density of the next offset, in standardised units.

    All tensors share their leading dimensions (…); M is the number of
    components.

    Parameters
    ----------
    log_weight : Tensor, shape (…, M)
        Log mixture weights; they sum to 1 in the exponent.
    mean : Tensor, shape (…, M, 2)
    log_sigma : Tensor, shape (…, M, 2)
    rho : Tensor, shape (…, M)
        Correlation of dx and dy.
    pen_logit : Tensor, shape (…)
        Log odds that the pen is lifted after the next point.
    """

    log_weight: Tensor
    mean: Tensor
    log_sigma: Tensor
    rho: Tensor
    pen_logit: Tensor

    @classmethod
    def from_raw(cls, raw: Tensor, *, min_sigma: float = 0.01) -> Mixture:
        """Read the network's output, shape (…, 6 M + 1).

        The standard deviations are bounded below by `min_sigma`: tablets
        report integers, and without a bound the density would spike there.
        Any finite input, however large, gives finite values and gradients.
        """
        components = (raw.shape[-1] - 1) // 6
        if raw.shape[-1] != raw_size(components) or components < 1:
            raise ValueError(f"raw must have 6 M + 1 values in its last dimension, got {raw.shape}")
        pen, weight, mean, sigma, rho = raw.split(
            [1, components, 2 * components, 2 * components, components], dim=-1
        )
        shape = (*raw.shape[:-1], components, 2)
        return cls(
            log_weight=weight.log_softmax(-1),
            mean=mean.reshape(shape),
            log_sigma=sigma.reshape(shape).clamp(math.log(min_sigma), LOG_SIGMA_MAX),
            rho=RHO_MAX * rho.tanh(),
            pen_logit=pen.squeeze(-1),
        )

    def log_prob(self, target: Tensor) -> Tensor:
        """Log density of `target`, shape (…, 3) = (dx, dy, pen_up), in nats."""
        return self.log_prob_offset(target[..., :2]) + self.log_prob_pen(target[..., 2])

    def log_prob_offset(self, offset: Tensor) -> Tensor:
        """Log density of the movement alone, shape (…, 2) -> (…)."""
        z = (offset.unsqueeze(-2) - self.mean) * torch.exp(-self.log_sigma)
        zx, zy = z.unbind(-1)
        free = 1 - self.rho.square()
        # (zx - rho zy)^2 / (1 - rho^2) + zy^2 keeps every term positive,
        # where the expanded form would cancel for |rho| near 1.
        energy = (zx - self.rho * zy).square() / free + zy.square()
        log_norm = math.log(2 * math.pi) + self.log_sigma.sum(-1) + 0.5 * torch.log(free)
        return torch.logsumexp(self.log_weight - 0.5 * energy - log_norm, dim=-1)

    def log_prob_pen(self, pen_up: Tensor) -> Tensor:
        """Log probability of the pen flag, shape (…) -> (…)."""
        return -functional.binary_cross_entropy_with_logits(
            self.pen_logit, pen_up, reduction="none"
        )

    def biased(self, bias: float, form: str = "sigma") -> Mixture:
        """The density sharpened by `bias` >= 0 (0 leaves it as it is).

        Raises
        ------
        ValueError
            If `bias` is negative or not finite, or `form` is unknown.
        """
        if not (math.isfinite(bias) and bias >= 0):
            raise ValueError(f"bias must be a finite number >= 0, got {bias}")
        if form not in BIAS_FORMS:
            raise ValueError(f"bias form must be one of {', '.join(BIAS_FORMS)}, got {form!r}")
        if bias == 0:
            return self
        weight, pen = self.log_weight, self.pen_logit
        if form in ("graves", "pen"):
            weight = (weight * (1 + bias)).log_softmax(-1)
        if form == "pen":
            pen = pen * (1 + bias)
        return Mixture(weight, self.mean, self.log_sigma - bias, self.rho, pen)

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw offsets, shape (…, 3), from uniform and normal random numbers."""
        shape = self.pen_logit.shape
        uniform = torch.rand(
            (*shape, 2), generator=generator, device=self.rho.device, dtype=self.rho.dtype
        )
        normal = torch.randn(
            (*shape, 2), generator=generator, device=self.rho.device, dtype=self.rho.dtype
        )
        return self.transform(uniform, normal)

    def transform(self, uniform: Tensor, normal: Tensor) -> Tensor:
        """Turn random numbers into offsets.

        Parameters
        ----------
        uniform, normal : Tensor, shape (…, 2)
            uniform chooses the component and the pen; normal the movement.
        """
        cumulative = self.log_weight.exp().cumsum(-1)
        # Rounding may leave the last cumulative weight below 1.
        chosen = (uniform[..., :1] > cumulative).sum(-1).clamp(max=cumulative.shape[-1] - 1)
        index = chosen.unsqueeze(-1)
        pair = index.unsqueeze(-1).expand(*index.shape, 2)
        mean = self.mean.gather(-2, pair).squeeze(-2)
        sigma = self.log_sigma.gather(-2, pair).squeeze(-2).exp()
        rho = self.rho.gather(-1, index).squeeze(-1)
        x = normal[..., 0]
        y = rho * x + (1 - rho.square()).sqrt() * normal[..., 1]
        pen = (uniform[..., 1] < self.pen_logit.sigmoid()).to(mean.dtype)
        return torch.cat([mean + sigma * torch.stack([x, y], -1), pen.unsqueeze(-1)], -1)
