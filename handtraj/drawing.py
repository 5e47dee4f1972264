"""The draw of one point of several lines from what the network says of it."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.mixture import LOG_SIGMA_MAX, RHO_MAX, Mixture, raw_size

__all__ = ["CHUNK", "Sampler", "random_numbers"]

FloatArray = NDArray[np.float32]

#: Random numbers are drawn for this many points at a time.
CHUNK = 256
#: Up to this many rows, drawing one by one in plain Python is faster.
_FEW_ROWS = 4


class Sampler:
    """Draws points from the network's output, as :class:`Mixture` does for tensors.

    Of the chosen component alone the parameters are worked out.  Everything
    is done in float64, so that a point does not depend on how many are drawn
    at once.

    Parameters
    ----------
    bias, form
        See :meth:`Mixture.biased`, which also says what is refused.
    min_sigma : float
        See :meth:`Mixture.from_raw`.
    components : int
    """

    def __init__(self, bias: float, form: str, *, min_sigma: float, components: int) -> None:
        Mixture.from_raw(torch.zeros(raw_size(1))).biased(bias, form)
        self._m, self._bias, self._low = components, float(bias), math.log(min_sigma)
        self._weight_by = 1 + self._bias if form in ("graves", "pen") else 1.0
        self._pen_by = 1 + self._bias if form == "pen" else 1.0

    def draw(self, raw: FloatArray, random: FloatArray) -> FloatArray:
        """Points (B, 3) from `raw` (B, 6 M + 1) and random numbers (B, 4).

        The first two of them, uniform, choose the component and the pen; the
        other two, normal, the movement (:meth:`Mixture.transform`).
        """
        if len(raw) > _FEW_ROWS:
            return self._draw_many(raw.astype(np.float64), random.astype(np.float64))
        points = [self._draw_one(*pair) for pair in zip(raw.tolist(), random.tolist(), strict=True)]
        return np.array(points, np.float32)

    def _draw_one(self, raw: list[float], random: list[float]) -> tuple[float, float, float]:
        m, by = self._m, self._weight_by
        top = max(raw[1 : m + 1])
        weights = [math.exp((w - top) * by) for w in raw[1 : m + 1]]
        passed = list(accumulate(weights))
        chosen = bisect_left(passed, random[0] * passed[-1])
        at = 1 + m + 2 * chosen
        log_sigma = raw[at + 2 * m : at + 2 * m + 2]
        sx, sy = (math.exp(min(max(s, self._low), LOG_SIGMA_MAX) - self._bias) for s in log_sigma)
        rho = RHO_MAX * math.tanh(raw[1 + 5 * m + chosen])
        x, y = random[2], rho * random[2] + math.sqrt(1 - rho * rho) * random[3]
        pen = random[1] * (1 + math.exp(min(-self._pen_by * raw[0], 80))) < 1
        return raw[at] + sx * x, raw[at + 1] + sy * y, float(pen)

    def _draw_many(self, raw: NDArray[np.float64], random: NDArray[np.float64]) -> FloatArray:
        m, rows = self._m, np.arange(len(raw))
        weight = raw[:, 1 : m + 1]
        passed = np.exp((weight - weight.max(1, keepdims=True)) * self._weight_by).cumsum(1)
        chosen = (random[:, :1] * passed[:, -1:] > passed).sum(1)
        at = 1 + m + 2 * chosen
        log_sigma = raw[rows, [at + 2 * m, at + 2 * m + 1]]
        sigma = np.exp(np.minimum(np.maximum(log_sigma, self._low), LOG_SIGMA_MAX) - self._bias)
        rho = RHO_MAX * np.tanh(raw[rows, 1 + 5 * m + chosen])
        x, y = random[:, 2], rho * random[:, 2] + np.sqrt(1 - rho * rho) * random[:, 3]
        points = np.empty((len(raw), 3), np.float32)
        points[:, 0] = raw[rows, at] + sigma[0] * x
        points[:, 1] = raw[rows, at + 1] + sigma[1] * y
        points[:, 2] = random[:, 1] * (1 + np.exp(np.minimum(-self._pen_by * raw[:, 0], 80))) < 1
        return points


def random_numbers(generator: torch.Generator) -> FloatArray:
    """Random numbers of one line for the next points, shape (CHUNK, 4)."""
    uniform = torch.rand(CHUNK, 2, generator=generator)
    return torch.cat([uniform, torch.randn(CHUNK, 2, generator=generator)], 1).numpy()
