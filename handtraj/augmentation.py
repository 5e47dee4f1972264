"""Changes to ink that leave what it says: size, width, slant, speed, and a wandering pen."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AugmentationConfig", "augment", "wander"]


@dataclass(frozen=True)
class AugmentationConfig:
    """Standard deviations of what is drawn anew for every item; 0 leaves it.

    Parameters
    ----------
    size, width, speed : float
        Of the logarithm of a factor on both axes, on x alone, and on the
        number of points.
    slant : float
        Of the shear dx / dy.
    wander : float
        Largest Gaussian error of the pen's position, in x-heights; every item
        draws its own strength up to it.  The network then sees a pen beside
        its line, and learns the movement back to it.
    """

    size: float = 0.0
    width: float = 0.0
    slant: float = 0.0
    speed: float = 0.0
    wander: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")


def augment(
    offsets: NDArray[np.float32], config: AugmentationConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Offsets (T, 3) of the same line, a little larger, wider, slanted or slower."""
    if not (config.size or config.width or config.slant or config.speed):
        return offsets
    out = offsets.copy()
    size, width, speed = np.exp(
        rng.normal(0, 1, 3) * [config.size, config.width, config.speed]
    ).astype(np.float32)
    if config.speed:
        out = _resample(out, float(speed))
    out[:, 1] *= size
    out[:, 0] = out[:, 0] * size * width + out[:, 1] * np.float32(rng.normal(0, config.slant))
    return out


def _resample(offsets: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """The same path in `factor` times as many points, stroke by stroke.

    The ends of every stroke stay points of their own.
    """
    points = np.cumsum(offsets[:, :2], axis=0, dtype=np.float64)
    ends = [int(i) for i in np.flatnonzero(offsets[:, 2] > 0)]
    if not ends or ends[-1] != len(offsets) - 1:
        ends.append(len(offsets) - 1)
    times, start = [], 0
    for end in ends:
        number = max(2, round((end - start) * factor) + 1) if end > start else 1
        times.append(np.linspace(start, end, number))
        start = end + 1
    when = np.concatenate(times)
    old = np.arange(len(points))
    new = np.column_stack([np.interp(when, old, points[:, k]) for k in (0, 1)])
    out = np.zeros((len(when), 3), dtype=np.float32)
    out[:, :2] = np.diff(new, axis=0, prepend=np.zeros((1, 2)))
    out[np.cumsum([len(t) for t in times]) - 1, 2] = offsets[ends, 2]
    return out


def wander(length: int, largest: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Errors (length, 2) of the pen's position, in x-heights."""
    return rng.normal(0, largest * rng.random(), (length, 2)).astype(np.float32)
