"""The headless runner on a chapter of a few cells."""

import chapters
import nbformat
import pytest

from scgan_lib.paths import ROOT
from scgan_lib.progress import MARK

CHAPTER = """\
# %% [markdown]
# # A chapter

# %% tags=["parameters"]
profile = "mini"
seed = 0
flag = True

# %%
import os
import time
import warnings

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display

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
display({"VIEW": {"model_id": "1"}, "text/html": "<b>kept</b>"}, raw=True)
out

# %%
if seed == 5:
    raise ValueError("no fives")
if seed == 7:
    time.sleep(300)
""".replace("VIEW", chapters.VIEW)


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    source = tmp_path / "01_dummy.py"
    source.write_text(CHAPTER)
    return source


def test_run_parameters_outputs_and_time(chapter, tmp_path, capsys):
    target = tmp_path / "out" / "01_dummy.ipynb"
    words = ["-p", "profile", "smoke", "-p", "flag", "false", "-p", "seed", "0"]
    chapters.main(["run", str(chapter), str(target), *words])
    shown, log = capsys.readouterr()
    nb = nbformat.read(target, 4)
    nbformat.validate(nb)
    injected = '# Parameters\nprofile = "smoke"\nflag = False'  # a default is left alone
    assert nb.cells[2].source.strip() == injected
    first, warning, thing = nb.cells[3].outputs
    assert first.text == "smoke 0 True .\n" and "smoke 0 True" in shown
    assert MARK + "train: 3/3" in log and MARK not in warning.text
    assert "UserWarning: careful" in warning.text and "ipykernel_" not in warning.text
    assert thing.data["text/plain"] == "<object>"
    picture, html = (output.data for output in nb.cells[4].outputs)  # dead widgets are dropped
    assert "image/png" in picture and html == {"text/html": "<b>kept</b>"}
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


@pytest.mark.parametrize(
    ("seed", "line", "why"),
    [
        (5, f":{CHAPTER.splitlines().index('if seed == 5:') + 1}", "ValueError: no fives"),
        (7, "", "the chapter took longer than 2 s (--timeout)"),
    ],
)
def test_a_failing_or_hanging_chapter_is_named_and_the_last_good_run_stays(
    chapter, tmp_path, seed, line, why
):
    target = tmp_path / "01_dummy.ipynb"
    target.write_text("the last good run")
    words = ["run", str(chapter), str(target), "-p", "seed", str(seed)]
    with pytest.raises(SystemExit) as stop:
        chapters.main(words if seed == 5 else [*words, "--timeout", "2"])
    failed = target.with_suffix(".failed.ipynb")
    # A text as exit code: Python prints it and ends with status 1.
    assert stop.value.code == f"error: {chapter}{line}: {why} (see {failed})"
    assert failed.exists() and target.read_text() == "the last good run"
