"""The headless runner on a chapter of a few cells."""

import base64
import csv
import io
import os
import subprocess
import sys

import nbformat
import pytest
from PIL import Image, PngImagePlugin

from scgan_lib import run
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
import sys
import warnings

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd

from scgan_lib.progress import progress

print(profile, seed, flag is False, os.getcwd(), sys.executable)
warnings.warn("careful", stacklevel=1)
for _ in progress(range(3), desc="train", every=0, delay=0):
    pass
object()

# %%
fig, ax = plt.subplots(figsize=(1, 1))
ax.imshow([[1, 2]])

# %%
pd.DataFrame({"a": [1, 2]}).style.highlight_max()

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


def call(*words):
    """Run the command line in its own process; return (status, stdout, stderr)."""
    words = [sys.executable, "-m", "scgan_lib.run", *map(str, words)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=240)
    return done.returncode, done.stdout, done.stderr


def texts(nb):
    return [
        o.get("text") or o.data.get("text/plain") for c in nb.cells for o in c.get("outputs", [])
    ]


def test_run_parameters_outputs_and_time(chapter, tmp_path):
    target = tmp_path / "out" / "01_dummy.ipynb"
    words = ("run", chapter, target, "-p", "profile", "smoke", "-p", "flag", "false")
    status, shown, log = call(*words)
    assert status == 0, log
    first = target.read_bytes()
    nb = nbformat.read(target, 4)
    nbformat.validate(nb)
    assert nb.cells[2].source == '# Parameters\nprofile = "smoke"\nflag = False'  # seed: as before
    assert nb.cells[2].id == run.INJECTED
    text = texts(nb)
    assert text[0] == "smoke 0 True . .venv/bin/python\n" or text[0].startswith("smoke 0 True . ")
    assert "smoke 0 True" in shown  # the log shows it while it runs
    assert MARK + "train: 3/3" in log and MARK not in "".join(text)
    assert "UserWarning: careful" in text[1] and "ipykernel_" not in text[1]
    assert text[2] == "<object>"
    assert len(nb.cells[4].outputs) == 2 and len(nb.cells[6].outputs) == 1
    assert 'id="T_00000"' in nb.cells[5].outputs[0].data["text/html"]
    assert "papermill" not in first.decode() and str(ROOT) not in first.decode()
    assert not list(target.parent.glob("*.failed.ipynb"))
    rows = list(csv.DictReader((tmp_path / "results" / "smoke" / "timings.csv").open()))
    assert [row["name"] for row in rows] == ["01_dummy"] and 0 < float(rows[0]["seconds"]) < 200

    status, _, log = call(*words)
    assert status == 0 and target.read_bytes() == first  # byte for byte


def test_run_defaults_inject_nothing_and_pair_agrees(chapter, tmp_path):
    made = tmp_path / "results" / "mini" / "notebooks" / "01_dummy.ipynb"
    assert run.pair("mini", folder=tmp_path) == [
        f"{made}: missing; run the chapter on profile mini first"
    ]
    status, _, log = call("run", chapter, made, "-p", "profile", "mini", "-p", "seed", "0")
    assert status == 0, log
    assert [c.source for c in nbformat.read(made, 4).cells] == [
        c.source for c in run.read_source(chapter).cells
    ]
    beside = tmp_path / "01_dummy.ipynb"
    assert "missing" in run.pair("mini", check=True, folder=tmp_path)[0]
    assert run.pair("mini", folder=tmp_path) == []
    assert beside.read_bytes() == made.read_bytes()
    assert run.pair("mini", check=True, folder=tmp_path) == []
    chapter.write_text(CHAPTER.replace("fives", "sixes"))
    assert "differs from 01_dummy.py" in run.pair("mini", check=True, folder=tmp_path)[0]


def test_failing_cell_is_named(chapter, tmp_path):
    target = tmp_path / "01_dummy.ipynb"
    target.write_text("the last good run")
    status, _, log = call("run", chapter, target, "-p", "seed", "5")
    assert status == 1
    line = CHAPTER.splitlines().index("if seed == 5:") + 1
    failed = target.with_suffix(".failed.ipynb")
    assert log.splitlines()[-1] == (
        f"error: {chapter}:{line}: cell 'if seed == 5:': ValueError: no fives (see {failed})"
    )
    assert failed.exists() and target.read_text() == "the last good run"
    assert not (tmp_path / "results").exists()


def test_time_limit_holds_for_the_chapter(chapter, tmp_path):
    with pytest.raises(RuntimeError, match=r"took longer than 15 s \(--timeout\)"):
        run.run(chapter, tmp_path / "x.ipynb", {"seed": 7}, timeout=15)


@pytest.mark.parametrize("words", [("-p", "sed", "1"), ("-p", "seed", "[1")])
def test_wrong_parameter_is_a_mistake_in_the_call(chapter, tmp_path, words):
    status, _, log = call("run", chapter, tmp_path / "x.ipynb", *words)
    assert status == 2 and log.startswith("error: ")
    if words[1] == "sed":
        assert "no parameter 'sed'" in log and "profile, seed, flag" in log
    assert not (tmp_path / "x.ipynb").exists()


def test_missing_chapter():
    with pytest.raises(UserError, match="no such chapter"):
        run.run(ROOT / "notebooks" / "99_none.py", ROOT / "build" / "x.ipynb")


def test_cell_ids_follow_the_text(tmp_path):
    source = tmp_path / "a.py"
    source.write_text("# %%\nx = 1\n\n# %%\nx = 1\n\n# %%\ny = 2\n")
    before = [c.id for c in run.read_source(source).cells]
    source.write_text("# %%\nz = 0\n\n# %%\nx = 1\n\n# %%\nx = 1\n\n# %%\ny = 2\n")
    assert [c.id for c in run.read_source(source).cells][1:] == before
    assert before[1] == before[0] + "-2" and len(set(before)) == 3


def test_parameters_reads_literals(tmp_path):
    source = tmp_path / "a.py"
    source.write_text(
        '# %% tags=["parameters"]\na = 1.5\nb: str = "x"\nc = [1, -2]\nd = len("x")\n'
    )
    found = run.parameters(run.read_source(source))
    assert found == {"a": 1.5, "b": "x", "c": [1, -2], "d": None}


def test_tidy_png_drops_comments_keeps_pixels():
    image, note = Image.new("RGB", (3, 2), (10, 20, 30)), PngImagePlugin.PngInfo()
    note.add_text("Software", "Matplotlib 99")
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=note)
    plain = base64.b64decode(run._plain_png(base64.b64encode(file.getvalue()).decode()))
    assert b"Matplotlib" in file.getvalue() and b"Matplotlib" not in plain
    assert Image.open(io.BytesIO(plain)).tobytes() == image.tobytes()


def test_tidy_drops_dead_widgets_keeps_their_html():
    view = {run.VIEW: {"model_id": "1"}}
    outputs = [
        nbformat.v4.new_output("display_data", view | {"text/plain": "IntSlider()"}),
        nbformat.v4.new_output("display_data", view | {"text/html": "<b>kept</b>"}),
        nbformat.v4.new_output("stream", text=f"{MARK}1/2\nkept at 0x7fab12cd\n{MARK}2/2\n"),
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=outputs)])
    kept = run.tidy(nb).cells[0].outputs
    assert [o.get("data", {}).get("text/html") for o in kept] == ["<b>kept</b>", None]
    assert kept[1].text == "kept at 0x7fab12cd\n"  # plain words are left alone


def test_record_replaces_its_row_and_summary_adds_up(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    with pytest.raises(UserError, match=r"table1.md: missing; run `make reproduce PROFILE=mini`"):
        run.summary("mini")
    run.record("mini", "02_b", 61)
    run.record("mini", "01_a", 1)
    run.record("mini", "02_b", 62.04)
    run.record("mini", "02_b", 3)  # a rerun that found its weights: the longest time stays
    results = tmp_path / "results" / "mini"
    assert (results / "timings.csv").read_text() == "name,seconds\n01_a,1.0\n02_b,62.0\n"
    (results / "table1.md").write_text("| method | PSNR |\n")
    (tmp_path / "figures" / "mini").mkdir(parents=True)
    (tmp_path / "figures" / "mini" / "gallery.png").touch()
    text = run.summary("mini")
    assert text.startswith("| method | PSNR |\n\nPictures:\n")
    assert f"{tmp_path}/figures/mini/gallery.png" in text
    total, *after = text.splitlines()[-3:]
    assert total.split() == ["total", "1", "min", "3.0", "s"]
    assert "`make lab`" in after[0] and "scgan colorize" in after[1]


def test_progress_without_reader_writes_marked_lines(capsys, monkeypatch):
    monkeypatch.setitem(os.environ, "SCGAN_HEADLESS", "1")
    bar = progress(total=4, desc="stage 1", unit="images", every=0, delay=0)
    for _ in range(4):
        bar.update(1)
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 4 and all(line.startswith(f"{MARK}stage 1: ") for line in lines)
    assert lines[-1].startswith(f"{MARK}stage 1: 4/4, ")
    assert list(progress([3, 1], desc="quick")) == [3, 1]
    assert capsys.readouterr().err == ""  # over before the first line is due
