"""Cause: move the state in the middle of a line and look at the ink after it.

    python experiments/cause.py swaps|ablations [-o FILE] [--seed N] [--reduced]

Every shipped style that shares its source with another is paired with one of
them.  A line begins in style A; half-way, once, the difference of the mean
states of B and A is added to one layer (or to a part of it, or another vector of
the same length is).  A judge that sees only ink says whose hand the rest is in.
Then the other way: a style's place is taken away at every step, beside random
subspaces that hold as much variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import LONG_TEXTS, TEXTS, Clock, keep, parser, shipped, source_of
from numpy.typing import NDArray

import handtraj as ht
from handtraj.evaluation.bootstrap import bootstrap, bootstrap_sums
from handtraj.evaluation.following import Judge, share_moved
from handtraj.evaluation.reader import character_errors, load_reader
from handtraj.interventions import (
    Once,
    ablate,
    add,
    combine,
    matched_directions,
    matched_subspace,
    middle,
    swap,
)
from handtraj.writing import Hook

SHARE = 0.4
CELLS = ("c1", "c2", "c3")
LAYERS = ("h1", "h2", "h3", *CELLS)


@dataclass
class Bench:
    """Everything the conditions share."""

    writer: ht.Writer
    styles: list[ht.Style]
    new: list[ht.Style]
    texts: list[str]
    judge: Judge
    reader: Any
    seed: int
    bias: float = 0.5

    @property
    def lines(self) -> tuple[list[str], list[ht.Style], list[ht.Style]]:
        """Texts, old and new style of every line."""
        pairs = [(o, n, t) for o, n in zip(self.styles, self.new, strict=True) for t in self.texts]
        return [t for _, _, t in pairs], [o for o, _, _ in pairs], [n for _, n, _ in pairs]

    def run(self, hook: Hook | None = None, *, as_new: bool = False) -> dict[str, Any]:
        """Write all lines with a hook and say what became of them."""
        texts, old, new = self.lines
        generator = torch.Generator().manual_seed(self.seed)
        writings = self.writer.write_many(
            texts, styles=new if as_new else old, bias=self.bias, generator=generator, hook=hook
        )
        named, who = self.judge.name(writings), [s.name for s in old]
        moved = self.judge.moves(writings, [s.name for s in (old if as_new else new)])
        if as_new:  # seen from the old style, all the way has been gone
            moved = moved[:, :, [0, 2, 1]]
        right = [n == s.name for n, s in zip(named, old, strict=True)]
        other = [n == s.name for n, s in zip(named, new, strict=True)]
        read = self.reader.read([w.ink for w in writings])
        errors, lengths = character_errors(read, texts, lenient=True)
        return {
            "old": bootstrap(right, who).as_dict(),
            "new": bootstrap(other, who).as_dict(),
            "moved": {k: v.as_dict() for k, v in share_moved(moved, who).items()},
            "character_error": bootstrap_sums(np.column_stack([errors, lengths]), who).as_dict(),
            "finished": float(np.mean([w.finished for w in writings])),
            "by_style": {"old": _by_style(right, who), "new": _by_style(other, who)},
        }


def _by_style(hits: Sequence[bool], who: Sequence[str]) -> list[float]:
    """Shares of each old style, in order, so that a small rerun can be set beside them."""
    names = np.array(who)
    return [float(np.mean(np.array(hits)[names == name])) for name in dict.fromkeys(who)]


def pairs(styles: Sequence[ht.Style], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Each style with another of its source, where there is one."""
    found = []
    for i, style in enumerate(styles):
        near = [j for j, o in enumerate(styles) if j != i and source_of(o) == source_of(style)]
        if near:
            found.append((i, int(rng.choice(near))))
    return found


def swaps(
    bench: Bench,
    centres: dict[str, NDArray[np.float64]],
    spread: dict[str, NDArray[np.float64]],
    index: tuple[NDArray[np.int64], NDArray[np.int64]],
    reduced: bool,
    clock: Clock,
) -> dict[str, Any]:
    """All ways of moving the state half-way along the line."""
    texts, old, _ = bench.lines
    place, (a, b) = middle(texts, old, SHARE), index
    rng = np.random.default_rng(bench.seed + 1)

    def once() -> Once:
        return Once(first=-1, character=place)

    def whole(layer: str, strength: float = 1.0, basis: Any = None) -> Hook:
        x = centres[layer]
        return swap(layer, x[a], x[b], basis=basis, strength=strength, when=once())

    difference = centres["c2"][b] - centres["c2"][a]
    # Of the same length: directions at random, directions in which the state
    # varies while it writes, and the difference of two other styles.
    root = np.linalg.cholesky(spread["c2"] + 1e-9 * np.eye(len(spread["c2"])))
    inside = rng.normal(size=difference.shape) @ root.T
    shuffled = difference[rng.permutation(len(difference))]
    length = np.linalg.norm(difference, axis=1, keepdims=True)
    wrong = {
        "random direction": matched_directions(difference, rng),
        "direction of the state's own variation": inside
        / np.linalg.norm(inside, axis=1, keepdims=True)
        * length,
        "difference of another pair": shuffled
        / np.linalg.norm(shuffled, axis=1, keepdims=True)
        * length,
    }
    hooks: dict[str, Hook] = {layer: whole(layer) for layer in LAYERS if layer in centres}
    hooks["c1+c2+c3"] = combine(*(whole(layer) for layer in CELLS))
    hooks |= {f"c2, {name}": add("c2", v, when=once()) for name, v in wrong.items()}
    for strength in (0.25, 0.5, 0.75, 1.5, 2.0):
        hooks[f"c2 x {strength}"] = whole("c2", strength)
    axes = style_axes(centres["c2"])
    for dimension in (1, 2, 3, 5, 10, 20):
        if dimension < axes.shape[1]:
            hooks[f"c2, {dimension} dimensions"] = whole("c2", basis=axes[:, :dimension])
    if reduced:
        hooks = {k: hooks[k] for k in ("c1", "c2", "c2, random direction")}
    found = {}
    for name, hook in hooks.items():
        found[name] = bench.run(hook)
        clock(f"{name}: new {found[name]['new']['value']:.2f}")
    return found


def style_axes(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions along which the styles' mean states differ, most first, (N, styles - 1)."""
    axes: NDArray[np.float64] = np.linalg.svd(centres - centres.mean(0), full_matrices=False)[2].T
    return axes[:, : len(centres) - 1]


def ablations(
    bench: Bench,
    centres: dict[str, NDArray[np.float64]],
    spread: dict[str, NDArray[np.float64]],
    reduced: bool,
    clock: Clock,
) -> dict[str, Any]:
    """Take the styles' place away, from the first point on; beside random subspaces."""
    rng, found = np.random.default_rng(bench.seed + 2), {}
    layers, sizes, draws = (("c2",), (5,), 1) if reduced else (("c2", "c3", "c1"), (2, 5, 10), 2)
    for layer in layers:
        axes, centre = style_axes(centres[layer]), centres[layer].mean(0)
        between = np.cov(centres[layer].T, bias=True)
        # Variance while writing in one style: that between styles is not there
        # to be taken from a line, and no other few directions hold so much.
        moving = spread[layer]
        for dimension in sizes if layer == "c2" else (5,):
            basis = axes[:, :dimension]
            held = float(np.trace(basis.T @ moving @ basis))
            hooks = {"style": ablate(layer, basis, centre)}
            # Where the styles' place is where the state moves most, other
            # directions hold as much only if there are more of them.
            rest = np.eye(len(basis)) - basis @ basis.T
            most = np.cumsum(np.linalg.eigvalsh(rest @ moving @ rest)[::-1])
            least = max(dimension, int(np.searchsorted(most, 1.02 * held)) + 1)
            for k in range(draws):
                other = matched_subspace(moving, least, held, rng, avoid=basis)
                hooks[f"random {k + 1}"] = ablate(layer, other, centre)
            variance = {
                "within": held / float(np.trace(moving)),
                "between": float(np.trace(basis.T @ between @ basis) / np.trace(between)),
            }
            for name, hook in hooks.items():
                key = f"{layer}, {dimension} dimensions, {name}"
                taken = dimension if name == "style" else least
                found[key] = bench.run(hook) | {"variance": variance, "taken": taken}
                clock(f"{key}: old {found[key]['old']['value']:.2f}")
    return found


def main() -> None:
    """Run, save."""
    found = parser(__doc__ or "")
    found.add_argument("part", choices=("swaps", "ablations"), help="which way")
    arguments = found.parse_args()
    clock, reduced = Clock(), arguments.reduced
    writer = ht.load_writer()
    styles = shipped(writer, 8 if reduced else None)
    rng = np.random.default_rng(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    # Mean states come from other texts than those that are judged.
    traj = ht.record(
        writer,
        TEXTS[:8],
        styles,
        1 if reduced else 2,
        generator=generator,
        layers=CELLS if reduced else LAYERS,
    )
    centres, spread = {}, {}
    for layer in traj.states:
        keys, means, _ = traj.pooled(layer, by=("style",))
        place = {key[0]: i for i, key in enumerate(keys)}
        centres[layer] = means[[place[s.name] for s in styles]].astype(np.float64)
        code = np.array([place[name] for name in traj.column("style")])
        spread[layer] = np.cov((traj.layer(layer) - means[code]).T)
    steps = len(traj)
    del traj
    clock(f"recorded {steps} steps")
    chosen = pairs(styles, rng)
    texts = list(LONG_TEXTS)
    repeats = 3 if reduced else 4
    jobs = [(s, t) for s in styles for t in texts for _ in range(repeats)]
    quiet = writer.write_many(
        [t for _, t in jobs], styles=[s for s, _ in jobs], bias=0.5, generator=generator
    )
    sources = {s.name: source_of(s) for s in styles}
    judge = Judge.fit(quiet, sources, share=SHARE)
    clock(f"judge, from {len(quiet)} lines")
    bench = Bench(
        writer,
        [styles[i] for i, _ in chosen],
        [styles[j] for _, j in chosen],
        texts,
        judge,
        load_reader(),
        arguments.seed + 3,
    )
    index = tuple(np.repeat([p[k] for p in chosen], len(texts)) for k in (0, 1))
    many = [sum(v == sources[o.name] for v in sources.values()) for o in bench.lines[1]]
    result: dict[str, Any] = {
        "what": "c cells, h outputs; sampled, sigma-only bias 0.5; the difference of the mean "
        "states of two styles of one source is added once, half-way along a line",
        "pairs": len(chosen),
        "texts": texts,
        "lines": len(bench.lines[0]),
        "steps_for_means": steps,
        "chance": float(np.mean(1 / np.array(many))),
        "undisturbed": bench.run(),
        "new style throughout": bench.run(as_new=True),
    }
    clock("undisturbed")
    if arguments.part == "swaps":
        result["swaps"] = swaps(bench, centres, spread, index, reduced, clock)  # type: ignore[arg-type]
    else:
        result["ablations"] = ablations(bench, centres, spread, reduced, clock)
    keep(
        arguments.part,
        result,
        arguments,
        clock,
        weights=writer.fingerprint,
    )


if __name__ == "__main__":
    main()
