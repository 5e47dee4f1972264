"""Speed of training, reading and writing beside the plain loop, in one run.

    python benchmarks/bench.py [--seconds 4] [--out bench.json]

Absolute figures tell of the machine; the ratio to the plain loop, measured in
turns within the same run, tells of the code.  `of_limit` is the share of what
the machine's own matrix products would allow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import handtraj as ht
from handtraj.layers import window_parameters, window_weights

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


def matrix_limit(batch: int) -> float:
    """Points a second if only the forward matrix products were done, one step at a time."""
    n, symbols = CONFIG.units, CONFIG.symbols
    shapes = [(symbols + n + 3, 4 * n), (symbols + 2 * n + 3, 4 * n), (symbols + 2 * n + 3, 4 * n)]
    shapes.append((3 * n, 6 * CONFIG.components + 1))
    pairs = [(torch.randn(batch, a), torch.randn(a, b)) for a, b in shapes]
    rates = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(100):
            for a, b in pairs:
                a @ b
        rates.append(100 * batch / (time.perf_counter() - begun))
    return statistics.median(rates)


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

    steps, batch = 200, 32
    x = torch.randn(steps, batch, 3, generator=generator)
    text = network.one_hot(torch.randint(1, CONFIG.symbols, (batch, 32), generator=generator))

    def learn(model: nn.Module, read: Callable[[], Tensor]) -> int:
        model.zero_grad()
        (-ht.Mixture.from_raw(read()).log_prob(x)).mean().backward()
        return steps * batch

    limit = matrix_limit(batch)
    # Backward does each product twice more: for the input and for the weights.
    row(
        "training",
        limit / 3,
        lambda: learn(network, lambda: network(x, text).raw),
        lambda: learn(plain, lambda: plain(x, text)),
    )

    def read(model: Callable[[], object]) -> int:
        with torch.inference_mode():
            model()
        return steps * batch

    row(
        "reading",
        limit,
        lambda: read(lambda: network(x, text)),
        lambda: read(lambda: plain(x, text)),
    )
    for size in (1, 16, 64):
        hot = text[:1].expand(size, -1, -1).contiguous()
        draw = torch.rand(size, 2), torch.randn(size, 2)

        def ours(size: int = size, hot: Tensor = hot, draw: tuple[Tensor, Tensor] = draw) -> int:
            state, at = network.initial_state(size), torch.zeros(size, 3)
            with torch.inference_mode():
                for _ in range(100):
                    raw, state = network.step(at, hot, state)
                    at = network.mixture(raw).transform(*draw)
            return 100 * size

        def other(size: int = size, hot: Tensor = hot, draw: tuple[Tensor, Tensor] = draw) -> int:
            state, at = plain.start(size), torch.zeros(size, 3)
            with torch.inference_mode():
                for _ in range(100):
                    raw, state = plain.step(at, hot, state)
                    at = ht.Mixture.from_raw(raw).transform(*draw)
            return 100 * size

        row(f"writing_{size}", matrix_limit(size), ours, other)
    return table


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
