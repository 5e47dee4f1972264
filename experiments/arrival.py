"""When style arrives in the state: the writer named from one state, by length of the prime.

    python experiments/arrival.py CORPUS [-o FILE] [--seed N] [--reduced]

Writers of five sources prime with the first 25 to 250 points of one line.
After every length they write the same texts, and a decoder names the writer, among
those of the source, from single states in texts it was not trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import TEXTS, Clock, keep, parser

import handtraj as ht
from handtraj.decoding import decode
from handtraj.evaluation.networks import choose_hands
from handtraj.evaluation.priming import cut_prime
from handtraj.subspaces import Moments, Subspace

LENGTHS = (25, 50, 100, 150, 250)
LAYERS = ("h1", "h2", "h3", "c1", "c2", "c3")


def main() -> None:
    """Cut primes, record, decode, save."""
    found = parser(__doc__ or "")
    found.add_argument("corpus", type=Path)
    arguments = found.parse_args()
    clock, few = Clock(), arguments.reduced
    writer, corpus = ht.load_writer(), ht.load_corpus(arguments.corpus)
    hands = choose_hands(corpus, 2 if few else 5, 3 if few else 6, 3)
    texts = TEXTS[:4] if few else TEXTS[:6]
    layers = ("c2",) if few else LAYERS
    source = {h.name: h.source for h in hands if len(h.prime.ink) >= LENGTHS[-1] or few}
    generator = torch.Generator().manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    draws = 10 if few else 40
    result: dict[str, Any] = {
        "what": "h outputs, c cells; sampled, sigma-only bias 0.5; writers of one source told "
        "apart by linear discriminants on single states, texts held out",
        "texts": list(texts),
        "rows": [],
    }
    cut = {}
    for hand in hands:
        pieces = cut_prime(writer, hand.prime.ink, hand.prime.text, LENGTHS)
        try:
            cut[hand.name] = {
                points: writer.prime(*piece, name=hand.name) for points, piece in pieces.items()
            }
        except ValueError:
            continue
    whole = {name: of for name, of in cut.items() if set(of) == set(LENGTHS)}
    # A writer alone in a source has nobody to be told from.
    many = {s: sum(source.get(n) == s for n in whole) for s in set(source.values())}
    names = [n for n in whole if n in source and many[source[n]] > 1]
    result["writers"] = len(names)
    for points in LENGTHS:
        styles = [whole[name][points] for name in names]
        traj = ht.record(writer, texts, styles, generator=generator, layers=layers)
        style, thin = traj.column("style"), traj.column("step") % 4 == 0
        strata = np.array([source[s] for s in style.tolist()])
        for layer in layers:
            x = traj.layer(layer)
            z = Subspace.fit(Moments.of(x), 50).project(x[thin]).astype(np.float32)
            one = decode(
                z,
                style[thin],
                traj.column("text")[thin],
                traj.column("writing")[thin],
                strata=strata[thin],
                permutations=draws,
                generator=rng,
            )
            result["rows"].append({"points": points, "layer": layer, **one.brief()})
        clock(f"{points} points, {len(styles)} writers")
    keep(
        "arrival",
        result,
        arguments,
        clock,
        weights=writer.fingerprint,
    )


if __name__ == "__main__":
    main()
