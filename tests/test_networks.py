"""Generator and critics: shapes, counts, switches, the receptive field."""

import pytest
import torch
from torch import nn

from scgan_lib import networks, pretrained
from scgan_lib.layers import advance_spectral_norm
from scgan_lib.networks import FoldedGlobal, Generator, PatchCritic, luma
from scgan_lib.vgg import FoldedVGG


def small(**options) -> Generator:
    return Generator(4, 4, **(dict(levels=5, encoder=False) | options))


def critic(**options) -> PatchCritic:
    return PatchCritic(4, **options)


# of a spectrally normalised network: everything that its fidelity may change
FIDELITY = pytest.mark.parametrize("make", [small, lambda **o: critic(spectral=True, **o)])


@pytest.mark.parametrize(("levels", "size"), [(5, (64, 96)), (7, (67, 75))])
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


@FIDELITY
def test_initialisation_by_fidelity(make, monkeypatch):
    """From one random state: "released" is what torch draws, "paper" draws every one anew."""

    def weights(fidelity):
        """Every convolution's own parameter, before spectral norm divides it."""
        torch.manual_seed(3)
        return {n: p for n, p in make(fidelity=fidelity).named_parameters() if "original" in n}

    paper, released = weights("paper"), weights("released")
    monkeypatch.setattr(networks, "initialise", lambda module: None)
    untouched = weights("paper")
    assert paper and paper.keys() == released.keys()
    for name in paper:
        assert torch.equal(released[name], untouched[name]), name
        assert not torch.equal(paper[name], untouched[name]), name
    everything = torch.cat([w.detach().flatten() for w in paper.values()])
    assert everything.std().item() == pytest.approx(0.02, rel=0.05)
    assert everything.mean().item() == pytest.approx(0, abs=0.001)


@FIDELITY
def test_power_iteration_by_fidelity(make):
    """At inference "released" depends on how often it was called, "paper" does not."""
    for fidelity in ("paper", "released"):
        network = make(fidelity=fidelity).eval()
        inputs = [torch.randn(2, 1, 48, 48)]
        if isinstance(network, PatchCritic):
            inputs.append(torch.randn(2, 3, 48, 48))
        for name, u in network.named_buffers():
            if name.endswith("._u"):
                u.copy_(nn.functional.normalize(torch.randn_like(u), dim=0))
        before = {n: b.clone() for n, b in network.named_buffers()}
        with torch.inference_mode():
            first, second = (network(*inputs)[0] for _ in range(2))
        assert torch.equal(first, second) == (fidelity == "paper")
        moved = {n[-3:] for n, b in network.named_buffers() if not torch.equal(b, before[n])}
        assert moved == (set() if fidelity == "paper" else {"._u", "._v"})


@pytest.mark.parametrize("make", [small, critic])
def test_spectral_norm_switches(make):
    for spectral in (True, False):
        network = make(spectral=spectral)
        advance_spectral_norm(network, 200)
        weights = [m.eval().weight for m in network.modules() if isinstance(m, nn.Conv2d)]
        largest = torch.stack([torch.linalg.matrix_norm(w.flatten(1), 2) for w in weights])
        off = (largest - 1).abs()
        assert off.max() < 0.02 if spectral else off.min() > 0.02


@pytest.mark.parametrize(("layers", "field", "side"), [(3, 69, 30), (2, 37, 62)])
def test_receptive_field_measured_by_gradient(layers, field, side):
    gray, image = torch.zeros(1, 1, 256, 256), torch.randn(1, 3, 256, 256, requires_grad=True)
    scores = PatchCritic(1, layers=layers, norm="none")(gray, image)
    assert scores.shape == (1, 1, side, side)
    (gradient,) = torch.autograd.grad(scores[0, 0, side // 2, side // 2], image)
    touched = gradient[0].abs().sum(0) > 0
    assert touched.any(0).sum().item() == touched.any(1).sum().item() == field
    assert touched.sum().item() == field**2  # a full square


def test_luma_and_the_switch_that_keeps_it():
    red_to_blue = torch.tensor([1.0, 0.5, -1.0]).view(1, 3, 1, 1)
    assert luma(red_to_blue).item() == pytest.approx(0.299 + 0.2935 - 0.114, abs=1e-6)
    gray = torch.rand(2, 1, 32, 32) * 2 - 1
    free, kept = small().eval(), small(keep_luminance=True).eval()
    kept.load_state_dict(free.state_dict())
    (plain, saliency), (result, same) = free(gray), kept(gray)
    torch.testing.assert_close(luma(result), gray, rtol=0, atol=1e-5)
    assert (luma(plain) - gray).abs().mean() > 0.05
    # the chroma is the network's
    torch.testing.assert_close(result - luma(result), plain - luma(plain), rtol=0, atol=1e-5)
    torch.testing.assert_close(saliency, same)


def test_folded_encoder_is_frozen_and_its_projection_is_not():
    folded = pretrained.fold_to_gray(pretrained.vgg16_trunk("hed"))
    generator = small(encoder=FoldedVGG(folded)).train()
    encoder = generator.global_encoder
    assert isinstance(encoder, FoldedGlobal)
    generator(torch.randn(2, 1, 32, 32))[0].sum().backward()
    assert encoder.project.weight.grad.any()
    assert not any(p.requires_grad for p in encoder.trunk.parameters())
    for name, value in encoder.trunk.state_dict().items():
        assert torch.equal(value, folded[name]), name
    state = generator.state_dict()
    assert not [name for name in state if ".trunk." in name]
    assert "global_encoder.project.weight" in state
