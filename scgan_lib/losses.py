"""Equations 1-6 of the paper as pure functions (numbers as in `paper.EQUATIONS`).

Colours are in [-1, 1], saliency in [0, 1]; every loss is a mean over all its elements and returns
a scalar. c, s are the real colours and saliency, ĉ, ŝ the generator's.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from scgan_lib.config import LossWeights

Critic = Callable[[Tensor, Tensor], Tensor]


def pixel_loss(rgb_hat: Tensor, rgb: Tensor) -> Tensor:
    """Eq. 1: ‖c − ĉ‖₁, mean over (B,3,H,W)."""
    return (rgb - rgb_hat).abs().mean()


def salient_area(rgb: Tensor, saliency: Tensor) -> Tensor:
    """The weighted image c ⊙ s: (B,3,H,W) times (B,1,H,W). Where s = 0 it is 0, mid-gray."""
    return rgb * saliency


def attention_loss(rgb_hat: Tensor, saliency_hat: Tensor, rgb: Tensor, saliency: Tensor) -> Tensor:
    """Eq. 2: ‖c ⊙ s − ĉ ⊙ ŝ‖₁, mean over (B,3,H,W)."""
    return (salient_area(rgb, saliency) - salient_area(rgb_hat, saliency_hat)).abs().mean()


def adversarial_loss(
    color_score: Tensor, salient_score: Tensor | None = None, kind: str = "wgan-gp"
) -> Tensor:
    """Eq. 3: −E[D_c(ĉ)] − E[D_s(ĉ ⊙ ŝ)], from scores of generated images.

    `salient_score=None` leaves the second term out (the released code). `kind`: wgan-gp, hinge
    (the same expression) or lsgan: ½E[(D−1)²] in place of −E[D].
    """
    scores = [color_score] if salient_score is None else [color_score, salient_score]
    if kind == "lsgan":
        return sum(0.5 * (s - 1).square().mean() for s in scores)
    return sum(-s.mean() for s in scores)


def critic_loss(real_score: Tensor, fake_score: Tensor, kind: str = "wgan-gp") -> Tensor:
    """Eq. 4 without its penalty, for one critic: E[D(fake)] − E[D(real)].

    hinge: E[max(0, 1−D(real))] + E[max(0, 1+D(fake))]; lsgan: ½E[(D(real)−1)²] + ½E[D(fake)²].
    """
    if kind == "hinge":
        return (1 - real_score).relu().mean() + (1 + fake_score).relu().mean()
    if kind == "lsgan":
        return 0.5 * (real_score - 1).square().mean() + 0.5 * fake_score.square().mean()
    return fake_score.mean() - real_score.mean()


def gradient_penalty(
    critic: Critic,
    gray: Tensor,
    real: Tensor,
    fake: Tensor,
    mix: Tensor | None = None,
    patches: str = "mean",
) -> Tensor:
    """Eq. 4's penalty, without λ: E[(‖∇_z D(x, z)‖₂ − 1)²] at z = t·real + (1−t)·fake.

    t ~ U(0,1) is drawn once a sample (`mix` (B,1,1,1) fixes it); the gradient is taken by the
    image alone, flattened a sample at a time before its norm. D is one number a sample: the mean
    of its patch scores, which is what eq. 3 and 4 average; `patches="sum"` takes their sum, which
    binds the mean n times tighter for n patches. A norm of zero is safe: the root is taken of the
    sum plus 1e-12. The graph is kept, so that the penalty reaches D's weights.
    """
    if mix is None:
        mix = torch.rand(real.shape[0], 1, 1, 1, device=real.device, dtype=real.dtype)
    z = (mix * real.detach() + (1 - mix) * fake.detach()).requires_grad_(True)
    scores = critic(gray, z).reshape(len(z), -1)
    total = scores.sum() if patches == "sum" else scores.mean(1).sum()
    (gradient,) = torch.autograd.grad(total, z, create_graph=True)
    norm = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
    return (norm - 1).square().mean()


def perceptual_loss(features: nn.Module, rgb_hat: Tensor, rgb: Tensor) -> Tensor:
    """Eq. 5: ‖φ_l(c) − φ_l(ĉ)‖₁, mean over (B,256,H/4,W/4) at VGG-16 conv3_3.

    The real image's features are made without a graph.
    """
    with torch.no_grad():
        target = features(rgb)
    return (target - features(rgb_hat)).abs().mean()


def generator_loss(terms: Mapping[str, Tensor], weights: LossWeights) -> Tensor:
    """Eq. 6: the sum of λ_k · term_k over the given terms (stage 1 gives pixel and attention)."""
    return sum(getattr(weights, name) * value for name, value in terms.items())
