"""Generator and critics: shapes, counts, switches, the receptive field."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from scgan_lib import networks, pretrained
from scgan_lib.layers import advance_spectral_norm
from scgan_lib.networks import FoldedGlobal, Generator, GlobalEncoder, PatchCritic, luma
from scgan_lib.vgg import FoldedVGG


def small(**options) -> Generator:
    return Generator(4, 4, **(dict(levels=5, encoder=False) | options))


def originals(module: nn.Module) -> dict[str, torch.Tensor]:
    """Every convolution's own parameter, before spectral norm divides it."""
    found = {}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            wrapped = parametrize.is_parametrized(layer, "weight")
            weight = layer.parametrizations.weight.original if wrapped else layer.weight
            found[name] = weight.detach().clone()
    return found


@pytest.fixture(scope="module")
def folded():
    return pretrained.fold_to_gray(pretrained.vgg16_trunk("hed"))


def test_luma_by_hand():
    rgb = torch.tensor([1.0, 0.5, -1.0]).view(1, 3, 1, 1)
    assert luma(rgb).item() == pytest.approx(0.299 + 0.2935 - 0.114, abs=1e-6)


@pytest.mark.parametrize("levels", [5, 7])
@pytest.mark.parametrize("size", [(64, 64), (64, 96), (67, 75)])
def test_generator_shapes_and_ranges(levels, size):
    generator = Generator(4, 6, levels).eval()
    rgb_hat, saliency_hat = generator(torch.rand(2, 1, *size) * 2 - 1)
    assert rgb_hat.shape == (2, 3, *size) and saliency_hat.shape == (2, 1, *size)
    assert rgb_hat.abs().max() <= 1
    assert 0 <= saliency_hat.min() and saliency_hat.max() <= 1


def test_every_trainable_number_acts_on_the_result():
    generator = Generator(4, 4, 7).train()
    rgb_hat, saliency_hat = generator(torch.randn(2, 1, 64, 64))
    (rgb_hat.square().sum() + saliency_hat.square().sum()).backward()
    assert not [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()]


def test_global_features_have_a_32nd_of_the_side_and_join_before_the_7th():
    encoder = GlobalEncoder(4)
    gray = torch.randn(2, 1, 128, 128)
    assert encoder(gray).shape == (2, 32, 4, 4)
    assert encoder(gray, (2, 2)).shape == (2, 32, 2, 2)
    generator = Generator(4, 4, 7)
    assert generator.fusion == 6
    shapes = []
    generator.down[6].register_forward_pre_hook(lambda m, x: shapes.append(x[0].shape))
    generator(gray)
    assert shapes == [(2, 64, 4, 4)]  # 32 of the U-Net, 32 global


def test_too_few_levels_are_refused():
    with pytest.raises(ValueError, match="levels=4"):
        small(levels=4)


@pytest.mark.parametrize("make", [small, lambda **o: PatchCritic(4, spectral=True, **o)])
def test_initialisation_by_fidelity(make, monkeypatch):
    """From one random state: "released" is what torch draws, "paper" draws every one anew."""

    def state(fidelity):
        torch.manual_seed(3)
        return originals(make(fidelity=fidelity))

    paper, released = state("paper"), state("released")
    with monkeypatch.context() as patch:
        patch.setattr(networks, "initialise", lambda module: None)
        untouched = state("paper")
    assert paper and paper.keys() == released.keys()
    for name in paper:
        assert torch.equal(released[name], untouched[name]), name
        assert not torch.equal(paper[name], untouched[name]), name
    everything = torch.cat([w.flatten() for w in paper.values()])
    assert 0.019 < everything.std() < 0.021 and abs(everything.mean()) < 0.001


def test_initialisation_leaves_the_frozen_trunk_alone(folded):
    generator = small(encoder=FoldedVGG(folded))
    for name, value in generator.global_encoder.trunk.state_dict().items():
        assert torch.equal(value, folded[name]), name


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (small, [(2, 1, 32, 32)]),
        (lambda **o: PatchCritic(4, spectral=True, **o), [(2, 1, 48, 48), (2, 3, 48, 48)]),
    ],
)
def test_power_iteration_by_fidelity(make, shapes):
    """At inference "released" depends on how often it was called, "paper" does not."""
    inputs = [torch.randn(shape) for shape in shapes]
    for fidelity in ("paper", "released"):
        network = make(fidelity=fidelity).eval()
        for name, u in network.named_buffers():
            if name.endswith("._u"):
                u.copy_(nn.functional.normalize(torch.randn_like(u), dim=0))
        before = {n: b.clone() for n, b in network.named_buffers()}
        with torch.inference_mode():
            first, second = (torch.as_tensor(_first(network(*inputs))) for _ in range(2))
        same = fidelity == "paper"
        assert torch.equal(first, second) == same
        moved = [n for n, b in network.named_buffers() if not torch.equal(b, before[n])]
        assert bool(moved) != same
        assert all(n.endswith(("._u", "._v")) for n in moved)


def _first(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("make", [small, lambda **o: PatchCritic(4, **o)])
def test_spectral_norm_switches(make):
    def largest(spectral):
        network = make(spectral=spectral)
        advance_spectral_norm(network, 200)
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        assert all(parametrize.is_parametrized(m, "weight") == spectral for m in layers)
        return torch.stack(
            [torch.linalg.matrix_norm(m.eval().weight.flatten(1), 2) for m in layers]
        )

    with_norm, without = largest(True), largest(False)
    torch.testing.assert_close(with_norm, torch.ones_like(with_norm), rtol=0, atol=0.02)
    assert (without - 1).abs().min() > 0.02


@pytest.mark.parametrize(("layers", "field", "side"), [(3, 69, 30), (2, 37, 62)])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_receptive_field_measured_by_gradient(layers, field, side, norm):
    critic = PatchCritic(4, layers=layers, norm=norm).eval()
    gray, image = torch.zeros(1, 1, 256, 256), torch.randn(1, 3, 256, 256, requires_grad=True)
    scores = critic(gray, image)
    assert scores.shape == (1, 1, side, side)
    (gradient,) = torch.autograd.grad(scores[0, 0, side // 2, side // 2], image)
    touched = gradient[0].abs().sum(0) > 0
    assert touched.any(0).sum().item() == touched.any(1).sum().item() == field
    assert touched.sum().item() == field**2  # a full square


def test_critic_sees_both_the_condition_and_the_image():
    critic = PatchCritic(4)
    gray, image = torch.randn(1, 1, 64, 64), torch.randn(1, 3, 64, 64)
    base = critic(gray, image)
    assert not torch.allclose(critic(gray + 1, image), base)
    assert not torch.allclose(critic(gray, image + 1), base)


def test_keep_luminance_switch():
    gray = torch.rand(2, 1, 32, 32) * 2 - 1
    free, kept = small().eval(), small(keep_luminance=True).eval()
    kept.load_state_dict(free.state_dict())
    (plain, saliency), (result, same) = free(gray), kept(gray)
    torch.testing.assert_close(luma(result), gray, rtol=0, atol=1e-5)
    assert (luma(plain) - gray).abs().mean() > 0.05
    # the chroma is the network's
    torch.testing.assert_close(result - luma(result), plain - luma(plain), rtol=0, atol=1e-5)
    torch.testing.assert_close(saliency, same)


def test_unit_range_maps_gray_before_and_colours_after():
    gray = torch.rand(2, 1, 32, 32) * 2 - 1
    plain, unit = small().eval(), small(unit_range=True).eval()
    unit.load_state_dict(plain.state_dict())
    rgb_01, saliency = plain((gray + 1) / 2)
    torch.testing.assert_close(unit(gray), (rgb_01 * 2 - 1, saliency))


def test_folded_encoder_is_frozen_and_its_projection_is_not(folded):
    generator = small(encoder=FoldedVGG(folded)).train()
    encoder = generator.global_encoder
    assert isinstance(encoder, FoldedGlobal) and not encoder.trunk.training
    generator(torch.randn(2, 1, 32, 32))[0].sum().backward()
    assert encoder.project.weight.grad.any()
    assert not any(p.requires_grad for p in encoder.trunk.parameters())
    state = generator.trainable_state()
    assert not [name for name in state if ".trunk." in name]
    assert "global_encoder.project.weight" in state


def test_trainable_state_round_trip_and_its_mistakes():
    a, b = small().eval(), small().eval()
    gray = torch.randn(1, 1, 32, 32)
    assert not torch.equal(a(gray)[0], b(gray)[0])
    b.load_trainable_state(a.trainable_state())
    assert torch.equal(a(gray)[0], b(gray)[0])
    state = a.trainable_state()
    value = state.pop("to_rgb.conv.parametrizations.weight.original")
    with pytest.raises(KeyError, match="to_rgb"):
        b.load_trainable_state(state)
    state |= {"to_rgb.conv.parametrizations.weight.original": value, "more": value}
    with pytest.raises(KeyError, match="more"):
        b.load_trainable_state(state)
