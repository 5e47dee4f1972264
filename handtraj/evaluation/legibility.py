"""Can it be read?  Written lines and real lines of the same texts before one reader."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.corpus import Corpus
from handtraj.evaluation.bootstrap import Estimate, bootstrap_sums, ratio
from handtraj.evaluation.reader import Reader, aligned_errors, character_errors
from handtraj.evaluation.windows import fates
from handtraj.ink import Ink
from handtraj.style import Style
from handtraj.writing import Writer, Writing

__all__ = [
    "Legibility",
    "choose_lines",
    "prime_from_another_line",
    "write_lines",
]


@dataclass(frozen=True, eq=False)
class Legibility:
    """What the reader made of a set of lines.

    Parameters
    ----------
    read, wanted : tuple of str
        One entry a line.
    writers : tuple of str
        Whose text it is; the groups of the bootstrap.
    fates : dict
        Counts of lines that went wrong while they were written; empty for
        real lines.
    """

    read: tuple[str, ...]
    wanted: tuple[str, ...]
    writers: tuple[str, ...]
    fates: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_ink(
        cls, reader: Reader, inks: Sequence[Ink], wanted: Sequence[str], writers: Sequence[str]
    ) -> Legibility:
        """Read ink that should say `wanted`."""
        return cls(tuple(reader.read(list(inks))), tuple(wanted), tuple(writers))

    @classmethod
    def of_writings(
        cls, reader: Reader, writings: Sequence[Writing], writers: Sequence[str]
    ) -> Legibility:
        """Read written lines; unfinished ones count as they are."""
        read = [reader.read([w.ink])[0] if len(w.ink) > 1 else "" for w in writings]
        wanted = tuple(w.text for w in writings)
        return cls(tuple(read), wanted, tuple(writers), fates(writings))

    def only(self, places: Sequence[int]) -> Legibility:
        """Some of the lines; fates are of all lines, so none are kept."""
        return Legibility(
            tuple(self.read[k] for k in places),
            tuple(self.wanted[k] for k in places),
            tuple(self.writers[k] for k in places),
        )

    def error(self, *, lenient: bool = False) -> Estimate:
        """Character error: edits over characters, interval over writers."""
        return bootstrap_sums(self._sums(lenient), self.writers)

    def times(self, real: Legibility, *, lenient: bool = False) -> Estimate:
        """Error over the error of real lines of the same texts, line by line.

        Raises
        ------
        ValueError
            If the lines are not the same.
        """
        if real.wanted != self.wanted or real.writers != self.writers:
            raise ValueError("a ratio needs the same texts of the same writers, in the same order")
        columns = np.column_stack([self._sums(lenient), real._sums(lenient)])
        return bootstrap_sums(
            columns, self.writers, lambda s: ratio(s[..., :2]) / ratio(s[..., 2:])
        )

    def by_length(self, edges: Sequence[int] = (20, 30, 40)) -> dict[str, Estimate]:
        """Character error of short and long texts; `edges` are numbers of characters."""
        sums, groups = self._sums(False), np.asarray(self.writers)
        lengths = np.array([len(w) for w in self.wanted])
        bounds = [0, *edges, int(lengths.max()) + 1]
        found = {}
        for low, high in pairwise(bounds):
            chosen = (lengths >= low) & (lengths < high)
            if chosen.any():
                name = f"{low} to {high - 1}"
                found[name] = bootstrap_sums(sums[chosen], groups[chosen])
        return found

    def worst(self, count: int = 10, *, least: int = 20) -> list[dict[str, Any]]:
        """The characters most often lost or replaced, and what they were read as."""
        rows = aligned_errors(self.read, self.wanted, least=least)[:count]
        return [
            {
                "character": row.character,
                "count": row.count,
                "error": round(row.rate, 3),
                "lost": row.lost,
                "read_as": dict(list(row.read_as.items())[:3]),
            }
            for row in rows
        ]

    def _sums(self, lenient: bool) -> NDArray[np.float64]:
        edits, lengths = character_errors(self.read, self.wanted, lenient=lenient)
        return np.column_stack([edits, lengths]).astype(np.float64)


def choose_lines(
    corpus: Corpus,
    count: int,
    *,
    split: str = "test",
    shortest: int = 12,
    longest: int = 60,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Lines whose writer and text no training line has, writers in turn.

    Raises
    ------
    ValueError
        If there is no such line.
    """
    known = {corpus.texts[i] for i in corpus.select("train")}
    by_writer: dict[str, list[int]] = defaultdict(list)
    for i in corpus.select(split, kind="line"):
        if shortest <= len(corpus.texts[i]) <= longest and corpus.texts[i] not in known:
            by_writer[corpus.writers[i]].append(int(i))
    if not by_writer:
        raise ValueError(
            f"the corpus has no lines of {shortest} to {longest} characters in split {split!r} "
            "whose text is new"
        )
    rng = np.random.default_rng(seed)
    queues = [list(rng.permutation(by_writer[w])) for w in sorted(by_writer)]
    chosen: list[int] = []
    while len(chosen) < count and any(queues):
        chosen += [int(q.pop()) for q in queues if q]
    return np.array(chosen[:count], dtype=np.int64)


def prime_from_another_line(
    writer: Writer, corpus: Corpus, index: int, *, longest: int = 600, tries: int = 5, seed: int = 0
) -> Style | None:
    """A style from another line of the writer of line `index`; None where there is none.

    Lines that the window cannot follow are passed over.
    """
    mine = corpus.select(kind="line", writer=corpus.writers[index])
    other = [
        int(i)
        for i in mine
        if i != index
        and corpus.texts[i] != corpus.texts[index]
        and 60 <= corpus.lengths[i] <= longest
    ]
    for i in np.random.default_rng([seed, index]).permutation(other)[:tries]:
        line = corpus.line(int(i))
        try:
            return writer.prime(line.ink, line.text, name=f"line{i}", source=line.source)
        except ValueError:
            continue
    return None


def write_lines(
    writer: Writer,
    texts: Sequence[str],
    *,
    styles: Sequence[Style | None] | None = None,
    bias: float,
    seed: int,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> list[Writing]:
    """Write many lines, texts of like length together; in the order asked for."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out: list[Writing | None] = [None] * len(texts)
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        written = writer.write_many(
            [texts[i] for i in part],
            styles=[styles[i] for i in part] if styles is not None else None,
            bias=bias,
            generator=generator,
        )
        for i, one in zip(part, written, strict=True):
            out[i] = one
        if progress:
            progress(len(part))
    return [one for one in out if one is not None]
