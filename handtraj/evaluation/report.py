"""How good are these weights?  One JSON with every figure, its interval and its n."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handtraj.checkpoint import Checkpoint
from handtraj.corpus import Corpus
from handtraj.evaluation.bootstrap import Estimate, bootstrap, bootstrap_sums
from handtraj.evaluation.legibility import (
    Legibility,
    choose_lines,
    prime_from_another_line,
    write_lines,
)
from handtraj.evaluation.likelihood import (
    Forecasts,
    forecast,
    line_nats,
    pen_calibration,
    pit,
)
from handtraj.evaluation.reader import Reader
from handtraj.evaluation.resemblance import resemblance
from handtraj.ink import replace_file
from handtraj.style import Style
from handtraj.training import describe_machine
from handtraj.writing import Writer

__all__ = ["ReportConfig", "estimate_row", "evaluate", "headlines", "save_report"]

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class ReportConfig:
    """What is measured, and on how much.

    Parameters
    ----------
    likelihood_lines : int
        Lines of each split whose nats are measured.
    texts : int
        Texts written at every bias; as many real lines are read.
    biases : tuple of float
    primed_biases : tuple of float
        Biases at which the texts are also written after another line of the
        writer whose real line says the text.
    inside : int
        Training writers among the candidates of the identifier.
    named_each : int
        Lines of each candidate that are named.
    prime_points : tuple of int
        Lengths of the prime, for the identifier; 0 is no prime.
    seed : int
    """

    likelihood_lines: int = 150
    texts: int = 200
    biases: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0)
    primed_biases: tuple[float, ...] = (0.5, 1.0)
    inside: int = 40
    named_each: int = 3
    prime_points: tuple[int, ...] = (0, 60, 120, 240, 600)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("likelihood_lines", "texts", "inside", "named_each"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not self.biases or min((*self.biases, *self.primed_biases)) < 0:
            raise ValueError("biases must be numbers >= 0, at least one")


def evaluate(
    checkpoint: Checkpoint,
    corpus: Corpus,
    reader: Reader,
    *,
    config: ReportConfig | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure everything the model card shows.

    Parameters
    ----------
    checkpoint : Checkpoint
    corpus : Corpus
        With the splits the network was trained by: only validation and test
        writers are new to it.
    reader : Reader
    config : ReportConfig, optional
    device : str
    progress : callable, optional
        Called with (part, steps done since the last call).

    Returns
    -------
    dict
        "nats_per_point", "calibration", "cer", "fates", "identifier",
        "about".  Every estimate has "value", "interval" (95 %, bootstrap over
        writers), "n" (writers) and "items" (lines).
    """
    config = config or ReportConfig()
    tell = progress or (lambda part, done: None)
    begun = time.monotonic()
    writer = Writer(checkpoint, device=device)
    report = _likelihood(checkpoint, corpus, config, device, tell)
    report |= _legibility(writer, corpus, reader, config, tell)
    report["identifier"] = resemblance(
        writer,
        corpus,
        inside=config.inside,
        lengths=config.prime_points,
        queries_each=config.named_each,
        seed=config.seed,
        progress=lambda n: tell("identifier", n),
    )
    report["about"] = {
        "weights": writer.fingerprint,
        "trained": {k: checkpoint.provenance.get(k) for k in ("points", "updates", "date")},
        "corpus": corpus.about.get("name", ""),
        "config": asdict(config),
        "reader": reader.about,
        "machine": describe_machine(torch.device("cpu")),
        "seconds": round(time.monotonic() - begun),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    return report


def save_report(
    report: Mapping[str, Any], path: str | os.PathLike[str], *, command: str = ""
) -> None:
    """Write the report as JSON, whole or not at all."""
    about = {**report["about"], "command": command}
    text = json.dumps({**report, "about": about}, indent=1, ensure_ascii=False) + "\n"
    replace_file(Path(path), lambda stream: stream.write(text.encode()))


def estimate_row(label: str, one: Mapping[str, Any], digits: int = 3) -> str:
    """One estimate of a report as a line of text: label, value, interval, n."""
    interval = one["interval"]
    ends = [f"{v:.{digits}f}" for v in interval] if interval else []
    span = f"[{', '.join(ends)}]" if ends else "(no interval)"
    return f"{label:40}{one['value']:{digits + 5}.{digits}f} {span:18} n = {one['n']}"


def headlines(report: Mapping[str, Any]) -> list[str]:
    """The main figures as lines of text."""
    say = estimate_row
    cer, names = report["cer"], report["identifier"]
    rows = [say("nats a point, writers never seen", report["nats_per_point"]["held_out_writers"])]
    rows.append(say("character error, real lines", cer["real"]))
    for kind in ("written", "primed"):
        for bias, one in cer.get(kind, {}).items():
            rows.append(say(f"character error, {kind}, bias {bias}", one))
            rows.append(say("    times that of the same real lines", cer["ratio"][kind][bias]))
    for kind in ("real", "primed"):
        one = names[kind]["within_source"]
        rows.append(say(f"named within the source, {kind} lines", one["accuracy"]))
    rows.append(f"{'    chance':40}{names['real']['within_source']['chance']:8.3f}")
    rows.append(say("    primed over real", names["primed"]["within_source"]["ratio"]))
    return rows


def _in_turn(
    corpus: Corpus, split: str, count: int, *, seed: int, kind: str = "line"
) -> NDArray[np.int64]:
    """Lines of a split, its writers in turn."""
    rng = np.random.default_rng(seed)
    by_writer: dict[str, list[int]] = defaultdict(list)
    for i in rng.permutation(corpus.select(split, kind=kind)):
        by_writer[corpus.writers[i]].append(int(i))
    queues = [by_writer[w] for w in sorted(by_writer)]
    chosen: list[int] = []
    while len(chosen) < count and any(queues):
        chosen += [q.pop() for q in queues if q]
    return np.array(chosen[:count], dtype=np.int64)


def _likelihood(
    checkpoint: Checkpoint, corpus: Corpus, config: ReportConfig, device: str, tell: Progress
) -> dict[str, Any]:
    """Nats a point by split and source, and calibration on writers never seen."""
    parts = {
        "training_writers": ("train", "line"),
        "held_out_texts": ("text", "line"),
        "validation_writers": ("validation", "line"),
        "held_out_writers": ("test", "line"),
        "held_out_writers_words": ("test", "word"),
    }
    nats: dict[str, Any] = {
        "units": f"nats a point, offsets dequantised and divided by {checkpoint.scale} x-heights"
    }
    out: dict[str, Any] = {"nats_per_point": nats}
    for name, (split, kind) in parts.items():
        chosen = _in_turn(corpus, split, config.likelihood_lines, seed=config.seed, kind=kind)
        if not len(chosen):
            continue
        seen = forecast(checkpoint, corpus, chosen, seed=config.seed, device=device)
        tell("likelihood", len(chosen))
        found = line_nats(seen)
        writers = np.array([corpus.writers[i] for i in chosen])
        sums = np.column_stack([found.nats, found.points])
        nats[name] = bootstrap_sums(sums, writers).as_dict()
        if name != "held_out_writers":
            continue
        nats["to_x_heights"] = found.to_x_heights
        nats["pen_part"] = bootstrap_sums(
            np.column_stack([found.pen, found.points]), writers
        ).as_dict()
        nats["per_line"] = bootstrap(found.nats, writers).as_dict()
        sources = np.array([corpus.sources[i] for i in chosen])
        nats["by_source"] = {
            str(source): bootstrap_sums(
                sums[sources == source], writers[sources == source]
            ).as_dict()
            for source in np.unique(sources)
        }
        out["calibration"] = _calibration(seen)
    return out


def _calibration(seen: Forecasts) -> dict[str, Any]:
    """Histograms of the integral transform, and what became of predicted lifts."""
    uniform = pit(seen)
    density, distance = uniform.histogram(20), uniform.distance
    found: dict[str, Any] = {
        axis: {"density": density[k].round(4).tolist(), "ks": round(float(distance[k]), 4)}
        for k, axis in enumerate(("dx", "dy"))
    }
    pen = pen_calibration(seen)
    found["pen"] = {
        "bins": [
            {"predicted": round(float(p), 5), "observed": round(float(o), 5), "n": int(n)}
            for p, o, n in zip(pen.predicted, pen.observed, pen.count, strict=True)
            if n
        ],
        "brier": pen.brier,
        "brier_of_the_mean": pen.brier_base,
        "ece": pen.calibration_error,
    }
    return found


def _legibility(
    writer: Writer, corpus: Corpus, reader: Reader, config: ReportConfig, tell: Progress
) -> dict[str, Any]:
    """Character error of real and of written lines with the same texts."""
    chosen = choose_lines(corpus, config.texts, seed=config.seed)
    real = Legibility.of_ink(
        reader,
        [corpus.line(int(i)).ink for i in chosen],
        [corpus.texts[i] for i in chosen],
        [corpus.writers[i] for i in chosen],
    )
    cer: dict[str, Any] = {
        "real": real.error().as_dict(),
        "worst_real": real.worst(),
        "real_by_length": _dicts(real.by_length()),
        "lenient": {"real": real.error(lenient=True).as_dict()},
        "ratio": {},
    }
    fates: dict[str, Any] = {}
    styles = [prime_from_another_line(writer, corpus, int(i), seed=config.seed) for i in chosen]
    able = [k for k, style in enumerate(styles) if style is not None]
    none: list[Style | None] = [None] * len(chosen)
    plans = [("written", b, real, none) for b in config.biases]
    plans += [
        ("primed", b, real.only(able), [styles[k] for k in able]) for b in config.primed_biases
    ]
    for kind, bias, same, hands in plans:
        written = write_lines(
            writer,
            same.wanted,
            styles=hands,
            bias=bias,
            seed=config.seed + 1,
            progress=lambda n: tell("writing", n),
        )
        found, key = Legibility.of_writings(reader, written, same.writers), f"{bias:g}"
        cer.setdefault(kind, {})[key] = found.error().as_dict()
        cer["lenient"].setdefault(kind, {})[key] = found.error(lenient=True).as_dict()
        cer["ratio"].setdefault(kind, {})[key] = found.times(same).as_dict()
        fates.setdefault(kind, {})[key] = dict(found.fates)
        if bias == config.primed_biases[0]:
            cer[f"worst_{kind}"] = found.worst()
            cer[f"{kind}_by_length"] = _dicts(found.by_length())
    return {"cer": cer, "fates": fates}


def _dicts(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: one.as_dict() for name, one in estimates.items()}
