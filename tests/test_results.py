"""Results: what is written is read back, with where it came from."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from handtraj import results
from handtraj.results import load_result, provenance, result_names, save_result

ABOUT = {"command": "python experiments/one.py", "seed": 3, "weights": "0123456789ab"}
ROOT = Path(__file__).parents[1]


def test_a_path_takes_data_and_provenance(tmp_path: Path) -> None:
    """Arrays become lists, numbers keep six digits, nothing else lies beside the file."""
    data = {"mean": np.float32(1 / 3), "rows": np.arange(3), "name": "a", "none": None}
    path = save_result(tmp_path / "one.json", data, **ABOUT, seconds=1.26)
    found = json.loads(path.read_text())
    about = found.pop("about")
    assert found == {"mean": 0.333333, "rows": [0, 1, 2], "name": "a", "none": None}
    assert {key: about[key] for key in ABOUT} == ABOUT
    assert about["seconds"] == 1.3
    assert about["packages"]["numpy"] == metadata.version("numpy")
    assert [p.name for p in tmp_path.iterdir()] == ["one.json"]


def test_a_name_goes_where_load_result_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's folder is made where it is missing; errors list what is there."""
    monkeypatch.setattr(results.resources, "files", lambda package: tmp_path / package)
    assert result_names() == []
    with pytest.raises(ValueError, match="no result 'two'; there are: none"):
        load_result("two")
    (tmp_path / "handtraj" / "assets").mkdir(parents=True)
    path = save_result("two", {"value": 2}, **ABOUT)
    assert path == tmp_path / "handtraj" / "assets" / "results" / "two.json"
    assert load_result("two")["value"] == 2
    assert result_names() == ["two"]
    with pytest.raises(ValueError, match=r"no result '\.\./two'; there are: two"):
        load_result("../two")


def test_commit_is_that_of_git() -> None:
    """The hash that git gives, with a mark where files were changed."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a repository")
    run = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    commit = provenance(**ABOUT)["commit"]
    assert commit.removesuffix("+changes") == run.stdout.strip()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"about": 1}, 'key "about" is kept'),
        ({"a": {"b": [1.0, float("nan")]}}, r"data\.a\.b\[1\] is nan"),
        ({"a": {1, 2}}, r"data\.a is a set"),
    ],
)
def test_data_that_json_cannot_hold_is_refused(tmp_path: Path, data: dict, message: str) -> None:
    """Nothing is left behind."""
    with pytest.raises(ValueError, match=message):
        save_result(tmp_path / "one.json", data, **ABOUT)
    assert not list(tmp_path.iterdir())


def test_names_are_simple() -> None:
    """No capitals, no blanks."""
    with pytest.raises(ValueError, match="got 'My result'"):
        save_result("My result", {}, **ABOUT)


@pytest.mark.parametrize("name", result_names())
def test_shipped_results_say_where_they_come_from(name: str) -> None:
    """A command, a commit, a date; small files."""
    about = load_result(name)["about"]
    assert about["command"]
    assert len(about["commit"].removesuffix("+changes")) == 40
    assert len(about["date"]) == 10
    assert isinstance(about["seed"], int)
    size = (ROOT / "handtraj" / "assets" / "results" / f"{name}.json").stat().st_size
    assert size < 300_000
