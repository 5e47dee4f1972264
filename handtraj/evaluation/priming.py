"""Does priming keep the style?  Lines written after primes of many lengths, against real ones.

Shares out a corpus' lines (:func:`plan`), cuts primes to lengths in points
(:func:`cut_prime`), and compares hands by their ink alone: by the earth mover's
distance of each feature of style, and by naming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.batches import baseline
from handtraj.corpus import Corpus
from handtraj.evaluation.features import STYLE_FEATURES, style_features
from handtraj.evaluation.naming import NamingExperiment, naming_experiment, real_lines
from handtraj.ink import Ink
from handtraj.layers import window_parameters, window_weights
from handtraj.style import Style
from handtraj.writing import MAX_TEXT, Writer

__all__ = [
    "Plan",
    "StyleTable",
    "cut_prime",
    "distances",
    "feature_rows",
    "join_lines",
    "plan",
]

#: Gap between words where lines are joined, in x-heights; about what people leave.
GAP = 1.6
#: Fewest points of a line that is looked at.
LEAST = 20


def join_lines(inks: Sequence[Ink], texts: Sequence[str], *, gap: float = GAP) -> tuple[Ink, str]:
    """Several pieces by one writer as one line, on one baseline.

    Parameters
    ----------
    inks : sequence of Ink
        Level, in x-heights.
    texts : sequence of str
    gap : float
        From the right edge of a piece to the left edge of the next, in x-heights.

    Raises
    ------
    ValueError
        If there is nothing to join, or texts and inks differ in number.
    """
    if not inks or len(inks) != len(texts):
        raise ValueError(f"joining needs a text an ink, got {len(inks)} inks, {len(texts)} texts")
    parts: list[NDArray[np.float32]] = []
    right = foot = 0.0
    for ink in inks:
        offsets = ink.offsets.copy()
        # The pen is up between pieces, and a piece begins where it is put.
        offsets[-1, 2], offsets[0, :2] = 1, 0
        x, y = np.cumsum(offsets[:, 0]), np.cumsum(offsets[:, 1])
        base = baseline(offsets)
        if parts:
            offsets[0, :2] = right + gap - x.min(), foot - base
        right, foot = float(x.max() - x[-1]), float(base - y[-1])
        parts.append(offsets)
    return Ink(np.concatenate(parts)), " ".join(texts)


@torch.no_grad()
def cut_prime(
    writer: Writer, ink: Ink, text: str, lengths: Sequence[int]
) -> dict[int, tuple[Ink, str]]:
    """The first so many points of a prime, and what they say.

    The whole prime is read once; a piece says all characters that the network's
    window has come to at its last point.

    Parameters
    ----------
    writer : Writer
    ink, text
        The whole prime.
    lengths : sequence of int
        In points, each at least 2.

    Returns
    -------
    dict
        Length to (ink, text); lengths beyond the ink, or before the window
        stands on a first character, are left out.

    Raises
    ------
    ValueError
        If a length is below 2.
    """
    if min(lengths, default=2) < 2:
        raise ValueError(f"a prime needs at least 2 points, got {min(lengths)}")
    network = writer.network
    x = torch.from_numpy(ink.offsets.copy())
    x[:, :2] /= writer.scale
    codes = torch.from_numpy(writer.alphabet.encode(text + " "))
    reading = network(x[:, None].to(writer.device), network.one_hot(codes[None].to(writer.device)))
    alpha, beta, _ = window_parameters(network.window_head(reading.h[0][:, 0]))
    place = window_weights(alpha, beta, reading.kappa[:, 0], len(codes)).argmax(1).cpu().numpy()
    # Late dots and bars make the window look back: it has been further before.
    reached = np.maximum.accumulate(place)
    found = {}
    for points in lengths:
        if points <= len(ink) and (says := text[: reached[points - 1] + 1].strip()):
            found[points] = (Ink(ink.offsets[:points]), says)
    return found


@dataclass(frozen=True, eq=False)
class Plan:
    """Who takes part, with which lines.

    Parameters
    ----------
    writers : tuple of str
        W writers.
    inside : array of bool, shape (W,)
        Whether the network was trained on the writer.
    sources : tuple of str
    queries : array, shape (W, texts)
        Real lines, by index, whose texts the network is to write.
    reference : list of array
        The writer's own other lines, W arrays of indices.
    primes : tuple of (Ink, str)
        Further lines of each writer, joined.
    experiment : NamingExperiment
        The identifier, fitted to four lines of each writer.
    dropped : dict
        How many writers were left out, and why.
    """

    writers: tuple[str, ...]
    inside: NDArray[np.bool_]
    sources: tuple[str, ...]
    queries: NDArray[np.int64]
    reference: list[NDArray[np.int64]]
    primes: tuple[tuple[Ink, str], ...]
    experiment: NamingExperiment
    dropped: dict[str, int]


def plan(
    corpus: Corpus,
    *,
    inside: int = 24,
    outside: int = 24,
    texts: int = 5,
    points: int = 800,
    longest: int = 45,
    references: int = 8,
    seed: int = 0,
) -> Plan:
    """Share lines out: to prime, to compare with, to ask about.

    Writers come from training, those with most lines first, and from
    validation and test.  One takes part who has four lines to enrol, `texts`
    others of 15 to `longest` characters with texts nobody was enrolled or
    primed with, further lines or words of `points` points in all, and a fellow
    of the same source.  No line serves twice, but those to enrol are also the first
    of the reference.

    Parameters
    ----------
    corpus : Corpus
    inside, outside : int
        Most writers of either group.
    texts, points, longest : int
    references : int
        Most lines to compare with, a writer.
    seed : int

    Raises
    ------
    ValueError
        If fewer than two writers can take part.
    """
    rng = np.random.default_rng(seed)
    table: dict[str, list[int]] = {}
    for i in corpus.select(kind="line"):
        if len(corpus.texts[i]) >= 15:
            table.setdefault(corpus.writers[i], []).append(int(i))
    trained = {corpus.writers[i] for i in corpus.select("train")}
    known = sorted((w for w in table if w in trained), key=lambda w: (-len(table[w]), w))
    known = _in_turn(corpus, table, known)[: 2 * inside]
    strange = sorted(w for w in table if w not in trained)
    experiment = naming_experiment(
        corpus, sorted(known) + strange, queries_each=3 * texts, generator=rng
    )
    rows, dropped = _complete(corpus, experiment, table, texts, points, longest, references)
    kept: list[str] = []
    for group, most in ((known, inside), (strange, outside)):
        kept += [w for w in group if w in rows][:most]
    kept, alone = _with_fellows(kept, {w: corpus.sources[rows[w][0][0]] for w in kept})
    if len(kept) < 2:
        raise ValueError(
            f"{len(kept)} writers have the lines this needs ({dropped}); ask for fewer texts, "
            "shorter primes, or bring a larger corpus"
        )
    return Plan(
        tuple(kept),
        np.array([w in trained for w in kept]),
        tuple(corpus.sources[rows[w][0][0]] for w in kept),
        np.array([rows[w][0] for w in kept]),
        [np.array(rows[w][1]) for w in kept],
        tuple(
            join_lines(real_lines(corpus, rows[w][2]), [corpus.texts[i] for i in rows[w][2]])
            for w in kept
        ),
        experiment,
        {**dropped, "no fellow of the same source": alone},
    )


def _in_turn(corpus: Corpus, table: dict[str, list[int]], writers: list[str]) -> list[str]:
    """Writers of every source in turn, so that none fills the list."""
    queues: dict[str, list[str]] = {}
    for w in writers:
        queues.setdefault(corpus.sources[table[w][0]], []).append(w)
    ranks = {w: k for queue in queues.values() for k, w in enumerate(queue)}
    return sorted(writers, key=lambda w: (ranks[w], -len(table[w]), w))


_Row = tuple[list[int], list[int], list[int]]


def _complete(
    corpus: Corpus,
    experiment: NamingExperiment,
    table: dict[str, list[int]],
    texts: int,
    points: int,
    longest: int,
    references: int,
) -> tuple[dict[str, _Row], dict[str, int]]:
    """Queries, reference and prime lines of every writer that has them all."""
    enrolment = experiment.enrolment
    queries = {w: _fitting(corpus, enrolment.queries, w, texts, longest) for w in enrolment.writers}
    query_texts = {corpus.texts[i] for mine in queries.values() for i in mine}
    words: dict[str, list[int]] = {}
    for i in corpus.select(kind="word"):
        words.setdefault(corpus.writers[i], []).append(int(i))
    rows: dict[str, _Row] = {}
    dropped = {"too few texts": 0, "too little to prime with": 0}
    for k, w in enumerate(enrolment.writers):
        if len(queries[w]) < texts:
            dropped["too few texts"] += 1
            continue
        source = corpus.sources[queries[w][0]]
        own = [int(i) for i in enrolment.enrolled[k]]
        spare = [int(enrolment.primes[k])]
        used = {*own, *spare, *queries[w]}
        # Words come last: they help out where lines are few.
        spare += [
            i
            for i in (*table[w], *words.get(w, []))
            if i not in used and corpus.sources[i] == source and corpus.texts[i] not in query_texts
        ]
        many = np.cumsum(corpus.lengths[spare])
        if many[-1] < points:
            dropped["too little to prime with"] += 1
            continue
        needed = int(np.searchsorted(many, points)) + 1
        others = own + [i for i in spare[needed:] if corpus.kinds[i] == "line"]
        rows[w] = (queries[w], others[:references], spare[:needed])
    return rows, dropped


def _fitting(
    corpus: Corpus, queries: NDArray[np.int64], writer: str, texts: int, longest: int
) -> list[int]:
    """Some of a writer's queries, short enough to be written as one text."""
    found: list[int] = []
    room = MAX_TEXT - texts
    for i in queries.tolist():
        if corpus.writers[i] != writer or " " not in corpus.texts[i] or len(found) == texts:
            continue
        # The next ones must fit as well, if they are short.
        if len(corpus.texts[i]) <= min(longest, room - 15 * (texts - len(found) - 1)):
            found.append(i)
            room -= len(corpus.texts[i])
    return found


def _with_fellows(writers: list[str], source: dict[str, str]) -> tuple[list[str], int]:
    count: dict[str, int] = {}
    for w in writers:
        count[source[w]] = count.get(source[w], 0) + 1
    kept = [w for w in writers if count[source[w]] > 1]
    return kept, len(writers) - len(kept)


def feature_rows(inks: Sequence[Ink], texts: Sequence[str]) -> NDArray[np.float64]:
    """Features of style of many lines, shape (lines, features); NaN for lines too short."""
    rows = [
        style_features(ink, text) if len(ink) >= LEAST else np.full(len(STYLE_FEATURES), np.nan)
        for ink, text in zip(inks, texts, strict=True)
    ]
    return np.array(rows).reshape(len(rows), len(STYLE_FEATURES))


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Earth mover's distance of each column of two tables, NaN where a side is empty.

    Parameters
    ----------
    a, b : array, shapes (m, F) and (n, F)
        NaN is left out.
    """
    from scipy.stats import wasserstein_distance  # type: ignore[import-untyped]

    found = np.full(a.shape[1], np.nan)
    for j in range(len(found)):
        one, two = (t[np.isfinite(t[:, j]), j] for t in (a, b))
        if len(one) and len(two):
            found[j] = wasserstein_distance(one, two)
    return found


@dataclass(frozen=True, eq=False)
class StyleTable:
    """Features of the real lines of a plan, and what they make of other lines.

    Parameters
    ----------
    plan : Plan
    asked : array, shape (W, texts, F)
        Features of the real lines whose texts the network writes.
    own : list of array (n, F)
        Of each writer's own other lines.
    unit : array, shape (F,)
        Standard deviation of the writers' means: the unit of distances.
    """

    plan: Plan
    asked: NDArray[np.float64]
    own: list[NDArray[np.float64]]
    unit: NDArray[np.float64]

    @classmethod
    def of(cls, plan: Plan, corpus: Corpus) -> StyleTable:
        """Measure the real lines of a plan."""
        made: Callable[[NDArray[np.int64]], NDArray[np.float64]] = lambda lines: feature_rows(  # noqa: E731
            real_lines(corpus, lines), [corpus.texts[i] for i in lines]
        )
        own = [made(lines) for lines in plan.reference]
        asked = np.array([made(lines) for lines in plan.queries])
        means = np.array([np.nanmean(rows, axis=0) for rows in own])
        return cls(plan, asked, own, means.std(axis=0, ddof=1))

    def to_own(self, rows: NDArray[np.float64], writer: int) -> NDArray[np.float64]:
        """Distance of lines, shape (n, F), from the writer's own, in units (F,)."""
        return distances(rows, self.own[writer]) / self.unit

    @property
    def floor(self) -> NDArray[np.float64]:
        """Distance of each writer's asked lines from their own others, shape (W, F)."""
        return np.array([self.to_own(rows, w) for w, rows in enumerate(self.asked)])

    @property
    def ceiling(self) -> NDArray[np.float64]:
        """Mean distance of other writers' asked lines, same source, shape (W, F)."""
        where = np.array(self.plan.sources)
        rows = []
        for w in range(len(where)):
            others = [v for v in np.flatnonzero(where == where[w]) if v != w]
            rows.append(np.nanmean([self.to_own(self.asked[v], w) for v in others], axis=0))
        return np.array(rows)


def primed_styles(
    writer: Writer, ink: Ink, text: str, lengths: Sequence[int]
) -> tuple[dict[int, Style], dict[int, str]]:
    """Styles by the length of the prime, and by length why others were refused."""
    styles: dict[int, Style] = {}
    refused: dict[int, str] = {}
    for points, (piece, says) in cut_prime(writer, ink, text, lengths).items():
        try:
            styles[points] = writer.prime(piece, says, name=f"prime{points}")
        except ValueError as error:
            refused[points] = str(error)
    for points in lengths:
        if points not in styles:
            refused.setdefault(points, "the ink is shorter, or the window stood before the text")
    return styles, refused
