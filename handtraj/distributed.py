"""Several processes, one training: what torchrun says, and sums over the ranks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from handtraj.network import Network, resolve_device

__all__ = ["Team", "join_team", "restarted"]


@dataclass(frozen=True)
class Team:
    """The processes that train together; a team of one needs no torchrun."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wrap(self, network: Network) -> nn.Module:
        """The network as it is called in training: gradients are averaged over the ranks."""
        if self.world == 1:
            return network
        return DistributedDataParallel(network)

    def total(self, *values: float) -> list[float]:
        """Sums over the ranks, the same in every rank."""
        if self.world == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def choose(self, value: Tensor) -> Tensor:
        """The leader's value, in every rank."""
        if self.world > 1:
            value = value.to(self.device)
            dist.broadcast(value, 0)
        return value.cpu()


@contextmanager
def join_team(device: str = "auto") -> Iterator[Team]:
    """Join the processes that torchrun started, or be alone.

    On CPUs the ranks talk through gloo, on GPUs through NCCL, one GPU a rank.

    Raises
    ------
    ValueError
        If the device is unknown, or there are more ranks here than GPUs.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    found = resolve_device(device)
    if world == 1:
        yield Team(found)
        return
    if found.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"{local + 1} or more processes on a machine with {torch.cuda.device_count()} "
                "GPUs; start one process a GPU, or use --device cpu"
            )
        found = torch.device("cuda", local)
        torch.cuda.set_device(found)
    dist.init_process_group("nccl" if found.type == "cuda" else "gloo")
    try:
        yield Team(found, dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


def restarted() -> bool:
    """Whether torchrun started this process anew after a rank was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
