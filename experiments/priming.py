"""Does priming keep the style?  Makes handtraj/assets/results/priming.json.

    python experiments/priming.py [data/unipen.npz] [--seed 0] [--reduced]

Writers inside and outside of training, primed with 0 to 800 points of their own
lines, at bias 0, 0.5 and 1; their written lines beside their real ones of the
same texts: earth mover's distance of each feature of style, naming by ink alone.
Then five lines written on and on after one prime.  Eight minutes of one core's time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import command
from tqdm import tqdm

import handtraj as ht
from handtraj.evaluation.fading import write_on
from handtraj.evaluation.features import STYLE_FEATURES
from handtraj.evaluation.legibility import write_lines
from handtraj.evaluation.priming import Plan, StyleTable, plan, primed_styles
from handtraj.evaluation.priming_tables import GROUPS, Hands, Judged, Rows
from handtraj.results import save_result

LENGTHS = (25, 50, 100, 200, 400, 800)
BIASES = (0.0, 0.5, 1.0)
BIAS = 0.5
BATCH = 64


def primed(
    writer: ht.Writer, lines: Plan, lengths: tuple[int, ...]
) -> tuple[list[dict[int, ht.Style | None]], dict[str, int]]:
    """Styles of every writer by length, and how often a length was refused."""
    styles: list[dict[int, ht.Style | None]] = []
    refused = {str(n): 0 for n in lengths}
    for ink, text in tqdm(lines.primes, desc="priming"):
        found, why = primed_styles(writer, ink, text, lengths)
        for points in why:
            refused[str(points)] += 1
        styles.append({0: None, **found})
    return styles, refused


def written(
    writer: ht.Writer, hands: Hands, styles: list[Any], points: int, bias: float, seed: int
) -> tuple[Judged, int]:
    """Every writer's texts after a prime of so many points; also lines given up."""
    able = [w for w, mine in enumerate(styles) if points in mine]
    who = np.repeat(able, hands.plan.queries.shape[1])
    texts = [text for w in able for text in hands.texts[w]]
    # One seed for all conditions: the same line has the same random numbers.
    lines = write_lines(
        writer, texts, styles=[styles[w][points] for w in who], bias=bias, seed=seed, batch=BATCH
    )
    return hands.judge([w.ink for w in lines], who, texts), sum(not w.finished for w in lines)


def faded(
    writer: ht.Writer, hands: Hands, styles: list[Any], points: int, seed: int
) -> tuple[list[Judged], int]:
    """Lines written on and on, by their place; every text stands once at every place."""
    able = [w for w, mine in enumerate(styles) if points in mine]
    many = hands.plan.queries.shape[1]
    turns = [(w, [*hands.texts[w][k:], *hands.texts[w][:k]]) for w in able for k in range(many)]
    inks, finished = write_on(
        writer,
        [texts for _, texts in turns],
        [styles[w][points] for w, _ in turns],
        bias=BIAS,
        seed=seed,
        batch=BATCH,
    )
    who = np.array([w for w, _ in turns])
    judged = [
        hands.judge([row[k] for row in inks], who, [texts[k] for _, texts in turns])
        for k in range(many)
    ]
    return judged, finished.count(False)


def features_of(lines: Judged) -> dict[str, Any]:
    """Features by name, NaN as None, with the writer of every line."""
    columns: dict[str, Any] = {"writer": lines.writer}
    for j, name in enumerate(STYLE_FEATURES):
        columns[name] = [
            float(f"{v:.4g}") if np.isfinite(v) else None for v in lines.features[:, j]
        ]
    return columns


def measured(
    writer: ht.Writer, hands: Hands, lengths: tuple[int, ...], biases: tuple[float, ...], seed: int
) -> dict[str, Any]:
    """The whole experiment."""
    styles, refused = primed(writer, hands.plan, lengths)
    every = ("mean", *STYLE_FEATURES)
    rows, real, carried, fading = Rows(), Rows(), Rows(), Rows()
    unfinished: dict[str, int] = {}
    values = {"real": features_of(hands.real)}
    hands.summary(hands.real, real.add, features=every)
    for feature in every:
        for group in GROUPS:
            keys = {"measure": "other", "group": group, "feature": feature}
            real.add(hands.distance(hands.ceiling, group, feature), **keys)
    for feature in STYLE_FEATURES:
        carried.add(hands.carried(hands.real, feature), points="real", feature=feature)
    conditions = [(bias, points) for bias in biases for points in (0, *lengths)]
    for bias, points in tqdm(conditions, desc="writing"):
        lines, given_up = written(writer, hands, styles, points, bias, seed)
        unfinished[f"{points} points, bias {bias:g}"] = given_up

        def add(estimate: Any, bias: float = bias, points: int = points, **keys: Any) -> None:
            rows.add(estimate, points=points, bias=bias, **keys)

        hands.summary(lines, add, features=every)
        if bias == BIAS:
            for feature in STYLE_FEATURES:
                carried.add(hands.carried(lines, feature), points=str(points), feature=feature)
            if points in (0, lengths[-1]):
                values["primed" if points else "unprimed"] = features_of(lines)
    judged, given_up = faded(writer, hands, styles, lengths[-1], seed)
    unfinished["on and on"] = given_up
    for k, lines in enumerate(judged):

        def add_line(estimate: Any, line: int = k + 1, **keys: Any) -> None:
            fading.add(estimate, line=line, **keys)

        hands.summary(lines, add_line)
    own = Judged(
        np.repeat(np.arange(len(styles)), [len(r) for r in hands.table.own]),
        np.concatenate(hands.table.own),
        np.zeros(sum(len(r) for r in hands.table.own)),
    )
    return {
        "rows": rows.columns,
        "real": real.columns,
        "carried": carried.columns,
        "fading": fading.columns,
        "values": {**values, "own": features_of(own)},
        "refused": refused,
        "unfinished": unfinished,
    }


def main() -> None:
    """Plan, write, judge, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, nargs="?", default=Path("data/unipen.npz"))
    parser.add_argument("-o", "--out", default="priming", help="name of a result, or a path")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--writers", type=int, default=24, help="most writers of either group")
    parser.add_argument("--texts", type=int, default=5, help="texts a writer")
    parser.add_argument("--reduced", action="store_true", help="a small run, to try it")
    given = parser.parse_args()
    begun = time.monotonic()
    corpus, writer = ht.load_corpus(given.corpus), ht.load_writer(given.weights)
    lengths = (25, 200) if given.reduced else LENGTHS
    biases = (BIAS,) if given.reduced else BIASES
    count, texts = (3, 2) if given.reduced else (given.writers, given.texts)
    lines = plan(
        corpus, inside=count, outside=count, texts=texts, points=lengths[-1], seed=given.seed
    )
    hands = Hands(StyleTable.of(lines, corpus), corpus)
    found = measured(writer, hands, lengths, biases, given.seed)
    places = lines.queries.ravel()
    about = {
        "corpus": str(corpus.about.get("origin", corpus.about.get("name", ""))),
        "writers": {g: int(hands.members(g).sum()) for g in GROUPS},
        "inside": lines.inside,
        "sources": lines.sources,
        "texts": texts,
        "lines_trained_on": sum(corpus.splits[i] == "train" for i in places),
        "lengths": (0, *lengths),
        "biases": biases,
        "bias": BIAS,
        "features": STYLE_FEATURES,
        "unit": hands.table.unit,
        "chance": hands.chance,
        "dropped": lines.dropped,
    }
    path = save_result(
        given.out,
        {**about, **found},
        command=command(__file__, sys.argv[1:]),
        seed=given.seed,
        weights=writer.fingerprint,
        seconds=time.monotonic() - begun,
        digits=4,
    )
    sys.stderr.write(f"{path}, {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
