"""Small networks and corpora that several tests use."""

from __future__ import annotations

import numpy as np
import torch

from handtraj.alphabet import Alphabet
from handtraj.checkpoint import Checkpoint
from handtraj.corpus import Corpus, build_corpus
from handtraj.ink import Ink
from handtraj.network import Network, NetworkConfig
from handtraj.sources import Line


def small_network(units: int = 12, layers: int = 3, symbols: int = 80, seed: int = 0) -> Network:
    """An untrained network of the real architecture, small."""
    config = NetworkConfig(symbols=symbols, units=units, layers=layers, windows=4, components=3)
    return Network(config, generator=torch.Generator().manual_seed(seed))


def small_checkpoint(**sizes: int) -> Checkpoint:
    """An untrained checkpoint over the usual alphabet."""
    return Checkpoint(small_network(**sizes), Alphabet(), 0.4, {"made": "for a test"})


def wave(length: int, seed: int = 0) -> Ink:
    """Two strokes of a slow wave with a little noise, in x-heights."""
    rng = np.random.default_rng(seed)
    t = np.arange(length)
    xy = np.column_stack([0.15 * t, 0.5 * np.sin(t / 2.0)]) + rng.normal(0, 0.02, (length, 2))
    return Ink.from_strokes([xy[: length // 2], xy[length // 2 :]])


def small_corpus(writers: int = 24, lines: int = 6) -> Corpus:
    """Waves by several writers, as lines and as words."""
    words = ["wave", "sea", "salt", "foam", "tide", "reef"]
    found = []
    for w in range(writers):
        for k in range(lines):
            kind = "line" if k % 2 else "word"
            text = f"{words[k]} {words[(k + w) % 6]}" if kind == "line" else words[(k + w) % 6]
            found.append(
                Line(
                    wave(20 + 6 * len(text) + w, seed=100 * w + k),
                    text,
                    f"sea{w + 1:03d}",
                    "sea",
                    kind,
                    0.01,
                )
            )
    return build_corpus(found, about={"name": "waves"})
