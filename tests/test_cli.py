"""The `scgan` command on good and bad pictures; real networks, tiny and untrained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import noise
from PIL import Image
from safetensors.torch import load_file

from scgan_lib import __version__, cli, config, data, training


def test_a_folder_keeps_its_structure_and_its_originals(colours, tmp_path, capsys):
    album, out = tmp_path / "album", tmp_path / "out"
    (album / "deep").mkdir(parents=True)
    Image.fromarray(noise(80, 100)).save(album / "gray.jpg")
    Image.fromarray(noise(80, 100, 4)).save(album / "deep/rgba.png")
    Image.fromarray(noise(80, 100)).save(album / "._hidden.png")
    os.mkfifo(album / "pipe.png")
    (album / "cut.jpg").write_bytes((album / "gray.jpg").read_bytes()[:2000])
    (album / "loop.png").symlink_to(album / "loop.png")
    before = {p: p.read_bytes() for p in album.rglob("*") if p.is_file()}
    assert colours(album, out=out) == 1
    text = capsys.readouterr()
    assert "2 of 4 pictures" in text.out and "1 hidden files" in text.err
    skipped = [line.split(": ")[1] for line in text.err.splitlines() if "skipped:" in line]
    assert skipped == [str(album / "cut.jpg"), str(album / "loop.png")]
    made = sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    assert made == ["deep/rgba.png", "gray.png"]
    assert all(Image.open(out / name).size == (100, 80) for name in made)
    assert Image.open(out / "deep/rgba.png").mode == "RGBA"
    assert {p: p.read_bytes() for p in album.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("colorize nowhere -o out --weights WEIGHTS", "nowhere"),
        ("colorize . -o out --weights no.safetensors", "no.safetensors"),
        ("colorize x.png -o out --weights WEIGHTS --device cuda", "cuda"),
        ("colorize x.png -o out --weights WEIGHTS --list x.png", "x.png: exists already"),
        ("saliency . -o out --teacher oracle", "oracle"),
        ("train --set widht=3", "did you mean width"),
        ("train --set width", "write KEY=VALUE"),
        ("train --set width={", "cannot be read"),
        ("train --set seed=3", "use --seed"),
        ("train --set stage2_steps=0", "nothing to train"),
        ("evaluate --method theirs", "NAME=FOLDER"),
        ("evaluate --method real=x", "name of our own"),
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


def test_no_original_is_ever_written_over(colours, tmp_path, capsys):
    for name in ("a.jpg", "a.png"):
        Image.fromarray(noise(40, 50, 3)).save(tmp_path / name)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert colours(tmp_path, out=tmp_path, more=("--dry-run",)) == 0
    assert f"{tmp_path / 'a.png'} -> {tmp_path / 'a.png.png'}" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == before.keys()
    for _ in range(2):  # results beside the originals; the second time they are no inputs
        assert colours(tmp_path, out=tmp_path, more=("--quiet",)) == 0
        assert capsys.readouterr() == ("", "")
        assert {p.name for p in tmp_path.iterdir()} == {*before, "a.jpg.png", "a.png.png"}
    # and one that is no input, but not ours either
    assert colours(tmp_path / "a.jpg", out=tmp_path, more=("--overwrite",)) == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name in before} == before


def test_inputs_of_one_name_keep_their_results_apart(colours, tmp_path):
    for k, folder in enumerate("abc"):
        (tmp_path / folder).mkdir()
        Image.new("L", (40, 50), 60 * k + 20).save(tmp_path / folder / "x.png")
    out = tmp_path / "out"
    inputs = [tmp_path / f / "x.png" for f in "abc"]
    listed = tmp_path / "list.csv"
    assert colours(*inputs, out=out, more=("--list", str(listed))) == 0
    rows = pd.read_csv(listed)
    assert rows["source"].tolist() == [str(p) for p in inputs]
    assert rows["result"].tolist() == [str(out / n) for n in ("x.png", "x.png.png", "x-2.png")]
    assert colours(*inputs, out=out, more=("--list", str(listed))) == 2  # kept
    assert len(pd.read_csv(listed)) == 3
    levels = [np.asarray(Image.open(p).convert("L")).mean() for p in rows["result"]]
    assert levels == pytest.approx([20, 80, 140], abs=2)


def test_set_reads_numbers_as_everybody_writes_them(monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(training, "train", lambda *call, extend: trained.append((*call, extend)))
    words = ["--set", "stage1_lr=1e-4", "--set", "loss={pixel: 2e-1}", "--seed", "4"]
    words += ["--set", "precision=no"]
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
    code = "import sys, scgan_lib.cli; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_leaves_no_half_picture(
    colours, tmp_path, monkeypatch, capsys, number
):
    Image.new("L", (40, 50), 99).save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "save", lambda *a, **k: signal.raise_signal(number))
    # a runner in the background may have been told to ignore them
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    status = colours(tmp_path / "x.png", out=tmp_path / "out")
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
