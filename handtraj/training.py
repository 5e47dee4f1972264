"""Training: one visible loop that resumes bit for bit."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from handtraj.alphabet import Alphabet
from handtraj.batches import Batch
from handtraj.checkpoint import Checkpoint, save_checkpoint
from handtraj.corpus import Corpus
from handtraj.distributed import join_team, restarted
from handtraj.loss import sum_nats, validation_batches
from handtraj.native import compiled_layers
from handtraj.network import NetworkConfig
from handtraj.precision import KERNELS, PRODUCTS, Arithmetic, choose_arithmetic
from handtraj.trainer import TrainConfig, Trainer, TrainingError, learning_rate

__all__ = ["TrainConfig", "TrainingError", "describe_machine", "learning_rate", "train"]

log = logging.getLogger(__name__)


def train(
    corpus: Corpus,
    folder: str | Path,
    *,
    config: TrainConfig | None = None,
    network: NetworkConfig | None = None,
    resume: bool = False,
    changes: Mapping[str, Any] | None = None,
    start_from: Checkpoint | None = None,
    device: str = "auto",
    precision: str | None = None,
    kernels: str | None = None,
    alphabet: Alphabet | None = None,
    provenance: dict[str, Any] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    stop_after: int | None = None,
    snapshots: int = 0,
) -> Path:
    """Train a network; returns the path of its best averaged weights.

    `folder` receives `log.jsonl`, `last.safetensors` (everything a resume
    needs), `stable.safetensors` (the same, just before the rate falls: where
    a longer run goes on), and `best.safetensors` (averaged weights).

    Under torchrun, every process calls this: they share each batch, and one
    of them writes.  A team that torchrun started anew resumes by itself.

    Parameters
    ----------
    corpus : Corpus
    folder : path
    config, network : TrainConfig, NetworkConfig, optional
        For a fresh run; a resumed one keeps its own.
    resume : bool
        Go on from `last.safetensors`.
    changes : mapping, optional
        With `resume`, fields of `TrainConfig` that change from here on, such
        as `points`, the end of the run (see `TrainConfig.changed`).
    start_from : Checkpoint, optional
        Begin with these weights and a fresh optimiser.
    device : str
        See :func:`handtraj.network.resolve_device`.
    precision, kernels : str, optional
        See :func:`handtraj.precision.choose_arithmetic`.  Default: those of the
        leg before, so that a resume is exact; a fresh run probes.
    progress : callable, optional
        Called with (points so far, points in all, nats per point).
    stop_after : int, optional
        Stop, saved, after so many updates of this call.
    snapshots : int
        Keep the averaged weights of so many moments, evenly in the logarithm
        of the points seen: `at-<points>.safetensors`, the last of them at the
        end and the first at a five-hundredth of the run.

    Raises
    ------
    ValueError
        If there is nothing to resume, or a run is there and `resume` is off.
    TrainingError
        If the loss or its gradient is not finite, with update and lines.
    """
    folder = Path(folder)
    last = folder / "last.safetensors"
    resume = resume or (restarted() and last.is_file())
    if resume and not last.is_file():
        raise ValueError(f"nothing to resume: {last} does not exist")
    if not resume and last.exists():
        raise ValueError(f"{folder} already holds a run; use --resume, or another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with join_team(device) as team:
        trainer = (
            Trainer.resume(last, changes or {}, team)
            if resume
            else Trainer.fresh(config or TrainConfig(), network, start_from, alphabet, corpus, team)
        )
        trainer.provenance = provenance or trainer.provenance
        _loop(trainer, corpus, folder, precision, kernels, progress, stop_after, snapshots)
    return folder / "best.safetensors"


def _loop(
    trainer: Trainer,
    corpus: Corpus,
    folder: Path,
    precision: str | None,
    kernels: str | None,
    progress: Callable[[int, int, float], None] | None,
    stop_after: int | None,
    snapshots: int,
) -> None:
    config, run, team = trainer.config, trainer.run, trainer.team
    checks = {
        kind: validation_batches(corpus, trainer.alphabet, trainer.scale, kind=kind, limit=limit)
        for kind, limit in (("line", 120), ("word", 240))
    }
    journal = _Journal(folder / "log.jsonl", run.update) if team.leads else None
    leg = _begin_leg(trainer, precision, kernels)
    if journal:
        journal.write(leg)
    begun, before = time.monotonic(), run.seconds
    plateau_end = config.points * (1 - config.decay_share)
    first = run.update
    stable_saved = run.points > plateau_end
    moments = [m for m in snapshot_points(config.points, snapshots) if m > run.points]
    for batch in trainer.batches(corpus):
        if run.points >= config.points or run.update - first == stop_after:
            break
        if not stable_saved and run.points >= plateau_end:
            trainer.save(folder / "stable.safetensors")
            stable_saved = True
        nats = trainer.update(batch)
        run.seconds = before + time.monotonic() - begun
        leg |= {"last_update": run.update, "last_points": run.points}
        entry = {
            "update": run.update,
            "points": run.points,
            "seconds": round(run.seconds, 1),
            "nats": round(nats, 4),
        }
        if run.update % config.validate_every == 0:
            entry |= _validate(trainer, checks, folder)
        if journal:
            journal.write(entry)
        if moments and run.points >= moments[0]:
            del moments[0]
            if team.leads:
                save_checkpoint(folder / f"at-{run.points:010d}.safetensors", trainer.checkpoint())
        if run.update % config.save_every == 0:
            trainer.save(folder / "last.safetensors")
        if progress and team.leads:
            progress(run.points, config.points, nats)
    run.seconds = before + time.monotonic() - begun
    found = _validate(trainer, checks, folder)
    if journal:
        journal.write(
            {"update": run.update, "points": run.points, "seconds": round(run.seconds, 1)} | found
        )
    run.batch -= 1  # the batch at hand was drawn but not learned from
    trainer.save(folder / "last.safetensors")


def snapshot_points(points: int, count: int) -> list[float]:
    """Moments of a run to keep, in points seen, evenly in their logarithm."""
    if count <= 1:
        return [float(points)] * count
    return [points * 500 ** (i / (count - 1) - 1) for i in range(count)]


def _begin_leg(trainer: Trainer, precision: str | None, kernels: str | None) -> dict[str, Any]:
    """Choose the arithmetic, in one rank for all, and note what this leg runs on."""
    run, team = trainer.run, trainer.team
    before = run.legs[-1] if run.legs else {}
    # Legs of before there was a choice of kernels had those of torch.
    products = precision or before.get("products", "auto")
    kernels = kernels or before.get("kernels", "torch" if before else "auto")
    found = Arithmetic()
    if team.leads:
        found = choose_arithmetic(trainer.network, team.device, products=products, kernels=kernels)
    chosen = team.choose(
        torch.tensor([PRODUCTS.index(found.products), KERNELS.index(found.kernels)])
    )
    arithmetic = Arithmetic(PRODUCTS[int(chosen[0])], KERNELS[int(chosen[1])])
    if arithmetic.kernels == "compiled":
        compiled_layers()
    for network in (trainer.network, trainer.averaged):
        arithmetic.apply(network)
    leg = {
        "leg": len(run.legs) + 1,
        "update": run.update,
        "points": run.points,
        "command": trainer.provenance.get("command", ""),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe_machine(team.device),
        "ranks": team.world,
        "threads": torch.get_num_threads(),
        "products": arithmetic.products,
        "kernels": arithmetic.kernels,
    }
    run.legs.append(leg)
    if team.leads:
        log.info("training in %s on %s, %d process(es)", arithmetic, leg["machine"], team.world)
    return leg


def describe_machine(device: torch.device) -> str:
    """Kind of machine, without its name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    kind = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} CPU cores, {platform.machine()} {kind}"


def _validate(trainer: Trainer, checks: dict[str, list[Batch]], folder: Path) -> dict[str, float]:
    """Nats per point of the averaged weights; keeps the best of them.

    Every rank takes its share of the batches.
    """
    team, found = trainer.team, {}
    for kind, batches in checks.items():
        if batches:
            mine = batches[team.rank :: team.world]
            total, points = team.total(*sum_nats(trainer.averaged, mine, team.device))
            found[f"validation_{kind}"] = round(total / points, 4)
    score = sum(found.values())
    # Without anyone to validate on, the last weights are the best known.
    if score < trainer.run.best or not found:
        trainer.run.best = score
        if team.leads:
            save_checkpoint(folder / "best.safetensors", trainer.checkpoint())
    return found


class _Journal:
    """The JSONL log; entries after the resumed update are dropped."""

    def __init__(self, path: Path, update: int) -> None:
        kept = []
        if path.exists():
            for row in path.read_text().splitlines():
                try:
                    entry = json.loads(row)
                except json.JSONDecodeError:
                    continue  # a line cut short by a kill
                if entry.get("update", 0) <= update:
                    kept.append(row)
        path.write_text("".join(row + "\n" for row in kept))
        self._path = path

    def write(self, entry: dict[str, Any]) -> None:
        with self._path.open("a") as stream:
            stream.write(json.dumps(entry) + "\n")
