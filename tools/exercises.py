"""Exercises for nbgrader: `python tools/exercises.py` makes build/exercises/{lecturer,student}/.

The sources are notebooks/exercises/NN_name.py (py:percent). A code cell headed `solution="id"` is
the reader's to write: what stands between ### BEGIN SOLUTION and ### END SOLUTION is removed from
the student's copy. The cell headed `test="id" points=2` grades it; what stands between
### BEGIN HIDDEN TESTS and ### END HIDDEN TESTS is removed too. The lecturer's copy has everything
and is what nbgrader calls a source notebook.
"""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
from chapters import read_source

from scgan_lib.paths import ROOT, UserError, atomic_write

SOURCES = sorted((ROOT / "notebooks" / "exercises").glob("[0-9]*.py"))
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")


def lecturer(source: Path) -> nbformat.NotebookNode:
    """The exercises of one chapter as an nbgrader notebook, with solutions and all tests."""
    nb = read_source(source)
    for cell in nb.cells:
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note on blank lines
        if name := cell.metadata.pop("solution", None):
            cell.metadata["nbgrader"] = _graded(cell, name, solution=True)
        elif name := cell.metadata.pop("test", None):
            points = cell.metadata.pop("points")
            cell.metadata["nbgrader"] = _graded(cell, f"{name}-test", grade=True, points=points)
    nbformat.validate(nb)
    return nb


def _graded(cell: nbformat.NotebookNode, grade_id: str, **settings) -> dict:
    """nbgrader's metadata, version 3: a test cell has points and is locked, a solution is open."""
    settings = {"grade": False, "solution": False, "task": False} | settings
    settings |= {"cell_type": cell.cell_type, "locked": not settings["solution"]}
    return settings | {"grade_id": grade_id, "schema_version": 3}


def student(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy of the lecturer's notebook without solutions and without hidden tests."""
    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        settings = cell.metadata.get("nbgrader", {})
        if settings.get("solution"):
            cell.source = _without(cell.source, "SOLUTION", STUB)
        elif settings.get("grade"):
            cell.source = _without(cell.source, "HIDDEN TESTS").rstrip()
    nbformat.validate(nb)
    return nb


def _without(text: str, what: str, instead: tuple[str, ...] = ()) -> str:
    """`text` without the lines from ### BEGIN to ### END `what`; `instead` is indented alike."""
    kept, inside = [], False
    for line in text.split("\n"):
        mark = line.strip()
        if mark in (f"### BEGIN {what}", f"### END {what}"):
            if inside == mark.startswith("### BEGIN"):
                raise UserError(f"'{mark}' without its partner in the cell:\n{text}")
            inside = not inside
            kept += [line.replace(mark, new) for new in instead if inside]
        elif not inside:
            kept.append(line)
    if inside:
        raise UserError(f"no '### END {what}' in the cell:\n{text}")
    return "\n".join(kept)


def write(folder: Path = ROOT / "build" / "exercises") -> list[Path]:
    """Write both copies of all exercises below `folder`; return the files."""
    made = []
    for source in SOURCES:
        full = lecturer(source)
        for kind, nb in (("lecturer", full), ("student", student(full))):
            made.append(folder / kind / f"{source.stem}.ipynb")
            made[-1].parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(made[-1]) as part:
                nbformat.write(nb, part)
    return made


if __name__ == "__main__":
    print(*write(), sep="\n")
