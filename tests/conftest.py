"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from handtraj.native import CompilerError, compiled_layers
from handtraj.sources.line import Line
from handtraj.sources.unipen import Report, read_lines
from handtraj.sources.unpack import unpack

ARCHIVE = "train_r01_v07-subset.tar.xz"


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded source of random numbers."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def compiled() -> None:
    """The compiled layers and step, or a skip with the reason."""
    try:
        compiled_layers()
    except CompilerError as error:
        pytest.skip(f"nothing compiled: {error}")


@pytest.fixture(scope="session")
def unipen_archive() -> Path:
    """The archive of the UNIPEN release; skips where this machine has none."""
    folders = [os.environ.get("HANDTRAJ_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for folder in folders:
        if folder and (Path(folder) / ARCHIVE).is_file():
            return Path(folder) / ARCHIVE
    pytest.skip(f"no {ARCHIVE}: set HANDTRAJ_DATA to the folder that holds it")


@pytest.fixture(scope="session")
def unipen_folder(unipen_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release, unpacked once for all tests."""
    return unpack(unipen_archive, tmp_path_factory.mktemp("release") / "unipen")


@pytest.fixture(scope="session")
def unipen_lines(unipen_folder: Path) -> tuple[list[Line], Report]:
    """Every line of the release, read once for all tests."""
    return read_lines(unipen_folder)
