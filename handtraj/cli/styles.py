"""`handtraj styles` and `handtraj style`: list them, draw them, add one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

import handtraj as ht
from handtraj.cli import Seed, Weights
from handtraj.export import png
from handtraj.ink import replace_file
from handtraj.sources.ink_file import prepare_prime, read_ink_file
from handtraj.style import user_folder, user_styles
from handtraj.svg import svg_document

__all__ = ["primed", "style_app", "styles"]

style_app = typer.Typer(help="Keep a hand of one's own.", no_args_is_help=True)


def primed(writer: ht.Writer, prime: Path | None, prime_text: str | None) -> ht.Style | None:
    """The style of `--prime` and `--prime-text`, or None without them."""
    if prime is None:
        if prime_text is not None:
            raise ValueError("--prime-text needs --prime with the ink")
        return None
    return _from_file(writer, prime, prime_text, "mine", "own ink")


def _from_file(writer: ht.Writer, path: Path, text: str | None, name: str, source: str) -> ht.Style:
    """Prime with the ink of a file; warnings go to stderr."""
    found = read_ink_file(path, text=text)
    if not found.text:
        raise ValueError(f"{path} does not say what it reads; give the text of the ink")
    ink, warnings = prepare_prime(found.strokes, found.text, rate_known=found.rate_known)
    style = writer.prime(ink, found.text, name=name, source=source)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    return style


@style_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the style: letters, digits, - and _.")],
    ink: Annotated[Path, typer.Option(help="The ink: JSON, InkML, SVG, UNIPEN or IAM XML.")],
    text: Annotated[str | None, typer.Option(help="What the ink says.")] = None,
    weights: Weights = None,
) -> None:
    """Prime with a hand and keep it, for `handtraj write --style NAME`."""
    if name in ht.shipped_styles():
        raise ValueError(f"{name!r} is a shipped style; choose another name")
    style = _from_file(ht.load_writer(weights), ink, text, name, f"own ink, {ink.name}")
    folder = user_folder()
    folder.mkdir(parents=True, exist_ok=True)
    style.save(folder / f"{name}.safetensors")
    typer.echo(f"{name}: {style.points} points; kept in {folder / name}.safetensors")


def styles(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Thumbnails of all styles, .svg or .png")
    ] = None,
    text: Annotated[str, typer.Option(help="What the thumbnails say.")] = "the quick brown fox",
    seed: Seed = 0,
    weights: Weights = None,
) -> None:
    """List the shipped styles and one's own."""
    paths = {**user_styles(), **ht.shipped_styles()}
    found = {name: ht.load_style(path) for name, path in paths.items()}
    for name, style in found.items():
        typer.echo(f"{name:12} {style.points:4d} points  {style.source}")
    if out is None:
        return
    if out.suffix.lower() not in (".svg", ".png"):
        raise ValueError(f"thumbnails are written as .svg or .png, got {out.name!r}")
    writer = ht.load_writer(weights)
    writings = writer.write_many(
        [text] * len(found),
        styles=list(found.values()),
        bias=1.0,
        generator=torch.Generator().manual_seed(seed),
    )
    svg = svg_document([w.ink for w in writings], title=", ".join(found))
    data = png(svg) if out.suffix.lower() == ".png" else svg.encode()
    replace_file(out, lambda stream: stream.write(data))
