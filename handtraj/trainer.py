"""What training carries from one update to the next, and one update."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from handtraj.alphabet import Alphabet
from handtraj.batches import Batch, Sampler, SamplingConfig
from handtraj.checkpoint import Checkpoint, CheckpointError, read_tensors, write_tensors
from handtraj.corpus import Corpus
from handtraj.distributed import Team
from handtraj.loss import batch_loss, corpus_scale
from handtraj.network import Network, NetworkConfig

__all__ = ["TrainConfig", "Trainer", "TrainingError", "learning_rate"]


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which update and why."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    The learning rate warms up over `warmup` updates, stays, and falls to a
    twentieth over the last `decay_share` of `points`.  Everything that is
    looked at uses averaged weights (exponential, factor `average`).
    `weight_noise` is the standard deviation of Gaussian noise on every weight
    matrix, drawn anew for every update (Graves 2013, section 2.2, static);
    `dropout` is the share of each layer's outputs that is hidden from those
    above (:attr:`handtraj.network.Network.dropout`).
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
    weight_noise: float = 0.0
    dropout: float = 0.0
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        for name in ("points", "rate", "clip", "validate_every", "save_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")
        for name in ("decay_share", "words_first", "average", "weight_noise", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `dataclasses.asdict`, from JSON."""
        sampling = SamplingConfig.from_dict(values["sampling"])
        return cls(**{**values, "betas": tuple(values["betas"]), "sampling": sampling})

    def changed(self, changes: Mapping[str, Any]) -> TrainConfig:
        """With some fields replaced; those of `sampling` may be given as a nested mapping."""
        return TrainConfig.from_dict(_merged(asdict(self), changes))


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The old mapping with the new one's values, at every depth."""
    out = dict(old)
    for name, value in new.items():
        nested = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = _merged(out[name], value) if nested else value
    return out


@dataclass
class Progress:
    """What changes while training; with the weights, all that a resume needs.

    `legs` lists what the run was made of: command, machine, ranks, first and
    last update of every stretch without a stop.
    """

    update: int = 0
    points: int = 0
    round: int = 0
    batch: int = 0
    best: float = math.inf
    seconds: float = 0.0
    legs: list[dict[str, Any]] = field(default_factory=list)


def learning_rate(config: TrainConfig, update: int, points: int) -> float:
    """The rate of the next update: warm-up, plateau, then down along 1 - sqrt."""
    rate = config.rate * min(1.0, (update + 1) / max(1, config.warmup))
    start = config.points * (1 - config.decay_share)
    if points > start and config.decay_share > 0:
        gone = min(1.0, (points - start) / (config.points - start))
        rate *= 1 - 0.95 * math.sqrt(gone)
    return rate


class Trainer:
    """Network, averaged network, optimiser and counters of one run.

    Parameters
    ----------
    config : TrainConfig
    network : Network
    alphabet : Alphabet
    scale : float
        x-heights per standardised unit.
    team : Team
        The processes that share every batch.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        alphabet: Alphabet,
        scale: float,
        team: Team,
    ) -> None:
        self.config, self.alphabet, self.scale, self.team = config, alphabet, scale, team
        self.network = network.to(team.device).train()
        self.network.dropout = config.dropout
        self.model = team.wrap(self.network)
        self.averaged = Network(network.config).to(team.device)
        self.averaged.load_state_dict(network.state_dict())
        self.averaged.requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=config.rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.run = Progress()
        self.provenance: dict[str, Any] = {}

    @classmethod
    def fresh(
        cls,
        config: TrainConfig,
        size: NetworkConfig | None,
        start_from: Checkpoint | None,
        alphabet: Alphabet | None,
        corpus: Corpus,
        team: Team,
    ) -> Trainer:
        """A run at its beginning: new weights, or those of `start_from`."""
        if start_from is not None:
            trainer = cls(
                config, start_from.network.train(), start_from.alphabet, start_from.scale, team
            )
            trainer.provenance = dict(start_from.provenance)
            return trainer
        alphabet = alphabet or Alphabet()
        size = replace(size or NetworkConfig(), symbols=len(alphabet))
        generator = torch.Generator().manual_seed(config.seed)
        return cls(config, Network(size, generator=generator), alphabet, corpus_scale(corpus), team)

    @classmethod
    def resume(cls, path: Path, changes: Mapping[str, Any], team: Team) -> Trainer:
        """A run where it stopped, with some settings changed."""
        tensors, about = read_tensors(path)
        if about.get("kind") != "training":
            raise CheckpointError(f"{path} is not a training state; it cannot be resumed")
        network = Network(NetworkConfig(**about["network"]))
        config = TrainConfig.from_dict(about["train"])
        changed = config.changed(changes)
        trainer = cls(changed, network, Alphabet(about["symbols"]), about["scale"], team)
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
        trainer.run = Progress(**about["run"])
        trainer.provenance = about["provenance"]
        if changed.sampling != config.sampling and trainer.run.batch:
            # The rest of a round begun under other settings would not fit.
            trainer.run.round, trainer.run.batch = trainer.run.round + 1, 0
        return trainer

    def save(self, path: Path) -> None:
        """Write all that a resume needs; only the leader does."""
        if not self.team.leads:
            return
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
        """The averaged weights, with where they come from."""
        return Checkpoint(
            self.averaged,
            self.alphabet,
            self.scale,
            {
                **self.provenance,
                "updates": self.run.update,
                "points": self.run.points,
                "validation_line_plus_word": self.run.best,
                "train": asdict(self.config),
                "legs": self.run.legs,
            },
        )

    def batches(self, corpus: Corpus) -> Iterator[Batch]:
        """From where the run stands, without end."""
        config = self.config
        sampler = Sampler(
            corpus,
            self.alphabet,
            self.scale,
            config.sampling,
            seed=config.seed,
            rank=self.team.rank,
            world=self.team.world,
        )
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
        # Every rank hides others: its lines are others too.
        self.network.hiding = torch.Generator().manual_seed(
            (config.seed * 1_000_003 + run.update) * 1_009 + self.team.rank
        )
        with self._noise():
            total, _ = batch_loss(self.model, batch, self.team.device)
            # Gradients are averaged over the ranks: scaled so, they are those
            # of the mean over the points of the whole batch.
            loss = total * (self.team.world / batch.points)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
        nats = self.team.total(float(total.detach()))[0] / batch.points
        if not math.isfinite(nats):
            raise TrainingError(
                f"loss is {nats} at update {run.update}, corpus lines {batch.lines}"
            )
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
        run.points += batch.points
        return nats

    @contextmanager
    def _noise(self) -> Iterator[None]:
        """Noisy weight matrices inside, the same in every rank; clean ones after."""
        if not self.config.weight_noise:
            yield
            return
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.run.update)
        matrices = [p for p in self.network.parameters() if p.dim() > 1]
        clean = [p.detach().clone() for p in matrices]
        with torch.no_grad():
            for p in matrices:
                noise = torch.randn(p.shape, generator=generator).to(p.device)
                p.add_(noise, alpha=self.config.weight_noise)
        try:
            yield
        finally:
            with torch.no_grad():
                for p, value in zip(matrices, clean, strict=True):
                    p.copy_(value)
