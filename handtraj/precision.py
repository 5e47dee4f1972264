"""Which precision the matrix products of training take, by a short probe."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import torch

from handtraj.mixture import Mixture
from handtraj.network import Network

__all__ = ["PRODUCTS", "choose_products"]

#: What may be asked for; "auto" tries and takes the faster.
PRODUCTS = ("auto", "float32", "bfloat16")
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: bfloat16 must be so much faster to be worth its rounding.
WORTH = 1.15
#: Networks with fewer parameters stay in float32: overhead rules their time.
SMALL = 500_000
log = logging.getLogger(__name__)


def choose_products(
    name: str, network: Network, device: torch.device, *, steps: int = 60, batch: int = 16
) -> str:
    """Name of the precision to train in; "auto" times one update in each.

    State, weights and loss stay in float32 whatever the products take.  A
    precision that the machine cannot run (bfloat16 LSTM kernels are missing
    on many processors) is passed over.

    Parameters
    ----------
    name : str
        One of `PRODUCTS`.
    network : Network
        Its `products` are left as they were.
    device : torch.device
    steps, batch : int
        Size of the update that is timed.

    Raises
    ------
    ValueError
        If the name is unknown, or the machine cannot run what it asks for.
    """
    if name not in PRODUCTS:
        raise ValueError(f"precision must be one of {', '.join(PRODUCTS)}, got {name!r}")
    if name == "auto" and sum(p.numel() for p in network.parameters()) < SMALL:
        return "float32"
    before = network.products
    seconds: dict[str, float] = {}
    try:
        for wanted in _TYPES if name == "auto" else (name,):
            network.products = _TYPES[wanted]
            try:
                seconds[wanted] = _update_time(network, device, steps, batch)
            except RuntimeError as error:
                if wanted == "float32":
                    raise
                log.info("no %s here: %s", wanted, error)
    finally:
        network.products = before
        network.zero_grad(set_to_none=True)
    if not seconds:
        raise ValueError(f"this machine cannot train in {name}; use --precision float32 or auto")
    log.info("seconds an update: %s", {k: round(v, 4) for k, v in seconds.items()})
    if name != "auto":
        return name
    short = seconds.get("bfloat16", float("inf"))
    return "bfloat16" if short * WORTH < seconds["float32"] else "float32"


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
