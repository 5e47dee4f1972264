"""Two processes train as one does, and survive the loss of one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from helpers import small_corpus
from test_training import FAST, SIZE, rows

from handtraj.alphabet import Alphabet
from handtraj.batches import Sampler
from handtraj.checkpoint import read_tensors
from handtraj.corpus import save_corpus
from handtraj.distributed import Team, _fresh_store, join_team, restarted
from handtraj.trainer import Trainer
from handtraj.training import train

SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_training import FAST, SIZE
from handtraj.corpus import load_corpus
from handtraj.training import train
run = Path(sys.argv[2])
(run.parent / f"rank{os.environ['RANK']}").write_text(str(os.getpid()))
train(load_corpus(sys.argv[1]), run, config=FAST, network=SIZE)
"""


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    """The waves, on disk."""
    path = tmp_path_factory.mktemp("corpus") / "waves.npz"
    save_corpus(small_corpus(), path)
    return path


def start(corpus_file, folder, restarts=0):
    """Train FAST in `folder`/run with two ranks."""
    (folder / "job.py").write_text(SCRIPT)
    command = [
        sys.executable,
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("--max-restarts", str(restarts), "--monitor-interval", "0.2"),
        *(str(folder / "job.py"), str(corpus_file), str(folder / "run")),
        os.path.dirname(__file__),
    ]
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=errors,
            stdout=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def alone(tmp_path_factory, corpus_file):
    """The same run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    train(small_corpus(), folder / "run", config=FAST, network=SIZE)
    return folder / "run"


def assert_same_run(expected: Path, found: Path) -> None:
    """The same losses to 1e-4 at every update, the same validations, near weights."""
    one, two = rows(expected), rows(found)
    learned = {row["update"]: row["nats"] for row in one if "nats" in row}
    shared = {row["update"]: row["nats"] for row in two if "nats" in row}
    assert learned.keys() == shared.keys()
    # The log keeps four decimals: one unit of rounding on either side.
    assert max(abs(learned[k] - shared[k]) for k in learned) <= 2e-4
    assert one[-1]["validation_line"] == pytest.approx(two[-1]["validation_line"], abs=2e-4)
    a, b = (read_tensors(run / "last.safetensors")[0] for run in (expected, found))
    weights = [k for k in a if k.startswith("w.")]
    assert max(float((a[k] - b[k]).abs().max()) for k in weights) < 1e-3


def test_two_ranks_follow_the_curve_of_one(alone, corpus_file, tmp_path):
    """Same global batch, same losses, one log, one checkpoint."""
    process = start(corpus_file, tmp_path)
    assert process.wait(timeout=240) == 0, (tmp_path / "errors").read_text()
    assert_same_run(alone, tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "best.safetensors",
        "last.safetensors",
        "log.jsonl",
        "stable.safetensors",
    ]
    legs = read_tensors(tmp_path / "run" / "last.safetensors")[1]["run"]["legs"]
    assert [leg["ranks"] for leg in legs] == [2]


def test_killed_rank_is_started_anew_and_the_run_ends_the_same(alone, corpus_file, tmp_path):
    """SIGKILL to one rank: all begin again from the last checkpoint, by themselves."""
    process = start(corpus_file, tmp_path, restarts=2)
    last = tmp_path / "run" / "last.safetensors"
    deadline = time.monotonic() + 200
    while not last.exists():
        assert process.poll() is None, (tmp_path / "errors").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(int((tmp_path / "rank1").read_text()), signal.SIGKILL)
    assert process.wait(timeout=240) == 0, (tmp_path / "errors").read_text()
    legs = read_tensors(last)[1]["run"]["legs"]
    assert len(legs) >= 2
    assert legs[1]["update"] > 0
    assert_same_run(alone, tmp_path / "run")


def test_store_of_an_earlier_attempt_leads_nobody_astray():
    """Addresses left behind by processes that are gone are not found."""
    store = dist.HashStore()
    found = {}

    def attempt(number):
        def join(rank):
            mine = _fresh_store(store, rank, 3)
            if rank == 0:
                mine.set("address", f"attempt {number}")
            found[number, rank] = mine.get("address").decode()

        ranks = [threading.Thread(target=join, args=(rank,)) for rank in (2, 1, 0)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join(timeout=20)

    # Two ranks said hello and were lost before the first attempt.
    store.set("hello/1", "lost")
    store.set("hello/2", "lost too")
    attempt(1)
    attempt(2)
    assert found == {(n, rank): f"attempt {n}" for n in (1, 2) for rank in range(3)}


def test_every_rank_draws_its_part_and_knows_the_whole():
    """Masks of all ranks add up to the points each of them divides by; none is empty."""
    corpus = small_corpus()
    few = replace(FAST.sampling, points=60)
    ranks = [
        list(Sampler(corpus, Alphabet(), 0.4, few, seed=1, rank=r, world=3).round(0))
        for r in range(3)
    ]
    for parts in zip(*ranks, strict=True):
        assert len({part.points for part in parts}) == 1
        assert sum(part.mask[1:].sum() for part in parts) == parts[0].points
        assert all(part.x.shape[1] >= 1 for part in parts)


def test_weight_noise_is_taken_off_again():
    """After an update without a learning rate the weights are the clean ones."""
    corpus = small_corpus()
    config = replace(FAST, weight_noise=0.1, rate=1e-30, weight_decay=0.0)
    team = Team(torch.device("cpu"))
    noisy = Trainer.fresh(config, SIZE, None, None, corpus, team)
    clean = Trainer.fresh(replace(config, weight_noise=0.0), SIZE, None, None, corpus, team)
    before = {k: v.clone() for k, v in noisy.network.state_dict().items()}
    batch = next(noisy.batches(corpus))
    # Noise of a tenth on every matrix must show in the loss.
    assert abs(noisy.update(batch) - clean.update(batch)) > 1e-3
    after = noisy.network.state_dict()
    assert max(float((before[k] - after[k]).abs().max()) for k in before) < 1e-20


def test_changed_settings_make_a_new_leg(tmp_path):
    """A resume with other settings keeps the rest and says so in its legs."""
    corpus = small_corpus()
    train(corpus, tmp_path / "run", config=FAST, network=SIZE, stop_after=3)
    changes = {"points": 9000, "sampling": {"augmentation": {"slant": 0.1}}}
    train(corpus, tmp_path / "run", resume=True, changes=changes)
    about = read_tensors(tmp_path / "run" / "last.safetensors")[1]
    assert about["train"]["points"] == 9000
    assert about["train"]["sampling"]["augmentation"]["slant"] == 0.1
    assert about["train"]["sampling"]["longest"] == FAST.sampling.longest
    assert [(leg["update"], leg["last_update"]) for leg in about["run"]["legs"]] == [
        (0, 3),
        (3, about["run"]["update"]),
    ]


def test_a_team_of_one_needs_no_torchrun(monkeypatch):
    """Sums and choices are one's own."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    with join_team("cpu") as team:
        assert team.leads
        assert team.total(1.5, 2.0) == [1.5, 2.0]
        assert int(team.choose(torch.tensor(3))) == 3
    assert restarted()


def test_command_of_the_documentation_trains_with_two_ranks(corpus_file, tmp_path):
    """`torchrun -m handtraj train`, as printed."""
    command = [
        str(Path(sys.executable).with_name("torchrun")),
        *("--standalone", "--nproc-per-node", "2", "-m", "handtraj", "train"),
        *(str(corpus_file), "-o", str(tmp_path / "run"), "--points", "2000", "--units", "8"),
        *("--batch-points", "400", "--longest", "80", "--slant", "0.1", "--wander", "0.02"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    log = [json.loads(r) for r in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[0]["ranks"] == 2
    assert np.isfinite([row["nats"] for row in log if "nats" in row]).all()
