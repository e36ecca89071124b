"""Exported networks give torch's pictures at any size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scgan_lib import cli, colorize, export


@pytest.fixture
def weights(tiny, tmp_path):
    """Few channels and five levels: an export takes half a minute."""
    profile = tiny(global_encoder="none", image_size=64)
    generator = colorize.build_generator(profile)
    colorize.save_generator(generator, profile, tmp_path / "some.safetensors")
    return tmp_path / "some.safetensors"


def expected(weights, gray):
    generator, *_ = colorize.load_generator(weights)
    with torch.inference_mode():
        return [x.numpy() for x in generator(gray)]


def test_onnx_gives_torchs_pictures_at_any_size(weights, tmp_path, capsys):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="needs pip install -e '.[export]'")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install -e '.[export]'")
    path = tmp_path / "out.onnx"
    assert cli.main(["export", str(weights), str(path)]) == 0
    assert "ONNX opset 20" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    settings = json.loads(session.get_modelmeta().custom_metadata_map["profile"])
    assert settings["image_size"] == 64
    for shape in [(1, 1, 64, 64), (1, 1, 77, 203), (4, 1, 150, 66)]:
        gray = torch.rand(shape) * 2 - 1
        found = session.run(["rgb", "saliency"], {"gray": gray.numpy()})
        for a, b in zip(found, expected(weights, gray), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)
    before = path.read_bytes()
    assert cli.main(["export", str(weights), str(path)]) == 2  # kept
    assert path.read_bytes() == before and "exists already" in capsys.readouterr().err


@pytest.mark.slow
def test_torchs_own_format(weights, tmp_path):
    path = tmp_path / "out.pt2"
    assert cli.main(["export", str(weights), str(path), "--torch"]) == 0
    run = torch.export.load(path).module()
    gray = torch.rand(1, 1, 70, 91) * 2 - 1
    with torch.inference_mode():
        for a, b in zip(run(gray), expected(weights, gray), strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (13, 9), (20, 3)])
def test_area_means_are_adaptive_pooling(size):
    x = torch.rand(2, 3, 13, 9)
    torch.testing.assert_close(export.area_means(x, size), F.adaptive_avg_pool2d(x, size))


@pytest.mark.slow
def test_a_network_that_differs_leaves_no_file(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "CLOSE", 0.0)
    assert cli.main(["export", str(weights), str(tmp_path / "out.pt2"), "--torch"]) == 2
    assert "differs from torch" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == [weights.name]


def test_missing_packages_are_named(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["export", str(weights), str(tmp_path / "out.onnx")]) == 2
    assert "pip install -e '.[export]'" in capsys.readouterr().err
