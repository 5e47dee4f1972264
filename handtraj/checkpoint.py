"""Weights and training states as safetensors with a JSON header; never a pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from handtraj.alphabet import Alphabet
from handtraj.ink import replace_file
from handtraj.network import Network, NetworkConfig

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "load_checkpoint",
    "read_tensors",
    "save_checkpoint",
    "shipped_weights",
    "write_tensors",
]

_KEY = "handtraj"
VERSION = 1


class CheckpointError(ValueError):
    """A file that is no checkpoint, is cut short, or does not fit."""


@dataclass(frozen=True)
class Checkpoint:
    """A network with what is needed to use it.

    `scale` is the x-heights per standardised unit, the same for both axes.
    `provenance` says where the weights come from.
    """

    network: Network
    alphabet: Alphabet
    scale: float
    provenance: dict[str, Any] = field(default_factory=dict)


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], about: Mapping[str, Any]
) -> None:
    """Write tensors and a JSON description to one safetensors file, whole or not at all."""
    payload = save(
        {name: t.detach().cpu().contiguous() for name, t in tensors.items()},
        {_KEY: json.dumps(about, ensure_ascii=False)},
    )
    replace_file(path, lambda stream: stream.write(payload))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, or was not written by this library.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads((stream.metadata() or {})[_KEY])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no safetensors file, or is cut short: {error}") from None
    except (KeyError, json.JSONDecodeError):
        raise CheckpointError(f"{path} is a safetensors file, but not one of handtraj") from None
    return tensors, about


def save_checkpoint(
    path: str | os.PathLike[str], checkpoint: Checkpoint, *, half: bool = False
) -> None:
    """Write weights, configuration, alphabet, scale and provenance.

    With `half`, weights are stored as float16 (about 7 MB at full size).
    """
    dtype = torch.float16 if half else torch.float32
    write_tensors(
        path,
        {name: t.to(dtype) for name, t in checkpoint.network.state_dict().items()},
        {
            "version": VERSION,
            "kind": "weights",
            "config": asdict(checkpoint.network.config),
            "symbols": checkpoint.alphabet.symbols,
            "scale": checkpoint.scale,
            "provenance": checkpoint.provenance,
        },
    )


def load_checkpoint(
    path: str | os.PathLike[str], *, alphabet: Alphabet | None = None
) -> Checkpoint:
    """Load weights as float32 on the CPU.

    Parameters
    ----------
    path : path
    alphabet : Alphabet, optional
        Refuse the file unless it was trained on this alphabet.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, of another kind, version, size or
        alphabet; the message says which.
    """
    tensors, about = read_tensors(path)
    if about.get("kind") != "weights" or about.get("version") != VERSION:
        raise CheckpointError(
            f"{path} holds {about.get('kind')!r} version {about.get('version')}, "
            f"expected 'weights' version {VERSION}"
        )
    try:
        config = NetworkConfig(**about["config"])
        found = Alphabet(about["symbols"])
        scale = float(about["scale"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has a broken description: {error}") from None
    if alphabet is not None and found != alphabet:
        raise CheckpointError(
            f"{path} was trained on another alphabet ({len(found) - 1} symbols "
            f"{found.symbols!r}), expected {alphabet.symbols!r}"
        )
    if len(found) != config.symbols:
        raise CheckpointError(
            f"{path}: alphabet of {len(found)} codes does not fit a network of {config.symbols}"
        )
    network = Network(config)
    try:
        network.load_state_dict({name: t.float() for name, t in tensors.items()})
    except RuntimeError as error:
        reason = str(error).replace("\n", " ")
        raise CheckpointError(f"{path}: weights do not fit their description: {reason}") from None
    return Checkpoint(network.eval(), found, scale, about.get("provenance", {}))


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shipped_weights() -> Path:
    """Where the weights that come with the package lie."""
    return Path(str(resources.files("handtraj") / "assets" / "weights.safetensors"))
