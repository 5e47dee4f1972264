"""The same few measures of any network: over a training, between seeds, untrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.corpus import Corpus
from handtraj.decoding import decode
from handtraj.dynamics.decoding import decode_letters
from handtraj.dynamics.letters import cut_letters
from handtraj.evaluation.claims import alignment
from handtraj.recording import read, record
from handtraj.sources import Line
from handtraj.subspaces import Moments, Subspace, mean_against_space, moments_by
from handtraj.trajectories import Trajectories
from handtraj.writing import Writer

__all__ = ["Hand", "choose_hands", "network_measures"]


@dataclass(frozen=True)
class Hand:
    """A writer: one line to prime with, and others to read."""

    name: str
    source: str
    prime: Line
    lines: tuple[Line, ...]


def choose_hands(
    corpus: Corpus, sources: int, writers: int, lines: int, *, split: str = "train", seed: int = 0
) -> list[Hand]:
    """Writers of the sources that have most, with lines of like length.

    Parameters
    ----------
    corpus : Corpus
    sources, writers, lines : int
        How many sources, writers of each, and lines of each beside the prime.
    split : str
    seed : int

    Raises
    ------
    ValueError
        If the corpus has too few.
    """
    rng = np.random.default_rng(seed)
    lengths = corpus.lengths
    found: dict[str, dict[str, list[int]]] = {}
    for i in corpus.select(split, kind="line"):
        if 250 <= lengths[i] <= 700 and len(corpus.texts[i]) >= 12:
            found.setdefault(corpus.sources[i], {}).setdefault(corpus.writers[i], []).append(int(i))
    enough = {
        source: [w for w, mine in sorted(of.items()) if len(mine) > lines]
        for source, of in sorted(found.items())
    }
    chosen = sorted(enough, key=lambda source: -len(enough[source]))[:sources]
    if len(chosen) < sources or len(enough[chosen[-1]]) < writers:
        raise ValueError(
            f"no {sources} sources with {writers} writers of {lines + 1} lines each in the corpus; "
            "ask for fewer"
        )
    hands = []
    for source in chosen:
        for w in rng.permutation(enough[source])[:writers]:
            mine = rng.permutation(found[source][w])[: lines + 1]
            all_lines = [corpus.line(int(i)) for i in mine]
            hands.append(Hand(str(w), source, all_lines[0], tuple(all_lines[1:])))
    return hands


def network_measures(
    writer: Writer,
    hands: Sequence[Hand],
    texts: Sequence[str],
    layers: Sequence[str],
    *,
    repeats: int = 2,
    draws: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """How styles and letters lie in the states, while it writes and while it reads.

    Parameters
    ----------
    writer : Writer
    hands : sequence of Hand
    texts : sequence of str
        Written in every hand.
    layers : sequence of str
    repeats : int
        Writings of a text in a hand.
    draws : int
        Halvings of the texts.
    seed : int

    Returns
    -------
    dict
        For JSON: "finished", share of lines; "writing" and, by layer, "state"
        and "mean": accuracy of the style named within its source from one state
        and from the mean of a writing, "between": share of variance between
        styles' means, "same", "other" and "apart": alignment at 10 dimensions
        with the same style's other texts and with other styles of its source,
        "letters" named within a style and "letters across" styles, centred;
        "reading": real lines of the same writers read, the first two of these.
    """
    sources = {hand.name: hand.source for hand in hands}
    styles = [
        writer.prime(h.prime.ink, h.prime.text, name=h.name, source=h.source, check=False)
        for h in hands
    ]
    generator = torch.Generator().manual_seed(seed)
    wrote = record(writer, texts, styles, repeats, generator=generator, layers=layers)
    lines = [line for h in hands for line in h.lines]
    names = [h.name for h in hands for _ in h.lines]
    seen = read(writer, [x.ink for x in lines], [x.text for x in lines], names=names, layers=layers)
    chance = float(np.mean([1 / sum(o.source == h.source for o in hands) for h in hands]))
    return {
        "finished": float(np.mean(wrote.about["finished"])),
        "chance": chance,
        "writing": {name: _writing(wrote, name, sources, draws, seed) for name in layers},
        "reading": {
            name: _named(seen, _reduced(seen, name), sources, seed, crossed=False)
            for name in layers
        },
    }


def _reduced(traj: Trajectories, layer: str) -> NDArray[np.float32]:
    """States of a layer on their first 50 principal components, shape (N, 50)."""
    space = Subspace.fit(Moments.of(traj.layer(layer)), 50)
    return space.project(traj.layer(layer)).astype(np.float32)


def _named(
    traj: Trajectories,
    z: NDArray[np.float32],
    sources: dict[str, str],
    seed: int,
    *,
    crossed: bool,
) -> dict[str, Any]:
    """Accuracy of style decoding from single states and from means of writings."""
    source = np.array([sources[s] for s in traj.column("style").tolist()])
    thin = traj.column("step") % 4 == 0
    rng = np.random.default_rng(seed)
    found = {}
    for name, rows, pool in (("state", thin, "state"), ("mean", thin | True, "writing")):
        one = decode(
            z[rows],
            traj.column("style")[rows],
            traj.column("text")[rows],
            traj.column("writing")[rows],
            pool=pool,
            strata=source[rows],
            crossed=crossed,
            generator=rng,
        )
        found[name] = {"value": one.accuracy, "interval": one.interval}
    return found


def _writing(
    traj: Trajectories, layer: str, sources: dict[str, str], draws: int, seed: int
) -> dict[str, Any]:
    z = _reduced(traj, layer)
    found = _named(traj, z, sources, seed, crossed=True)
    rng = np.random.default_rng(seed)
    _, writings = moments_by(z, traj.column("writing"))
    style, text = traj.per_writing("style"), traj.per_writing("text")
    strata = np.array([sources[s] for s in style.tolist()])
    lie = alignment(writings, style, text, strata, dimensions=[10], draws=draws, generator=rng)
    found |= {k: lie["10"][v] for k, v in (("same", "same"), ("other", "other within"))}
    found["apart"] = lie["10"]["apart"]
    found["between"] = mean_against_space(writings, style, 10).between
    for name, how, alike in (("letters", "within", "raw"), ("letters across", "across", "centred")):
        try:
            letters = cut_letters(traj, layer, 6)
            found[name] = decode_letters(
                letters, how, alignment=alike, generator=np.random.default_rng(seed)
            ).accuracy.as_dict()
        except ValueError:
            # A network that has not learned to write leaves no letters to cut.
            found[name] = None
    return found
