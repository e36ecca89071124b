"""From weights to pictures: any size, nothing overwritten, files that do not fit refused."""

import json

import numpy as np
import pytest
import torch
from conftest import noise
from PIL import Image
from safetensors.torch import save_file

from scgan_lib import colorize
from scgan_lib.colorize import Colorizer, build_generator, load_generator, render, save_generator
from scgan_lib.data import luma_u8
from scgan_lib.networks import FoldedGlobal, Generator, GlobalEncoder
from scgan_lib.paths import ROOT, UserError


@pytest.fixture
def colorizer(untied):
    p = untied()
    generator = build_generator(p)
    generator.to_rgb.conv.weight.data.mul_(30)  # colours that can be seen
    return Colorizer(generator, p)


@pytest.mark.parametrize("size", [(48, 48), (33, 57), (9, 200), (500, 320), (1, 1)])
def test_any_size_comes_back_as_it_went_in(colorizer, size):
    picture = Image.fromarray(noise(*size, 3))
    colour, saliency = colorizer.both(picture)
    assert colour.size == saliency.size == picture.size
    assert (colour.mode, saliency.mode) == ("RGB", "L")


def test_the_luminance_of_the_input_is_kept_and_colour_is_added(colorizer):
    gray = noise(90, 120)
    result = np.asarray(colorizer(Image.fromarray(gray)))
    assert np.abs(luma_u8(result).astype(int) - gray).max() <= 1
    assert np.ptp(result.astype(int), axis=2).mean() > 1
    colorizer.chroma = 0.0
    np.testing.assert_array_equal(np.asarray(colorizer(Image.fromarray(gray)))[..., 0], gray)


def test_a_colour_outside_the_cube_loses_chroma_and_keeps_its_luma():
    # y = 200, d = (110, -56.03, 0): half of it fits, red is then 255; the second fits as it is
    levels = torch.tensor([[310, 200 - 110 * 0.299 / 0.587, 200], [10, 20, 30]]).T
    fitted = (colorize.fit_cube((levels / 127.5 - 1)[None, :, None]) + 1) * 127.5
    expected = torch.tensor([[255, 171.985, 200], [10, 20, 30]]).T
    torch.testing.assert_close(fitted[0, :, 0], expected, rtol=0, atol=0.01)


def test_every_mode_gives_the_colours_of_its_gray(colorizer):
    """Colour in the input is not peeked at; 16-bit gray; transparency is kept."""
    rgb = noise(40, 50, 3)
    gray = luma_u8(rgb)
    expected = np.asarray(colorizer(Image.fromarray(gray)))
    for picture in (rgb, gray.astype(np.uint16) * 257):
        np.testing.assert_array_equal(np.asarray(colorizer(Image.fromarray(picture))), expected)
    alpha = Image.fromarray(noise(40, 50, seed=1).clip(1))  # nothing fully clear
    result = colorizer(Image.merge("LA", (Image.fromarray(gray), alpha)))
    assert result.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(result.getchannel("A")), alpha)
    np.testing.assert_array_equal(np.asarray(result)[..., :3], expected)


@pytest.mark.parametrize(
    ("picture", "size", "seen"),
    [
        ((96, 144), 32, (32, 48)),
        ((96, 144), 64, (64, 96)),
        ((20, 30), 64, (64, 96)),
        ((3, 500), 32, (32, 8 * 32)),  # a strip: not 5333 wide
        ((20, 600), 32, (32, 600 * 20 // 32)),  # no more pixels than it has
    ],
)
def test_the_networks_see_the_short_side_at_the_working_size(untied, picture, size, seen):
    generator, shapes = build_generator(untied()).eval(), []
    generator.down[0].register_forward_pre_hook(lambda m, x: shapes.append(tuple(x[0].shape)))
    rgb, saliency = render(generator, torch.zeros(1, 1, *picture, dtype=torch.uint8), size)
    assert shapes == [(1, 1, *seen)]
    assert rgb.shape == (1, 3, *picture) and saliency.shape == (1, 1, *picture)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "kind"),
    [("none", type(None)), ("vgg16_gray", GlobalEncoder), ("folded_vgg16", FoldedGlobal)],
)
def test_saved_and_loaded_is_the_same_function(tiny, tmp_path, encoder, kind):
    p = tiny(global_encoder=encoder)
    generator = build_generator(p).eval()
    assert type(generator.global_encoder) is kind
    save_generator(generator, p, tmp_path / "g.safetensors", stage=2, steps=7)
    again, profile, facts = load_generator(tmp_path / "g.safetensors")
    assert profile.settings() == p.settings() and not again.training
    assert facts == {"stage": "2", "steps": "7"}
    gray = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(gray), generator(gray), rtol=0, atol=0)


def test_files_that_do_not_fit_are_refused_in_one_line(colorizer, tmp_path):
    path, name = tmp_path / "g.safetensors", "to_rgb.conv.weight"
    state, settings = colorizer.generator.state_dict(), colorizer.profile.settings()

    def refused(why: str) -> None:
        with pytest.raises(UserError, match=f"^{path}: .*{why}") as caught:
            load_generator(path)
        assert "\n" not in str(caught.value)

    def save(weights: dict, stored: dict = settings) -> None:
        save_file(weights, path, metadata={"profile": json.dumps(stored)})

    refused("no such weights")
    save(state, settings | {"of_an_older_version": 1})
    assert load_generator(path)[1].settings() == settings
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        refused("not a generator")
    save(state, settings | {"width": 0})
    refused("width=0")
    for wrong, why in (
        (torch.ones(2), f"size mismatch.*{name}"),
        (state[name] / 0, f"{name}.*holds NaN"),
    ):
        save(state | {name: wrong})
        refused(why)
    del state[name]
    save(state)
    refused(name)


def test_a_profiles_name_means_its_newest_stage(tiny, tmp_path):
    with pytest.raises(UserError, match="train first"):
        Colorizer.load("folder")  # no weights travel for this one
    p = tiny(global_encoder="none")
    runs = tmp_path / "results" / "mini" / "runs"
    for stage in (1, 2):
        torch.manual_seed(stage)
        generator = build_generator(p)
        save_generator(generator, p, runs / f"stage{stage}" / "final.safetensors")
        loaded = Colorizer.load("mini").generator.state_dict()
        assert all(torch.equal(v, loaded[k]) for k, v in generator.state_dict().items())


def test_weights_travel_as_a_folder(colorizer, tmp_path):
    picture, folder = Image.fromarray(noise(40, 50, 3)), tmp_path / "travels"
    colorizer.chroma, colorizer.facts = 1.5, {"steps": "7"}
    colorizer.save_pretrained(folder)
    again = Colorizer.from_pretrained(folder, device="cpu")
    assert (again.chroma, again.facts) == (1.5, {"steps": "7"})
    assert again.profile.settings() == colorizer.profile.settings()
    np.testing.assert_array_equal(np.asarray(again(picture)), np.asarray(colorizer(picture)))
    assert "| width | 4 |\n" in (folder / "README.md").read_text()
    shipped = Colorizer.from_pretrained(ROOT / "results/tiny", device="cpu")
    assert shipped.profile.name == "tiny" and shipped.chroma == 1


@pytest.mark.parametrize("name", ["results", "no/such/folder", "nobody/nothing"])
def test_weights_that_cannot_be_had_are_one_line(tmp_path, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(UserError, match=rf"^{name}[^\n]*: no such[^\n]*$"):
        Colorizer.from_pretrained(name, cache_dir=tmp_path)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_inference_form_gives_the_same_pictures(norm):
    generator = Generator(8, 8, levels=6, norm=norm).double()  # what is compared is no rounding
    for name, parameter in generator.named_parameters():
        if "norm" in name:  # as after a training
            parameter.data += torch.randn_like(parameter)
    for _ in range(3):  # running statistics and spectral norms of a network in training
        generator(torch.rand(4, 1, 64, 96).double() * 2 - 1)
    generator.eval()
    gray = torch.rand(2, 1, 64, 96).double() * 2 - 1
    form = colorize.inference_form(generator)
    assert form is not generator and not any(p.requires_grad for p in form.parameters())
    with torch.inference_mode():
        for mine, trained in zip(form(gray), generator(gray), strict=True):
            torch.testing.assert_close(mine, trained, rtol=0, atol=1e-10)
    kinds = [type(m).__name__ for m in form.modules()]
    assert "BatchNorm2d" not in kinds and "ParametrizedConv2d" not in kinds
    released = Generator(8, 8, levels=6, fidelity="released")
    assert colorize.inference_form(released) is released and not released.training
