"""Each equation against a case computed by hand; the penalty against its closed form."""

import pytest
import torch
from torch import nn

from scgan_lib import losses, pretrained
from scgan_lib.config import LossWeights
from scgan_lib.networks import PatchCritic
from scgan_lib.vgg import IMAGENET_MEAN, IMAGENET_STD, VGGFeatures, vgg16_layers


def close(actual, expected, rtol=1e-5, atol=1e-6):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def colours(*pixels) -> torch.Tensor:
    """Pixels in a row: (1,3,1,n)."""
    return torch.tensor(pixels).T.reshape(1, 3, 1, -1)


C = colours((1.0, 0.0, -1.0), (0.5, 0.5, 0.5))
C_HAT = colours((0.0, 0.0, 0.0), (1.0, 0.5, 0.0))
S = torch.tensor([1.0, 0.5]).reshape(1, 1, 1, 2)
S_HAT = torch.tensor([0.5, 0.25]).reshape(1, 1, 1, 2)


def test_eq1_pixel_loss():
    # |1|+|0|+|−1| + |−.5|+|0|+|.5| = 3, over 6 numbers
    close(losses.pixel_loss(C_HAT, C).item(), 0.5)
    assert losses.pixel_loss(C, C).item() == 0


def test_eq2_attention_loss():
    # c⊙s: (1,0,−1), (.25,.25,.25); ĉ⊙ŝ: (0,0,0), (.25,.125,0); differences 1,0,1, 0,.125,.25
    close(losses.salient_area(C, S), colours((1.0, 0.0, -1.0), (0.25, 0.25, 0.25)))
    close(losses.attention_loss(C_HAT, S_HAT, C, S).item(), 2.375 / 6)
    # a wrong saliency alone costs, too
    close(losses.attention_loss(C, S_HAT, C, S).item(), (0.5 + 0.5 + 3 * 0.125) / 6)


def test_eq3_adversarial_loss():
    color, salient = torch.tensor([1.0, 3.0]), torch.tensor([-2.0, 1.0])
    close(losses.adversarial_loss(color).item(), -2.0)
    close(losses.adversarial_loss(color, salient).item(), -2.0 + 0.5)
    close(losses.adversarial_loss(color, salient, "hinge").item(), -1.5)
    # ½·(0+4)/2 = 1; ½·(9+0)/2 = 2.25
    close(losses.adversarial_loss(color, salient, "lsgan").item(), 3.25)


def test_eq4_critic_loss():
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 0.5])
    close(losses.critic_loss(real, fake).item(), -1.25 - 1.0)
    # max(0, 1−2), max(0, 1−0) -> .5;  max(0, 1−3), max(0, 1.5) -> .75
    close(losses.critic_loss(real, fake, "hinge").item(), 1.25)
    # ½·(1+1)/2 = .5;  ½·(9+.25)/2 = 2.3125
    close(losses.critic_loss(real, fake, "lsgan").item(), 2.8125)


# --- the penalty ----------------------------------------------------------------------------------

GRAY = torch.zeros(4, 1, 2, 2)


class Linear(nn.Module):
    """D(x, z) = w·z."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        w = torch.randn(3, 2, 2)
        self.w = nn.Parameter(norm * w / w.norm())

    def forward(self, gray, z):
        return (self.w * z).sum((1, 2, 3)).view(-1, 1, 1, 1)


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_penalty_of_a_linear_critic_and_its_gradient_in_closed_form(norm):
    """∇_z w·z = w everywhere: the penalty is (|w|−1)², its gradient 2(|w|−1)·w/|w|."""
    critic = Linear(norm)
    penalty = losses.gradient_penalty(critic, GRAY, *torch.randn(2, 4, 3, 2, 2))
    close(penalty.item(), (norm - 1) ** 2, rtol=1e-5, atol=1e-6)
    penalty.backward()
    expected = 2 * (norm - 1) * critic.w.detach() / norm
    close(critic.w.grad, expected, rtol=1e-4, atol=1e-5)


def test_points_lie_on_the_line_one_draw_a_sample():
    seen = []

    def critic(gray, z):
        seen.append(z.detach().flatten(1))
        return z.sum((1, 2, 3)).view(-1, 1, 1, 1)

    real, fake = torch.ones(64, 3, 2, 2), torch.zeros(64, 3, 2, 2)
    losses.gradient_penalty(critic, torch.zeros(64, 1, 2, 2), real, fake)
    t = seen[0][:, 0]
    assert (seen[0] == t[:, None]).all()  # one t for all numbers of a sample
    assert 0 <= t.min() < 0.1 and 0.9 < t.max() <= 1 and t.unique().numel() == 64


def test_penalty_patches_switch():
    """Four patches that all say w·z: their mean has the gradient w, their sum 4w."""
    critic = Linear(0.5)
    for patches, norm in (("mean", 0.5), ("sum", 2.0)):
        penalty = losses.gradient_penalty(
            lambda gray, z: critic(gray, z).expand(-1, 1, 2, 2),
            GRAY, *torch.randn(2, 4, 3, 2, 2), patches=patches,
        )  # fmt: skip
        close(penalty.item(), (norm - 1) ** 2)


def test_penalty_is_safe_at_zero_and_leaves_the_generator_alone():
    critic = Linear(1.0)
    critic.w.data.zero_()
    fake = torch.randn(4, 3, 2, 2, requires_grad=True)
    penalty = losses.gradient_penalty(critic, GRAY, torch.randn(4, 3, 2, 2), fake)
    close(penalty.item(), 1.0, rtol=0, atol=1e-5)
    penalty.backward()
    assert torch.isfinite(critic.w.grad).all() and fake.grad is None


@pytest.mark.parametrize("norm", ["none", "instance", "layer", "batch"])
def test_penalty_reaches_every_convolution_and_without_batch_norm_is_each_samples_own(norm):
    """WGAN-GP penalises each sample's own gradient; BatchNorm mixes the others into it."""
    critic = PatchCritic(4, layers=2, norm=norm)
    gray, z = torch.randn(3, 1, 32, 32), torch.randn(3, 3, 32, 32)
    penalty = losses.gradient_penalty(critic, gray, z, z.flip(0))
    assert torch.isfinite(penalty) and penalty > 0
    penalty.backward()
    reached = [p.grad.abs().max() > 0 for n, p in critic.named_parameters() if "conv" in n]
    assert len(reached) == 5 and all(reached)

    def gradient_of_first(others):
        batch = torch.cat([z[:1], others]).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(gray, batch).sum(), batch)
        return gradient[0]

    a, b = gradient_of_first(z[1:]), gradient_of_first(3 * z[1:] + 1)
    change = ((a - b).norm() / a.norm()).item()
    assert change > 0.01 if norm == "batch" else change < 1e-4


# --- eq. 5 and 6 ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trunk():
    return pretrained.vgg16_trunk("hed").state


def test_eq5_perceptual_loss_by_fidelity(trunk):
    """paper: conv3_3 after ReLU on normalised input; released: before ReLU, input as it is."""
    layers = vgg16_layers(3, 15).eval()
    layers.load_state_dict({k.removeprefix("features."): v for k, v in trunk.items()
                            if int(k.split(".")[1]) <= 15})  # fmt: skip
    rgb, rgb_hat = torch.rand(2, 2, 3, 32, 32).mul(2).sub(1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    forms = {
        "paper": lambda image: layers(((image + 1) / 2 - mean) / std),
        "released": lambda image: layers[:15](image),
    }
    got = {}
    for fidelity, by_hand in forms.items():
        got[fidelity] = losses.perceptual_loss(VGGFeatures(trunk, fidelity), rgb_hat, rgb)
        difference = by_hand(rgb) - by_hand(rgb_hat)
        assert difference.shape == (2, 256, 8, 8)
        close(got[fidelity], difference.abs().mean(), rtol=1e-3, atol=1e-6)
    assert abs(got["paper"] / got["released"] - 1) > 0.1


def test_perceptual_loss_moves_the_picture_and_not_the_network(trunk):
    features = VGGFeatures(trunk)
    rgb, rgb_hat = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    losses.perceptual_loss(features, rgb_hat, rgb).backward()
    assert rgb_hat.grad.abs().max() > 0 and rgb.grad is None
    assert all(p.grad is None for p in features.parameters())


def test_eq6_generator_loss():
    weights = LossWeights(pixel=1.0, attention=0.5, perceptual=5.0, adversarial=0.05)
    terms = {"pixel": 2.0, "attention": 4.0, "perceptual": 0.1, "adversarial": -10.0}
    terms = {name: torch.tensor(value) for name, value in terms.items()}
    close(losses.generator_loss(terms, weights).item(), 2 + 2 + 0.5 - 0.5)
    stage1 = {name: terms[name] for name in ("pixel", "attention")}
    close(losses.generator_loss(stage1, weights).item(), 4.0)
