"""The loss of a batch, and what it is measured on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from handtraj.alphabet import Alphabet
from handtraj.batches import Batch, Item, item, pad
from handtraj.corpus import Corpus
from handtraj.network import Network

__all__ = ["batch_loss", "corpus_scale", "mean_nats", "sum_nats", "validation_batches"]


def batch_loss(network: nn.Module, batch: Batch, device: torch.device) -> tuple[Tensor, int]:
    """Sum of nats over the batch's points, and their number.

    The first point of an item is given; every later one is predicted.  A pen
    moved off its line (`batch.wander`) is to come back to it.

    Parameters
    ----------
    network : Network, or a wrapper of one that is called like it
    batch : Batch
    device : torch.device
    """
    inner = network if isinstance(network, Network) else network.module
    assert isinstance(inner, Network)
    # Copies, since torch aligns its memory and numpy may not: the last bits of
    # a matrix product depend on alignment, and a resume must not.
    x = torch.tensor(batch.x, device=device)
    mask = torch.tensor(batch.mask[1:], device=device)
    text = inner.one_hot(torch.tensor(batch.codes, device=device))
    seen, wanted = x[:-1], x[1:]
    if batch.wander is not None:
        error = torch.tensor(batch.wander[:-1], device=device)
        seen, wanted = seen.clone(), wanted.clone()
        seen[..., :2] += torch.diff(error, dim=0, prepend=torch.zeros_like(error[:1]))
        wanted[..., :2] -= error
    reading = network(seen, text)
    nats = -inner.mixture(reading.raw).log_prob(wanted)
    return (nats * mask).sum(), int(batch.mask[1:].sum())


def corpus_scale(corpus: Corpus) -> float:
    """Standard deviation of the training writers' offsets, one for both axes, in x-heights.

    Every writer counts the same.
    """
    by_writer: dict[str, list[int]] = {}
    for i in corpus.select("train"):
        by_writer.setdefault(corpus.writers[i], []).append(int(i))
    if not by_writer:
        raise ValueError("the corpus has no training lines")
    squares = [
        np.mean(
            [
                np.square(corpus.offsets(i)[1:, :2]).mean()
                for i in mine[:50]
                if corpus.lengths[i] > 1
            ]
        )
        for mine in by_writer.values()
    ]
    return round(float(np.sqrt(np.mean(squares))), 4)


def validation_batches(
    corpus: Corpus,
    alphabet: Alphabet,
    scale: float,
    *,
    split: str = "validation",
    kind: str = "line",
    limit: int = 160,
    longest: int = 800,
    points: int = 12_000,
) -> list[Batch]:
    """A fixed set of dequantised items of a split, writers in turn, by length."""
    by_writer: dict[str, list[int]] = {}
    for i in corpus.select(split, kind=kind):
        by_writer.setdefault(corpus.writers[i], []).append(int(i))
    rng = np.random.default_rng(0)
    queues = [list(rng.permutation(mine)) for mine in by_writer.values()]
    chosen: list[int] = []
    while len(chosen) < limit and any(queues):
        chosen += [int(q.pop()) for q in queues if q]
    items = [item(corpus, i, longest, rng) for i in chosen[:limit]]
    items.sort(key=lambda i: len(i.offsets))
    groups: list[list[Item]] = []
    for one in items:
        if groups and (len(groups[-1]) + 1) * len(one.offsets) <= points:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [pad(g, alphabet, scale) for g in groups]


@torch.no_grad()
def sum_nats(network: Network, batches: Iterable[Batch], device: torch.device) -> tuple[float, int]:
    """Nats over batches, in standardised units, and the number of points."""
    total, count = 0.0, 0
    for batch in batches:
        loss, points = batch_loss(network, batch, device)
        total, count = total + float(loss), count + points
    return total, count


def mean_nats(network: Network, batches: Iterable[Batch], device: torch.device) -> float:
    """Nats per point over batches, in standardised units."""
    total, count = sum_nats(network, batches, device)
    return total / max(1, count)
