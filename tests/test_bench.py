"""The reference of `make bench` and this library agree."""

import bench
import pytest

from scgan_lib import config

SMALL = dict(
    stage1_steps=0, device="cpu", vgg="hed", image_size=32, levels=6, batch=2, width=8,
    saliency_width=8, critic_width=8, global_weights="",
)  # fmt: skip
PROFILES = {
    "paper": ("imagenet", {}),
    "spectral critics": ("imagenet", dict(critic_spectral=True, penalty_patches="sum")),
    "mini": ("mini", {}),
    "no saliency": ("mini", dict(saliency_guidance=False, loss={"perceptual": 0.0})),
    "no critics": ("mini", dict(global_encoder="none", loss={"adversarial": 0.0})),
}


def small(name, **more):
    base, settings = PROFILES[name]
    return config.load(base, **(SMALL | settings | more))


@pytest.mark.parametrize(
    ("step", "name"),
    [
        *(("inference", name) for name in ("paper", "mini")),
        *(("stage 1", name) for name in ("paper", "no saliency")),
        *(("stage 2", name) for name in PROFILES),
    ],
)
def test_reference_and_library_give_the_same_values(name, step):
    *_, facts = bench.compare(small(name), step)
    assert 0 <= facts["difference"] < 1e-4
    assert facts["output_spread"] > 0.05  # a flat picture would agree for no merit
