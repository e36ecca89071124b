"""Imports go one way, and the tables of the paper point at things that exist."""

import ast
import dataclasses
import importlib
from collections.abc import Iterable
from graphlib import TopologicalSorter

import pytest

from scgan_lib import paper
from scgan_lib.config import Profile
from scgan_lib.paths import ROOT

LIBRARY = ROOT / "scgan_lib"
LAYERS = [
    {"__init__", "paths", "paper", "config", "progress"},
    {"pictures", "tiny", "data", "saliency", "fast", "layers", "losses", "metrics"}
    | {"statistics", "vgg"},
    {"networks", "pretrained", "authors"},
    {"page", "colorize", "loop", "training", "stage0", "evaluation"},
    {"ablations", "batch", "export"},
    {"cli"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# These stand beside the order: what each may import of the library, and no more.
BESIDE = {
    # Tables and figures read files and arrays; the bootstrap and the CCI range are arithmetic.
    "tables": {"paths", "metrics", "statistics"},
    "viz": {"paths"},
    "widgets": {"paths", "viz"},
}
MODULES = {path.stem: ast.parse(path.read_text()) for path in sorted(LIBRARY.glob("*.py"))}


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """Full names of what the import statements among `nodes` bring."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            if node.module == "scgan_lib":
                names |= {f"scgan_lib.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    return names


def own(names: set[str]) -> set[str]:
    return {n.split(".")[1] for n in names if n.startswith("scgan_lib.")} & MODULES.keys()


def test_every_module_has_its_place():
    assert MODULES.keys() <= RANK.keys() | BESIDE.keys()


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_upwards(name):
    names = imported(ast.walk(MODULES[name]))
    used = own(names)
    if name in BESIDE:
        assert used <= BESIDE[name]
    elif name != "cli":  # the front door may use everything
        assert not {m for m in used if RANK.get(m, len(LAYERS)) > RANK[name]}
    packages = {n.split(".")[0] for n in names}
    assert not {"ipywidgets", "anywidget"} & packages or name == "widgets"
    assert not {"notebooks", "tests"} & packages


def test_no_circle_among_the_imports_at_the_top():
    graph = {name: own(imported(tree.body)) for name, tree in MODULES.items()}
    TopologicalSorter(graph).prepare()  # CycleError names a circle


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
