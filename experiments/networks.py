"""Emergence and robustness: the same measures of many networks.

    python experiments/networks.py emergence CORPUS RUN [-o FILE] [--seed N]
    python experiments/networks.py robustness CORPUS NAME=WEIGHTS ... [-o FILE] [--seed N]

Sixteen training writers of four sources prime each network with the same ink.
It then writes the same texts in every hand, and reads other real lines of the
same writers.  "emergence" takes the snapshots of a run (`handtraj train
--snapshots`); "robustness" takes weights by name, and adds an untrained network.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from common import TEXTS, Clock, keep, parser

import handtraj as ht
from handtraj.checkpoint import Checkpoint
from handtraj.evaluation.networks import choose_hands, network_measures

LAYERS = ("h1", "h2", "h3", "c2")


def untrained(like: Checkpoint, seed: int) -> Checkpoint:
    """Fresh weights of the same architecture and scale."""
    network = ht.Network(like.network.config, generator=torch.Generator().manual_seed(seed))
    return Checkpoint(network, like.alphabet, like.scale, {"points": 0})


def networks(kind: str, given: list[str], seed: int) -> list[tuple[str, Checkpoint]]:
    """Names and weights to measure."""
    if kind == "emergence":
        if len(given) != 1:
            raise SystemExit("emergence takes the folder of one run with snapshots")
        paths = sorted(Path(given[0]).glob("at-*.safetensors"))
        if len(paths) < 2:
            raise SystemExit(f"{given[0]} holds no snapshots; train with --snapshots 12")
        found = [(path.stem.removeprefix("at-").lstrip("0"), path) for path in paths]
    else:
        found = [(name, Path(path)) for name, _, path in (g.partition("=") for g in given)]
        if len(found) < 2 or any(not str(path) for _, path in found):
            raise SystemExit("robustness takes at least two NAME=WEIGHTS")
    loaded = [(name, ht.load_checkpoint(path)) for name, path in found]
    return [("untrained", untrained(loaded[0][1], seed)), *loaded]


def main() -> None:
    """Measure every network, save."""
    found = parser(__doc__ or "")
    found.add_argument("kind", choices=("emergence", "robustness"))
    found.add_argument("corpus", type=Path)
    found.add_argument("given", nargs="+", help="a run's folder, or NAME=WEIGHTS ...")
    arguments = found.parse_args()
    clock = Clock()
    corpus = ht.load_corpus(arguments.corpus)
    few = arguments.reduced
    hands = choose_hands(corpus, 2 if few else 4, 2 if few else 4, 4 if few else 6)
    texts = TEXTS[:4] if few else TEXTS[:8]
    layers = ("h2", "c2") if few else LAYERS
    rows: list[dict[str, Any]] = []
    for name, checkpoint in networks(arguments.kind, arguments.given, arguments.seed):
        writer = ht.Writer(checkpoint)
        row = network_measures(writer, hands, texts, layers, repeats=1, seed=arguments.seed)
        about = checkpoint.provenance
        score = float(about.get("validation_line_plus_word", math.nan))
        rows.append(
            {
                "name": name,
                "points": about.get("points"),
                "updates": about.get("updates"),
                # The first snapshots come before the first validation.
                "validation": score if math.isfinite(score) else None,
                "weights": writer.fingerprint,
                "command": about.get("command", ""),
                **row,
            }
        )
        clock(name)
    keep(
        arguments.kind,
        {
            "what": "h outputs, c cells; sampled, sigma-only bias 0.5, and teacher forced; styles "
            "told apart within their source",
            "hands": [{"source": h.source, "points": len(h.prime.ink)} for h in hands],
            "texts": list(texts),
            "networks": rows,
        },
        arguments,
        clock,
        weights=str(rows[-1]["weights"]),
    )


if __name__ == "__main__":
    main()
