"""The command line as a user runs it: real processes, real files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import small_checkpoint, small_corpus, wave

from handtraj.checkpoint import save_checkpoint
from handtraj.corpus import load_corpus, save_corpus


def run(*words, **environment):
    """Run `handtraj` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "handtraj", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **{k: str(v) for k, v in environment.items()}},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small weights and a small corpus."""
    folder = tmp_path_factory.mktemp("cli")
    save_checkpoint(folder / "w.safetensors", small_checkpoint())
    save_corpus(small_corpus(), folder / "waves.npz")
    (folder / "ink.json").write_text(wave(60).scaled(20).to_json("wave sea"))
    return folder


def refused(result, *parts):
    """Exit 2, one line on stderr, and the line says why."""
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


def test_help_names_every_command():
    """`handtraj --help` lists the commands."""
    result = run("--help")
    assert result.returncode == 0
    for command in ("write", "styles", "trajectories", "data", "train", "evaluate"):
        assert command in result.stdout


def test_write_makes_the_same_file_for_the_same_seed(folder, tmp_path):
    """Seeds decide."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        result = run(
            "write",
            "sea",
            "--weights",
            folder / "w.safetensors",
            "--seed",
            seed,
            "-o",
            tmp_path / f"{name}.svg",
        )
        assert result.returncode == 0, result.stderr
    a, b, c = ((tmp_path / f"{n}.svg").read_text() for n in "abc")
    assert a == b
    assert a != c


def test_write_breaks_long_text_into_lines(folder, tmp_path):
    """--lines wraps at words; the table tells the lines apart."""
    result = run(
        "write",
        "one two three four",
        "--lines",
        "--width",
        9,
        "--weights",
        folder / "w.safetensors",
        "-o",
        tmp_path / "out.npz",
    )
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "out.npz") as table:
        assert [d["text"] for d in json.loads(str(table["about"]))] == ["one two", "three", "four"]
        assert "h" in table


def test_bad_text_ends_with_one_line(folder, tmp_path):
    """Empty text, foreign symbols, 10,000 characters: exit 2, no file."""
    weights = ("--weights", folder / "w.safetensors", "-o", tmp_path / "out.svg")
    refused(run("write", "", *weights), "empty")
    refused(run("write", "café", *weights), "'é'", "allowed")
    refused(run("write", "x" * 10_000, *weights), "10000 characters")
    refused(run("write", "word " * 2_000, "--lines", *weights), "lines")
    refused(run("write", "sea", "--bias", "-1", *weights), "bias")
    refused(run("write", "sea", "--style", "nobody", *weights), "nobody")
    assert list(tmp_path.iterdir()) == []


def test_bad_files_end_with_one_line(folder, tmp_path):
    """A checkpoint cut short, a corpus that is none, an ink that is none."""
    whole = (folder / "w.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "no.json").write_text("[1, 2")
    out = tmp_path / "out.svg"
    refused(run("write", "sea", "--weights", tmp_path / "cut.safetensors", "-o", out), "cut short")
    refused(
        run(
            "write",
            "sea",
            "--prime",
            tmp_path / "no.json",
            "-o",
            out,
            "--weights",
            folder / "w.safetensors",
        ),
        "JSON",
    )
    refused(run("train", tmp_path / "no.json", "-o", tmp_path / "run"), "not a corpus")
    refused(run("write", "sea", "-o", tmp_path / "out.gif"), ".svg")
    assert not out.exists()
    assert not (tmp_path / "run").exists()


def test_bad_archives_end_with_one_line(tmp_path):
    """Truncated, no archive, no release: exit 2 and no corpus."""
    (tmp_path / "cut.tar.xz").write_bytes(b"\xfd7zXZ\0 and no more")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "c.npz"
    for name in ("cut.tar.xz", "empty", "missing.tar.xz"):
        refused(run("data", "unipen", "--archive", tmp_path / name, "-o", out))
    assert not out.exists()


def test_training_runs_and_resumes(folder, tmp_path):
    """A short run, then on from where it stopped; the weights can write."""
    common = ("train", folder / "waves.npz", "-o", tmp_path / "run")
    first = run(*common, "--points", 4000, "--units", 8, "--batch-points", 400, "--stop-after", 3)
    assert first.returncode == 0, first.stderr
    refused(run(*common), "already holds a run")
    second = run(*common, "--resume")
    assert second.returncode == 0, second.stderr
    rows = [json.loads(r) for r in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["points"] >= 4000
    out = tmp_path / "out.json"
    result = run("write", "sea", "--weights", tmp_path / "run" / "best.safetensors", "-o", out)
    assert result.returncode == 0, result.stderr
    assert json.loads(out.read_text())["text"] == "sea"


def test_resume_takes_new_settings_but_no_other_network(folder, tmp_path):
    """A later end and an augmentation are taken; a size or other weights are not."""
    common = ("train", folder / "waves.npz", "-o", tmp_path / "run")
    small = ("--units", "8", "--batch-points", "400", "--longest", "80")
    assert run(*common, *small, "--points", "2000", "--stop-after", "2").returncode == 0
    refused(run(*common, "--resume", "--units", "9"), "keeps its network")
    refused(run(*common, "--resume", "--slant", "3"), "slant must be in [0, 1]")
    refused(run(*common, "--resume", "--precision", "half"), "auto, float32, bfloat16")
    more = run(*common, "--resume", "--points", "3000", "--slant", "0.1", "--decay", "0.2")
    assert more.returncode == 0, more.stderr
    rows = [json.loads(r) for r in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["points"] >= 3000
    assert [row["leg"] for row in rows if "leg" in row] == [1, 2]


def test_evaluate_refuses_what_it_cannot_measure(folder, tmp_path):
    """Missing weights, no corpus, and a corpus whose texts are all known."""
    out = tmp_path / "report.json"
    refused(run("evaluate", tmp_path / "no", folder / "waves.npz", "-o", out), "does not exist")
    refused(run("evaluate", "shipped", tmp_path / "no.npz", "-o", out), "does not exist")
    assert not out.exists()


def test_data_command_reads_a_release(unipen_archive, tmp_path):
    """The archive in, a corpus and a report out."""
    out, report = tmp_path / "c.npz", tmp_path / "r.json"
    result = run("data", "unipen", "--archive", unipen_archive, "-o", out, "--report", report)
    assert result.returncode == 0, result.stderr
    corpus = load_corpus(out)
    assert out.stat().st_size < 30e6
    assert len(corpus) > 40_000
    assert sum(row["lines"] for row in json.loads(report.read_text())["sources"]) == len(corpus)


def test_style_of_ones_own_is_added_listed_and_written_with(tmp_path):
    """The shipped network's own line as JSON comes back as a style."""
    own = tmp_path / "own"
    text = "waves come and go by night"
    made = run("write", text, "--style", "hand01", "--bias", 1, "-o", tmp_path / "ink.json")
    assert made.returncode == 0, made.stderr
    ink = ("--ink", tmp_path / "ink.json")
    added = run("style", "add", "mine", *ink, HANDTRAJ_STYLES=own)
    assert added.returncode == 0, added.stderr
    assert [p.name for p in own.iterdir()] == ["mine.safetensors"]
    assert "own ink, ink.json" in run("styles", HANDTRAJ_STYLES=own).stdout
    out = tmp_path / "out.svg"
    written = run("write", "sea", "--style", "mine", "-o", out, HANDTRAJ_STYLES=own)
    assert written.returncode == 0, written.stderr
    assert out.read_text().startswith("<svg")
    refused(run("style", "add", "hand01", *ink, HANDTRAJ_STYLES=own), "shipped style")
    refused(run("style", "add", "no name", *ink, HANDTRAJ_STYLES=own), "style name")
    far = run("style", "add", "far", *ink, "--text", f"{text} {text}", HANDTRAJ_STYLES=own)
    refused(far, "the text does not fit the ink")
    short = run("style", "add", "far", *ink, "--text", "s", HANDTRAJ_STYLES=tmp_path / "other")
    assert "points per character, training lines have" in short.stderr
    assert [p.name for p in own.iterdir()] == ["mine.safetensors"]


def test_trajectories_are_kept_with_their_labels(tmp_path):
    """Two texts in one style, with the shipped weights, one layer."""
    words = ("trajectories", "sea", "reef", "--style", "hand01", "--layer", "c2")
    result = run(*words, "-o", tmp_path / "t.npz")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2 writings, ")
    with np.load(tmp_path / "t.npz") as data:
        assert data["state.c2"].shape == (len(data["table.step"]), 400)
        assert set(data["table.style"]) == {"hand01"}
    refused(run(*words[:-1], "c7", "-o", tmp_path / "u.npz"), "layers must be some of")
    refused(run(*words, "-o", tmp_path / "u.txt"), "kept as .npz")
    assert not (tmp_path / "u.npz").exists()


def test_training_of_one_writer_keeps_moments(folder, tmp_path):
    """Snapshots evenly in log points; a writer who does not exist is refused."""
    common = ("--units", "8", "--points", "6000", "--batch-points", "300", "--device", "cpu")
    out = tmp_path / "run"
    words = ("train", folder / "waves.npz", "-o", out, *common)
    result = run(*words, "--writer", "sea001", "--snapshots", "3")
    assert result.returncode == 0, result.stderr
    kept = sorted(out.glob("at-*.safetensors"))
    points = [int(path.stem[3:]) for path in kept]
    assert len(kept) == 3
    for found, wanted in zip(points, (12, 268, 6000), strict=True):
        assert wanted <= found < wanted + 400
    refused(run(*words[:3], tmp_path / "no", *common, "--writer", "nobody"), "there are: sea0")
