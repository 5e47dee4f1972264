"""Processes that train together, to be timed by the bench."""

from __future__ import annotations

import os
import socket
from multiprocessing.connection import Connection

import torch
import torch.multiprocessing as mp

import handtraj as ht
from handtraj.distributed import join_team
from handtraj.native import compiled_layers
from handtraj.precision import Arithmetic


def learn(network: torch.nn.Module, x: torch.Tensor, text: torch.Tensor) -> None:
    """Forward and backward of one batch."""
    network.zero_grad()
    (-ht.Mixture.from_raw(network(x, text).raw).log_prob(x)).mean().backward()


def _rank(
    rank: int,
    world: int,
    port: str,
    steps: int,
    batch: int,
    arithmetic: Arithmetic,
    pipe: Connection,
) -> None:
    """One process: an update whenever the pipe says so."""
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    with join_team("cpu") as team:
        generator = torch.Generator().manual_seed(rank)
        network = ht.Network(ht.NetworkConfig(), generator=generator)
        arithmetic.apply(network)
        if arithmetic.kernels == "compiled":
            compiled_layers()
        model = team.wrap(network)
        x = torch.randn(steps, batch, 3, generator=generator)
        codes = torch.randint(1, network.config.symbols, (batch, 32), generator=generator)
        text = network.one_hot(codes)
        while pipe.recv():
            learn(model, x, text)
            pipe.send(True)


class Ranks:
    """One process a core, each with its share of a batch of 32, gradients averaged."""

    def __init__(self, world: int, steps: int, batch: int, arithmetic: Arithmetic) -> None:
        context = mp.get_context("spawn")
        self.points = steps * (batch // world) * world
        self._pipes, self._processes = [], []
        port = str(_free_port())
        for rank in range(world):
            here, there = context.Pipe()
            process = context.Process(
                target=_rank,
                args=(rank, world, port, steps, batch // world, arithmetic, there),
                daemon=True,
            )
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def update(self) -> int:
        """One update of all; the number of points."""
        for pipe in self._pipes:
            pipe.send(True)
        for pipe in self._pipes:
            pipe.recv()
        return self.points

    def close(self) -> None:
        """Let the processes end."""
        for pipe in self._pipes:
            pipe.send(False)
        for process in self._processes:
            process.join()


def _free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
