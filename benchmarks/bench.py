"""Speed of training, reading and writing beside the plain loop, in one run.

    python benchmarks/bench.py [--seconds 4] [--out bench.json]

Absolute figures tell of the machine; the ratio to the plain loop, measured in
turns within the same run, tells of the code.  `of_limit` is the share of what
the machine's own matrix products would allow: for training and reading the
peak of large products, in float32 or bfloat16, whichever is higher; for
writing the products of one step alone, by torch, numpy, or packed as the
writer has them, whichever is fastest.

"training" is one process a core with gradients averaged (`torchrun`),
"training_1" one process with all threads; both 32 lines of 500 points.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ranks import Ranks, learn
from torch import Tensor, nn

import handtraj as ht
from handtraj.drawing import Sampler
from handtraj.layers import window_parameters, window_weights
from handtraj.packing import PackedNetwork, shared_tensor
from handtraj.precision import choose_arithmetic

CONFIG = ht.NetworkConfig()


class PlainLoop(nn.Module):
    """The network as most code has it: three LSTMCells and the window, step by step."""

    def __init__(self) -> None:
        super().__init__()
        n, symbols = CONFIG.units, CONFIG.symbols
        self.cells = nn.ModuleList(
            [
                nn.LSTMCell(3 + symbols, n),
                nn.LSTMCell(3 + symbols + n, n),
                nn.LSTMCell(3 + symbols + n, n),
            ]
        )
        self.window_head = nn.Linear(n, 3 * CONFIG.windows)
        self.head = nn.Linear(3 * n, 6 * CONFIG.components + 1)

    def start(self, batch: int) -> list[Tensor]:
        """Zero states."""
        n = CONFIG.units
        return [torch.zeros(batch, n) for _ in range(6)] + [
            torch.zeros(batch, CONFIG.symbols),
            torch.zeros(batch, CONFIG.windows),
        ]

    def step(self, x: Tensor, text: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One point."""
        *pairs, window, kappa = state
        h1, c1 = self.cells[0](torch.cat([x, window], 1), (pairs[0], pairs[1]))
        alpha, beta, move = window_parameters(self.window_head(h1))
        kappa = kappa + move
        phi = window_weights(alpha, beta, kappa, text.shape[1])
        window = torch.bmm(phi.unsqueeze(1), text).squeeze(1)
        h2, c2 = self.cells[1](torch.cat([x, window, h1], 1), (pairs[2], pairs[3]))
        h3, c3 = self.cells[2](torch.cat([x, window, h2], 1), (pairs[4], pairs[5]))
        return self.head(torch.cat([h1, h2, h3], 1)), [h1, c1, h2, c2, h3, c3, window, kappa]

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """A whole sequence, (T, B, 3)."""
        state, raws = self.start(x.shape[1]), []
        for point in x.unbind(0):
            raw, state = self.step(point, text, state)
            raws.append(raw)
        return torch.stack(raws)


def in_turns(
    ours: Callable[[], int], plain: Callable[[], int], seconds: float
) -> tuple[float, float]:
    """Points a second of both: medians of runs taken in turns."""
    rates: tuple[list[float], list[float]] = ([], [])
    for work in (ours, plain):
        work()
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(rates[1]) < 3:
        for work, found in zip((ours, plain), rates, strict=True):
            begun = time.perf_counter()
            points = work()
            found.append(points / (time.perf_counter() - begun))
    return statistics.median(rates[0]), statistics.median(rates[1])


def products_of_a_point() -> int:
    """Multiplications and additions of the matrix products of one point, forward."""
    n, symbols = CONFIG.units, CONFIG.symbols
    weights = 4 * n * (3 + symbols + n) + (CONFIG.layers - 1) * 4 * n * (3 + symbols + 2 * n)
    return 2 * (weights + 3 * CONFIG.windows * n + (6 * CONFIG.components + 1) * 3 * n)


def peak(seconds: float) -> float:
    """Operations a second of the machine's largest matrix products, float32 or bfloat16."""
    best = 0.0
    for kind in (torch.float32, torch.bfloat16):
        a, b = torch.randn(2048, 1024).to(kind), torch.randn(1024, 1600).to(kind)
        end, found = time.monotonic() + seconds, []
        while time.monotonic() < end or len(found) < 3:
            begun = time.perf_counter()
            a @ b
            found.append(2 * 2048 * 1024 * 1600 / (time.perf_counter() - begun))
        best = max(best, statistics.median(found))
    return best


def writing_limit(batch: int) -> float:
    """Points a second if only the products of a step were done.

    The best of float32 products by torch and by numpy, of the packed ones and the compiled.
    """
    n, symbols = CONFIG.units, CONFIG.symbols
    shapes = [(symbols + n + 3, 4 * n)] + [(symbols + 2 * n + 3, 4 * n)] * (CONFIG.layers - 1)
    shapes.append((3 * n, 6 * CONFIG.components + 1))
    pairs = [(torch.randn(batch, a), torch.randn(a, b)) for a, b in shapes]
    arrays = [(a.numpy(), b.numpy()) for a, b in pairs]
    packed = PackedNetwork(ht.load_writer().network)
    row = np.ones((batch, packed.width), np.float32)
    bound = [p.bind(row[:, s]) for p, s in zip(packed.layers, packed.spans, strict=True)]
    bound.append(packed.head.bind(row))

    panels, there = packed.panels, shared_tensor(row)

    def by_torch() -> None:
        for a, b in pairs:
            a @ b

    def by_numpy() -> None:
        for a, b in arrays:
            a @ b

    def by_packed() -> None:
        for product in bound:
            product()

    def by_compiled() -> None:
        if panels:
            for span, weight in zip(packed.spans, panels.layers, strict=True):
                torch.ops.handtraj.multiply(there, span.start, weight, 4 * n)
            panels.output(there)

    ways = [by_torch, by_numpy, by_packed, *([by_compiled] if panels else [])]
    rates: dict[Callable[[], None], list[float]] = {way: [] for way in ways}
    with torch.inference_mode():
        for _ in range(5):
            for work, found in rates.items():
                begun = time.perf_counter()
                for _ in range(50):
                    work()
                found.append(50 * batch / (time.perf_counter() - begun))
    return max(statistics.median(found) for found in rates.values())


def measure(seconds: float) -> dict[str, dict[str, float]]:
    """Every row of the table."""
    generator = torch.Generator().manual_seed(0)
    network, plain = ht.Network(CONFIG, generator=generator), PlainLoop()
    table: dict[str, dict[str, float]] = {}

    def row(name: str, limit: float, ours: Callable[[], int], other: Callable[[], int]) -> None:
        fast, slow = in_turns(ours, other, seconds)
        table[name] = {
            "points_per_second": round(fast),
            "plain": round(slow),
            "ratio": round(fast / slow, 2),
            "of_limit": round(fast / limit, 2),
        }

    steps, batch = 500, 32
    x = torch.randn(steps, batch, 3, generator=generator)
    text = network.one_hot(torch.randint(1, CONFIG.symbols, (batch, 32), generator=generator))
    operations = peak(seconds / 4)
    forward = products_of_a_point()
    cores = os.cpu_count() or 1
    chosen = choose_arithmetic(network, torch.device("cpu"))
    chosen.apply(network)
    print(f"arithmetic: {chosen}")

    def learn_plain() -> int:
        plain.zero_grad()
        (-ht.Mixture.from_raw(plain(x, text)).log_prob(x)).mean().backward()
        return steps * batch

    def learn_alone() -> int:
        learn(network, x, text)
        return steps * batch

    # Backward does each product twice more: for the input and for the weights.
    limit = operations / (3 * forward)
    ranks = Ranks(min(cores, batch), steps, batch, chosen)
    row("training", limit, ranks.update, learn_plain)
    ranks.close()
    row("training_1", limit, learn_alone, learn_plain)

    def read(model: Callable[[], object]) -> int:
        with torch.inference_mode():
            model()
        return steps * batch

    row(
        "reading",
        operations / forward,
        lambda: read(lambda: network(x, text)),
        lambda: read(lambda: plain(x, text)),
    )
    for size in (1, 16, 64):
        row(f"writing_{size}", writing_limit(size), *writers(plain, size))
    return table


def writers(plain: PlainLoop, size: int) -> tuple[Callable[[], int], Callable[[], int]]:
    """A hundred points of so many lines: ours with the shipped weights, and the plain loop."""
    writer = ht.load_writer()
    codes = np.tile(np.arange(1, 33), (size, 1))
    sampler = Sampler(0.0, "sigma", min_sigma=CONFIG.min_sigma, components=CONFIG.components)
    rng = np.random.default_rng(0)
    random = np.hstack([rng.random((size, 2)), rng.normal(size=(size, 2))]).astype(np.float32)
    hot, draw = writer.network.one_hot(torch.from_numpy(codes)), torch.from_numpy(random)

    def ours() -> int:
        with torch.inference_mode():
            stepper, x = writer.stepper(codes), np.zeros((size, 3), np.float32)
            for _ in range(100):
                x = sampler.draw(stepper.step(x), random)
        return 100 * size

    def other() -> int:
        state, x = plain.start(size), torch.zeros(size, 3)
        with torch.inference_mode():
            for _ in range(100):
                raw, state = plain.step(x, hot, state)
                x = ht.Mixture.from_raw(raw).transform(draw[:, :2], draw[:, 2:])
        return 100 * size

    return ours, other


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="a row")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    table = measure(arguments.seconds)
    print(f"{'':12}{'points/s':>10}{'plain':>10}{'ratio':>8}{'of limit':>10}")
    for name, row in table.items():
        print(
            f"{name:12}{row['points_per_second']:10.0f}{row['plain']:10.0f}"
            f"{row['ratio']:8.2f}{row['of_limit']:10.2f}"
        )
    arguments.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
