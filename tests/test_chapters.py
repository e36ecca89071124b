"""The headless runner on a chapter of a few cells."""

import subprocess
import sys

import chapters
import nbformat
import pytest

from scgan_lib.paths import ROOT, UserError
from scgan_lib.progress import MARK, progress

CHAPTER = """\
# %% [markdown]
# # A chapter
# with $x^2$

# %% tags=["parameters"]
profile = "mini"
seed = 0
flag = True

# %%
import os
import warnings

import ipywidgets
import matplotlib.pyplot as plt

from scgan_lib.progress import progress

print(profile, seed, flag is False, os.getcwd())
warnings.warn("careful", stacklevel=1)
for _ in progress(range(3), desc="train", every=0, delay=0):
    pass
object()

# %%
out = ipywidgets.Output()
with out:
    plt.imshow([[1, 2]])
    plt.show()
out

# %%
if seed == 5:
    raise ValueError("no fives")
if seed == 7:
    import time

    time.sleep(300)
"""


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    source = tmp_path / "01_dummy.py"
    source.write_text(CHAPTER)
    return source


def test_run_parameters_outputs_and_time(chapter, tmp_path):
    target = tmp_path / "out" / "01_dummy.ipynb"
    words = [sys.executable, "tools/chapters.py", "run", chapter, target]
    words += ["-p", "profile", "smoke", "-p", "flag", "false", "-p", "seed", "0"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=240)
    shown, log = done.stdout, done.stderr
    assert done.returncode == 0, log
    nb = nbformat.read(target, 4)
    nbformat.validate(nb)
    injected = '# Parameters\nprofile = "smoke"\nflag = False'  # a default is left alone
    assert nb.cells[2].source.strip() == injected
    first, warning, thing = nb.cells[3].outputs
    assert first.text == "smoke 0 True .\n" and first.text[:12] in shown
    assert MARK + "train: 3/3" in log and MARK not in warning.text
    assert "UserWarning: careful" in warning.text and "ipykernel_" not in warning.text
    assert thing.data["text/plain"] == "<object>"
    (picture,) = [o for o in nb.cells[4].outputs if "image/png" in o.get("data", {})]
    assert chapters.VIEW not in picture.data
    assert str(ROOT) not in target.read_text()
    assert not list(target.parent.glob("*.failed.ipynb"))
    assert 0 < chapters.durations(target.parent)["01_dummy"] < 200


def test_pair_copies_what_agrees_and_names_what_differs(chapter, tmp_path):
    made = tmp_path / "results" / "mini" / "notebooks" / "01_dummy.ipynb"
    assert "01_dummy.ipynb: missing" in chapters.pair("mini", folder=tmp_path)[0]
    made.parent.mkdir(parents=True)
    nbformat.write(chapters.read_source(chapter), made)
    assert "missing" in chapters.pair("mini", check=True, folder=tmp_path)[0]
    assert chapters.pair("mini", folder=tmp_path) == []
    assert (tmp_path / "01_dummy.ipynb").read_bytes() == made.read_bytes()
    chapter.write_text(CHAPTER.replace("fives", "sixes"))
    assert "differs from 01_dummy.py" in chapters.pair("mini", check=True, folder=tmp_path)[0]


def test_failing_cell_is_named_and_the_last_good_run_stays(chapter, tmp_path):
    target = tmp_path / "01_dummy.ipynb"
    target.write_text("the last good run")
    with pytest.raises(SystemExit) as stop:
        chapters.main(["run", str(chapter), str(target), "-p", "seed", "5"])
    line = CHAPTER.splitlines().index("if seed == 5:") + 1
    failed = target.with_suffix(".failed.ipynb")
    # A text as exit code: Python prints it and ends with status 1.
    assert stop.value.code == f"error: {chapter}:{line}: ValueError: no fives (see {failed})"
    assert failed.exists() and target.read_text() == "the last good run"


def test_time_limit_holds_for_the_chapter(chapter, tmp_path):
    with pytest.raises(RuntimeError, match=r"01_dummy\.py.* took longer than 2 s \(--timeout\)"):
        chapters.run(chapter, tmp_path / "x.ipynb", {"seed": 7}, timeout=2)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("sed", "1", "no parameter 'sed' among profile, seed, flag"), ("seed", "[1", "error: ")],
)
def test_wrong_calls(chapter, tmp_path, capsys, name, value, words):
    with pytest.raises(SystemExit) as stop:
        chapters.main(["run", str(chapter), str(tmp_path / "x.ipynb"), "-p", name, value])
    assert stop.value.code == 2 and words in capsys.readouterr().err
    assert not (tmp_path / "x.ipynb").exists()


def test_tidy_drops_dead_widgets_keeps_their_html():
    view = {chapters.VIEW: {"model_id": "1"}}
    outputs = [
        nbformat.v4.new_output("display_data", view | {"text/plain": "IntSlider()"}),
        nbformat.v4.new_output("display_data", view | {"text/html": "<b>kept</b>"}),
        nbformat.v4.new_output("stream", text=f"{MARK}1/2\nkept at 0x7fab12cd\n{MARK}2/2\n"),
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=outputs)])
    kept = chapters.tidy(nb).cells[0].outputs
    assert [o.get("data", {}).get("text/html") for o in kept] == ["<b>kept</b>", None]
    assert kept[1].text == "kept at 0x7fab12cd\n"  # plain words are left alone


def test_summary_adds_up(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    with pytest.raises(UserError, match=r"table1.md: missing; run `make reproduce PROFILE=mini`"):
        chapters.summary("mini")
    results = tmp_path / "results" / "mini"
    (results / "notebooks").mkdir(parents=True)
    (results / "table1.md").write_text("| method | PSNR |\n")
    for name, seconds in (("01_a", 1.0), ("02_b", 62.0)):
        nb = nbformat.v4.new_notebook(metadata={"papermill": {"duration": seconds}})
        nbformat.write(nb, results / "notebooks" / f"{name}.ipynb")
    (tmp_path / "figures" / "mini").mkdir(parents=True)
    (picture := tmp_path / "figures" / "mini" / "gallery.jpg").touch()
    text = chapters.summary("mini")
    assert text.startswith(f"| method | PSNR |\n\nPictures:\n  {picture}\nExecuted chapters: ")
    (total,) = [line.split() for line in text.splitlines() if "total" in line]
    assert total == ["total", "1", "min", "3.0", "s"]


def test_progress_without_reader_writes_marked_lines(capsys, monkeypatch):
    monkeypatch.setenv("SCGAN_HEADLESS", "1")
    bar = progress(total=4, desc="stage 1", unit="images", every=0, delay=0)
    for _ in range(4):
        bar.update(1)
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 4 and all(line.startswith(f"{MARK}stage 1: ") for line in lines)
    assert lines[-1].startswith(f"{MARK}stage 1: 4/4, ")
    assert list(progress([3, 1], desc="quick")) == [3, 1]
    assert capsys.readouterr().err == ""  # over before the first line is due
