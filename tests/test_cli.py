"""The `scgan` command on good and bad pictures; real networks, tiny and untrained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from scgan_lib import __version__, cli, config, data, training
from scgan_lib.colorize import build_generator, save_generator

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    profile = config.load("smoke", global_encoder="none", width=4, saliency_width=4)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_generator(build_generator(profile), profile, path, stage=1)
    return path


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    noise = RNG.integers(0, 256, (80, 100, 4), dtype=np.uint8)
    Image.fromarray(noise[..., 0]).save(folder / "gray.png")
    Image.fromarray(noise).save(folder / "deep/rgba.png")
    Image.fromarray(noise, "CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(folder / "deep16.png")
    whole = (folder / "cmyk.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


def colours(weights, *inputs, out, more=()):
    paths = map(str, inputs)
    return cli.main(["colorize", *paths, "-o", str(out), "--weights", str(weights), *more])


def test_a_folder_keeps_its_structure_and_its_originals(weights, album, tmp_path, capsys):
    before = {p: p.read_bytes() for p in album.rglob("*") if p.is_file()}
    out = tmp_path / "out"
    assert colours(weights, album, out=out) == 1  # one picture is cut short
    text = capsys.readouterr()
    assert "4 of 5 pictures" in text.out
    skipped = [line for line in text.err.splitlines() if line.startswith("skipped:")]
    assert len(skipped) == 1 and "cut.jpg" in skipped[0]
    made = sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    assert made == ["cmyk.png", "deep/rgba.png", "deep16.png", "gray.png"]
    assert all(Image.open(out / name).size == (100, 80) for name in made)
    assert Image.open(out / "deep/rgba.png").mode == "RGBA"
    assert {p: p.read_bytes() for p in album.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("colorize nowhere -o out --weights WEIGHTS", "nowhere"),
        ("colorize . -o out --weights no.safetensors", "no.safetensors"),
        ("colorize x.png -o out --weights WEIGHTS --device foo", "foo"),
        ("colorize x.png -o out --weights WEIGHTS --device cuda", "cuda"),
        ("colorize x.png -o out --weights WEIGHTS --list x.png", "x.png: exists already"),
        ("saliency . -o out --teacher oracle", "oracle"),
        ("train --set widht=3", "did you mean width"),
        ("train --set width=wide", "must be of type int"),
        ("train --set width", "write KEY=VALUE"),
        ("train --set width={", "cannot be read"),
        ("train --set seed=3", "use --seed"),
        ("train --seed -1", "seed=-1 must be 0 or more"),
        ("train --set batch=0", "batch=0 must be 1 or more"),
        ("train --set stage2_steps=0", "nothing to train"),
        ("evaluate --method theirs", "NAME=FOLDER"),
        ("evaluate --method real=x", "name of our own"),
        ("table --profile smoke --seeds 0 3", "smoke/metrics.csv: no such file"),
        ("ablate --set name=tiny", "--profile"),
        ("convert none.pth out.safetensors", "none.pth"),
    ],
)
def test_a_wrong_call_gives_one_clear_line(call, words, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Image.new("L", (40, 50), 99).save(tmp_path / "x.png")
    assert cli.main(call.replace("WEIGHTS", str(weights)).split()) != 0
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert len([x for x in error.splitlines() if x.startswith(("scgan:", "skipped:"))]) == 1
    assert not (tmp_path / "out").exists()


def test_evaluate_scores_what_is_listed_and_counts_what_it_cannot(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "out"))
    profile = config.load("smoke", judge_size=48)
    chosen = [p.path for p in data.photos(profile, "test")[:3]]
    lines = [str(p.relative_to(profile.data_path)) for p in chosen]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "photos/nothing.jpg"]))
    (tmp_path / "theirs").mkdir()
    for name in (chosen[0].stem, "extra"):
        Image.new("RGB", (48, 48)).save(tmp_path / f"theirs/{name}.png")
    settings = "global_encoder=none judge_size=48 vgg=hed loss={'perceptual':0.0}".split()
    words = [word for pair in settings for word in ("--set", pair)]
    words += ["--list", str(tmp_path / "list.txt"), "--method", f"theirs={tmp_path / 'theirs'}"]
    assert cli.main(["evaluate", "--profile", "smoke", *words]) == 1
    errors = {x for x in capsys.readouterr().err.splitlines() if "skipped" in x}
    assert errors == {
        "skipped: list: photos/nothing.jpg: no such test picture in mini",
        "skipped: theirs: extra: no real photo of this name",
        *(f"skipped: theirs: {path.stem}: missing" for path in chosen[1:]),
        "4 pictures skipped, the rest was scored",
    }
    table = pd.read_csv(profile.results / "metrics.csv")
    scored = table[table["set"] == "photos"].groupby("method")["image"].count()
    assert scored.to_dict() == {"gray": 3, "mean_color": 3, "real": 3, "theirs": 1}
    assert cli.main(["table", "--profile", "smoke"]) == 0  # and the table says so
    text = (profile.results / "table1.md").read_text()
    assert "Pictures skipped: 4." in text and "n = 3 images of the list list.txt;" in text
    assert "boundary chroma error" in text and text in capsys.readouterr().out


def test_no_original_is_ever_written_over(weights, tmp_path, capsys):
    noise = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.png"):
        Image.fromarray(noise).save(tmp_path / name)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    more = ("--overwrite",)
    assert colours(weights, tmp_path, out=tmp_path, more=("--dry-run",)) == 0
    assert f"{tmp_path / 'a.png'} -> {tmp_path / 'a.png.png'}" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == before.keys()
    for _ in range(2):  # results beside the originals; the second time they are no inputs
        assert colours(weights, tmp_path, out=tmp_path, more=("--quiet",)) == 0
        assert capsys.readouterr() == ("", "")
        assert {p.name for p in tmp_path.iterdir()} == {*before, "a.jpg.png", "a.png.png"}
    # and one that is no input, but not ours either
    assert colours(weights, tmp_path / "a.jpg", out=tmp_path, more=more) == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name in before} == before


def test_inputs_of_one_name_keep_their_results_apart(weights, tmp_path, capsys):
    for k, folder in enumerate("abc"):
        (tmp_path / folder).mkdir()
        Image.new("L", (40, 50), 60 * k + 20).save(tmp_path / folder / "x.png")
    out = tmp_path / "out"
    inputs = [tmp_path / f / "x.png" for f in "abc"]
    listed = tmp_path / "list.csv"
    assert colours(weights, *inputs, out=out, more=("--overwrite", "--list", str(listed))) == 0
    rows = pd.read_csv(listed)
    assert rows["source"].tolist() == [str(p) for p in inputs]
    assert rows["result"].tolist() == [str(out / n) for n in ("x.png", "x.png.png", "x-2.png")]
    assert colours(weights, *inputs, out=out, more=("--list", str(listed))) == 2  # kept
    assert len(pd.read_csv(listed)) == 3
    capsys.readouterr()
    assert colours(weights, *inputs, out=tmp_path / "again") == 0
    made = sorted(out.iterdir())
    assert [p.name for p in made] == ["x-2.png", "x.png", "x.png.png"]
    levels = sorted(round(float(np.asarray(Image.open(p).convert("L")).mean())) for p in made)
    assert levels == pytest.approx([20, 80, 140], abs=2)
    assert "3 of 3 pictures" in capsys.readouterr().out


def test_one_bad_entry_does_not_end_the_batch(weights, tmp_path, capsys):
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("good", "n" * 249, "._hidden"):
        Image.new("L", (40, 50), 99).save(folder / f"{name}.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    out = tmp_path / "out"
    assert colours(weights, folder, out=out) == 1
    text = capsys.readouterr()
    assert "2 of 3 pictures" in text.out and text.err.count("loop.png") >= 1
    assert sorted(p.name[:4] for p in out.iterdir()) == ["good", "nnnn"]


def test_a_folder_that_may_not_be_read_is_named(weights, tmp_path, capsys, monkeypatch):
    shut = tmp_path / "album" / "shut"
    shut.mkdir(parents=True)
    for place in (shut, shut.parent):
        Image.new("L", (40, 50), 99).save(place / "x.png")

    def denied(path, look):
        if Path(path) == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, partial(denied, look=getattr(os, name)))
    assert colours(weights, shut.parent, out=tmp_path / "out") == 1
    text = capsys.readouterr()
    assert "1 of 2 pictures" in text.out and f"skipped: {shut}: Permission denied\n" in text.err


@pytest.mark.parametrize("chroma", ["nan", "inf", "-1", "much"])
def test_a_chroma_that_is_no_factor_is_refused(weights, tmp_path, chroma, capsys):
    with pytest.raises(SystemExit) as stop:
        colours(weights, tmp_path / "x.png", out=tmp_path, more=("--chroma=" + chroma,))
    assert stop.value.code == 2 and "--chroma" in capsys.readouterr().err


def test_set_reads_numbers_as_everybody_writes_them(monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(training, "train", lambda *call, extend: trained.append((*call, extend)))
    words = ["--set", "stage1_lr=1e-4", "--set", "loss={pixel: 2e-1}", "--seed", "4"]
    assert cli.main(["train", "--stage", "1", *words]) == 0
    ((profile, stage, extend),) = trained
    assert (profile.stage1_lr, profile.loss.pixel, profile.seed) == (1e-4, 0.2, 4)
    assert (stage, extend) == (1, False)


def test_version_and_help_come_without_torch(capsys):
    assert cli.COMMANDS.keys() >= {cli.colorize, cli.train, cli.evaluate, cli.table}
    for words in (["--version"], *([run.__name__, "--help"] for run in cli.COMMANDS)):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"scgan {__version__}\n" in text and text.count("Example: scgan") == len(cli.COMMANDS)
    assert "(default: tiny)" in text and "(default: 2)" in text and "(default: [])" not in text
    environ = os.environ | {"_ARGCOMPLETE": "1", "COMP_LINE": "scgan col", "COMP_POINT": "9"}
    words = [sys.executable, "-m", "scgan_lib.cli", "8>&1", "9>&2"]
    shell = subprocess.run(" ".join(words), shell=True, env=environ, capture_output=True)
    assert shell.stdout == b"colorize "
    code = "import sys, scgan_lib.cli; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_leaves_no_half_picture(
    weights, tmp_path, monkeypatch, capsys, number
):
    Image.new("L", (40, 50), 99).save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "save", lambda *a, **k: signal.raise_signal(number))
    # a runner in the background may have been told to ignore them
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    status = colours(weights, tmp_path / "x.png", out=tmp_path / "out")
    signal.signal(number, before)
    assert status == 128 + number
    assert "scgan: stopped; 0 of 1 pictures written" in capsys.readouterr().err
    assert [*tmp_path.glob("out/*")] == []


def test_fine_tuning_begins_with_the_given_weights_and_their_sizes(weights, untied, tmp_path):
    words = "train --profile smoke --stage 1 --set stage1_steps=1 --set stage1_lr=0 --set batch=2"
    words += " --set samples=0 --set train_images=4 --set composites=0.0 --set width=6"
    assert cli.main([*words.split(), "--init", str(weights)]) == 0
    path = tmp_path / "results" / "smoke" / "runs" / "stage1" / "final.safetensors"
    old, new = load_file(weights), load_file(path)
    name = "down.2.conv.weight"
    assert torch.equal(old[name], new[name]) and new[name].shape[0] == 4 * 4
    assert cli.main([*words.split(), "--init", str(tmp_path / "none.safetensors")]) == 2
