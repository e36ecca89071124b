"""The paper's tables point at things that exist."""

import ast
import dataclasses
import importlib

import pytest

from scgan_lib import paper
from scgan_lib.config import Profile
from scgan_lib.paths import ROOT


def functions(path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_equations_name_public_functions_and_have_a_test_by_hand():
    assert [*paper.EQUATIONS] == [1, 2, 3, 4, 5, 6]
    names = " ".join(functions(ROOT / "tests" / "test_losses.py"))
    for number, equation in paper.EQUATIONS.items():
        assert equation.title and equation.latex and equation.functions
        for path in equation.functions:
            module, _, name = path.rpartition(".")
            assert callable(getattr(importlib.import_module(module), name))
        assert f"test_eq{number}_" in names


@pytest.mark.parametrize("row", paper.DEVIATIONS, ids=lambda row: row.id)
def test_every_deviation_names_a_test_and_a_real_switch(row):
    file, _, name = row.test.partition("::")
    assert name in functions(ROOT / file), row.test
    fields = {f.name for f in dataclasses.fields(Profile)}
    if row.switch and not row.switch.startswith("value_range"):
        assert set(row.switch.split(", ")) <= fields
    assert row.topic and row.released and row.ours
    assert row.chapter in {p.name[:2] for p in (ROOT / "notebooks").glob("*.py")}
