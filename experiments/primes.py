"""Is a style the writer's, or its prime's.

    python experiments/primes.py CORPUS [-o FILE] [--seed N] [--reduced]

A style of the other experiments is one line by one writer.  Here every writer
primes twice, with two different lines.  A decoder learns the writers of a source
from states after one line and names them from states after the other; beside it,
the same decoder on other texts after the same line.  Alignment likewise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import TEXTS, Clock, keep, parser
from numpy.typing import NDArray

import handtraj as ht
from handtraj.decoding import decode
from handtraj.evaluation.claims import alignment
from handtraj.evaluation.networks import Hand, choose_hands
from handtraj.subspaces import Moments, Subspace, moments_by

LAYERS = ("h1", "h2", "h3", "c1", "c2", "c3")


def twice(writer: ht.Writer, hands: list[Hand]) -> list[ht.Style]:
    """Two styles a writer, `name-1` and `name-2`; writers who cannot are left out."""
    found = []
    for hand in hands:
        mine: list[ht.Style] = []
        for line in (hand.prime, *hand.lines):
            try:
                name = f"{hand.name}-{len(mine) + 1}"
                mine.append(writer.prime(line.ink, line.text, name=name, source=hand.source))
            except ValueError:
                continue
            if len(mine) == 2:
                found += mine
                break
    return found


def main() -> None:
    """Prime, record, measure, save."""
    found = parser(__doc__ or "")
    found.add_argument("corpus", type=Path)
    arguments = found.parse_args()
    clock, few = Clock(), arguments.reduced
    writer, corpus = ht.load_writer(), ht.load_corpus(arguments.corpus)
    hands = choose_hands(corpus, 2 if few else 5, 3 if few else 6, 3)
    styles = twice(writer, hands)
    texts = TEXTS[:4] if few else TEXTS[:8]
    generator = torch.Generator().manual_seed(arguments.seed)
    layers = ("c2",) if few else LAYERS
    traj = ht.record(writer, texts, styles, generator=generator, layers=layers)
    clock(f"{len(styles)} styles, {len(traj)} steps")
    source = {s.name: s.source for s in styles}
    style, text, writing = (traj.column(n) for n in ("style", "text", "writing"))
    who = np.array([s.rpartition("-")[0] for s in style.tolist()])
    prime = np.array([s.rpartition("-")[2] for s in style.tolist()])
    strata = np.array([source[s] for s in style.tolist()])
    rng = np.random.default_rng(arguments.seed)
    draws = 10 if few else 40

    def short(x: NDArray[Any], rows: NDArray[np.bool_], split: Any, pool: str) -> dict[str, Any]:
        one = decode(
            x[rows],
            who[rows],
            split[rows],
            writing[rows],
            folds=2,
            pool=pool,
            strata=strata[rows],
            permutations=draws,
            generator=rng,
        )
        return one.brief()

    result: dict[str, Any] = {
        "what": "h outputs, c cells; sampled, sigma-only bias 0.5; writers of one source told "
        "apart; two primes a writer",
        "writers": len(styles) // 2,
        "sources": sorted(set(source.values())),
        "texts": list(texts),
        "layers": {},
    }
    thin = traj.column("step") % 4 == 0
    for layer in layers:
        whole = traj.layer(layer)
        z = Subspace.fit(Moments.of(whole), 50).project(whole).astype(np.float32)
        _, writings = moments_by(z, writing)
        everything = np.ones(len(traj), bool)
        result["layers"][layer] = {
            "other line": {
                "state": short(z, thin, prime, "state"),
                "writing mean": short(z, everything, prime, "writing"),
            },
            "same line, other texts": {
                "state": short(z, thin & (prime == "1"), text, "state"),
                "writing mean": short(z, prime == "1", text, "writing"),
            },
            # Halves are the two lines: the ceiling is the writer's other line.
            "alignment": alignment(
                writings,
                who[traj.starts],
                prime[traj.starts],
                strata[traj.starts],
                dimensions=[10],
                draws=draws,
                generator=rng,
            )["10"],
        }
        clock(layer)
    keep(
        "primes",
        result,
        arguments,
        clock,
        weights=writer.fingerprint,
    )


if __name__ == "__main__":
    main()
