"""What training gains by: size, each way to keep it from learning by heart, time.

    python experiments/training.py sizes CORPUS [--minutes 6] [-o FILE]
    python experiments/training.py regularisers CORPUS --start WEIGHTS [--points 4e6]
        [--only CHANGE ...] [-o FILE]
    python experiments/training.py overfitting RUN [-o FILE]

"sizes" trains networks of different width from scratch for the same processor
time, with one thread (OMP_NUM_THREADS=1), so that other work does not count.
"regularisers" goes on from the same weights for the same number of points, with
one setting changed at a time.  Both score the averaged weights on writers nobody
trained on.  "overfitting" keeps the log of a run that went on past its best, from
the leg on in which it got there.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import Clock, keep, parser

import handtraj as ht
from handtraj.augmentation import AugmentationConfig
from handtraj.batches import SamplingConfig

#: 550 would be half as slow again: a matrix unit multiplies in blocks of 16 or 32.
UNITS = (200, 300, 400, 544)
#: Changes to the recipe without any of them.
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "slant": {"sampling": {"augmentation": {"slant": 0.15}}},
    "width": {"sampling": {"augmentation": {"width": 0.1}}},
    "size": {"sampling": {"augmentation": {"size": 0.1}}},
    "speed": {"sampling": {"augmentation": {"speed": 0.1}}},
    "wander": {"sampling": {"augmentation": {"wander": 0.03}}},
    "weight noise": {"weight_noise": 0.02},
    "dropout": {"dropout": 0.15},
    "no joined lines": {"sampling": {"joined": 0.0, "lines": 0.5}},
    "more words": {"sampling": {"joined": 0.12, "lines": 0.15, "composed": 0.55, "words": 12}},
}
SAMPLING = SamplingConfig(
    lines=0.2,
    composed=0.35,
    joined=0.3,
    words=9,
    longest=1300,
    points=20_000,
    augmentation=AugmentationConfig(),
)


def run(
    corpus: ht.Corpus,
    config: ht.TrainConfig,
    *,
    network: ht.NetworkConfig | None = None,
    start: ht.Checkpoint | None = None,
    stop_after: int | None = None,
) -> dict[str, Any]:
    """One run in a folder that is thrown away: its log, in short."""
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        ht.train(
            corpus,
            Path(folder) / "run",
            config=config,
            network=network,
            start_from=start,
            stop_after=stop_after,
        )
        journal = (Path(folder) / "run" / "log.jsonl").read_text()
    spent = time.process_time() - begun
    rows = [json.loads(row) for row in journal.splitlines()]
    learned = [r for r in rows if "nats" in r]
    checks = [
        {k: r[k] for k in ("points", "seconds", "validation_line", "validation_word")}
        for r in rows
        if "validation_line" in r
    ]
    tail = learned[-max(1, len(learned) // 10) :]
    return {
        "points": learned[-1]["points"],
        "seconds": learned[-1]["seconds"],
        "processor_seconds": spent,
        "arithmetic": [rows[0]["products"], rows[0]["kernels"]],
        "training": sum(r["nats"] for r in tail) / len(tail),
        "line": checks[-1]["validation_line"],
        "word": checks[-1]["validation_word"],
        "curve": checks,
    }


def sizes(
    corpus: ht.Corpus, minutes: float, seed: int, few: bool, clock: Clock
) -> list[dict[str, Any]]:
    """Networks of several widths, the same time each; their speed is measured first."""
    rows = []
    for units in (8, 12) if few else UNITS:
        size = ht.NetworkConfig(units=units)
        config = ht.TrainConfig(
            seed=seed, validate_every=10**9, save_every=10**9, sampling=SAMPLING
        )
        # What the last two trials share is no update; the first warms up.
        few_updates, more = (2, 8) if few else (4, 20)
        _, short, longer = (
            run(corpus, config, network=size, stop_after=n)
            for n in (few_updates, few_updates, more)
        )
        took = longer["processor_seconds"] - short["processor_seconds"]
        took = max(took, longer["processor_seconds"] / 10)
        points = int((longer["points"] - short["points"]) / took * minutes * 60)
        config = replace(config, points=max(points, 60_000), validate_every=50)
        found = run(corpus, config, network=size)
        weights = sum(p.numel() for p in ht.Network(size).parameters())
        rows.append({"units": units, "weights": weights, **found})
        clock(f"{units} units, {found['points'] / 1e6:.1f} M points, {found['line']}")
    return rows


def regularisers(
    corpus: ht.Corpus, start: Path, points: float, seed: int, names: list[str], clock: Clock
) -> list[dict[str, Any]]:
    """The same weights, the same number of points, one change at a time."""
    plain = ht.TrainConfig(
        seed=seed,
        points=int(points),
        words_first=0.0,
        decay_share=0.5,
        validate_every=50,
        save_every=10**9,
        sampling=SAMPLING,
    )
    rows = []
    for name in names:
        found = run(corpus, plain.changed(CHANGES[name]), start=ht.load_checkpoint(start))
        rows.append({"change": name, "settings": CHANGES[name], **found})
        clock(f"{name}, {found['line']}")
    return rows


def overfitting(folder: Path, every: int = 50) -> dict[str, Any]:
    """Training and held-out nats of a run's last leg."""
    rows = [json.loads(row) for row in (folder / "log.jsonl").read_text().splitlines()]
    begun = max(row["points"] for row in rows if "leg" in row)
    rows = [row for row in rows if row["points"] > begun and "leg" not in row]
    learned = [row for row in rows if "nats" in row]
    blocks = [learned[i : i + every] for i in range(0, len(learned), every)]
    return {
        "training": [
            {"points": b[-1]["points"], "nats": sum(r["nats"] for r in b) / len(b)} for b in blocks
        ],
        "validation": [
            {k: r[k] for k in ("points", "validation_line", "validation_word")}
            for r in rows
            if "validation_line" in r
        ],
    }


def main() -> None:
    """Train, save."""
    found = parser(__doc__ or "")
    found.add_argument("kind", choices=("sizes", "regularisers", "overfitting"))
    found.add_argument("corpus", type=Path, help="the corpus, or the folder of a run")
    found.add_argument("--minutes", type=float, default=6.0)
    found.add_argument("--points", type=float, default=4e6)
    found.add_argument("--start", type=Path, help="weights to go on from")
    found.add_argument("--only", nargs="+", choices=tuple(CHANGES), help="changes to try")
    arguments = found.parse_args()
    clock = Clock()
    weights, few = "", arguments.reduced
    if arguments.kind == "overfitting":
        rows: Any = overfitting(arguments.corpus)
        weights = ht.load_writer(arguments.corpus / "best.safetensors").fingerprint
    elif arguments.kind == "sizes":
        corpus = ht.load_corpus(arguments.corpus)
        rows = sizes(corpus, arguments.minutes, arguments.seed, few, clock)
    else:
        if arguments.start is None:
            raise SystemExit("regularisers goes on from weights: give --start WEIGHTS")
        weights = ht.load_writer(arguments.start).fingerprint
        corpus = ht.load_corpus(arguments.corpus)
        names = arguments.only or list(CHANGES)[: 2 if few else None]
        rows = regularisers(corpus, arguments.start, arguments.points, arguments.seed, names, clock)
    keep(
        arguments.kind,
        {
            "what": "nats a point of dequantised ink in standardised units, averaged weights: "
            "training, last tenth of the run; line and word, writers nobody trained on",
            "runs": rows,
        },
        arguments,
        clock,
        weights=weights,
    )


if __name__ == "__main__":
    main()
