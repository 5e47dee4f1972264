"""Claim two: whether characters, within a style, are different state dynamics.

    python experiments/letters.py [-o FILE] [--seed N] [--reduced]

Twelve styles of the commonest sources write the same texts.  States are cut into
letters by the window and warped in time.  For every layer: the letter named within
a style and across styles (raw, each style's mean removed, after Procrustes fitted
to other letters), and distances of mean letters beside their floor and ceiling.
For the layers the claims rest on, also demixed PCA with its test, dynamical
similarity of styles and of letters, rotations with their surrogates, tangling, and
the eigenvalues of the step with its input and window held.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import TEXTS, Clock, keep, parser, shipped, source_of
from numpy.typing import NDArray

import handtraj as ht
from handtraj.dynamics.bridges import demix, dsa_matrix
from handtraj.dynamics.letters import Letters, cut_letters, mean_letters
from handtraj.dynamics.local import layer_spectra, rotation_period, time_constants
from handtraj.dynamics.rotations import jpca, shuffle_control, tangling
from handtraj.dynamics.timescales import unit_time_constants
from handtraj.dynamics.variances import dpca_array
from handtraj.evaluation.bootstrap import bootstrap
from handtraj.evaluation.claims import letter_measures

#: Letters whose dynamics are looked at more closely.
LETTERS = "aehiorst"


def demixed(letters: Letters, rng: np.random.Generator) -> dict[str, Any]:
    """Demixed PCA over style, letter and time."""
    array = dpca_array(letters, generator=rng)
    found = demix(array.means, array.trials, generator=rng)
    return {
        "explained": {k: v.tolist() for k, v in found.explained.items()},
        "purity": {k: v.tolist() for k, v in found.purity.items()},
        "held_out": found.held_out,
        "p": found.p_values,
        "characters": "".join(array.characters),
    }


def similarity(traj: ht.Trajectories, layer: str, rng: np.random.Generator) -> dict[str, Any]:
    """Dynamical similarity: whether two styles, or two letters, are the same dynamics."""
    style, text = traj.per_writing("style"), traj.per_writing("text")
    trials = traj.trials(layer)
    groups = {s: [t for t, own in zip(trials, style, strict=True) if own == s] for s in set(style)}
    said = {s: [str(t) for t, own in zip(text, style, strict=True) if own == s] for s in groups}
    names = sorted(groups)
    by_style = dsa_matrix({n: groups[n] for n in names}, texts=said, generator=rng)
    pieces: dict[str, list[NDArray[np.float32]]] = {c: [] for c in LETTERS}
    texts: dict[str, list[str]] = {c: [] for c in LETTERS}
    index, character = traj.column("index"), traj.column("character")
    breaks = (np.diff(index, prepend=-1) != 0) | (traj.column("step") == 0)
    x, where = traj.layer(layer), traj.column("text")
    for rows in np.split(np.arange(len(traj)), np.flatnonzero(breaks)[1:]):
        if len(rows) >= 12 and character[rows[0]] in pieces:
            pieces[str(character[rows[0]])].append(x[rows])
            texts[str(character[rows[0]])].append(str(where[rows[0]]))
    enough = [c for c in LETTERS if len(set(texts[c])) >= 4]
    by_letter = dsa_matrix(
        {c: pieces[c] for c in enough}, texts={c: texts[c] for c in enough}, delays=3, generator=rng
    )
    found = {}
    for name, one in (("styles", by_style), ("letters", by_letter)):
        other = ~np.eye(len(one.names), dtype=bool)
        rows = [one.distances[i][other[i]].mean() for i in range(len(one.names))]
        found[name] = {
            "names": list(one.names),
            "same": bootstrap(one.floor).as_dict(),
            "other": bootstrap(rows).as_dict(),
            "apart": bootstrap(np.array(rows) - one.floor).as_dict(),
        }
    return found


def rotations(letters: Letters, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Rotations (jPCA) of the mean letters of each style, beside surrogates."""
    means = mean_letters(letters, by=("style", "character"), minimum=3)
    keys = [key[0] for key in means.keys]
    found: dict[str, list[float]] = {"skew_r2": [], "ratio": [], "null_ratio": [], "p": []}
    for name in sorted(set(keys)):
        trials = [m for m, own in zip(means.means, keys, strict=True) if own == name]
        if len(trials) < 6:
            continue
        fit = jpca(trials)
        null = shuffle_control(trials, draws, rng)
        found["skew_r2"].append(fit.skew_r2)
        found["ratio"].append(fit.ratio)
        found["null_ratio"].append(float(np.mean(null.null_ratio)))
        found["p"].append(null.p_ratio)
    result = {k: bootstrap(v).as_dict() for k, v in found.items()}
    result["styles"] = len(found["p"])
    return result


def tangled(traj: ht.Trajectories, layer: str) -> dict[str, Any]:
    """Tangling of the states and of the pen's own path, over writings (Russo et al. 2018)."""
    pen = [
        np.cumsum(np.column_stack([dx, dy]), axis=0)
        for dx, dy in zip(*(_split(traj, n) for n in ("dx", "dy")), strict=True)
    ]
    state = [float(np.percentile(q, 90)) for q in tangling(traj.trials(layer))]
    path = [float(np.percentile(q, 90)) for q in tangling(pen)]
    return {"state": bootstrap(state).as_dict(), "pen": bootstrap(path).as_dict()}


def _split(traj: ht.Trajectories, name: str) -> list[NDArray[np.float64]]:
    return np.split(traj.column(name).astype(np.float64), traj.starts[1:])


def spectra(
    writer: ht.Writer, traj: ht.Trajectories, states: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Time constants and turning of the step, linearised in the middle of letters."""
    layers, found = writer.network.config.layers, []
    middle = (traj.column("phase") > 0.4) & (traj.column("phase") < 0.6)
    for letter in LETTERS:
        rows = np.flatnonzero(middle & (traj.column("character") == letter))
        for row in rng.choice(rows, min(states, len(rows)), replace=False):
            vector = np.concatenate(
                [traj.layer(f"{kind}{i + 1}")[row] for kind in "hc" for i in range(layers)]
            )
            x = np.array([traj.column(n)[row] for n in ("dx", "dy", "pen")], dtype=np.float64)
            x[:2] /= writer.scale
            values = layer_spectra(writer.network, vector, x, traj.layer("window")[row])
            tau = time_constants(values)
            slow = np.sort(np.where((tau > 0) & np.isfinite(tau), tau, 0), axis=1)[:, ::-1]
            turning = [int((np.isfinite(p) & (p < 60)).sum() // 2) for p in rotation_period(values)]
            grows = (np.abs(values) > 1).sum(axis=1)
            found.append((letter, slow[:, [0, 9, 49]], turning, grows))
    return {
        "states": len(found),
        "layers": {
            str(i + 1): {
                "slowest": bootstrap([f[1][i, 0] for f in found], [f[0] for f in found]).as_dict(),
                "tenth": bootstrap([f[1][i, 1] for f in found], [f[0] for f in found]).as_dict(),
                "fiftieth": bootstrap([f[1][i, 2] for f in found], [f[0] for f in found]).as_dict(),
                "turning pairs": bootstrap([f[2][i] for f in found]).as_dict(),
                "growing": bootstrap([float(f[3][i]) for f in found]).as_dict(),
            }
            for i in range(layers)
        },
    }


def timescales(traj: ht.Trajectories) -> dict[str, Any]:
    """Time constants of units from their autocorrelation: quartiles a layer."""
    found = {}
    for layer in ("h1", "h2", "h3", "c1", "c2", "c3"):
        tau = unit_time_constants(traj.trials(layer)[:60])
        found[layer] = [float(q) for q in np.nanquantile(tau, [0.25, 0.5, 0.75, 0.95])]
    return found


def main() -> None:
    """Record, measure, save."""
    arguments = parser(__doc__ or "").parse_args()
    clock, reduced = Clock(), arguments.reduced
    writer = ht.load_writer()
    styles = shipped(writer, 4 if reduced else 12)
    texts, repeats = (TEXTS[:8], 1) if reduced else (TEXTS, 3)
    layers = ("c2",) if reduced else ("h1", "h2", "h3", "c1", "c2", "c3")
    traj = ht.record(
        writer,
        texts,
        styles,
        repeats,
        generator=torch.Generator().manual_seed(arguments.seed),
        layers=layers if reduced else (*layers, "window"),
    )
    clock(f"recorded {len(traj)} steps")
    rng = np.random.default_rng(arguments.seed)
    result: dict[str, Any] = {
        "what": "h outputs, c cells; sampled, sigma-only bias 0.5; letters cut by the window",
        "styles": {s.name: source_of(s) for s in styles},
        "texts": list(texts),
        "repeats": repeats,
        "steps": len(traj),
        "layers": {},
    }
    for layer in layers:
        result["layers"][layer] = letter_measures(traj, layer, generator=rng)
        clock(layer)
    if not reduced:
        result["demixed"], result["similarity"], result["rotations"] = {}, {}, {}
        for layer in ("h1", "h2", "c2", "h3"):
            letters = cut_letters(traj, layer)
            result["demixed"][layer] = demixed(letters, rng)
            clock(f"{layer}, demixed")
            result["rotations"][layer] = rotations(letters, 200, rng)
            clock(f"{layer}, rotations")
            result["similarity"][layer] = similarity(traj, layer, rng)
            clock(f"{layer}, similarity")
        few = traj.select(writings=traj.writings[:: len(traj.writings) // 24])
        result["tangling"] = {layer: tangled(few, layer) for layer in ("h2", "c2")}
        clock("tangling")
        result["timescales"] = timescales(few)
        clock("time constants of units")
        result["spectra"] = spectra(writer, traj, 8, rng)
        clock("spectra")
    keep(
        "letters",
        result,
        arguments,
        clock,
        weights=writer.fingerprint,
        packages=("dPCA", "dsa-metric"),
    )


if __name__ == "__main__":
    main()
