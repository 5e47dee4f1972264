"""Written lines to files: SVG, PNG, JSON ink, or NPZ with states."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.ink import Ink, replace_file
from handtraj.svg import svg_document
from handtraj.writing import Writing

__all__ = ["FORMATS", "export", "page", "png", "step_table"]

FORMATS = (".svg", ".png", ".json", ".npz")
#: Distance of baselines, in x-heights.
SPACING = 6.0
#: Pixels an x-height in SVG, PNG and JSON.
SCALE = 20.0


def check_format(path: str | os.PathLike[str]) -> str:
    """The suffix of an output file.

    Raises
    ------
    ValueError
        If it is none of FORMATS.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"output must end in {', '.join(FORMATS)}, got {Path(path).name!r}")
    return suffix


def export(writings: Sequence[Writing], path: str | os.PathLike[str]) -> None:
    """Write lines to one file; its suffix tells the format.

    Raises
    ------
    ValueError
        If the suffix is unknown, or there is no line.
    """
    suffix = check_format(path)
    if not writings:
        raise ValueError("nothing to export: no line was given")
    if suffix == ".npz":
        arrays = step_table(writings)
        replace_file(path, lambda stream: np.savez_compressed(stream, **arrays))  # type: ignore[arg-type]
        return
    if suffix == ".json":
        data = page(writings).to_json("\n".join(w.text for w in writings)).encode()
    else:
        title = " ".join(w.text for w in writings)
        inks = [w.ink for w in writings]
        colour = "black" if suffix == ".png" else "currentColor"
        svg = svg_document(inks, title=title, spacing=SPACING, scale=SCALE, colour=colour)
        data = png(svg) if suffix == ".png" else svg.encode()
    replace_file(path, lambda stream: stream.write(data))


def png(svg: str, *, zoom: float = 2.0) -> bytes:
    """Draw an SVG document as PNG on white."""
    import vl_convert

    background = '<rect width="100%" height="100%" fill="white"/><g fill="none"'
    return bytes(vl_convert.svg_to_png(svg.replace('<g fill="none"', background, 1), scale=zoom))


def page(writings: Sequence[Writing]) -> Ink:
    """Several lines as one ink in pixels, one below the other."""
    strokes = [
        (stroke - [0.0, SPACING * row]) * SCALE
        for row, writing in enumerate(writings)
        for stroke in writing.ink.strokes
    ]
    return Ink.from_strokes(strokes)


def step_table(writings: Sequence[Writing]) -> dict[str, NDArray[Any]]:
    """Arrays with one row a step, all lines one after another.

    Returns
    -------
    dict
        `line`, `step`, `character_index` (N,), `character` (N,) of one
        symbol, `offsets` (N, 3) in x-heights, `points` (N, 2), y up;
        `window` (N, C), padded with zeros to the longest text; `h` and `c`
        (N, layers, units) where states were recorded; `about`, JSON with
        text, style, bias, seed and finished of every line.
    """
    longest = max(len(w.text) for w in writings)
    index = [w.characters for w in writings]
    about = [
        {"text": w.text, "style": w.style, "bias": w.bias, "seed": w.seed, "finished": w.finished}
        for w in writings
    ]
    arrays: dict[str, NDArray[Any]] = {
        "line": np.concatenate([np.full(len(w.ink), i) for i, w in enumerate(writings)]),
        "step": np.concatenate([np.arange(len(w.ink)) for w in writings]),
        "character_index": np.concatenate(index),
        "character": np.concatenate(
            [np.array(list(w.text))[i] for w, i in zip(writings, index, strict=True)]
        ),
        "offsets": np.concatenate([w.ink.offsets for w in writings]),
        "points": np.concatenate([w.ink.points for w in writings]).astype(np.float32),
        "window": np.concatenate(
            [np.pad(w.window, ((0, 0), (0, longest - w.window.shape[1]))) for w in writings]
        ),
        "about": np.array(json.dumps(about, ensure_ascii=False)),
    }
    for name in ("h", "c"):
        states = [getattr(w, name) for w in writings]
        if all(s is not None for s in states):
            arrays[name] = np.concatenate(states)
    return arrays
