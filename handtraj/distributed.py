"""Several processes, one training: what torchrun says, and sums over the ranks."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from handtraj.network import Network, resolve_device

__all__ = ["Team", "join_team", "restarted"]

#: How long ranks wait for each other when they join.
PATIENCE = timedelta(minutes=5)


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
    rank = int(os.environ["RANK"])
    dist.init_process_group(
        "nccl" if found.type == "cuda" else "gloo",
        store=_fresh_store(_store(rank, world), rank, world),
        rank=rank,
        world_size=world,
    )
    try:
        yield Team(found, rank, world)
    finally:
        dist.destroy_process_group()


def _store(rank: int, world: int) -> dist.Store:
    """The store that torchrun keeps, or one of rank 0 where another launcher is used."""
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        world_size=world,
        is_master=not kept and rank == 0,
        wait_for_workers=False,
        timeout=PATIENCE,
    )


def _fresh_store(store: dist.Store, rank: int, world: int) -> dist.Store:
    """A part of the store that no process of an earlier attempt has written to.

    torchrun keeps one store over all restarts, and the addresses of processes
    that are gone stay in it: a process that is started anew may find one and
    knock at a closed door.  Counting restarts is no way out, as every machine
    counts its own.  So rank 0 makes up a name, tells it to whoever says hello
    with a word of his own, and goes on when all others have said they know it.
    """
    if rank == 0:
        name = secrets.token_hex(8)
        missing = set(range(1, world))
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while missing:
            if time.monotonic() > deadline:
                raise RuntimeError(f"ranks {sorted(missing)} did not join within {PATIENCE}")
            for other in sorted(missing):
                if store.check([f"hello/{other}"]):
                    store.set(f"answer/{store.get(f'hello/{other}').decode()}", name)
                if store.check([f"known/{name}/{other}"]):
                    missing.discard(other)
            time.sleep(0.02)
    else:
        word = secrets.token_hex(8)
        store.set(f"hello/{rank}", word)
        name = store.get(f"answer/{word}").decode()
        store.set(f"known/{name}/{rank}", "1")
    return dist.PrefixStore(name, store)


def restarted() -> bool:
    """Whether torchrun started this process anew after a rank was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
