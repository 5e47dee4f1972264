"""How training does its arithmetic: precision of products and kernels, by a short probe."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from handtraj.mixture import Mixture
from handtraj.native import CompilerError, compiled_layers
from handtraj.network import Network

__all__ = ["KERNELS", "PRODUCTS", "Arithmetic", "choose_arithmetic"]

#: What may be asked for; "auto" tries and takes the fastest.
PRODUCTS = ("auto", "float32", "bfloat16")
KERNELS = ("auto", "torch", "compiled")
#: bfloat16 must be so much faster to be worth its rounding.
WORTH = 1.15
#: Networks with fewer parameters stay with torch in float32: overhead rules their time.
SMALL = 500_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arithmetic:
    """Precision of the matrix products, and who runs the recurrent layers."""

    products: str = "float32"
    kernels: str = "torch"

    def __str__(self) -> str:
        return f"{self.products}, {self.kernels} layers"

    def apply(self, network: Network) -> None:
        """Make `network` use it."""
        network.products, network.kernels = getattr(torch, self.products), self.kernels


def choose_arithmetic(
    network: Network,
    device: torch.device,
    *,
    products: str = "auto",
    kernels: str = "auto",
    steps: int = 60,
    batch: int = 16,
) -> Arithmetic:
    """What trains `network` fastest on `device`; "auto" times one update of each.

    State, weights and loss stay in float32 whatever the products take.  What
    the machine cannot run is passed over: bfloat16 LSTM kernels are missing on
    many processors, and the compiled layers want a C++ compiler and a CPU.

    Parameters
    ----------
    network : Network
        Its arithmetic is left as it was.
    device : torch.device
    products, kernels : str
        One of `PRODUCTS`, one of `KERNELS`.
    steps, batch : int
        Size of the update that is timed.

    Raises
    ------
    ValueError
        If a name is unknown, or the machine cannot run what is asked for.
    """
    for what, name, known in (("precision", products, PRODUCTS), ("kernels", kernels, KERNELS)):
        if name not in known:
            raise ValueError(f"{what} must be one of {', '.join(known)}, got {name!r}")
    small = sum(p.numel() for p in network.parameters()) < SMALL
    wanted = [
        Arithmetic(p, k)
        for k in (KERNELS[1:] if kernels == "auto" else (kernels,))
        for p in (PRODUCTS[1:] if products == "auto" else (products,))
    ]
    if small and products == "auto":
        wanted = [a for a in wanted if a.products == "float32"]
    if small and kernels == "auto":
        wanted = [a for a in wanted if a.kernels == "torch"]
    if len(wanted) == 1 and wanted[0] == Arithmetic():
        return wanted[0]
    seconds = _probe(wanted, network, device, steps, batch)
    if not seconds:
        raise ValueError(
            f"this machine cannot train in {products} with {kernels} layers; use --precision auto "
            "and --kernels auto (why not is logged with -v)"
        )
    log.info("seconds an update: %s", {str(k): round(v, 4) for k, v in seconds.items()})
    return min(seconds, key=lambda a: seconds[a] * (WORTH if a.products == "bfloat16" else 1))


def _probe(
    wanted: list[Arithmetic], network: Network, device: torch.device, steps: int, batch: int
) -> dict[Arithmetic, float]:
    """Seconds of an update in whatever runs here."""
    seconds: dict[Arithmetic, float] = {}
    before = network.products, network.kernels
    try:
        for one in wanted:
            try:
                if one.kernels == "compiled":
                    if device.type != "cpu":
                        raise CompilerError("the compiled layers run on a CPU only")
                    compiled_layers()
                one.apply(network)
                seconds[one] = _update_time(network, device, steps, batch)
            except RuntimeError as error:
                if one == Arithmetic():
                    raise
                log.info("not here: %s: %s", one, error)
    finally:
        network.products, network.kernels = before
        network.zero_grad(set_to_none=True)
    return seconds


def _update_time(network: Network, device: torch.device, steps: int, batch: int) -> float:
    """Seconds of the second of two updates on noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(steps, batch, 3, generator=generator).to(device)
    codes = torch.randint(1, network.config.symbols, (batch, 24), generator=generator).to(device)
    text = network.one_hot(codes)
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    taken = 0.0
    for _ in range(2):
        wait()
        begun = time.perf_counter()
        raw = network(x, text).raw
        (-Mixture.from_raw(raw, min_sigma=network.config.min_sigma).log_prob(x)).mean().backward()
        wait()
        taken = time.perf_counter() - begun
    return taken
