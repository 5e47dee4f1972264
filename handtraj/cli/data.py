"""`handtraj data`: pen data to a corpus file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import handtraj as ht
from handtraj.cli import Seed, progress_bar
from handtraj.ink import replace_file
from handtraj.sources.download import resolve_unipen
from handtraj.sources.unipen import read_lines

__all__ = ["data_app"]

data_app = typer.Typer(help="Turn pen data into a corpus file.", no_args_is_help=True)


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
    _check_name(out)
    with (
        progress_bar("unpacking", "B") as unpacking,
        resolve_unipen(archive, progress=unpacking) as folder,
        progress_bar("reading", "file") as reading,
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
    _keep(corpus, out, report)


@data_app.command()
def iam(
    archive: Annotated[
        Path, typer.Option(help="Folder that holds the archives of IAM-OnDB, or what was in them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Corpus file to write, .npz")],
    report: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    seed: Seed = 0,
) -> None:
    """IAM-OnDB, which you must hold, to a corpus with its official split."""
    from handtraj.sources.iam import iam_corpus

    _check_name(out)
    with progress_bar("reading", "form") as reading:
        corpus = iam_corpus(archive, progress=reading)
    _keep(corpus, out, report)


@data_app.command()
def scribe(
    out: Annotated[Path, typer.Option("--out", "-o", help="Corpus file to write, .npz")],
    writers: Annotated[int, typer.Option(help="Synthetic writers.", min=1)] = 64,
    lines: Annotated[int, typer.Option(help="Lines a writer.", min=1)] = 50,
    report: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    seed: Seed = 0,
) -> None:
    """Synthetic writers with known slant, size, aspect, spacing and more."""
    from handtraj.sources.scribe import make_scribe_corpus

    _check_name(out)
    _keep(make_scribe_corpus(writers, lines, seed), out, report)


def _check_name(out: Path) -> None:
    if out.suffix != ".npz":
        raise ValueError(f"the corpus file must end in .npz, got {out.name!r}")


def _keep(corpus: ht.Corpus, out: Path, report: Path | None) -> None:
    """Save the corpus, and its report where one is asked for; print the report."""
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
