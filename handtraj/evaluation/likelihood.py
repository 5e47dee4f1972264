"""How well a network predicts real ink: nats, and whether its odds are honest.

One pass over the lines (:func:`forecast`) keeps what was predicted and what came,
point by point; :func:`line_nats`, :func:`pit` and :func:`pen_calibration` read it.

Units.  The network predicts offsets divided by `scale`.  A density changes with
its unit: for x = scale z in the plane p(x) = p(z) / scale², so that

    nats in x-heights = nats in standardised offsets + 2 log(scale) a point.

With a scale below 1 the figure in x-heights is the smaller one.  The pen's part is
a probability and has no unit.  Nats of a density may be negative, have no floor,
and depend on the tablet's resolution: ink is dequantised first, and figures are
to be compared within one source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from handtraj.alphabet import Alphabet
from handtraj.batches import Item, item, pad
from handtraj.checkpoint import Checkpoint
from handtraj.corpus import Corpus
from handtraj.mixture import Mixture
from handtraj.network import Network, resolve_device

__all__ = [
    "Forecasts",
    "LineNats",
    "Pit",
    "Reliability",
    "forecast",
    "forecast_items",
    "line_nats",
    "pen_calibration",
    "pit",
    "reliability",
    "rosenblatt",
]

#: Most points, padding included, that are read at once.
_POINTS = 8_000


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What was predicted and what came, at P points of several lines in turn.

    The first point of a line is given, every later one is predicted.

    Parameters
    ----------
    lines : array of int, shape (P,)
        Position of each point's line in what was asked for.
    offset_nats : array, shape (P,)
        Minus log density of the movement, in standardised offsets.
    pen_nats : array, shape (P,)
        Minus log probability of the pen flag.
    uniform : array, shape (P, 2)
        Probability integral transform of dx, and of dy given dx.
    lift_probability : array, shape (P,)
        Predicted probability that the pen is lifted after the point.
    lifted : array of bool, shape (P,)
        Whether it was.
    in_air : array of bool, shape (P,)
        Whether the movement led to a new stroke.
    count : int
        Lines asked for.
    scale : float
        x-heights per standardised offset.
    """

    lines: NDArray[np.int64]
    offset_nats: NDArray[np.float64]
    pen_nats: NDArray[np.float64]
    uniform: NDArray[np.float64]
    lift_probability: NDArray[np.float64]
    lifted: NDArray[np.bool_]
    in_air: NDArray[np.bool_]
    count: int
    scale: float


@dataclass(frozen=True, eq=False)
class LineNats:
    """Nats of whole lines.

    Parameters
    ----------
    points : array of int, shape (lines,)
        Points predicted.
    offset, pen : array, shape (lines,)
        Nats of the movements, in standardised offsets, and of the pen flags.
    scale : float
        x-heights per standardised offset.
    """

    points: NDArray[np.int64]
    offset: NDArray[np.float64]
    pen: NDArray[np.float64]
    scale: float

    @property
    def nats(self) -> NDArray[np.float64]:
        """Both parts together, shape (lines,), in standardised offsets."""
        return self.offset + self.pen

    @property
    def to_x_heights(self) -> float:
        """What to add, a point, for nats in x-heights: 2 log(scale)."""
        return 2 * math.log(self.scale)

    @property
    def per_point(self) -> float:
        """Nats a point over all lines, in standardised offsets."""
        return float(self.nats.sum() / self.points.sum())


@dataclass(frozen=True, eq=False)
class Pit:
    """Probability integral transforms; even on (0, 1) where the density is right.

    Diebold, Gunther & Tay (1998, section 3).  Too many values in the middle say
    that the density is too wide, too many at both ends that it is too narrow.

    Parameters
    ----------
    uniform : array, shape (P, 2)
        Of dx, and of dy given dx (Rosenblatt 1952).
    """

    uniform: NDArray[np.float64]

    def histogram(self, bins: int = 20) -> NDArray[np.float64]:
        """Density of both in `bins` equal bins, shape (2, bins); 1 is right."""
        if bins < 1:
            raise ValueError(f"bins must be >= 1, got {bins}")
        count = [np.histogram(u, bins, (0, 1))[0] for u in self.uniform.T]
        return np.array(count) * bins / len(self.uniform)

    @property
    def distance(self) -> NDArray[np.float64]:
        """Kolmogorov-Smirnov distance of both from evenness, shape (2,).

        Largest difference of the two distribution functions.  Points of a
        line depend on each other, so no p value belongs to it.
        """
        n = len(self.uniform)
        ranked = np.sort(self.uniform, axis=0)
        steps = np.arange(n + 1)[:, None] / n
        return np.maximum(steps[1:] - ranked, ranked - steps[:-1]).max(axis=0)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted probabilities against frequencies.

    Parameters
    ----------
    edges : array, shape (bins + 1,)
    count : array of int, shape (bins,)
    predicted, observed : array, shape (bins,)
        Mean probability and frequency in each bin; NaN in empty ones.
    brier : float
        Mean square of probability less outcome (Brier 1950).
    brier_base : float
        The same for always saying the overall frequency.
    calibration_error : float
        Mean of abs(predicted - observed) over the bins, weighted by their counts
        (expected calibration error; Guo et al. 2017, equation 3).
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    brier: float
    brier_base: float
    calibration_error: float


def forecast(
    checkpoint: Checkpoint,
    corpus: Corpus,
    indices: Sequence[int] | NDArray[np.int64],
    *,
    seed: int = 0,
    longest: int = 700,
    device: str = "cpu",
) -> Forecasts:
    """Read lines of a corpus and keep what the network expected at every point.

    Parameters
    ----------
    checkpoint : Checkpoint
    corpus : Corpus
    indices : sequence of int
        Lines, from :meth:`~handtraj.corpus.Corpus.select`.
    seed : int
        Of the dequantisation.  A line's own follows from (seed, index), so it
        does not depend on the lines around it.
    longest : int
        Ink is cut after so many points, as in training.
    device : str
        See :func:`handtraj.network.resolve_device`.

    Raises
    ------
    ValueError
        If there are no lines, an index is out of range, or no line has two points.
    """
    chosen = [int(i) for i in indices]
    wrong = [i for i in chosen if not 0 <= i < len(corpus)]
    if wrong:
        raise ValueError(f"indices must be in 0 to {len(corpus) - 1}, got {wrong[0]}")
    items = [item(corpus, i, longest, np.random.default_rng([seed, i])) for i in chosen]
    return forecast_items(checkpoint, items, device=device)


def forecast_items(
    checkpoint: Checkpoint, items: Sequence[Item], *, device: str = "cpu"
) -> Forecasts:
    """As :func:`forecast`, of items at hand; offsets in x-heights, taken as they are."""
    if not any(len(one.offsets) > 1 for one in items):
        raise ValueError(f"nothing to predict: none of {len(items)} lines has two points")
    where = resolve_device(device)
    network = checkpoint.network.to(where).eval()
    parts: list[dict[str, NDArray[np.float64]]] = []
    order: list[NDArray[np.int64]] = []
    for group in _groups([len(one.offsets) for one in items]):
        part, place = _read(
            network, checkpoint.alphabet, checkpoint.scale, [items[i] for i in group], where
        )
        parts.append(part)
        order.append(np.array(group, dtype=np.int64)[place])
    lines = np.concatenate(order)
    turn = np.argsort(lines, kind="stable")
    table = {name: np.concatenate([p[name] for p in parts])[turn] for name in parts[0]}
    return Forecasts(
        lines=lines[turn],
        offset_nats=table["offset"],
        pen_nats=table["pen"],
        uniform=np.column_stack([table["first"], table["second"]]),
        lift_probability=table["lift"],
        lifted=table["lifted"] > 0,
        in_air=table["air"] > 0,
        count=len(items),
        scale=checkpoint.scale,
    )


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Lines of similar length, such that a padded group stays within _POINTS."""
    group: list[int] = []
    for i in sorted((i for i, n in enumerate(lengths) if n > 1), key=lambda i: lengths[i]):
        if group and (len(group) + 1) * lengths[i] > _POINTS:
            yield group
            group = []
        group.append(i)
    yield group


@torch.no_grad()
def _read(
    network: Network, alphabet: Alphabet, scale: float, items: Sequence[Item], device: torch.device
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """Columns of the points of some items, and the place of each point's item."""
    batch = pad(items, alphabet, scale)
    x = torch.tensor(batch.x, device=device)
    text = network.one_hot(torch.tensor(batch.codes, device=device))
    # In double precision, since tails matter to the transforms.
    mixture = network.mixture(network(x[:-1], text).raw.double())
    target = x[1:].double()
    uniform = rosenblatt(mixture, target[..., :2])
    columns = {
        "offset": -mixture.log_prob_offset(target[..., :2]),
        "pen": -mixture.log_prob_pen(target[..., 2]),
        "first": uniform[..., 0],
        "second": uniform[..., 1],
        "lift": mixture.pen_logit.sigmoid(),
        "lifted": target[..., 2],
        "air": x[:-1, :, 2],
    }
    mask = batch.mask[1:].T > 0
    return {k: v.cpu().double().numpy().T[mask] for k, v in columns.items()}, np.nonzero(mask)[0]


def rosenblatt(mixture: Mixture, offset: Tensor) -> Tensor:
    """Distribution function of dx, and of dy given dx (Rosenblatt 1952).

    If `offset` was drawn from `mixture`, both are independent and even on (0, 1).

    Parameters
    ----------
    mixture : Mixture
    offset : Tensor, shape (…, 2)

    Returns
    -------
    Tensor, shape (…, 2)
    """
    z = (offset.unsqueeze(-2) - mixture.mean) * torch.exp(-mixture.log_sigma)
    zx, zy = z.unbind(-1)
    first = (mixture.log_weight.exp() * torch.special.ndtr(zx)).sum(-1)
    # Given dx, a component counts as much as it made dx likely.
    given = mixture.log_weight - 0.5 * zx.square() - mixture.log_sigma[..., 0]
    rest = (zy - mixture.rho * zx) / (1 - mixture.rho.square()).sqrt()
    second = (given.softmax(-1) * torch.special.ndtr(rest)).sum(-1)
    return torch.stack([first, second], -1).clamp(0, 1)


def line_nats(forecasts: Forecasts) -> LineNats:
    """Sums over each line; a line of one point has nothing predicted and no nats.

    Nats a point with an interval over writers are
    ``bootstrap_sums(np.column_stack([t.nats, t.points]), writers)``.
    """
    lines, count = forecasts.lines, forecasts.count
    return LineNats(
        np.bincount(lines, minlength=count),
        np.bincount(lines, forecasts.offset_nats, count).astype(np.float64),
        np.bincount(lines, forecasts.pen_nats, count).astype(np.float64),
        forecasts.scale,
    )


def pit(forecasts: Forecasts, *, in_air: bool | None = None) -> Pit:
    """Transforms of all movements, or of those in the air (True) or drawn (False) only."""
    if in_air is None:
        return Pit(forecasts.uniform)
    chosen = forecasts.uniform[forecasts.in_air == in_air]
    if not len(chosen):
        raise ValueError(
            f"there are no movements {'in the air' if in_air else 'with the pen down'}"
        )
    return Pit(chosen)


def pen_calibration(forecasts: Forecasts, *, edges: ArrayLike | None = None) -> Reliability:
    """Are pen lifts as frequent as predicted?  See :func:`reliability`."""
    return reliability(forecasts.lift_probability, forecasts.lifted, edges=edges)


def reliability(
    probability: ArrayLike, happened: ArrayLike, *, edges: ArrayLike | None = None
) -> Reliability:
    """Predicted probabilities against frequencies, bin by bin.

    Parameters
    ----------
    probability : array, shape (P,)
        In [0, 1].
    happened : array of bool, shape (P,)
    edges : array, shape (bins + 1,), optional
        Rising, from 0 to 1; default: ten equal bins.

    Raises
    ------
    ValueError
        If there are no points, shapes differ, a probability is outside [0, 1],
        or the edges do not rise from 0 to 1.
    """
    p = np.asarray(probability, dtype=np.float64)
    y = np.asarray(happened, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(f"need as many outcomes as probabilities, got {y.shape} and {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must be in [0, 1]")
    at = np.linspace(0, 1, 11) if edges is None else np.asarray(edges, dtype=np.float64)
    if at.ndim != 1 or len(at) < 2 or at[0] != 0 or at[-1] != 1 or not (np.diff(at) > 0).all():
        raise ValueError(f"edges must rise from 0 to 1, got {at.tolist()}")
    bins = len(at) - 1
    which = np.clip(np.searchsorted(at, p, side="right") - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(which, p, bins) / count
        observed = np.bincount(which, y, bins) / count
    full = count > 0
    gap = np.abs(predicted - observed)[full]
    return Reliability(
        at,
        count,
        predicted,
        observed,
        float(np.mean((p - y) ** 2)),
        float(y.mean() * (1 - y.mean())),
        float((gap * count[full]).sum() / len(p)),
    )
