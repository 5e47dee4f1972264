"""Lines of a corpus shared out to name writers: to enrol, to prime with, to ask about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handtraj.batches import item
from handtraj.corpus import Corpus
from handtraj.evaluation.identifier import Identifier, IdentifierConfig, Naming
from handtraj.ink import Ink

__all__ = ["Enrolment", "NamingExperiment", "enrol", "naming_experiment", "real_lines"]


@dataclass(frozen=True, eq=False)
class Enrolment:
    """Lines of a corpus, by index, that serve to enrol, to prime and to ask.

    No text of the queries occurs among the other lines, whoever wrote it.

    Parameters
    ----------
    writers : tuple of str
        W writers with enough lines.
    enrolled : array, shape (W, lines_each)
    primes : array, shape (W,)
        One more line a writer, for a network to be primed with.
    queries : array, shape (Q,)
    crowd : array, shape (C, lines_each)
        Lines of C writers who are candidates only.
    """

    writers: tuple[str, ...]
    enrolled: NDArray[np.int64]
    primes: NDArray[np.int64]
    queries: NDArray[np.int64]
    crowd: NDArray[np.int64]


def enrol(
    corpus: Corpus,
    writers: Sequence[str],
    *,
    crowd: Sequence[str] = (),
    lines_each: int = 4,
    queries_each: int = 8,
    shortest: int = 15,
    generator: np.random.Generator | None = None,
) -> Enrolment:
    """Share lines out to both sides; writers without enough lines are left out.

    Every writer keeps to the source that has most of their lines, so that a
    line's source names the tablet of its writer's enrolment too.

    Parameters
    ----------
    corpus : Corpus
    writers : sequence of str
        Whom to enrol and to ask about.
    crowd : sequence of str
        Whom to enrol without asking: more candidates make naming harder, and
        held-out writers alone are too few within a source.
    lines_each : int
        Lines, of different texts, to enrol each writer with.
    queries_each : int
        Most lines to ask about, a writer; one at least must be found.
    shortest : int
        Least number of characters; only items of kind "line" are used.
    generator : numpy Generator, optional
        Default: one seeded with 0.

    Raises
    ------
    ValueError
        If a number is below 1, fewer than two writers have enough lines, or
        somebody is in the crowd as well.
    """
    _apart(writers, crowd, "the crowd")
    if min(lines_each, queries_each) < 1:
        raise ValueError(
            f"lines_each and queries_each must be >= 1, got {lines_each} and {queries_each}"
        )
    rng = generator or np.random.default_rng(0)
    side: dict[str, str] = {}
    rows: list[tuple[str, list[int], list[int]]] = []
    mine = _lines_of(corpus, writers, shortest)
    # Those with few lines choose first.
    for writer in sorted(mine, key=lambda w: (len(mine[w]), w)):
        lines = [int(i) for i in rng.permutation(mine[writer])]
        taken = _enrollable(corpus, lines, side)[: lines_each + 1]
        texts = {corpus.texts[i] for i in taken}
        asked = [i for i in lines if side.get(corpus.texts[i]) != "enrol"]
        asked = [i for i in asked if corpus.texts[i] not in texts][:queries_each]
        if len(taken) > lines_each and asked:
            side |= dict.fromkeys(texts, "enrol") | {corpus.texts[i]: "ask" for i in asked}
            rows.append((writer, [int(i) for i in rng.permutation(taken)], asked))
    if len(rows) < 2:
        raise ValueError(
            f"{len(rows)} of {len(mine)} writers have {lines_each + 2} lines of {shortest} "
            "characters with texts of their own; enrol fewer lines, or name more writers"
        )
    rows.sort()
    around = []
    for lines in _lines_of(corpus, crowd, shortest).values():
        taken = _enrollable(corpus, [int(i) for i in rng.permutation(lines)], side)[:lines_each]
        around += [taken] if len(taken) == lines_each else []
    return Enrolment(
        tuple(w for w, _, _ in rows),
        np.array([taken[1:] for _, taken, _ in rows], dtype=np.int64),
        np.array([taken[0] for _, taken, _ in rows], dtype=np.int64),
        np.concatenate([asked for _, _, asked in rows]).astype(np.int64),
        np.array(around, dtype=np.int64).reshape(len(around), lines_each),
    )


def _apart(writers: Sequence[str], others: Sequence[str], what: str) -> None:
    if isinstance(writers, str) or isinstance(others, str):
        raise ValueError("give sequences of writers, not a single string")
    both = sorted(set(writers) & set(others))
    if both:
        raise ValueError(f"{len(both)} writers are asked about and in {what}, such as {both[0]}")


def _enrollable(corpus: Corpus, lines: list[int], side: dict[str, str]) -> list[int]:
    """One line a text that is not asked about; texts already enrolled go first.

    That leaves more texts to ask about.
    """
    by_text = {corpus.texts[i]: i for i in lines if side.get(corpus.texts[i]) != "ask"}
    return sorted(by_text.values(), key=lambda i: corpus.texts[i] not in side)


def _lines_of(corpus: Corpus, writers: Sequence[str], shortest: int) -> dict[str, list[int]]:
    """Lines of each writer from the source that has most of them."""
    found: dict[str, dict[str, list[int]]] = {w: {} for w in writers}
    for i, (writer, kind, text) in enumerate(
        zip(corpus.writers, corpus.kinds, corpus.texts, strict=True)
    ):
        if writer in found and kind == "line" and len(text) >= shortest:
            found[writer].setdefault(corpus.sources[i], []).append(i)
    return {w: max(by.values(), key=len) if by else [] for w, by in found.items()}


def real_lines(corpus: Corpus, indices: Sequence[int] | NDArray[np.int64]) -> list[Ink]:
    """Lines as the network sees them: spread over the device units they were rounded to.

    What a network writes has no such units; without this a candidate's tablet
    could be known by its rounding.  The noise of a line depends on its index.
    """
    return [
        Ink(item(corpus, int(i), 10**6, np.random.default_rng([0, int(i)])).offsets)
        for i in indices
    ]


@dataclass(frozen=True, eq=False)
class NamingExperiment:
    """An identifier with its accuracy on real lines, to hold written ones against.

    Parameters
    ----------
    enrolment : Enrolment
    identifier : Identifier
    overall : Naming
        Of the real queries, among all writers and the crowd.
    within : Naming
        Of the real queries, among writers of the same source.
    """

    enrolment: Enrolment
    identifier: Identifier
    overall: Naming
    within: Naming


def naming_experiment(
    corpus: Corpus,
    writers: Sequence[str],
    *,
    crowd: Sequence[str] = (),
    background: Sequence[str] = (),
    lines_each: int = 4,
    queries_each: int = 8,
    config: IdentifierConfig | None = None,
    generator: np.random.Generator | None = None,
) -> NamingExperiment:
    """Enrol writers, and name their other real lines.

    Then have a network write the texts of `enrolment.queries` after
    `enrolment.primes`, and ask `identifier.accuracy` about these lines with the
    primed writers: the share of the real accuracy that is left is how well
    priming carries a hand.

    Parameters
    ----------
    corpus, writers, crowd, lines_each, queries_each, generator
        As for :func:`enrol`.
    background : sequence of str
        Other writers, of whom up to eight lines each tell how lines scatter;
        they may be in the crowd.
    config : IdentifierConfig, optional

    Raises
    ------
    ValueError
        As for :func:`enrol`, and if background and writers overlap.
    """
    _apart(writers, background, "the background")
    chosen = enrol(
        corpus,
        writers,
        crowd=crowd,
        lines_each=lines_each,
        queries_each=queries_each,
        generator=generator,
    )
    others = [i for m in _lines_of(corpus, background, 15).values() for i in m[:: len(m) // 8 + 1]]
    lines = np.concatenate([chosen.enrolled.ravel(), chosen.crowd.ravel()])
    identifier = Identifier.fit(
        real_lines(corpus, lines),
        [corpus.writers[i] for i in lines],
        [corpus.sources[i] for i in lines],
        background=(real_lines(corpus, others), [corpus.writers[i] for i in others]),
        config=config,
    )
    asked = real_lines(corpus, chosen.queries)
    who = [corpus.writers[i] for i in chosen.queries]
    where = [corpus.sources[i] for i in chosen.queries]
    return NamingExperiment(
        chosen,
        identifier,
        identifier.accuracy(asked, who),
        identifier.accuracy(asked, who, within=where),
    )
