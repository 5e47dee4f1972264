"""The command line: `handtraj --help`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import handtraj as ht
from handtraj.checkpoint import shipped_weights
from handtraj.cli import Seed, Weights, progress_bar
from handtraj.cli.data import data_app
from handtraj.cli.styles import primed, style_app, styles
from handtraj.cli.trajectories import trajectories
from handtraj.export import check_format, export

__all__ = ["app", "main"]

app = typer.Typer(
    help="Write with a neural network, prime it with a hand, read its state.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(styles)
app.command()(trajectories)
app.add_typer(style_app, name="style")
app.add_typer(data_app, name="data")


@app.command()
def write(
    text: Annotated[str, typer.Argument(help="What to write.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="OUT.svg, .png, .json or .npz")],
    style: Annotated[
        str | None, typer.Option(help="A style by name; see `handtraj styles`.")
    ] = None,
    prime: Annotated[
        Path | None, typer.Option(help="Ink to go on from: JSON, InkML, SVG, …")
    ] = None,
    prime_text: Annotated[str | None, typer.Option(help="What that ink says.")] = None,
    bias: Annotated[float, typer.Option(help="Sharpness: 0 is as people vary, 1 neat.")] = 0.5,
    lines: Annotated[bool, typer.Option("--lines", help="Break the text into lines.")] = False,
    width: Annotated[int, typer.Option(help="Characters a line, with --lines.", min=1)] = 34,
    seed: Seed = 0,
    weights: Weights = None,
) -> None:
    """Write TEXT in handwriting."""
    check_format(out)
    if style is not None and prime is not None:
        raise ValueError("--style and --prime exclude each other; give one")
    texts = ht.wrap(text, width) if lines else [text]
    if len(texts) > 100:
        raise ValueError(f"the text fills {len(texts)} lines, at most 100 are written at once")
    writer = ht.load_writer(weights)
    chosen = writer.style(style) if style else primed(writer, prime, prime_text)
    writings = writer.write_many(
        texts,
        styles=[chosen] * len(texts),
        bias=bias,
        generator=torch.Generator().manual_seed(seed),
        record=out.suffix.lower() == ".npz",
    )
    export(writings, out)
    for writing in writings:
        if not writing.finished:
            typer.echo(f"warning: gave up on {writing.text!r}; try another seed", err=True)


@app.command()
def train(
    corpus: Annotated[Path, typer.Argument(help="Corpus file from `handtraj data`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped.")] = False,
    init_from: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
    points: Annotated[float | None, typer.Option(help="Pen points to see in all.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    decay: Annotated[
        float | None, typer.Option(help="Share of the run in which the rate falls; default 0.4.")
    ] = None,
    units: Annotated[int | None, typer.Option(help="Units a layer; default 400.", min=1)] = None,
    batch_points: Annotated[int | None, typer.Option(help="Points a batch.", min=1)] = None,
    longest: Annotated[
        int | None, typer.Option(help="Ink is cut at so many points.", min=2)
    ] = None,
    words: Annotated[
        int | None, typer.Option(help="Most words of a composed line; default 5.", min=2)
    ] = None,
    lines: Annotated[float | None, typer.Option(help="Share of lines; default .35.")] = None,
    composed: Annotated[
        float | None, typer.Option(help="Share of lines composed of words; default .39.")
    ] = None,
    joined: Annotated[
        float | None, typer.Option(help="Share of lines of one hand in a row; default 0.")
    ] = None,
    size: Annotated[float | None, typer.Option(help="Augmentation, log s.d.")] = None,
    width: Annotated[float | None, typer.Option(help="Augmentation, log s.d.")] = None,
    slant: Annotated[float | None, typer.Option(help="Augmentation, s.d. of the shear.")] = None,
    speed: Annotated[float | None, typer.Option(help="Augmentation, log s.d.")] = None,
    wander: Annotated[
        float | None, typer.Option(help="Largest error of the pen's position, x-heights.")
    ] = None,
    weight_noise: Annotated[float | None, typer.Option(help="S.d. on every weight.")] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Share of each layer's outputs hidden from those above.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32 or bfloat16; default: as before, or auto.")
    ] = None,
    kernels: Annotated[
        str | None, typer.Option(help="auto, torch or compiled; default: as before, or auto.")
    ] = None,
    stop_after: Annotated[int | None, typer.Option(help="Stop after so many updates.")] = None,
    writer: Annotated[str | None, typer.Option(help="Learn from this writer alone.")] = None,
    snapshots: Annotated[
        int, typer.Option(help="Moments of the run to keep, evenly in log points.", min=0)
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    seed: Seed = 0,
) -> None:
    """Train a network on a corpus; resumes bit for bit on a CPU.

    With --resume, settings that are given replace those of the run.  Several
    processes: torchrun --nproc-per-node N -m handtraj train ...
    """
    logging.getLogger("handtraj").setLevel(logging.INFO)
    changes = _given(
        points=None if points is None else int(points),
        rate=rate,
        decay_share=decay,
        weight_noise=weight_noise,
        dropout=dropout,
        sampling=_given(
            points=batch_points,
            longest=longest,
            words=words,
            lines=lines,
            composed=composed,
            joined=joined,
            writer=writer,
            augmentation=_given(size=size, width=width, slant=slant, speed=speed, wander=wander),
        ),
    )
    if resume and (units or init_from):
        raise ValueError("a resumed run keeps its network; leave out --units and --init-from")
    data = ht.load_corpus(corpus)
    if writer is not None and not len(data.select("train", writer=writer)):
        known = ", ".join(
            sorted({w for w, s in zip(data.writers, data.splits, strict=True) if s == "train"})
        )
        raise ValueError(f"no training lines of writer {writer!r}; there are: {known[:300]}")
    start = ht.load_checkpoint(init_from) if init_from else None
    config = ht.TrainConfig(seed=seed)
    if start is not None:
        # Trained weights know where the window belongs: no words alone first.
        config = config.changed({"words_first": 0.0})
    with progress_bar("training", "pt") as show:
        best = ht.train(
            data,
            out,
            config=config.changed(changes),
            network=ht.NetworkConfig(units=units) if units else None,
            resume=resume,
            changes=changes,
            start_from=start,
            device=device,
            precision=precision,
            kernels=kernels,
            provenance={"command": "handtraj " + " ".join(sys.argv[1:])},
            progress=show,
            stop_after=stop_after,
            snapshots=snapshots,
        )
    typer.echo(f"best averaged weights: {best}")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value not in (None, {})}


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="Weights from `handtraj train`, or `shipped`.")],
    corpus: Annotated[Path, typer.Argument(help="Corpus file from `handtraj data`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Report, JSON.")],
    texts: Annotated[int, typer.Option(help="Texts written at every bias.", min=1)] = 200,
    lines: Annotated[int, typer.Option(help="Lines a split for nats a point.", min=1)] = 150,
    inside: Annotated[
        int, typer.Option(help="Training writers among the identifier's candidates.", min=1)
    ] = 40,
    reader: Annotated[Path | None, typer.Option(help="Another reader than the shipped.")] = None,
    seed: Seed = 0,
) -> None:
    """Measure weights: likelihood, calibration, legibility, resemblance; minutes to an hour."""
    from handtraj.evaluation.reader import load_reader
    from handtraj.evaluation.report import ReportConfig, evaluate, headlines, save_report

    chosen = ht.load_checkpoint(shipped_weights() if checkpoint == "shipped" else checkpoint)
    data = ht.load_corpus(corpus)
    config = ReportConfig(texts=texts, likelihood_lines=lines, inside=inside, seed=seed)
    counts: dict[str, int] = {}

    def tell(part: str, done: int) -> None:
        counts[part] = counts.get(part, 0) + done
        typer.echo(f"\r{part}: {counts[part]}   ", nl=False, err=True)

    report = evaluate(chosen, data, load_reader(reader), config=config, progress=tell)
    typer.echo("", err=True)
    # Folders are the machine's business.
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    save_report(report, out, command=" ".join(["handtraj", *words]))
    for row in headlines(report):
        typer.echo(row)


def main() -> None:
    """Run the command line; bad input ends with one line and status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        app(standalone_mode=False)
    except (ValueError, ht.TrainingError, OSError) as error:
        message = " ".join(str(error).split())
        typer.echo(f"error: {message}", err=True)
        sys.exit(2)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        # Usage errors of the parser know how to show themselves.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(error.exit_code)
        raise


if __name__ == "__main__":
    main()
