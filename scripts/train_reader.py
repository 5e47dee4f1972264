"""Train the recogniser that says how well written ink can be read.

    python scripts/train_reader.py CORPUS -o OUT [--minutes 45] [--seed 0] [--resume]

Learns from real ink of the corpus's "train" writers, picks the best state on
the "validation" writers, and measures it once on the "test" writers and on
the held-out texts.  OUT is a safetensors file; the state of the run lies
beside it as OUT.state until the run has ended.

What is drawn follows from the seed and the number of the round.  How fast the
learning rate falls follows from the clock, so that the run ends in time: two
runs with one seed differ as the machine's speed does, and `--resume`, which
goes back to the beginning of the interrupted round, is not exact.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import platform
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import ctc_loss

from handtraj.alphabet import Alphabet
from handtraj.batches import baseline
from handtraj.checkpoint import file_hash, read_tensors, write_tensors
from handtraj.corpus import Corpus, load_corpus
from handtraj.evaluation.bootstrap import bootstrap_sums, ratio
from handtraj.evaluation.reader import (
    Reader,
    ReaderConfig,
    ReaderNetwork,
    aligned_errors,
    character_errors,
    collate,
    load_reader,
    reader_features,
    save_reader,
)
from handtraj.ink import Ink

LOG = logging.getLogger("train_reader")

#: What the state of a run holds beside weights and the optimiser's moments.
KEPT = ("seconds", "cpu_seconds", "number", "points", "updates", "curve", "chosen", "resumed")


@dataclass(frozen=True)
class Training:
    """Settings of a run; shares are of the items drawn."""

    lines: float = 0.4
    composed: float = 0.35
    longest: int = 5000  # points a line may have after resampling
    batch: int = 4_500  # padded points a batch
    pool: int = 30  # batches a round
    rate: float = 3e-3
    decay: float = 0.01
    clip: float = 1.0
    warm: float = 0.03  # shares of the time: rising rate, short words, words
    short: float = 0.06
    words: float = 0.15
    check: float = 0.07  # share of the time between validations


def changed(offsets: NDArray[np.float32], rng: np.random.Generator) -> Ink:
    """The ink as another hand or tablet might have left it.

    Lost points, trembling, an uneven width, and a linear map: size, width,
    slant, rotation.
    """
    up = offsets[:, 2] > 0
    ends = up | np.concatenate([[True], up[:-1]])
    ends[-1] = True
    keep = ends | (rng.random(len(offsets)) >= rng.uniform(0, 0.2))
    points = np.cumsum(offsets[:, :2], axis=0, dtype=np.float64)[keep]
    up = up[keep]
    points += rng.normal(0, 1, points.shape) * rng.uniform(0, 0.025)
    # The width changes along the line, not along time: a dot must find its i again.
    grid = np.arange(points[:, 0].min() - 8, points[:, 0].max() + 16, 8)
    density = np.exp(rng.normal(0, rng.uniform(0, 0.15), len(grid)))
    points[:, 0] = np.interp(points[:, 0], grid, 8 * np.cumsum(density))
    size, width = np.exp(rng.normal(0, [0.1, 0.1]))
    slant, turn = rng.normal(0, 0.15), rng.normal(0, 0.02)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ [[size * width, size * slant], [0, size]]
    move = np.diff(points, axis=0, prepend=points[:1])
    return Ink(np.column_stack([move @ matrix.T, up]))


class Draw:
    """Training items: lines, words, and words of one hand put on a line."""

    def __init__(self, corpus: Corpus, config: ReaderConfig, settings: Training, seed: int) -> None:
        self.corpus, self.config, self.settings, self.seed = corpus, config, settings, seed
        self.members: dict[str, list[NDArray[np.int64]]] = {}
        self.shares: dict[str, NDArray[np.float64]] = {}
        short = [i for i in corpus.select("train", kind="word") if len(corpus.texts[i]) <= 5]
        for kind, indices in (
            ("line", corpus.select("train", kind="line")),
            ("word", corpus.select("train", kind="word")),
            ("short", short),
        ):
            hands: dict[str, list[int]] = defaultdict(list)
            for i in indices:
                hands[corpus.writers[i]].append(int(i))
            self.members[kind] = [np.array(hands[w]) for w in sorted(hands)]
            # The square root lets the many small hands be heard beside the few large.
            weights = np.array(
                [sum(len(corpus.texts[i]) for i in m) ** 0.5 for m in self.members[kind]]
            )
            self.shares[kind] = weights / weights.sum()

    def round(self, number: int, progress: float) -> list[list[tuple[NDArray[np.float32], str]]]:
        """Batches of (features, text), the longest first in each."""
        rng = np.random.default_rng([self.seed, number])
        settings = self.settings
        items: list[tuple[NDArray[np.float32], str]] = []
        total = 0
        while total < settings.batch * settings.pool:
            offsets, text = self._one(rng, progress)
            features = reader_features(changed(offsets, rng), self.config)
            if len(features) <= settings.longest:
                items.append((features, text))
                total += len(features)
        items.sort(key=lambda one: -len(one[0]))
        batches: list[list[tuple[NDArray[np.float32], str]]] = []
        for one in items:
            if batches and (len(batches[-1]) + 1) * len(batches[-1][0][0]) <= settings.batch:
                batches[-1].append(one)
            else:
                batches.append([one])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _one(self, rng: np.random.Generator, progress: float) -> tuple[NDArray[np.float32], str]:
        settings = self.settings
        u = rng.random()
        if progress < settings.short:
            kind = "short"
        elif progress < settings.words or u > settings.lines + settings.composed:
            kind = "word"
        else:
            kind = "line" if u < settings.lines else "composed"
        pool = "word" if kind == "composed" else kind
        mine = self.members[pool][rng.choice(len(self.members[pool]), p=self.shares[pool])]
        if kind == "composed":
            return self._compose(rng.choice(mine, int(rng.integers(2, 6))), rng)
        at = int(rng.choice(mine))
        return self.corpus.offsets(at), self.corpus.texts[at]

    def _compose(
        self, chosen: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], str]:
        """Words side by side on one baseline, a blank's width apart."""
        gap = rng.uniform(0.9, 2.2)
        parts: list[NDArray[np.float32]] = []
        pen = np.zeros(2)
        edge = 0.0
        for at in chosen:
            offsets = self.corpus.offsets(int(at)).copy()
            offsets[-1, 2] = 1
            path = np.cumsum(offsets[:, :2], axis=0, dtype=np.float64)
            left = edge + gap * rng.uniform(0.75, 1.3) - path[:, 0].min()
            begin = np.array([left, rng.normal(0, 0.08) - baseline(offsets)])
            if parts:
                offsets[0, :2] += begin - pen
            else:
                begin[0] = 0.0
            pen = begin + path[-1]
            edge = begin[0] + path[:, 0].max()
            parts.append(offsets)
        return np.concatenate(parts), " ".join(self.corpus.texts[int(i)] for i in chosen)


def inks(corpus: Corpus, indices: NDArray[np.int64]) -> tuple[list[Ink], list[str]]:
    """Ink and texts of some lines."""
    return [Ink(corpus.offsets(int(i))) for i in indices], [corpus.texts[int(i)] for i in indices]


def measure(reader: Reader, corpus: Corpus, indices: NDArray[np.int64]) -> dict:
    """Character errors, exact and lenient, with an interval over writers, and by source."""
    lines, wanted = inks(corpus, indices)
    written = reader.read(lines)
    hands = np.array([corpus.writers[i] for i in indices])
    sources = np.array([corpus.sources[i] for i in indices])
    found: dict = {"lines": len(indices), "writers": len(set(hands))}
    for name, lenient in (("exact", False), ("lenient", True)):
        table = np.column_stack(character_errors(written, wanted, lenient=lenient))
        whole = bootstrap_sums(table, hands)
        by_hand = np.array([table[hands == w].sum(axis=0) for w in sorted(set(hands))])
        found[name] = {
            "error": round(whole.value, 4),
            "interval_over_writers": [round(whole.low, 4), round(whole.high, 4)],
            "characters": int(table[:, 1].sum()),
            "median_over_writers": round(float(np.median(ratio(by_hand))), 4),
            "by_source": {
                str(s): {
                    "error": round(float(ratio(table[sources == s].sum(axis=0))), 4),
                    "lines": int((sources == s).sum()),
                    "writers": len(set(hands[sources == s])),
                }
                for s in np.unique(sources)
            },
        }
    found["worst"] = [
        [r.character, r.count, round(r.rate, 3), r.lost, dict(list(r.read_as.items())[:3])]
        for r in aligned_errors(written, wanted, least=50)[:10]
    ]
    return found


def choose(corpus: Corpus, split: str, kind: str, most: int) -> NDArray[np.int64]:
    """At most `most` lines of a split, always the same."""
    indices = corpus.select(split, kind=kind)
    if len(indices) > most:
        indices = np.sort(np.random.default_rng(7).choice(indices, most, replace=False))
    return indices


def machine() -> str:
    """Kind of machine, without its name."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    sets = [f.upper() for f in ("avx2", "avx512f") if f" {f}" in flags]
    return ", ".join([f"{os.cpu_count()} CPU cores", platform.machine(), *sets])


class Run:
    """A training run with its clock, its best state and its state on disk."""

    def __init__(self, corpus: Corpus, arguments: argparse.Namespace) -> None:
        self.corpus, self.settings = corpus, Training()
        self.budget = 60.0 * arguments.minutes
        self.state_path = Path(f"{arguments.out}.state")
        torch.manual_seed(arguments.seed)
        config = ReaderConfig()
        self.network = ReaderNetwork(config)
        self.alphabet = Alphabet(config.symbols)
        self.draw = Draw(corpus, config, self.settings, arguments.seed)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.rate,
            weight_decay=self.settings.decay,
            fused=True,
        )
        self.seconds, self.number, self.points, self.updates = 0.0, 0, 0, 0
        self.cpu_seconds, self.chosen = 0.0, 0.0
        self.best, self.best_state = math.inf, {}
        self.curve: list[dict] = []
        self.resumed: list[int] = []
        self.checks = [
            choose(corpus, "validation", k, n) for k, n in (("line", 200), ("word", 400))
        ]
        if arguments.resume:
            self.restore()
            if self.progress < 1:
                self.resumed.append(self.points)

    @property
    def progress(self) -> float:
        """Share of the time that has passed."""
        return min(1.0, self.seconds / self.budget)

    def train(self) -> None:
        """Rounds until the time is over."""
        while self.progress < 1:
            started, cpu = time.monotonic(), time.process_time()
            before = self.seconds
            losses, characters = 0.0, 0
            for batch in self.draw.round(self.number, self.progress):
                loss, count = self.step(batch)
                losses, characters = losses + loss, characters + count
                self.seconds = before + time.monotonic() - started
                if self.progress >= 1:
                    break
            self.number += 1
            nats = losses / max(characters, 1)
            LOG.info(
                "round %d: %.1f min, %d updates, %.2f M points, %.3f nats a character",
                self.number,
                self.seconds / 60,
                self.updates,
                self.points / 1e6,
                nats,
            )
            last = self.curve[-1]["progress"] if self.curve else 0.0
            if self.progress >= min(1.0, last + self.settings.check):
                self.validate(nats)
            self.seconds = before + time.monotonic() - started
            self.cpu_seconds += time.process_time() - cpu
            self.keep()

    def step(self, batch: list[tuple[NDArray[np.float32], str]]) -> tuple[float, int]:
        """One update; returns the summed loss in nats and the characters."""
        settings, p = self.settings, self.progress
        rate = min(1.0, p / settings.warm + 0.02) * (0.5 + 0.5 * math.cos(math.pi * p))
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate * max(rate, 1e-3)
        self.network.train()
        x, lengths = collate([features for features, _ in batch])
        codes = [torch.from_numpy(self.alphabet.encode(text)) for _, text in batch]
        count = sum(len(c) for c in codes)
        logp, frames = self.network(x, lengths)
        loss = ctc_loss(
            logp,
            torch.cat(codes),
            frames,
            torch.tensor([len(c) for c in codes]),
            reduction="sum",
            zero_infinity=True,
        )
        self.optimiser.zero_grad()
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimiser.step()
        self.points += int(lengths.sum())
        self.updates += 1
        return float(loss.detach()), count

    def validate(self, nats: float) -> None:
        """Errors on the validation writers; keeps the state if it is the best."""
        reader = Reader(self.network)
        row = {"progress": round(self.progress, 4), "minutes": round(self.seconds / 60, 1)}
        row |= {"points": self.points, "nats": round(nats, 4)}
        total = np.zeros(2)
        for kind, indices in zip(("line", "word"), self.checks, strict=True):
            lines, wanted = inks(self.corpus, indices)
            edits, lengths = character_errors(reader.read(lines), wanted)
            row[kind] = round(float(edits.sum() / lengths.sum()), 4)
            total += edits.sum(), lengths.sum()
        self.curve.append(row)
        LOG.info("validation %s", json.dumps(row))
        if total[0] / total[1] <= self.best:
            self.best, self.chosen = float(total[0] / total[1]), row["minutes"]
            self.best_state = {k: v.clone() for k, v in self.network.state_dict().items()}

    def keep(self) -> None:
        """Write everything a resumed run needs."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best_state.items()}
        for i, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v.clone() for k, v in values.items()}
        about = {name: getattr(self, name) for name in KEPT}
        about["best"] = None if math.isinf(self.best) else self.best
        write_tensors(self.state_path, tensors, about)

    def restore(self) -> None:
        """Go on where the last whole round ended."""
        tensors, about = read_tensors(self.state_path)

        def part(name: str) -> dict[str, torch.Tensor]:
            head = f"{name}."
            return {k.removeprefix(head): v for k, v in tensors.items() if k.startswith(head)}

        self.network.load_state_dict(part("network"))
        self.best_state = part("best")
        packed = self.optimiser.state_dict()
        state: dict[int, dict] = defaultdict(dict)
        for key, value in part("adam").items():
            number, name = key.split(".")
            state[int(number)][name] = value
        packed["state"] = dict(state)
        self.optimiser.load_state_dict(packed)
        for name in KEPT:
            setattr(self, name, about[name])
        self.best = math.inf if about["best"] is None else about["best"]


def provenance(run: Run, arguments: argparse.Namespace) -> dict:
    """Where the weights come from, and what a reader of their figures must know."""
    return {
        "what": "CTC recogniser of on-line handwriting, trained on real ink alone",
        "limits": "no language model and no word list, though a recurrent network learns some "
        "spelling of its texts; mostly English; few capitals, digits and marks; sees the order "
        "of the strokes; its figures mean something only beside its own error on real ink of "
        "writers it never saw (errors, test_line); the text split has the training writers' "
        "hands; exact compares all characters, lenient ignores case and punctuation",
        "command": f"python scripts/train_reader.py {arguments.corpus.name} "
        f"-o {arguments.out.name} --minutes {arguments.minutes:g} --seed {arguments.seed}",
        "seed": arguments.seed,
        "resumed_at_points": run.resumed,
        "corpus": "UNIPEN train_r01_v07, CC BY 4.0 (Guyon et al. 1994)",
        "corpus_sha256": file_hash(arguments.corpus),
        "training": asdict(run.settings),
        "points": run.points,
        "updates": run.updates,
        "minutes": round(run.seconds / 60, 1),
        "cpu_minutes": round(run.cpu_seconds / 60, 1),
        "chosen_at_minutes": run.chosen,
        "curve": run.curve,
        "machine": machine(),
        "date": date.today().isoformat(),
    }


def main() -> None:
    """Train, choose, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    corpus = load_corpus(arguments.corpus)
    run = Run(corpus, arguments)
    run.train()
    run.network.load_state_dict(run.best_state)
    about = provenance(run, arguments)
    reader = Reader(run.network.eval(), about)
    save_reader(arguments.out, reader)
    # Measured as it will be used: with the rounded weights.
    reader = load_reader(arguments.out)
    parts = {
        f"{split}_{kind}": corpus.select(split, kind=kind)
        for split, kind in (("test", "line"), ("test", "word"), ("text", "line"))
    }
    known = {corpus.texts[i] for i in corpus.select("train")}
    for kind in ("line", "word"):
        new = [i for i in parts[f"test_{kind}"] if corpus.texts[i] not in known]
        parts[f"test_{kind}_new_text"] = np.array(new, dtype=np.int64)
    errors = {name: measure(reader, corpus, indices) for name, indices in parts.items()}
    save_reader(arguments.out, Reader(reader.network, about | {"errors": errors}))
    for name, found in errors.items():
        for mode in ("exact", "lenient"):
            low, high = found[mode]["interval_over_writers"]
            print(
                f"{name}, {mode}: character error {found[mode]['error']:.3f} "
                f"({low:.3f} to {high:.3f} over writers), {found['lines']} lines, "
                f"{found['writers']} writers"
            )
    print(json.dumps(errors, indent=1))
    run.state_path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
