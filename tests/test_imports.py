"""Imports go one way: data flows from pictures to tables, and nothing reads backwards."""

import ast
from collections.abc import Iterable
from graphlib import TopologicalSorter

import pytest

from scgan_lib.paths import ROOT

LIBRARY = ROOT / "scgan_lib"
LAYERS = [
    {"__init__", "paths", "paper", "config", "progress"},
    {"pictures", "tiny", "data", "saliency", "fast", "layers", "losses", "metrics"},
    {"statistics", "vgg"},
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
