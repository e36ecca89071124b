"""The `scgan` command on good and bad pictures; real networks, tiny and untrained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from scgan_lib import cli, config
from scgan_lib.colorize import Colorizer, build_generator, save_generator

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


def test_a_folder_keeps_its_structure_and_its_originals(weights, album, tmp_path, capsys):
    before = {p: p.read_bytes() for p in album.rglob("*") if p.is_file()}
    out = tmp_path / "out"
    status = cli.main(["colorize", str(album), "-o", str(out), "--weights", str(weights)])
    text = capsys.readouterr()
    assert status == 1  # one picture is cut short
    assert "4 of 5 pictures" in text.out
    skipped = [line for line in text.err.splitlines() if line.startswith("skipped:")]
    assert len(skipped) == 1 and "cut.jpg" in skipped[0]
    made = sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    assert made == ["cmyk.png", "deep/rgba.png", "deep16.png", "gray.png"]
    assert all(Image.open(out / name).size == (100, 80) for name in made)
    assert Image.open(out / "deep/rgba.png").mode == "RGBA"
    assert {p: p.read_bytes() for p in album.rglob("*") if p.is_file()} == before


def test_results_are_not_overwritten_unless_asked(weights, album, tmp_path, capsys):
    out = tmp_path / "out"
    call = ["colorize", str(album / "gray.png"), "-o", str(out), "--weights", str(weights)]
    assert cli.main(call) == 0
    first = (out / "gray.png").stat().st_mtime_ns
    assert cli.main(call) == 1
    assert "exists already" in capsys.readouterr().err
    assert (out / "gray.png").stat().st_mtime_ns == first
    assert cli.main([*call, "--overwrite"]) == 0
    assert (out / "gray.png").stat().st_mtime_ns > first


def test_the_luminance_of_the_input_is_kept(weights):
    gray = np.tile(np.arange(40, 168, dtype=np.uint8), (96, 1))
    colorizer = Colorizer.load(weights)
    rgb = np.asarray(colorizer(Image.fromarray(gray))).astype(float)
    luma = rgb @ [0.299, 0.587, 0.114]
    assert np.abs(luma - gray).max() < 1.01  # three roundings
    colorizer.chroma = 0.0
    plain = np.asarray(colorizer(Image.fromarray(gray)))
    assert np.array_equal(plain, np.repeat(gray[..., None], 3, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["colorize", "nowhere", "-o", "out"], "nowhere"),
        (["colorize", ".", "-o", "out", "--weights", "no.safetensors"], "no.safetensors"),
        (["train", "--set", "widht=3"], "did you mean width"),
        (["train", "--set", "width=wide"], "must be of type int"),
        (["evaluate", "--method", "theirs"], "NAME=FOLDER"),
        (["convert", "none.pth", "out.safetensors"], "none.pth"),
        (["saliency", ".", "-o", "out", "--teacher", "oracle"], "oracle"),
    ],
)
def test_a_wrong_call_gives_one_clear_line(call, words, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    if call[1] == "nowhere":
        call = [*call, "--weights", str(weights)]
    assert cli.main(call) != 0
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert len([x for x in error.splitlines() if x.startswith(("scgan:", "skipped:"))]) == 1
