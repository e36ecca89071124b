"""Figures: what `strip` and `grid` show, that files are whole and repeatable, that `draw` copes."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scgan_lib import viz
from scgan_lib.paths import ROOT, UserError

METHODS = ("real", "gray", "stage1", "scgan")
STEMS = ("boat", "apple", "cow-1", "cow")


@pytest.fixture(autouse=True)
def _style():
    viz.use_style()


def shown(figure):
    return [ax for ax in figure.axes if ax.images]


@pytest.fixture
def results(tmp_path):
    """A small finished run made of noise: pictures, metrics, logs, samples, manifest."""
    rng = np.random.default_rng(0)
    rows = []
    for m, method in enumerate((*METHODS, "saliency")):
        folder = tmp_path / "outputs" / method
        folder.mkdir(parents=True)
        for i, stem in enumerate(STEMS):
            size = (32, 32) if method == "saliency" else (32, 32, 3)
            picture = rng.integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"{stem}.png")
            composite = tmp_path / "outputs" / "composites" / method / f"c-{stem}.png"
            composite.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(composite)
            if method != "saliency":
                judge = (7, (i + m) % 3, 5, 7 if i else 3)[METHODS.index(method)]
                psnr = np.inf if method == "real" else 20 + i + m
                row = {"image": stem, "method": method, "psnr": psnr, "ssim": 0.9 + i / 100}
                row |= {"cci": 20.0 + 9 * i + m, "saturation": 0.1 * m + i / 30}
                rows.append(row | {"judge_class": judge, "boundary_chroma": np.nan})
                rows[-1] |= {"salient_chroma": np.nan, "set": "photos"}
                if method != "saliency":  # composites: edges are known
                    error = 0.0 if method == "real" else 2.0 * i + m
                    exact = {"image": f"c-{stem}", "method": method, "psnr": 99.0, "cci": 99.0}
                    exact |= {"boundary_chroma": error, "salient_chroma": error + 0.5}
                    rows.append(exact | {"set": "composites"})
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    masks = tmp_path / "outputs" / "composites" / "mask"
    shutil.copytree(tmp_path / "outputs" / "composites" / "saliency", masks)
    (tmp_path / "manifest.json").write_text(json.dumps({"judge_classes": {"7": "seven"}}))
    for stage in (1, 2):
        run = tmp_path / "runs" / f"stage{stage}"
        (run / "samples").mkdir(parents=True)
        log = {"step": range(1, 9), "lr": 1e-3, "pixel": rng.random(8), "attention": 0.1}
        log |= {"color_gap": 0.2, "salient_gap": 0.3, "color_penalty": 0.5} if stage == 2 else {}
        pd.DataFrame(log).to_csv(run / "log.csv", index=False)
        for step in (0, 3, 8):
            rgb = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
            np.savez_compressed(run / "samples" / f"step_{step:06d}.npz", rgb=rgb)
    return tmp_path


def test_strip_shows_each_picture_under_its_name_and_pixel_by_pixel():
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 200
    figure = viz.strip({"red": red, "half": np.full((4, 4), 0.5), "mask": np.eye(4, dtype=bool)})
    axes = shown(figure)
    assert [ax.get_title() for ax in axes] == ["red", "half", "mask"]
    assert figure.get_size_inches()[0] == viz.PAGE
    assert (axes[0].images[0].get_array() == red).all()
    assert (axes[1].images[0].get_array() == 128).all()
    assert (axes[2].images[0].get_array() == np.eye(4) * 255).all()
    assert {ax.images[0].get_interpolation() for ax in axes} == {"nearest"}  # small: no blur


def test_grid_lays_rows_out_in_blocks_with_names_and_captions():
    one = np.zeros((8, 8), np.uint8)
    rows = [{"a": one, "b": (one, f"caption {i}")} for i in range(3)]
    figure = viz.grid(rows, ["first", "second", "third"], blocks=2, width=viz.COLUMN)
    axes = shown(figure)
    assert len(axes) == 6 and figure.get_size_inches()[0] == viz.COLUMN
    assert [ax.get_title() for ax in axes if ax.get_title()] == ["a", "b", "a", "b"]
    assert [ax.get_ylabel() for ax in axes if ax.get_ylabel()] == ["first", "third", "second"]
    assert sorted(ax.get_xlabel() for ax in axes if ax.get_xlabel()) == [
        "caption 0", "caption 1", "caption 2"
    ]  # fmt: skip


def test_panels_do_not_overlap():
    one = np.zeros((300, 300, 3), np.uint8)
    figure = viz.grid([{"a": one, "b": (one, "x")}] * 3, ["r"] * 3, blocks=3)
    figure.draw_without_rendering()
    boxes = [ax.get_window_extent() for ax in shown(figure)]
    for i, a in enumerate(boxes):
        assert 50 < a.width < 120 and abs(a.width - a.height) < 2
        for b in boxes[i + 1 :]:
            assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def test_wrong_pictures_are_named():
    with pytest.raises(UserError, match="'odd' has shape"):
        viz.strip({"odd": np.zeros((3, 4, 5, 6), np.uint8)})
    with pytest.raises(UserError, match="no pictures"):
        viz.grid([])


def test_salient_area_is_midgray_where_nothing_stands_out():
    rgb = np.array([[[255, 0, 10], [255, 0, 10]]], np.uint8)
    area = viz.salient_area(rgb, np.array([[0, 255]], np.uint8))
    assert area.tolist() == [[[128, 128, 128], [255, 0, 10]]]


def test_color_error_leaves_brightness_out():
    gray = np.full((2, 2, 3), 50, np.uint8)
    assert viz.color_error(gray, gray + 100).max() < 1
    blue = np.zeros((2, 2, 3), np.uint8)
    blue[..., 2] = 255  # sRGB's blue: a* 79.19, b* -107.86
    assert viz.color_error(gray, blue) == pytest.approx(np.hypot(79.19, 107.86), abs=0.1)


def test_draw_makes_every_figure_in_both_formats(results, tmp_path):
    written = viz.draw(results, tmp_path / "figures")
    assert [p.name for p in written] == [f"{n}.{e}" for n in viz.FIGURES for e in ("jpg", "pdf")]
    for path in written[::2]:
        assert Image.open(path).width == round(viz.PAGE * 160)
    assert all(p.read_bytes()[:5] == b"%PDF-" for p in written[1::2])
    assert not [p for p in (tmp_path / "figures").iterdir() if p not in written]


def test_the_same_figure_gives_the_same_bytes_in_another_process(results, tmp_path):
    code = "import sys; from pathlib import Path; from scgan_lib import viz; a, b = sys.argv[1:]; "
    code += "viz.draw(Path(a), Path(b), ['gallery', 'distributions'])"
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, str(results), str(tmp_path / seed)],
            check=True, env=os.environ | {"PYTHONHASHSEED": seed}, cwd=ROOT,
        )  # fmt: skip
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name


def test_draw_says_what_could_not_be_drawn_and_draws_the_rest(results, tmp_path, capsys):
    (results / "metrics.csv").unlink()
    written = viz.draw(results, tmp_path / "figures", only=["distributions", "gallery"])
    assert [p.stem for p in written] == ["gallery"] * 2
    line = capsys.readouterr().out.splitlines()
    assert len(line) == 1 and line[0].startswith("figure distributions: not drawn:")
    assert "metrics.csv" in line[0] and "scgan evaluate" in line[0]
    with pytest.raises(UserError, match="unknown figure 'galery'"):
        viz.draw(results, tmp_path, only=["galery"])


def test_an_empty_folder_draws_nothing(tmp_path, capsys):
    assert viz.draw(tmp_path, tmp_path / "figures") == []
    assert len(capsys.readouterr().out.splitlines()) == len(viz.FIGURES)


def test_stems_come_in_the_order_of_the_samples(results):
    assert viz.stems(results) == ["apple", "boat", "cow-1", "cow"]  # cow-1.jpg < cow.jpg
    settings = results / "runs" / "stage1" / "settings.json"
    (results / "credits.csv").write_text("file,gallery\nphotos/cow.jpg,1\nphotos/boat.jpg,0\n")
    settings.write_text(json.dumps({"data": str(results)}))
    assert viz.stems(results) == ["cow", "apple", "boat", "cow-1"]


def test_training_curves_draw_what_the_logs_hold(results):
    axes = viz.training_curves(results).axes
    drawn = {ax.get_title(): [t.get_text() for t in ax.texts] for ax in axes}
    assert len(axes) == 6 and drawn["stage 2: adversarial"] == ["not in this run"]
    legend = next(ax for ax in axes if "gap" in ax.get_title()).get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["colour gap", "salient gap"]


def test_the_judge_figure_names_its_answers(results):
    figure = viz.judge_confusion(results)
    texts = {ax.get_xlabel() for ax in shown(figure)}
    assert "seven" in texts and "class 5" not in texts and "class 3" in texts
    kinds = [ax.get_ylabel() for ax in shown(figure) if ax.get_ylabel()]
    assert kinds == ["brought back"] * 3 + ["not found"]


def test_best_and_worst_picks_the_ends_and_shows_no_photo_twice(results):
    axes = shown(viz.best_and_worst(results))
    labels = [ax.get_ylabel() for ax in axes if ax.get_ylabel()]
    assert "worst PSNR\n23.0 dB" in labels and "best PSNR\n26.0 dB" in labels
    assert "best SSIM\n0.920\n(place 2)" in labels  # the first is the one with the best PSNR
    photos = [ax.images[0].get_array().tobytes() for ax in axes[2::4]]
    assert len(labels) == len(photos) == len(set(photos)) == len(STEMS)


def test_the_numbers_of_a_page_have_words_for_heads_and_no_inf():
    frame = pd.DataFrame({"psnr": [np.inf, np.nan], "salient_chroma": [1.25, 2]}, ["real", "scgan"])
    page = viz.numbers(frame.rename_axis("method"), 1).to_html()
    assert "∞" in page and "–" in page and "inf" not in page and "nan" not in page
    for word in ("PSNR (dB)", "salient chroma error", "SCGAN", "1.2"):
        assert word in page
    assert "method" not in page  # no second line of heads


def test_distributions_are_differences_to_gray_where_a_gray_picture_has_the_measure(results):
    axes = {ax.get_xlabel(): ax for ax in viz.distributions(results).axes}
    psnr = axes["PSNR − gray's (dB)"].get_lines()
    assert {line.get_label(): line.get_xdata()[0] for line in psnr} == {
        "gray": 0, "stage 1": 1, "SCGAN": 2
    }  # fmt: skip
    assert {t.get_text() for ax in axes.values() for t in ax.texts} == {"16..20"}


def test_evolution_ends_each_stage(results):
    titles = [ax.get_title() for ax in shown(viz.evolution(results, count=2)) if ax.get_title()]
    assert titles == [f"stage {s}\nstep {n}" for s in (1, 2) for n in (0, 3, 8) if n or s == 1] + [
        "\nreal"
    ]


def test_composites_are_shown_by_their_bleeding_and_kept_out_of_the_photos(results):
    figure = viz.bleeding(results, count=3)
    axes = shown(figure)
    heads = [ax.get_title() for ax in axes if ax.get_title()]
    assert heads == ["real", "mask", "stage 1", "SCGAN", "chroma error"]
    # errors of SCGAN, the method number 3: 3, 5, 7, 9; the least, one between, the largest
    texts = [ax.get_xlabel() for ax in axes if ax.get_xlabel()]
    assert sorted(texts[1::2]) == [f"edge {x}.0\ninside {x}.5" for x in (3, 7, 9)]
    mask = viz.picture(results, "mask", "c-boat", composite=True)
    assert (axes[1].images[0].get_array() == mask).all()
    for ax in viz.distributions(results).axes:
        for line in ax.get_lines():
            x = np.asarray(line.get_xdata())
            assert np.max(x[np.isfinite(x)]) < 60  # the composites' 99 is no photo's
    chroma = [ax for ax in viz.distributions(results).axes if "boundary" in ax.get_xlabel()]
    assert len(chroma) == 1 and len(chroma[0].get_lines()) == 3  # gray at 0, no real one
    table = pd.read_csv(results / "metrics.csv").drop(columns="set")
    table[~table["image"].str.startswith("c-")].to_csv(results / "metrics.csv", index=False)
    with pytest.raises(UserError, match="no composites with masks"):
        viz.bleeding(results)
    assert len(viz.distributions(results).axes) == 4  # an old file: photos alone


def test_viz_needs_neither_torch_nor_widgets():
    code = (
        "import sys, scgan_lib.viz; print([m for m in ('torch', 'ipywidgets') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]", out.stderr
