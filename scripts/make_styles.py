"""Prime the styles that ship with the package; states only, no pen data.

    python scripts/make_styles.py CORPUS [--weights FILE] [--seen 24] [--unseen 12] [--keep]

Candidates are lines of 250 to 500 points, one a writer.  Each is primed and
writes four sentences; hands that failed to finish are dropped.  Of the others
the half that the reader reads best stays, and of these the hands that differ
most in ink features are kept (farthest point first).
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np
import torch

import handtraj as ht
from handtraj.evaluation import describe, ink_features
from handtraj.evaluation.reader import character_errors, load_reader

SENTENCES = (
    "the quick brown fox jumps",
    "over my lazy old dog",
    "waves come and go by night",
    "with a pen in the hand",
)


def candidates(corpus: ht.Corpus, split: str, limit: int, rng: np.random.Generator) -> list[int]:
    """One line of every writer that has one of a fitting length."""
    lengths = corpus.lengths
    by_writer: dict[str, list[int]] = {}
    for i in corpus.select(split, kind="line"):
        if 250 <= lengths[i] <= 500 and len(corpus.texts[i]) >= 12:
            by_writer.setdefault(corpus.writers[i], []).append(int(i))
    chosen = [int(rng.choice(mine)) for mine in by_writer.values()]
    return [int(i) for i in rng.permutation(chosen)[:limit]]


def tried(
    writer: ht.Writer, corpus: ht.Corpus, lines: list[int], seed: int
) -> list[tuple[ht.Style, np.ndarray, int, float]]:
    """Styles that write all sentences to the end, features of what they wrote, errors."""
    primed: list[tuple[ht.Style, int]] = []
    for index in lines:
        line = corpus.line(index)
        with contextlib.suppress(ValueError):
            primed.append((writer.prime(line.ink, line.text), index))
    writings = writer.write_many(
        [text for _ in primed for text in SENTENCES],
        styles=[style for style, _ in primed for _ in SENTENCES],
        bias=0.7,
        generator=torch.Generator().manual_seed(seed),
    )
    found, reader, many = [], load_reader(), len(SENTENCES)
    for at, (style, index) in enumerate(primed):
        mine = writings[many * at : many * (at + 1)]
        if all(w.finished for w in mine):
            features = np.mean([ink_features(w.ink, w.text) for w in mine], axis=0)
            read = reader.read([w.ink for w in mine])
            edits, lengths = character_errors(read, SENTENCES, lenient=True)
            found.append((style, features, index, float(edits.sum() / lengths.sum())))
    return found


def spread(features: np.ndarray, count: int) -> list[int]:
    """Indices of hands far from each other: start at the middle, add the farthest."""
    z = (features - np.median(features, 0)) / (features.std(0) + 1e-9)
    chosen = [int(np.square(z).sum(1).argmin())]
    while len(chosen) < min(count, len(z)):
        away = np.square(z[:, None] - z[chosen]).sum(-1).min(1)
        chosen.append(int(away.argmax()))
    return chosen


def same_lines(corpus: ht.Corpus) -> dict[str, int]:
    """The line that every shipped style was primed with."""
    found = {}
    for name, path in ht.shipped_styles().items():
        style = ht.load_style(path)
        source, end = style.source.split(",")[0].removeprefix("UNIPEN "), style.text.rstrip()
        fitting = [
            int(i)
            for i in np.flatnonzero(corpus.lengths == style.points)
            if corpus.sources[i] == source and corpus.texts[i].endswith(end)
        ]
        if len(fitting) != 1:
            raise SystemExit(f"{len(fitting)} lines of this corpus could be the prime of {name}")
        found[name] = fitting[0]
    return found


def keep(writer: ht.Writer, corpus: ht.Corpus, folder: Path, seed: int) -> None:
    """Prime the same hands with other weights."""
    lines = same_lines(corpus)
    found = {
        at: (style, error)
        for style, _, at, error in tried(writer, corpus, list(lines.values()), seed)
    }
    lost = [name for name, at in lines.items() if at not in found]
    if lost:
        raise SystemExit(
            f"{', '.join(lost)} did not finish all sentences; choose anew without --keep"
        )
    for name, at in lines.items():
        style, error = found[at]
        old = ht.load_style(folder / f"{name}.safetensors")
        named = ht.Style(name, style.state, style.text, style.points, old.source, style.weights)
        named.shortened().save(folder / f"{name}.safetensors")
        print(f"{name}  {corpus.writers[at]}  {old.source}  read with error {error:.2f}")


def main() -> None:
    """Prime, choose, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seen", type=int, default=24)
    parser.add_argument("--unseen", type=int, default=12)
    parser.add_argument("--limit", type=int, default=120, help="candidates a split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="the same hands, primed anew")
    arguments = parser.parse_args()
    corpus, writer = ht.load_corpus(arguments.corpus), ht.load_writer(arguments.weights)
    folder = Path(ht.__file__).parent / "assets" / "styles"
    if arguments.keep:
        keep(writer, corpus, folder, arguments.seed)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    rng = np.random.default_rng(arguments.seed)
    number = 0
    for split, count, seen in (
        ("train", arguments.seen, "a training writer"),
        ("test", arguments.unseen, "a writer never trained on"),
    ):
        lines = candidates(corpus, split, arguments.limit, rng)
        found = tried(writer, corpus, lines, arguments.seed)
        print(f"{split}: {len(found)} of {len(lines)} candidates finished all sentences")
        found = sorted(found, key=lambda one: one[3])[: max(2 * count, len(found) // 2)]
        for at in spread(np.array([f for _, f, _, _ in found]), count):
            style, features, index, error = found[at]
            number += 1
            source = f"UNIPEN {corpus.sources[index]}, {seen}; {describe(features)}"
            named = ht.Style(
                f"hand{number:02d}", style.state, style.text, style.points, source, style.weights
            )
            named.shortened().save(folder / f"{named.name}.safetensors")
            print(f"{named.name}  {corpus.writers[index]}  {source}  read with error {error:.2f}")


if __name__ == "__main__":
    main()
