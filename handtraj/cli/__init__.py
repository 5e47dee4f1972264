"""Parts of the command line; `python -m handtraj` puts them together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

__all__ = ["Seed", "Weights", "progress_bar"]

Seed = Annotated[int, typer.Option(help="Seed of all random numbers.", min=0)]
Weights = Annotated[
    Path | None, typer.Option(help="Weights to use; default: those that come with the package.")
]


@contextmanager
def progress_bar(label: str, unit: str) -> Iterator[Callable[..., None]]:
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
