"""The chapters: stored without outputs, within their limits, and they run."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]

pytestmark = pytest.mark.book


def read(path: Path) -> Any:
    """The notebook, checked against the format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code(path: Path) -> list[str]:
    """Sources of the code cells a reader sees."""
    return [
        cell.source
        for cell in read(path).cells
        if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", [])
    ]


def prose(path: Path) -> str:
    """All text of a chapter."""
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def by_name(paths: list[Path]) -> Any:
    """Parametrise a test by notebook."""
    return pytest.mark.parametrize("path", paths, ids=lambda p: p.stem)


@by_name(NOTEBOOKS)
def test_notebook_is_stored_without_outputs(path: Path) -> None:
    """Outputs are made by the build."""
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {cell.id} has stored outputs"
            assert cell.execution_count is None


@by_name(NOTEBOOKS)
def test_notebook_starts_with_the_colab_cell(path: Path) -> None:
    """A hidden first cell installs the package where it is missing."""
    first = read(path).cells[0]
    assert first.metadata["tags"] == ["remove-cell"]
    assert "google.colab" in first.source
    assert "github.com/handtraj/handtraj" in first.source


@by_name(NOTEBOOKS)
def test_code_cells_keep_their_length(path: Path) -> None:
    """25 lines at most; half of them have 10 or fewer."""
    lengths = [len([row for row in source.splitlines() if row.strip()]) for source in code(path)]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 10


@by_name(NOTEBOOKS)
def test_notebook_runs_from_the_package_alone(path: Path) -> None:
    """No functions of its own, no files, no relative imports."""
    for source in code(path):
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "open"
    assert "../" not in prose(path)


@by_name(CHAPTERS)
def test_chapter_follows_the_template(path: Path) -> None:
    """By hand then by library, limits, summary, exercises with solutions, reading."""
    text = prose(path)
    for heading in ("What can go wrong", "Summary", "Exercises", "Further reading"):
        assert f"## {heading}\n" in text, f"no section {heading!r}"
    assert "by hand" in text.lower()
    assert "**You will learn**" in text
    assert text.count("{exercise-start}") >= 2
    assert text.count("{solution-start}") >= 2
    assert text.count("{exercise-start}") == text.count("{exercise-end}")
    assert text.count("{solution-start}") == text.count("{solution-end}")
    assert any("assert" in source for source in code(path))


@by_name(CHAPTERS)
def test_every_figure_is_read(path: Path) -> None:
    """Each named figure has a caption, and the text refers to it."""
    text = prose(path)
    figures = [
        cell.metadata["mystnb"]["figure"]
        for cell in read(path).cells
        if "figure" in cell.metadata.get("mystnb", {})
    ]
    assert 4 <= len(figures) <= 8
    for figure in figures:
        assert figure["caption"]
        assert f"{{numref}}`{figure['name']}`" in text, f"{figure['name']} is never read"


@by_name(NOTEBOOKS)
def test_no_two_code_cells_without_a_sentence(path: Path) -> None:
    """Visible code cells have text between them; the hidden set-up may stand alone."""
    previous = None
    for cell in read(path).cells:
        tags = cell.metadata.get("tags", [])
        kind = cell.cell_type
        if kind == "code" and {"remove-cell", "hide-input"} & set(tags):
            kind = "hidden"
        assert (previous, kind) != ("code", "code"), f"cell {cell.id} follows code"
        previous = kind


def test_contents_name_every_notebook() -> None:
    """`_toc.yml` holds all pages of the book and no other."""
    listed = re.findall(r"book/(\w+)", (ROOT / "_toc.yml").read_text())
    pages = {path.stem for path in BOOK.iterdir() if path.suffix in {".ipynb", ".md"}}
    assert sorted(listed) == sorted(pages)


@by_name(NOTEBOOKS)
def test_notebook_executes(path: Path, tmp_path: Path) -> None:
    """A fresh kernel runs every cell, in an empty folder."""
    nbclient = pytest.importorskip("nbclient")
    client = nbclient.NotebookClient(
        read(path), timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    assert not list(tmp_path.iterdir()), "a chapter left files behind"
