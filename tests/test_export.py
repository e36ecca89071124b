"""Exported networks give torch's pictures at any size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scgan_lib import cli, colorize, export
from scgan_lib.layers import ConvBlock


class Small(torch.nn.Module):
    """What a generator is made of, in two layers: a whole one takes half a minute to export."""

    fidelity = "paper"

    def __init__(self):
        super().__init__()
        self.down, self.up = ConvBlock(1, 4, stride=2), ConvBlock(4, 4, upsample=True)

    def forward(self, gray):
        y = self.down(gray)
        means = F.adaptive_avg_pool2d(y, (5, 3)).mean((2, 3), keepdim=True)
        y = self.up(y + means)[..., : gray.shape[2], : gray.shape[3]]
        return gray + y[:, :3].tanh(), y[:, 3:].sigmoid()


@pytest.fixture
def small(weights, monkeypatch):
    """A small network that is exported instead of the one in `weights`."""
    generator, *rest = Small().eval(), *colorize.load_generator(weights)[1:]
    monkeypatch.setattr(export, "load_generator", lambda path: (generator, *rest))
    return generator


def test_onnx_gives_torchs_pictures_at_any_size(weights, tmp_path, small):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="needs pip install -e '.[export]'")
    import onnxruntime

    path = tmp_path / "out.onnx"
    assert cli.main(["export", str(weights), str(path)]) == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    settings = json.loads(session.get_modelmeta().custom_metadata_map["profile"])
    assert (settings["name"], settings["width"]) == ("smoke", 4)
    for shape in ((1, 1, 32, 32), (1, 1, 45, 171), (4, 1, 118, 34)):
        gray = torch.rand(shape) * 2 - 1
        found = session.run(["rgb", "saliency"], {"gray": gray.numpy()})
        for a, b in zip(found, small(gray), strict=True):
            np.testing.assert_allclose(a, b.detach(), rtol=0, atol=1e-4)


def test_torchs_own_format_never_overwrites_and_a_wrong_file_is_not_kept(
    weights, tmp_path, small, capsys, monkeypatch
):
    path, gray = tmp_path / "out.pt2", torch.rand(1, 1, 70, 91)
    assert cli.main(["export", str(weights), str(path), "--torch"]) == 0
    run = torch.export.load(path).module()
    torch.testing.assert_close(run(gray), small(gray), rtol=0, atol=1e-4)
    monkeypatch.setattr(export, "CLOSE", 0.0)
    for name, why in (("out", "exists already"), ("no", "differs from torch")):
        assert cli.main(["export", str(weights), str(tmp_path / f"{name}.pt2"), "--torch"]) == 2
        assert why in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["out.pt2"]


def test_missing_packages_are_named(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["export", str(weights), str(tmp_path / "out.onnx")]) == 2
    assert "pip install -e '.[export]'" in capsys.readouterr().err
