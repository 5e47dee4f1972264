"""Whether the answer depends on the method: principal components, factors, smooth factors.

    python experiments/methods.py [-o FILE] [--seed N] [--reduced]

Styles of one source write the same texts.  The space of each is found on half of
the texts by principal component analysis, factor analysis and Gaussian-process
factor analysis; how much of the variance on the other half, of the same style and
of the others, does it hold?
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import TEXTS, Clock, keep, parser, shipped, source_of

import handtraj as ht
from handtraj.evaluation.bootstrap import bootstrap
from handtraj.subspaces import Moments, Subspace, alignment_index, principal_angles

METHODS = {"pca": None, "fa": 10_000, "gpfa": 100}


def main() -> None:
    """Record, fit, compare, save."""
    arguments = parser(__doc__ or "").parse_args()
    clock, few = Clock(), arguments.reduced
    writer = ht.load_writer()
    styles = shipped(writer, 3 if few else 8)
    texts = TEXTS[:4] if few else TEXTS
    layers = ("c2",) if few else ("h2", "c2")
    generator = torch.Generator().manual_seed(arguments.seed)
    traj = ht.record(writer, texts, styles, generator=generator, layers=layers)
    clock(f"recorded {len(traj)} steps")
    dimension, names = 5, [s.name for s in styles]
    result: dict[str, Any] = {
        "what": "h outputs, c cells; sampled, sigma-only bias 0.5; 50 principal components of "
        "all states first; spaces of half of the texts, variance of the other half",
        "styles": {s.name: source_of(s) for s in styles},
        "texts": list(texts),
        "dimension": dimension,
        "layers": {},
    }
    for layer in layers:
        whole = Subspace.fit(Moments.of(traj.layer(layer)), 50)

        def half(name: str, k: int, layer: str = layer, whole: Subspace = whole) -> Any:
            part = traj.select(styles=[name], texts=texts[k::2])
            return [whole.project(t) for t in part.trials(layer)]

        fitted, found = {}, {}
        held = {name: Moments.of(np.concatenate(half(name, 1))) for name in names}
        for method, rounds in METHODS.items():
            spaces = {
                name: Subspace.fit(half(name, 0), dimension, method=method, iterations=rounds)
                for name in names
            }
            fitted[method] = spaces
            same = np.array([alignment_index(held[n], spaces[n]) for n in names])
            others = np.array(
                [np.mean([alignment_index(held[n], spaces[o]) for o in names if o != n])
                 for n in names]
            )  # fmt: skip
            angles = [principal_angles(spaces[n], fitted["pca"][n]) for n in names]
            found[method] = {
                "same": bootstrap(same).as_dict(),
                "other": bootstrap(others).as_dict(),
                "apart": bootstrap(same - others).as_dict(),
                "angles to pca": np.mean(angles, axis=0).tolist(),
            }
            clock(f"{layer}, {method}")
        result["layers"][layer] = found
    keep(
        "methods",
        result,
        arguments,
        clock,
        weights=writer.fingerprint,
        packages=("elephant",),
    )


if __name__ == "__main__":
    main()
