"""What a network sees: items drawn by writer, cut, composed, batched by length.

Everything follows from (seed, round): a resumed run draws what the
interrupted one would have drawn.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.alphabet import Alphabet
from handtraj.augmentation import AugmentationConfig, augment, wander
from handtraj.corpus import QUANTUM, Corpus

__all__ = ["Batch", "Item", "Sampler", "SamplingConfig", "capped_shares", "item", "pad"]


@dataclass(frozen=True)
class SamplingConfig:
    """How items are drawn.

    `lines`, `joined` and `composed` are shares of the items; single words make
    up the rest.  A joined line is as many lines of one writer, one after the
    other, as are needed to fill `longest` points: what a network sees that is
    primed with one line and writes the next.  A composed line has two to
    `words` words.  `cap` bounds one writer's share within each kind.  Ink is
    cut at `longest` points.  With `writer`, nobody else is drawn.
    """

    lines: float = 0.35
    composed: float = 0.39
    joined: float = 0.0
    words: int = 5
    cap: float = 0.03
    longest: int = 800
    points: int = 10_000
    pool: int = 16
    writer: str | None = None
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        shares = (self.lines, self.composed, self.joined)
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise ValueError(
                "lines, composed and joined are shares >= 0 of at most 1 together, "
                f"got {self.lines}, {self.composed} and {self.joined}"
            )
        if self.words < 2:
            raise ValueError(f"words must be >= 2, got {self.words}")
        if not 0 < self.cap <= 1:
            raise ValueError(f"cap must be in (0, 1], got {self.cap}")
        for name in ("longest", "points", "pool"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SamplingConfig:
        """The inverse of `dataclasses.asdict`, from JSON."""
        known = dict(values)
        return cls(**known | {"augmentation": AugmentationConfig(**known.get("augmentation", {}))})


@dataclass(frozen=True, eq=False)
class Item:
    """One piece to learn from: offsets (T, 3) in x-heights, and its text."""

    offsets: NDArray[np.float32]
    text: str
    lines: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded items: x (T, B, 3), mask (T, B), codes (B, C), and their lines.

    `wander` (T, B, 2), where the pen was moved off its line, is in the units
    of x.  `points` is the number of points predicted in the whole batch, of
    which another rank may hold a part.
    """

    x: NDArray[np.float32]
    mask: NDArray[np.float32]
    codes: NDArray[np.int64]
    lines: tuple[tuple[int, ...], ...]
    points: int
    wander: NDArray[np.float32] | None = None


def capped_shares(weights: NDArray[np.float64], cap: float) -> NDArray[np.float64]:
    """Shares proportional to `weights`, none above `cap`, as far as possible.

    With fewer than 1 / cap entries an even share is the lowest possible cap.
    """
    cap = max(cap, 1 / len(weights))
    shares = weights / weights.sum()
    fixed = np.zeros(len(shares), dtype=bool)
    while (shares > cap * (1 + 1e-9)).any():
        fixed |= shares > cap
        shares[fixed] = cap
        free = ~fixed
        if not free.any():
            break
        rest = 1 - cap * fixed.sum()
        shares[free] = weights[free] / weights[free].sum() * rest
    return shares


def dequantise(
    offsets: NDArray[np.float32], half: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Spread every position evenly over the device unit it was rounded to.

    Tablets report integers; without this the likelihood rewards modelling the
    tablet.  `half` is half a unit, in x-heights.
    """
    jitter = rng.uniform(-half, half, (len(offsets), 2)).astype(np.float32)
    out = offsets.copy()
    out[:, :2] += np.diff(jitter, axis=0, prepend=jitter[:1])
    return out


def noise_of(corpus: Corpus, lines: tuple[int, ...]) -> float:
    """Half a device unit of the coarsest of these lines, in x-heights."""
    return max(float(corpus.noise[list(lines)].max()), QUANTUM / 2)


def baseline(offsets: NDArray[np.float32]) -> float:
    """Height of the baseline above the first point: median local minimum of y."""
    y = np.cumsum(offsets[:, 1])
    down = offsets[1:-1, 2] == 0
    low = (y[1:-1] <= y[:-2]) & (y[1:-1] < y[2:]) & down
    return float(np.median(y[1:-1][low])) if low.any() else float(y.min())


def item(corpus: Corpus, index: int, longest: int, rng: np.random.Generator | None = None) -> Item:
    """Line `index`, dequantised if `rng` is given, cut at `longest` points.

    The text of a cut line is cut too, at one and a half times the ink's share:
    the window never needs the rest.  A whole line gets a blank after its text,
    so that writing can stop when the window has passed it.
    """
    offsets = corpus.offsets(index)
    if rng is not None:
        offsets = dequantise(offsets, noise_of(corpus, (index,)), rng)
    return _cut(offsets, corpus.texts[index], longest, (index,))


def _cut(offsets: NDArray[np.float32], text: str, longest: int, lines: tuple[int, ...]) -> Item:
    whole = text + " "
    if len(offsets) > longest:
        keep = math.ceil(1.5 * len(text) * longest / len(offsets)) + 2
        return Item(offsets[:longest], whole[:keep], lines)
    return Item(offsets, whole, lines)


def pad(items: Sequence[Item], alphabet: Alphabet, scale: float) -> Batch:
    """Stack items; offsets are divided by `scale` (x-heights)."""
    steps = max(len(i.offsets) for i in items)
    length = max(len(i.text) for i in items)
    x = np.zeros((steps, len(items), 3), dtype=np.float32)
    mask = np.zeros((steps, len(items)), dtype=np.float32)
    codes = np.zeros((len(items), length), dtype=np.int64)
    for b, one in enumerate(items):
        x[: len(one.offsets), b] = one.offsets
        mask[: len(one.offsets), b] = 1
        codes[b, : len(one.text)] = alphabet.encode(one.text)
    x[..., :2] /= scale
    return Batch(x, mask, codes, tuple(i.lines for i in items), int(mask[1:].sum()))


class Sampler:
    """An endless, repeatable stream of batches from the training split."""

    def __init__(
        self,
        corpus: Corpus,
        alphabet: Alphabet,
        scale: float,
        config: SamplingConfig,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.corpus, self.alphabet, self.scale, self.config = corpus, alphabet, scale, config
        self.seed, self.rank, self.world = seed, rank, world
        lengths = corpus.lengths
        self._by_kind: dict[str, tuple[list[NDArray[np.int64]], NDArray[np.float64]]] = {}
        for kind in ("line", "word"):
            groups: dict[str, list[int]] = defaultdict(list)
            for i in corpus.select("train", kind=kind, writer=config.writer):
                groups[corpus.writers[i]].append(int(i))
            if groups:
                members = [np.array(groups[w]) for w in sorted(groups)]
                weights = np.array([lengths[m].clip(max=config.longest).sum() for m in members])
                shares = capped_shares(weights.astype(np.float64), config.cap)
                self._by_kind[kind] = (members, shares)
        if not self._by_kind:
            whose = f" of writer {config.writer}" if config.writer else ""
            raise ValueError(f"the corpus has no training lines{whose}")
        self._baselines: dict[int, float] = {}

    def round(self, number: int, *, words_only: bool = False) -> Iterator[Batch]:
        """The batches of round `number` (this rank's share), in a fixed order."""
        rng = np.random.default_rng([self.seed, number])
        config = self.config
        items: list[Item] = []
        total = 0
        while total < config.pool * config.points:
            items.append(self._draw(rng, words_only))
            total += len(items[-1].offsets)
        items.sort(key=lambda i: len(i.offsets), reverse=True)
        groups: list[list[Item]] = []
        for one in items:
            if groups and (len(groups[-1]) + 1) * len(groups[-1][0].offsets) <= config.points:
                groups[-1].append(one)
            else:
                groups.append([one])
        # The shortest group is mostly incomplete: it would make a noisy step.
        if len(groups) > 1:
            groups.pop()
        for at in rng.permutation(len(groups)):
            yield self._share(groups[at], rng)

    def _share(self, group: list[Item], rng: np.random.Generator) -> Batch:
        """The rank's part of a group; every rank draws the whole group's errors."""
        strength = self.config.augmentation.wander
        errors = [wander(len(i.offsets), strength, rng) for i in group] if strength else []
        mine = slice(self.rank, None, self.world)
        points = sum(len(i.offsets) - 1 for i in group)
        # A rank without an item must still take part in the step: it gets one
        # that counts for nothing.
        batch = pad(group[mine] or group[:1], self.alphabet, self.scale)
        batch = replace(batch, points=points)
        if not group[mine]:
            batch = replace(batch, mask=np.zeros_like(batch.mask))
        if errors:
            moved = np.zeros((*batch.mask.shape, 2), dtype=np.float32)
            for b, one in enumerate(errors[mine]):
                moved[: len(one), b] = one / self.scale
            batch = replace(batch, wander=moved)
        return batch

    def _draw(self, rng: np.random.Generator, words_only: bool) -> Item:
        config = self.config
        want = "word"
        u = rng.random()
        if not words_only:
            for kind, share in (
                ("line", config.lines),
                ("composed", config.composed),
                ("joined", config.joined),
            ):
                if u < share:
                    want = kind
                    break
                u -= share
        kind = "line" if want in ("line", "joined") else "word"
        if kind not in self._by_kind:
            kind = want = next(iter(self._by_kind))
        members, shares = self._by_kind[kind]
        mine = members[rng.choice(len(members), p=shares)]
        if want == "composed" and len(mine) > 1:
            words = int(rng.integers(2, config.words + 1))
            return self._compose([int(i) for i in rng.choice(mine, words)], rng)
        if want == "joined" and len(mine) > 1:
            return self._compose(self._fill(mine, rng), rng)
        index = int(rng.choice(mine))
        text = self.corpus.texts[index]
        return self._finish(self.corpus.offsets(index), text, (index,), rng)

    def _fill(self, mine: NDArray[np.int64], rng: np.random.Generator) -> list[int]:
        """Lines of one source, as many as fill an item, none twice."""
        order = [int(i) for i in rng.permutation(mine)]
        source = self.corpus.sources[order[0]]
        chosen, points = [], 0
        for index in order:
            if points >= self.config.longest:
                break
            if self.corpus.sources[index] == source:
                chosen.append(index)
                points += int(self.corpus.start[index + 1] - self.corpus.start[index])
        return chosen

    def _finish(
        self,
        offsets: NDArray[np.float32],
        text: str,
        lines: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Item:
        # Noise comes last: resampling would average it away, and make the points
        # of training easier to predict than any others.
        changed = dequantise(
            augment(offsets, self.config.augmentation, rng), noise_of(self.corpus, lines), rng
        )
        # Cut after the change, which may lengthen the ink.
        return _cut(changed, text, self.config.longest, lines)

    def _compose(self, chosen: list[int], rng: np.random.Generator) -> Item:
        """Several pieces of one writer on one baseline, gaps as people leave them."""
        gap = rng.uniform(1.2, 2.1)
        parts: list[NDArray[np.float32]] = []
        right, foot = 0.0, 0.0
        for index in chosen:
            one = self.corpus.offsets(index)
            if index not in self._baselines:
                self._baselines[index] = baseline(one)
            x = np.cumsum(one[:, 0])
            y = np.cumsum(one[:, 1])
            if parts:
                # From the last point of the word before to this one's first.
                one[0, 0] = right + gap * rng.uniform(0.8, 1.25) - x.min()
                one[0, 1] = foot - self._baselines[index] + rng.normal(0, 0.08)
            else:
                foot = 0.0
            right = float(x.max() - x[-1])
            foot = float(self._baselines[index] - y[-1])
            parts.append(one)
        text = " ".join(self.corpus.texts[i] for i in chosen)
        return self._finish(np.concatenate(parts), text, tuple(chosen), rng)
