"""Does it look like the primed writer?  An identifier that sees ink alone is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.corpus import Corpus
from handtraj.evaluation.bootstrap import bootstrap, bootstrap_sums, ratio
from handtraj.evaluation.features import FEATURES, ink_features
from handtraj.evaluation.identifier import Naming
from handtraj.evaluation.legibility import write_lines
from handtraj.evaluation.naming import NamingExperiment, naming_experiment, real_lines
from handtraj.ink import Ink
from handtraj.layers import window_parameters, window_weights
from handtraj.style import Style
from handtraj.writing import Writer

__all__ = ["prime_prefix", "resemblance"]


@torch.no_grad()
def prime_prefix(writer: Writer, ink: Ink, text: str, points: int) -> Style | None:
    """Prime with the whole words of a line that fit into so many points.

    Where words end is read from the network's own window: at the first lift
    after it came to the blank behind the word.

    Returns
    -------
    Style or None
        None if not even one word fits, or the window does not follow.
    """
    if points >= len(ink):
        return _prime(writer, ink, text)
    network = writer.network
    x = torch.from_numpy(ink.offsets.copy())
    x[:, :2] /= writer.scale
    codes = torch.from_numpy(writer.alphabet.encode(text + " "))
    reading = network(x[:, None].to(writer.device), network.one_hot(codes[None].to(writer.device)))
    alpha, beta, _ = window_parameters(network.window_head(reading.h[0][:, 0]))
    at = window_weights(alpha, beta, reading.kappa[:, 0], len(codes)).argmax(1).cpu().numpy()
    lifted = ink.offsets[:, 2] > 0
    best = None
    for blank in [i for i, c in enumerate(text) if c == " "]:
        there = np.flatnonzero(lifted & (at >= blank))
        if len(there) and there[0] < points:
            best = (int(there[0]) + 1, blank)
    if best is None or best[0] < 2:
        return None
    return _prime(writer, Ink(ink.offsets[: best[0]]), text[: best[1]])


def _prime(writer: Writer, ink: Ink, text: str) -> Style | None:
    try:
        return writer.prime(ink, text)
    except ValueError:
        return None  # the window does not follow this ink


def resemblance(
    writer: Writer,
    corpus: Corpus,
    *,
    inside: int = 40,
    lengths: Sequence[int] = (0, 60, 120, 240, 600),
    queries_each: int = 3,
    longest_text: int = 60,
    bias: float = 0.5,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Name real lines, and lines written after a prime, by the same identifier.

    Candidates are the writers of validation and test, and `inside` training
    writers.  Each is enrolled with four real lines; other real lines are named
    first.  Then the network writes the very texts of those after a further
    real line of the writer, cut to so many points (0: without a prime), and
    the same identifier names them.

    Returns
    -------
    dict
        Under "real" and "primed" (the longest prime): share named rightly
        among all candidates and within the line's own source, each with chance
        and an interval over writers; "ratio", primed over real accuracy; the
        same for writers inside and outside of training; and "by_points".
        Under "carried", by length of the prime and for real lines, how well
        each of :data:`handtraj.evaluation.features.FEATURES` of a line follows
        that of the line it was primed with: correlation over lines.
    """
    rng = np.random.default_rng(seed)
    lines = corpus.select("train", kind="line")
    known = sorted({corpus.writers[i] for i in lines if len(corpus.texts[i]) >= 15})
    known = sorted(rng.permutation(known)[: 3 * inside].tolist())
    strangers = sorted(
        {corpus.writers[i] for i in corpus.select(("validation", "test"), kind="line")}
    )
    experiment = naming_experiment(
        corpus,
        _most_written(corpus, known, inside) + strangers,
        queries_each=queries_each,
        generator=rng,
    )
    table = _Table(experiment, corpus, set(strangers))
    found: dict[str, Any] = {"bias": bias, "writers": len(experiment.enrolment.writers)}
    # Long lines tell more about their writer: both sides name the same texts.
    short = np.array(
        [
            k
            for k, i in enumerate(experiment.enrolment.queries)
            if len(corpus.texts[i]) <= longest_text
        ],
        dtype=np.int64,
    )
    queries = experiment.enrolment.queries[short]
    found["real"] = table.summary(real_lines(corpus, queries), short)
    found["carried"] = {"real": table.carried(real_lines(corpus, queries), short)}
    found["by_points"] = {}
    for points in lengths:
        inks, kept = _written(writer, corpus, experiment, short, points, bias, seed, progress)
        found["by_points"][str(points)] = table.summary(inks, kept)
        found["carried"][str(points)] = table.carried(inks, kept)
    found["primed"] = found["by_points"][str(max(lengths))]
    return found


def _most_written(corpus: Corpus, writers: Sequence[str], count: int) -> list[str]:
    lines = {w: len(corpus.select("train", kind="line", writer=w)) for w in writers}
    return sorted(sorted(writers, key=lambda w: -lines[w])[:count])


def _written(
    writer: Writer,
    corpus: Corpus,
    experiment: NamingExperiment,
    asked: NDArray[np.int64],
    points: int,
    bias: float,
    seed: int,
    progress: Callable[[int], None] | None,
) -> tuple[list[Ink], NDArray[np.int64]]:
    """Lines written with the queries' texts, and which queries they are."""
    enrolment = experiment.enrolment
    styles: dict[str, Style | None] = {}
    for name, index in zip(enrolment.writers, enrolment.primes, strict=True):
        line = corpus.line(int(index))
        styles[name] = prime_prefix(writer, line.ink, line.text, points) if points else None
    able = [
        int(k)
        for k in asked
        if points == 0 or styles[corpus.writers[enrolment.queries[k]]] is not None
    ]
    chosen = [int(enrolment.queries[k]) for k in able]
    written = write_lines(
        writer,
        [corpus.texts[i] for i in chosen],
        styles=[styles[corpus.writers[i]] for i in chosen],
        bias=bias,
        seed=seed,
        progress=progress,
    )
    usable = [k for k, one in enumerate(written) if len(one.ink) >= 20]
    return [written[k].ink for k in usable], np.array([able[k] for k in usable], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Table:
    """Accuracies of one set of lines, beside those of real lines of the same queries."""

    experiment: NamingExperiment
    corpus: Corpus
    strangers: set[str]

    def summary(self, inks: list[Ink], at: NDArray[np.int64]) -> dict[str, Any]:
        queries = self.experiment.enrolment.queries
        writers = [self.corpus.writers[i] for i in queries[at]]
        sources = [self.corpus.sources[i] for i in queries[at]]
        out: dict[str, Any] = {"lines": len(at)}
        for label, within in (("all", None), ("within_source", sources)):
            naming = self.experiment.identifier.accuracy(inks, writers, within=within)
            real = self.experiment.overall if within is None else self.experiment.within
            out[label] = self._row(naming, real, at)
        return out

    def carried(self, inks: list[Ink], at: NDArray[np.int64]) -> dict[str, Any]:
        """Correlation of each feature with that of the writer's prime."""
        enrolment, corpus = self.experiment.enrolment, self.corpus
        primes = {
            name: ink_features(real_lines(corpus, [i])[0], corpus.texts[i])
            for name, i in zip(enrolment.writers, enrolment.primes, strict=True)
        }
        queries = enrolment.queries[at]
        writers = [corpus.writers[i] for i in queries]
        own = np.array(
            [ink_features(k, corpus.texts[i]) for k, i in zip(inks, queries, strict=True)]
        )
        prime = np.array([primes[w] for w in writers])
        return {
            name: bootstrap(
                np.column_stack([own[:, j], prime[:, j]]), writers, _correlation
            ).as_dict()
            for j, name in enumerate(FEATURES)
        }

    def _row(self, naming: Naming, real: Naming, at: NDArray[np.int64]) -> dict[str, Any]:
        """Accuracy, chance, and the ratio to real lines of the same queries."""
        truth = {int(q): bool(r) for q, r in zip(real.lines, real.right, strict=True)}
        pairs = [
            (right, truth[int(at[place])], who)
            for place, right, who in zip(naming.lines, naming.right, naming.writers, strict=True)
            if int(at[place]) in truth
        ]
        row: dict[str, Any] = {
            "accuracy": naming.estimate().as_dict(),
            "chance": round(naming.chance, 4),
            "ratio": bootstrap_sums(
                [[a, b] for a, b, _ in pairs], [w for *_, w in pairs], ratio
            ).as_dict(),
        }
        for label, wanted in (("outside", True), ("inside", False)):
            chosen = [p for p in pairs if (p[2] in self.strangers) == wanted]
            if chosen:
                row[label] = bootstrap_sums(
                    [[a, 1] for a, _, _ in chosen], [w for *_, w in chosen], ratio
                ).as_dict()
        return row


def _correlation(pairs: NDArray[np.float64]) -> float:
    """Pearson's r of two columns; NaN where one of them does not vary."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.asarray(np.corrcoef(pairs.T))[0, 1])
