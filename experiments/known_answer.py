"""Known answer: writers whose style was planted, and writers who have none of their own.

    python experiments/known_answer.py [-o FILE] [--seed N] [--reduced]

A small network learns to write in synthetic hands that differ in five parameters.
Primed with hands it never saw, it writes new words, and the pipeline of the other
experiments is run on its states.  It should find slant, aspect, roundness and
connectedness again; it must not find size, which is scaled away before the network
sees it, nor tell "hands" apart that were drawn with the same parameters.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Clock, keep, parser
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import handtraj as ht
from handtraj.evaluation.bootstrap import bootstrap
from handtraj.evaluation.claims import ink_of, style_measures
from handtraj.evaluation.features import FEATURES, ink_features
from handtraj.interventions import Always, add
from handtraj.live import (
    LIVE_RANGES,
    NEW_WORDS,
    live_corpus,
    live_network,
    live_style,
    live_training,
)
from handtraj.sources.scribe import ScribeStyle, normalise_hand, write_line

PRIME = "same lemon arose"
PLANTED = tuple(LIVE_RANGES)
LAYERS = ("h1", "h2", "c1", "c2")


def trained(points: int, seed: int) -> ht.Writer:
    """The small network, trained here and now."""
    with tempfile.TemporaryDirectory() as folder:
        path = ht.train(
            live_corpus(seed=seed),
            Path(folder) / "run",
            config=live_training(points=points, seed=seed),
            network=live_network(),
            device="cpu",
            precision="float32",
        )
        return ht.load_writer(path)


def hands(
    writer: ht.Writer, planted: Sequence[ScribeStyle], rng: np.random.Generator, name: str
) -> tuple[list[ht.Style], NDArray[np.float64], NDArray[np.float64]]:
    """Primed styles, what was planted in each, and features of the prime's ink."""
    styles, values, measured = [], [], []
    for number, style in enumerate(planted):
        # Several lines, since the height of the hand is taken from all of them.
        lines = normalise_hand([write_line(PRIME, style, rng) for _ in range(3)], f"{name}{number}")
        ink = lines[0].ink
        try:
            styles.append(writer.prime(ink, PRIME, name=f"{name}{number:03d}"))
        except ValueError:
            continue
        values.append([getattr(style, p) for p in PLANTED])
        measured.append(ink_features(ink, PRIME))
    return styles, np.array(values), np.array(measured)


def recovered(
    x: NDArray[np.float64], planted: NDArray[np.float64], rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """Each parameter from a vector a hand, by ridge regression on other hands."""
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
    found = {}
    for k, name in enumerate(PLANTED):
        folds = KFold(8, shuffle=True, random_state=int(rng.integers(2**31)))

        def told(y: NDArray[np.float64], folds: KFold = folds) -> NDArray[np.float64]:
            return cross_val_predict(model, x, y, cv=folds)

        pairs = np.column_stack([planted[:, k], told(planted[:, k])])
        null = []
        for _ in range(draws):
            y = rng.permutation(planted[:, k])
            null.append(np.corrcoef(y, told(y))[0, 1])
        r = bootstrap(pairs, None, lambda p: float(np.corrcoef(p.T)[0, 1]), draws=500)
        found[name] = r.as_dict() | {"shuffled": [float(q) for q in np.quantile(null, [0.5, 0.95])]}
    return found


def distances(x: NDArray[np.float64], planted: NDArray[np.float64]) -> float:
    """Rank correlation of distances between hands in states and in what was planted."""
    keep = [k for k, name in enumerate(PLANTED) if name != "size"]
    z = (planted[:, keep] - planted[:, keep].mean(0)) / planted[:, keep].std(0)
    return float(spearmanr(pdist(x), pdist(z)).statistic)


def lever(
    writer: ht.Writer,
    styles: list[ht.Style],
    x: NDArray[np.float64],
    slant: NDArray[np.float64],
    rng: np.random.Generator,
    seed: int,
) -> dict[str, Any]:
    """Move c2 along the direction in which planted slant grows; slant of the ink after it."""
    model = RidgeCV(np.logspace(-1, 5, 13)).fit(x, slant)
    # States of hands that differ by a degree differ by this on average.
    direction = (x - x.mean(0)).T @ (slant - slant.mean()) / ((slant - slant.mean()) ** 2).sum()
    random = rng.normal(size=len(direction))
    random *= np.linalg.norm(direction) / np.linalg.norm(random)
    found: dict[str, Any] = {"r2_on_the_hands": float(model.score(x, slant)), "steps": []}
    words = list(NEW_WORDS[:4])
    for degrees in (-20, -10, 0, 10, 20):
        row: dict[str, Any] = {"degrees": degrees}
        for name, vector in (("slant", direction), ("random", random)):
            generator = torch.Generator().manual_seed(seed)
            lines = writer.write_many(
                words * len(styles),
                styles=[s for s in styles for _ in words],
                generator=generator,
                hook=add("c2", degrees * vector, when=Always(-1, -1)),
            )
            angles = [ink_features(w.ink, w.text)[0] for w in lines if len(w.ink) >= 8]
            owner = [w.style for w in lines if len(w.ink) >= 8]
            row[name] = bootstrap(angles, owner, draws=500).as_dict()
        found["steps"].append(row)
    return found


def main() -> None:
    """Train, prime, measure, save."""
    arguments = parser(__doc__ or "").parse_args()
    clock, few = Clock(), arguments.reduced
    points = 150_000 if few else 1_200_000
    writer = trained(points, arguments.seed)
    clock("trained")
    rng = np.random.default_rng(arguments.seed + 1)
    count = 24 if few else 64
    styles, planted, measured = hands(writer, [live_style(rng) for _ in range(count)], rng, "p")
    words = list(NEW_WORDS)
    generator = torch.Generator().manual_seed(arguments.seed)
    traj = ht.record(writer, words, styles, 1, generator=generator, layers=LAYERS)
    clock(f"{len(styles)} planted hands, {len(traj)} steps")
    inks, said = ink_of(traj), traj.per_writing("text")
    wrote = np.array([ink_features(i, str(t)) for i, t in zip(inks, said, strict=True)])
    wrote = wrote.reshape(len(styles), len(words), -1).mean(1)
    draws = 10 if few else 50
    of_states, apart = {}, {}
    for layer in LAYERS:
        keys, means, _ = traj.pooled(layer, by=("style",))
        assert [k[0] for k in keys] == [s.name for s in styles]
        of_states[layer] = recovered(means.astype(np.float64), planted, rng, draws)
        apart[layer] = distances(means.astype(np.float64), planted)
        clock(f"{layer} recovered")
    centres = traj.pooled("c2", by=("style",))[1].astype(np.float64)
    slant = planted[:, PLANTED.index("slant")]
    measures: dict[str, Any] = {}
    # As many hands as there are "hands" with nothing planted.
    some = {s.name: "scribe" for s in styles[:24]}
    one = ScribeStyle()
    same, _, _ = hands(writer, [one] * 24, rng, "n")
    nothing = ht.record(writer, words, same, 1, generator=generator, layers=LAYERS)
    clock(f"{len(same)} hands with nothing planted")
    for name, found, sources in (
        ("planted", traj.select(styles=list(some)), some),
        ("nothing planted", nothing, {s.name: "scribe" for s in same}),
    ):
        measures[name] = {}
        for layer in ("h2", "c2"):
            all_of = style_measures(
                found, layer, sources, components=50, draws=draws, permutations=draws, generator=rng
            )
            kept = ("alignment", "means", "decoding")
            measures[name][layer] = {k: all_of[k] for k in kept}
        clock(name)
    result = {
        "what": "small network trained on synthetic hands; sampled, sigma-only bias 0.5; states "
        "pooled over a hand's writings of new words",
        "hands": len(styles),
        "planted": list(PLANTED),
        "points": points,
        "words": words,
        "finished": float(np.mean(traj.about["finished"])),
        "from_the_prime": recovered(measured, planted, rng, draws),
        "from_the_written": recovered(wrote, planted, rng, draws),
        "features": list(FEATURES),
        "from_states": of_states,
        "distances": apart,
        "lever": lever(writer, styles[:20], centres, slant, rng, arguments.seed),
        "measures": measures,
    }
    keep(
        "known_answer",
        result,
        arguments,
        clock,
        weights=writer.fingerprint,
    )


if __name__ == "__main__":
    main()
