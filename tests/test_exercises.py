"""The exercises: solutions pass their tests, empty cells do not."""

import exercises
import nbformat
import pytest

from scgan_lib.paths import ROOT

LECTURER = {source.stem: exercises.lecturer(source) for source in exercises.SOURCES}
STUDENT = {name: exercises.student(nb) for name, nb in LECTURER.items()}


def code(nb) -> list[tuple[str, str]]:
    """(grade_id or "", source) of the code cells, in order."""
    cells = [c for c in nb.cells if c.cell_type == "code"]
    return [(c.metadata.get("nbgrader", {}).get("grade_id", ""), c.source) for c in cells]


def run(cells) -> None:
    """Execute cells in one namespace."""
    names = {}
    for grade_id, source in cells:
        exec(compile(source, grade_id or "setup", "exec"), names)


def solutions(nb) -> list[str]:
    return [c.metadata.nbgrader.grade_id for c in nb.cells if "nbgrader" in c.metadata][::2]


ALL = [(name, one) for name, nb in LECTURER.items() for one in solutions(nb)]


def test_each_chapter_from_1_to_6_has_exercises_and_links_them():
    assert [name[:2] for name in LECTURER] == ["01", "02", "03", "04", "05", "06"]
    for name in LECTURER:
        chapter = (ROOT / "notebooks" / f"{name}.py").read_text()
        assert f"(exercises/{name}.py)" in chapter
        assert len(solutions(LECTURER[name])) >= 2
    assert len(ALL) == len({one for _, one in ALL}) == 20


@pytest.mark.parametrize("name", LECTURER)
def test_solutions_pass_all_tests_and_the_visible_ones(name):
    run(code(LECTURER[name]))
    visible = dict(code(STUDENT[name]))
    run([(i, visible[i] if i.endswith("-test") else x) for i, x in code(LECTURER[name])])


@pytest.mark.parametrize(("name", "one"), ALL, ids=[one for _, one in ALL])
def test_an_empty_exercise_fails(name, one):
    chosen = ("", one, f"{one}-test")
    with pytest.raises(NotImplementedError):
        run([cell for cell in code(STUDENT[name]) if cell[0] in chosen])


def test_files_are_written_and_nothing_is_given_away(tmp_path):
    made = exercises.write(tmp_path)
    assert {path.parent.name for path in made} == {"lecturer", "student"}
    for path in made:
        student = path.parent.name == "student"
        expected = (STUDENT if student else LECTURER)[path.stem]
        assert code(nbformat.read(path, 4)) == code(expected)
        assert ("SOLUTION" in path.read_text()) != student
        assert not (student and "HIDDEN" in path.read_text())
