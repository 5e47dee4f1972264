"""`handtraj trajectories`: write texts in styles and keep the states."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

import handtraj as ht
from handtraj.cli import Seed, Weights

__all__ = ["trajectories"]


def trajectories(
    texts: Annotated[list[str], typer.Argument(help="What to write.", metavar="TEXT...")],
    style: Annotated[
        list[str] | None,
        typer.Option(help="A style by name, may be given several times; default: all shipped."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="OUT.npz")] = Path("trajectories.npz"),
    layer: Annotated[
        list[str] | None,
        typer.Option(help="h1, c1, ..., window, mixture; several; default: h and c of all."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Writings of a text in a style.", min=1)] = 1,
    bias: Annotated[float, typer.Option(help="Sharpness: 0 is as people vary, 1 neat.")] = 0.5,
    seed: Seed = 0,
    weights: Weights = None,
) -> None:
    """Write every TEXT in every style; keep the state at every step."""
    if out.suffix.lower() != ".npz":
        raise ValueError(f"trajectories are kept as .npz, got {out.name}")
    if not out.parent.is_dir():
        raise ValueError(f"folder {out.parent} does not exist; create it first")
    writer = ht.load_writer(weights)
    names = list(ht.shipped_styles()) if style is None else style
    found = ht.record(
        writer,
        texts,
        [writer.style(name) for name in names],
        repeats,
        generator=torch.Generator().manual_seed(seed),
        bias=bias,
        layers=layer,
    )
    found.save(out)
    given_up = sum(not done for done in found.about["finished"])
    typer.echo(f"{len(found.writings)} writings, {len(found)} steps, {given_up} given up: {out}")
