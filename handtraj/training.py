"""Training: one visible loop that resumes bit for bit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from handtraj.alphabet import Alphabet
from handtraj.batches import Batch, Sampler, SamplingConfig
from handtraj.checkpoint import (
    Checkpoint,
    CheckpointError,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from handtraj.corpus import Corpus
from handtraj.loss import batch_loss, corpus_scale, mean_nats, validation_batches
from handtraj.network import Network, NetworkConfig, resolve_device

__all__ = ["TrainConfig", "TrainingError", "learning_rate", "train"]


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which update and why."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    The learning rate warms up over `warmup` updates, stays, and falls to a
    twentieth over the last `decay_share` of `points`.  Everything that is
    looked at uses averaged weights (exponential, factor `average`).
    """

    points: int = 40_000_000
    rate: float = 2e-3
    warmup: int = 100
    decay_share: float = 0.4
    words_first: float = 0.08
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 1e-4
    clip: float = 2.0
    average: float = 0.998
    seed: int = 0
    validate_every: int = 150
    save_every: int = 50
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        for name in ("points", "rate", "clip", "validate_every", "save_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")
        for name in ("decay_share", "words_first", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `dataclasses.asdict`, from JSON."""
        sampling = SamplingConfig(**values["sampling"])
        return cls(**{**values, "betas": tuple(values["betas"]), "sampling": sampling})


@dataclass
class _Run:
    """What changes while training; with the weights, all that a resume needs."""

    update: int = 0
    points: int = 0
    round: int = 0
    batch: int = 0
    best: float = math.inf
    seconds: float = 0.0


def learning_rate(config: TrainConfig, update: int, points: int) -> float:
    """The rate of the next update: warm-up, plateau, then down along 1 - sqrt."""
    rate = config.rate * min(1.0, (update + 1) / max(1, config.warmup))
    start = config.points * (1 - config.decay_share)
    if points > start and config.decay_share > 0:
        gone = min(1.0, (points - start) / (config.points - start))
        rate *= 1 - 0.95 * math.sqrt(gone)
    return rate


def train(
    corpus: Corpus,
    folder: str | Path,
    *,
    config: TrainConfig | None = None,
    network: NetworkConfig | None = None,
    resume: bool = False,
    points: int | None = None,
    start_from: Checkpoint | None = None,
    device: str = "auto",
    alphabet: Alphabet | None = None,
    provenance: dict[str, Any] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    stop_after: int | None = None,
) -> Path:
    """Train a network; returns the path of its best averaged weights.

    `folder` receives `log.jsonl`, `last.safetensors` (everything a resume
    needs), `stable.safetensors` (the same, just before the rate falls: where
    a longer run goes on), and `best.safetensors` (averaged weights).

    Parameters
    ----------
    corpus : Corpus
    folder : path
    config, network : TrainConfig, NetworkConfig, optional
        For a fresh run; a resumed one keeps its own.
    resume : bool
        Go on from `last.safetensors`.
    points : int, optional
        With `resume`, a new end of the run.
    start_from : Checkpoint, optional
        Begin with these weights and a fresh optimiser.
    progress : callable, optional
        Called with (points so far, points in all, nats per point).
    stop_after : int, optional
        Stop, saved, after so many updates of this call.

    Raises
    ------
    ValueError
        If there is nothing to resume, or a run is there and `resume` is off.
    TrainingError
        If the loss or its gradient is not finite, with update and lines.
    """
    folder = Path(folder)
    last = folder / "last.safetensors"
    if resume and not last.is_file():
        raise ValueError(f"nothing to resume: {last} does not exist")
    if not resume and last.exists():
        raise ValueError(f"{folder} already holds a run; use --resume, or another folder")
    folder.mkdir(parents=True, exist_ok=True)
    trainer = (
        _Trainer.resume(last, points, resolve_device(device))
        if resume
        else _Trainer.fresh(
            config or TrainConfig(), network, start_from, alphabet, corpus, resolve_device(device)
        )
    )
    trainer.provenance = provenance or trainer.provenance
    trainer.run_loop(corpus, folder, progress, stop_after)
    return folder / "best.safetensors"


class _Trainer:
    """Network, averaged network, optimiser and counters of one run."""

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        alphabet: Alphabet,
        scale: float,
        device: torch.device,
    ) -> None:
        self.config, self.alphabet, self.scale, self.device = config, alphabet, scale, device
        self.network = network.to(device)
        self.averaged = Network(network.config).to(device)
        self.averaged.load_state_dict(network.state_dict())
        self.averaged.requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=config.rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.run = _Run()
        self.provenance: dict[str, Any] = {}

    @classmethod
    def fresh(
        cls,
        config: TrainConfig,
        size: NetworkConfig | None,
        start_from: Checkpoint | None,
        alphabet: Alphabet | None,
        corpus: Corpus,
        device: torch.device,
    ) -> _Trainer:
        if start_from is not None:
            trainer = cls(
                config, start_from.network.train(), start_from.alphabet, start_from.scale, device
            )
            trainer.provenance = dict(start_from.provenance)
            return trainer
        alphabet = alphabet or Alphabet()
        size = replace(size or NetworkConfig(), symbols=len(alphabet))
        generator = torch.Generator().manual_seed(config.seed)
        return cls(
            config, Network(size, generator=generator), alphabet, corpus_scale(corpus), device
        )

    @classmethod
    def resume(cls, path: Path, points: int | None, device: torch.device) -> _Trainer:
        tensors, about = read_tensors(path)
        if about.get("kind") != "training":
            raise CheckpointError(f"{path} is not a training state; it cannot be resumed")
        network = Network(NetworkConfig(**about["network"]))
        config = TrainConfig.from_dict(about["train"])
        trainer = cls(
            replace(config, points=points) if points else config,
            network,
            Alphabet(about["symbols"]),
            about["scale"],
            device,
        )
        network.load_state_dict({k[2:]: v for k, v in tensors.items() if k.startswith("w.")})
        trainer.averaged.load_state_dict(
            {k[2:]: v for k, v in tensors.items() if k.startswith("a.")}
        )
        names = [name for name, _ in network.named_parameters()]
        state = trainer.optimiser.state_dict()
        state["state"] = {
            i: {
                "step": tensors[f"o.step.{name}"].clone(),
                "exp_avg": tensors[f"o.exp_avg.{name}"].clone(),
                "exp_avg_sq": tensors[f"o.exp_avg_sq.{name}"].clone(),
            }
            for i, name in enumerate(names)
            if f"o.step.{name}" in tensors
        }
        trainer.optimiser.load_state_dict(state)
        trainer.run = _Run(**about["run"])
        trainer.provenance = about["provenance"]
        return trainer

    def save(self, path: Path) -> None:
        tensors = {f"w.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"a.{k}": v for k, v in self.averaged.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"o.{key}.{name}"] = value
        write_tensors(
            path,
            tensors,
            {
                "kind": "training",
                "network": asdict(self.network.config),
                "train": asdict(self.config),
                "symbols": self.alphabet.symbols,
                "scale": self.scale,
                "run": asdict(self.run),
                "provenance": self.provenance,
            },
        )

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.averaged,
            self.alphabet,
            self.scale,
            {
                **self.provenance,
                "updates": self.run.update,
                "points": self.run.points,
                "validation_nats": self.run.best,
                "train": asdict(self.config),
            },
        )

    def batches(self, corpus: Corpus) -> Iterator[Batch]:
        """From where the run stands, without end."""
        config = self.config
        sampler = Sampler(corpus, self.alphabet, self.scale, config.sampling, seed=config.seed)
        per_round = config.sampling.pool * config.sampling.points
        while True:
            # Single words first: they teach the window where it is.
            early = self.run.round * per_round < config.words_first * config.points
            for number, batch in enumerate(sampler.round(self.run.round, words_only=early)):
                if number >= self.run.batch:
                    self.run.batch = number + 1
                    yield batch
            self.run.round, self.run.batch = self.run.round + 1, 0

    def update(self, batch: Batch) -> float:
        """One optimiser step; returns nats per point."""
        config, run = self.config, self.run
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, run.update, run.points)
        total, count = batch_loss(self.network, batch, self.device)
        loss = total / count
        nats = float(loss.detach())
        if not math.isfinite(nats):
            raise TrainingError(
                f"loss is {nats} at update {run.update}, corpus lines {batch.lines}"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), config.clip))
        if not math.isfinite(norm):
            raise TrainingError(
                f"gradient norm is {norm} at update {run.update}, corpus lines {batch.lines}"
            )
        self.optimiser.step()
        # A young average follows closely, or it would remember the start.
        keep = min(config.average, (1 + run.update) / (10 + run.update))
        with torch.no_grad():
            for slow, fast in zip(
                self.averaged.parameters(), self.network.parameters(), strict=True
            ):
                slow.lerp_(fast, 1 - keep)
        run.update += 1
        run.points += count
        return nats

    def run_loop(
        self,
        corpus: Corpus,
        folder: Path,
        progress: Callable[[int, int, float], None] | None,
        stop_after: int | None,
    ) -> None:
        config, run = self.config, self.run
        checks = {
            kind: validation_batches(corpus, self.alphabet, self.scale, kind=kind, limit=limit)
            for kind, limit in (("line", 120), ("word", 240))
        }
        journal = _Journal(folder / "log.jsonl", run.update)
        begun, before = time.monotonic(), run.seconds
        plateau_end = config.points * (1 - config.decay_share)
        first = run.update
        stable_saved = run.points > plateau_end
        for batch in self.batches(corpus):
            if run.points >= config.points or run.update - first == stop_after:
                break
            if not stable_saved and run.points >= plateau_end:
                self.save(folder / "stable.safetensors")
                stable_saved = True
            nats = self.update(batch)
            run.seconds = before + time.monotonic() - begun
            entry = {
                "update": run.update,
                "points": run.points,
                "seconds": round(run.seconds, 1),
                "nats": round(nats, 4),
            }
            if run.update % config.validate_every == 0:
                entry |= self.validate(checks, folder)
            journal.write(entry)
            if run.update % config.save_every == 0:
                self.save(folder / "last.safetensors")
            if progress:
                progress(run.points, config.points, nats)
        run.seconds = before + time.monotonic() - begun
        journal.write(
            {"update": run.update, "points": run.points, "seconds": round(run.seconds, 1)}
            | self.validate(checks, folder)
        )
        run.batch -= 1  # the batch at hand was drawn but not learned from
        self.save(folder / "last.safetensors")

    def validate(self, checks: dict[str, list[Batch]], folder: Path) -> dict[str, float]:
        """Nats per point of the averaged weights; keeps the best of them."""
        found = {
            f"validation_{kind}": round(mean_nats(self.averaged, batches, self.device), 4)
            for kind, batches in checks.items()
            if batches
        }
        score = sum(found.values())
        if score < self.run.best:
            self.run.best = score
            save_checkpoint(folder / "best.safetensors", self.checkpoint())
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
