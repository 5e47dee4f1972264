"""The command line: `handtraj --help`."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tqdm import tqdm

import handtraj as ht
from handtraj.checkpoint import shipped_weights
from handtraj.export import check_format, export, png
from handtraj.ink import replace_file
from handtraj.sources.download import resolve_unipen
from handtraj.sources.unipen import read_lines
from handtraj.svg import svg_document

__all__ = ["app", "main"]

app = typer.Typer(
    help="Write with a neural network, prime it with a hand, read its state.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Turn pen data into a corpus file.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Seed = Annotated[int, typer.Option(help="Seed of all random numbers.", min=0)]
Weights = Annotated[
    Path | None, typer.Option(help="Weights to use; default: those that come with the package.")
]


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Callable[..., None]]:
    """A progress bar that appears with the first report and leaves no trace of a failure."""
    bar: tqdm[Any] | None = None

    def show(done: int, total: int, nats: float | None = None) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(
                desc=label,
                unit=unit,
                total=total,
                # A resumed run has done its part before: it is no speed.
                initial=done,
                unit_scale=True,
                file=sys.stderr,
                mininterval=0.5,
            )
        if nats is not None:
            bar.set_postfix_str(f"{nats:.3f} nats", refresh=False)
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    try:
        yield show
    except BaseException:
        if bar is not None:
            bar.leave = False
        raise
    finally:
        if bar is not None:
            bar.close()


@app.command()
def write(
    text: Annotated[str, typer.Argument(help="What to write.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="OUT.svg, .png, .json or .npz")],
    style: Annotated[
        str | None, typer.Option(help="A shipped style; see `handtraj styles`.")
    ] = None,
    prime: Annotated[Path | None, typer.Option(help="JSON ink to continue from.")] = None,
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
    chosen = writer.style(style) if style else _primed(writer, prime, prime_text)
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


def _primed(writer: ht.Writer, prime: Path | None, prime_text: str | None) -> ht.Style | None:
    if prime is None:
        if prime_text is not None:
            raise ValueError("--prime-text needs --prime with the ink")
        return None
    try:
        document = prime.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {prime}: {error}") from None
    ink, said = ht.Ink.from_json(document)
    text = prime_text or said
    if not text:
        raise ValueError(f"{prime} does not say what it reads; give --prime-text")
    return writer.prime(ht.normalise(ink.strokes), text)


@app.command()
def styles(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Thumbnails of all styles, .svg or .png")
    ] = None,
    text: Annotated[str, typer.Option(help="What the thumbnails say.")] = "the quick brown fox",
    seed: Seed = 0,
    weights: Weights = None,
) -> None:
    """List the shipped styles."""
    found = {name: ht.load_style(path) for name, path in ht.shipped_styles().items()}
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


@data_app.command()
def unipen(
    out: Annotated[Path, typer.Option("--out", "-o", help="Corpus file to write, .npz")],
    archive: Annotated[
        Path | None,
        typer.Option(help="The release as archive or folder; default: download it (about 160 MB)."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    seed: Seed = 0,
) -> None:
    """UNIPEN train_r01_v07 (CC BY 4.0) to a corpus."""
    if out.suffix != ".npz":
        raise ValueError(f"the corpus file must end in .npz, got {out.name!r}")
    with (
        _bar("unpacking", "B") as unpacking,
        resolve_unipen(archive, progress=unpacking) as folder,
        _bar("reading", "file") as reading,
    ):
        found, kept = read_lines(folder, progress=reading)
    about = {
        "name": "UNIPEN train_r01_v07",
        "licence": "CC BY 4.0",
        "cite": "Guyon et al. 1994; Zenodo 10.5281/zenodo.1195803",
        "handtraj": ht.__version__,
        "rejected": {f"{source}: {why}": n for (source, why), n in sorted(kept.rejected.items())},
        "unreadable_files": len(kept.unreadable),
    }
    corpus = ht.build_corpus(found, about=about)
    ht.save_corpus(corpus, out)
    if report:
        text = json.dumps({"about": corpus.about, "sources": corpus.report()}, indent=1)
        replace_file(report, lambda stream: stream.write(text.encode()))
    _print_report(corpus)


def _print_report(corpus: ht.Corpus) -> None:
    typer.echo(f"{'source':7}{'kind':6}{'lines':>8}{'writers':>9}{'characters':>12}{'points':>10}")
    for row in corpus.report():
        typer.echo(
            f"{row['source']:7}{row['kind']:6}{row['lines']:8d}{row['writers']:9d}"
            f"{row['characters']:12d}{row['points']:10d}"
        )
    typer.echo(
        f"{'all':13}{len(corpus):8d}{len(set(corpus.writers)):9d}"
        f"{sum(map(len, corpus.texts)):12d}{int(corpus.lengths.sum()):10d}"
    )
    for split in ("train", "text", "validation", "test"):
        chosen = corpus.select(split)
        writers = {corpus.writers[i] for i in chosen}
        typer.echo(f"split {split:11}{len(chosen):6d} lines{len(writers):6d} writers")
    for reason, count in corpus.about.get("rejected", {}).items():
        typer.echo(f"left out  {reason:40}{count:6d}")


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
    size: Annotated[float | None, typer.Option(help="Augmentation, log s.d.")] = None,
    width: Annotated[float | None, typer.Option(help="Augmentation, log s.d.")] = None,
    slant: Annotated[float | None, typer.Option(help="Augmentation, s.d. of the shear.")] = None,
    speed: Annotated[float | None, typer.Option(help="Augmentation, log s.d.")] = None,
    wander: Annotated[
        float | None, typer.Option(help="Largest error of the pen's position, x-heights.")
    ] = None,
    weight_noise: Annotated[float | None, typer.Option(help="S.d. on every weight.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32 or bfloat16; default: as before, or auto.")
    ] = None,
    stop_after: Annotated[int | None, typer.Option(help="Stop after so many updates.")] = None,
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
        sampling=_given(
            points=batch_points,
            longest=longest,
            words=words,
            augmentation=_given(size=size, width=width, slant=slant, speed=speed, wander=wander),
        ),
    )
    if resume and (units or init_from):
        raise ValueError("a resumed run keeps its network; leave out --units and --init-from")
    data = ht.load_corpus(corpus)
    start = ht.load_checkpoint(init_from) if init_from else None
    config = ht.TrainConfig(seed=seed)
    if start is not None:
        # Trained weights know where the window belongs: no words alone first.
        config = config.changed({"words_first": 0.0})
    with _bar("training", "pt") as show:
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
            provenance={"command": "handtraj " + " ".join(sys.argv[1:])},
            progress=show,
            stop_after=stop_after,
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
    save_report(report, out, command="handtraj " + " ".join(sys.argv[1:]))
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
