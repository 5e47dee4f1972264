"""Claim one: whether different styles lie in different subspaces of the state.

    python experiments/styles.py [-o FILE] [--seed N] [--reduced]

Every shipped style writes the same texts several times.  For every layer: how
much of each style's variance another style's basis captures, beside the same
style's on other texts, shuffled writings and random subspaces; how much of all
variance lies between the styles' means; and how well the style is named from one
state, from the mean of a writing, and from its covariance once means are gone,
always among styles of one source and always in texts never trained on; beside
that, from the ink alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import TEXTS, Clock, keep, parser, shipped, source_of

import handtraj as ht
from handtraj.evaluation.claims import ink_decoding, style_measures


def main() -> None:
    """Record, measure, save."""
    arguments = parser(__doc__ or "").parse_args()
    clock, reduced = Clock(), arguments.reduced
    writer = ht.load_writer()
    styles = shipped(writer, 8 if reduced else None)
    texts = TEXTS[:6] if reduced else TEXTS
    repeats = 1 if reduced else 2
    draws = 10 if reduced else 40
    layers = ("c2",) if reduced else ("h1", "h2", "h3", "c1", "c2", "c3")
    sources = {s.name: source_of(s) for s in styles}
    traj = ht.record(
        writer,
        texts,
        styles,
        repeats,
        generator=torch.Generator().manual_seed(arguments.seed),
        layers=layers,
    )
    clock(f"recorded {len(traj)} steps")
    rng = np.random.default_rng(arguments.seed)
    result: dict[str, Any] = {
        "what": "h outputs, c cells; sampled, sigma-only bias 0.5; all texts in all styles",
        "styles": sources,
        "texts": list(texts),
        "repeats": repeats,
        "writings": len(traj.writings),
        "steps": len(traj),
        "finished": float(np.mean(traj.about["finished"])),
        "ink": ink_decoding(traj, sources, permutations=draws, generator=rng),
    }
    clock("ink")
    result["layers"] = {}
    for layer in layers:
        result["layers"][layer] = style_measures(
            traj, layer, sources, draws=draws, permutations=draws, generator=rng
        )
        clock(layer)
    keep(
        "styles",
        result,
        arguments,
        clock,
        weights=writer.fingerprint,
    )


if __name__ == "__main__":
    main()
