"""Many pictures in one go: what results keep of their originals, and when they are made anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from scgan_lib import config
from scgan_lib.colorize import Colorizer, build_generator, save_generator


def noise(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained weights whose colours can be seen."""
    torch.manual_seed(0)
    profile = config.load("smoke", global_encoder="none", width=4, saliency_width=4)
    generator = build_generator(profile)
    generator.to_rgb.conv.weight.data.mul_(30)
    path = tmp_path_factory.mktemp("weights") / "some.safetensors"
    save_generator(generator, profile, path, stage=1)
    return path


@pytest.mark.parametrize("visible", [0, 1])
def test_colours_under_full_transparency_change_nothing_that_is_seen(weights, visible):
    pixels = noise(40, 50, 4)
    pixels[..., 3] = visible * 200
    pixels[5:30, 10:30, 3] = 0
    other = pixels.copy()
    other[pixels[..., 3] == 0, :3] = [255, 0, 9]
    colorizer = Colorizer.load(weights, "cpu")
    one, two = (np.asarray(colorizer(Image.fromarray(p))) for p in (pixels, other))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[..., 3], pixels[..., 3])
    assert not visible or np.ptp(one[..., :3].astype(int), axis=2).max() > 1
