"""The plain way to run SCGAN, written after the released step: what `make bench` measures against.

Same networks, same weights, same equations as `scgan_lib`, none of its short cuts: nearest x2 and
then a 3x3 convolution on the large map; one power iteration of every spectral norm on every call,
at inference too; the generator twice in a stage-2 step; gradients of the critics in the generator's
turn, though nobody uses them; Adam parameter by parameter; NCHW memory. `scgan_lib.paper` has the
facts. The released VGG is frozen, so the real image's features have no graph here either.

Two choices are kinder to this reference than the released code: the graph of the first generator
call is freed before the second (less memory), and a network without spectral norm runs without it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scgan_lib.config import Profile

VGG_PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)


class Block(nn.Module):
    """[nearest x2 →] reflect-pad → 3x3 (or other) convolution → norm → activation, literally."""

    def __init__(self, c_in, c_out, kernel=3, stride=1, pad=None, up=False, norm="batch",
                 spectral=False, activation=None):  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, bias=False)
        self.pad, self.up = kernel // 2 if pad is None else pad, up
        self.norm = {
            "batch": lambda: nn.BatchNorm2d(c_out),
            "instance": lambda: nn.InstanceNorm2d(c_out, affine=True),
            "layer": lambda: nn.GroupNorm(1, c_out),
            "none": nn.Identity,
        }[norm]()
        self.activation = nn.LeakyReLU(0.2) if activation is None else activation
        self.spectral = spectral
        if spectral:
            self.register_buffer("u", torch.zeros(c_out))
            self.register_buffer("v", torch.zeros(c_in * kernel * kernel))

    def weight(self) -> Tensor:
        """W / σ(W), σ by one more power iteration on every call (u first, as torch does)."""
        if not self.spectral:
            return self.conv.weight
        matrix = self.conv.weight.flatten(1)
        with torch.no_grad():
            u = F.normalize(matrix @ self.v, dim=0)
            v = F.normalize(matrix.T @ u, dim=0)
            self.u.copy_(u)
            self.v.copy_(v)
        return self.conv.weight / torch.dot(u, matrix @ v)

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.pad(x, (self.pad,) * 4, mode="reflect")
        x = F.conv2d(x, self.weight(), stride=self.conv.stride)
        return self.activation(self.norm(x))


def vgg16(channels: int, last: int) -> nn.Sequential:
    """Layers 0..last of VGG-16's `features`, frozen."""
    layers: list[nn.Module] = []
    for width in VGG_PLAN:
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers[: last + 1]).requires_grad_(False)


class GlobalEncoder(nn.Module):
    """VGG-16-Gray with strides for pools: gray -> 8·width channels at 1/32."""

    def __init__(self, width, norm, spectral):
        super().__init__()
        c_in = 1
        for stage, (scale, depth) in enumerate([(1, 2), (2, 2), (4, 3), (8, 3), (8, 3)], start=1):
            for i in range(1, depth + 1):
                stride = 2 if i == depth and stage < 5 else 1
                kind = "none" if stage == i == 1 else norm
                block = Block(c_in, scale * width, 3, stride, norm=kind, spectral=spectral)
                self.add_module(f"conv{stage}_{i}", block)
                c_in = scale * width
        self.add_module("pool5", Block(c_in, c_in, 3, 2, norm=norm, spectral=spectral))

    def forward(self, gray: Tensor, size: tuple[int, int]) -> Tensor:
        for block in self.children():
            gray = block(gray)
        return gray if gray.shape[-2:] == size else F.adaptive_avg_pool2d(gray, size)


class FoldedGlobal(nn.Module):
    """conv4_3 and conv5_3 of a frozen gray VGG-16, normalised, projected (profile `mini`)."""

    def __init__(self, out_channels):
        super().__init__()
        self.trunk = nn.ModuleDict({"features": vgg16(1, 29)})
        self.norm = nn.BatchNorm2d(1024, affine=False)
        self.project = nn.Conv2d(1024, out_channels, 1, bias=False)

    def forward(self, gray: Tensor, size: tuple[int, int]) -> Tensor:
        maps, x = [], gray
        for i, layer in enumerate(self.trunk["features"]):
            x = layer(x)
            if i in (22, 29):  # conv4_3 and conv5_3 after their ReLU
                maps.append(F.adaptive_avg_pool2d(x, size))
        return F.leaky_relu(self.project(self.norm(torch.cat(maps, 1))), 0.2)


class SaliencyBranch(nn.Module):
    def __init__(self, eighth, quarter, half, width, norm, spectral):
        super().__init__()
        more = dict(norm=norm, spectral=spectral)
        self.from_eighth = nn.Sequential(
            Block(eighth, width, up=True, **more), Block(width, width, up=True, **more)
        )
        self.from_quarter = Block(quarter, width, up=True, **more)
        self.from_half = Block(half, width, **more)
        self.join = Block(3 * width, width, up=True, **more)
        self.final = Block(width, 1, norm="none", spectral=spectral, activation=nn.Sigmoid())

    def forward(self, eighth: Tensor, quarter: Tensor, half: Tensor) -> Tensor:
        maps = [self.from_eighth(eighth), self.from_quarter(quarter), self.from_half(half)]
        return self.final(self.join(torch.cat(maps, 1)))


class Generator(nn.Module):
    """gray (B,1,H,W) -> rgb_hat (B,3,H,W), saliency_hat (B,1,H,W); H, W multiples of 2^(levels-1).

    Attribute names are scgan_lib's, so that its weights load: see `load`.
    """

    def __init__(self, profile: Profile):
        super().__init__()
        p, levels, width = profile, profile.levels, profile.width
        self.levels, self.fusion, self.keep_luminance = levels, min(6, levels - 1), p.keep_luminance
        more = dict(spectral=p.generator_spectral)
        self.global_encoder = {
            "vgg16_gray": lambda: GlobalEncoder(width, p.generator_norm, p.generator_spectral),
            "folded_vgg16": lambda: FoldedGlobal(8 * width),
            "none": lambda: None,
        }[p.global_encoder]()
        c = [min(width * 2**i, 8 * width) for i in range(levels)]
        self.down = nn.ModuleList([Block(1, width, 7, norm="none", **more)])
        for i in range(1, levels):
            joined = 8 * width if i == self.fusion and self.global_encoder is not None else 0
            norm = "none" if i == levels - 1 else p.generator_norm
            self.down.append(Block(c[i - 1] + joined, c[i], 3, 2, norm=norm, **more))
        self.up = nn.ModuleList(
            Block(c[i + 1] * (1 if i == levels - 2 else 2), c[i], up=True,
                  norm=p.generator_norm, **more)
            for i in range(levels - 2, -1, -1)
        )  # fmt: skip
        self.to_rgb = Block(2 * width, 3, norm="none", activation=nn.Tanh(), **more)
        self.saliency = SaliencyBranch(
            c[3], c[2], c[1], p.saliency_width, p.generator_norm, p.generator_spectral
        )

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        skips, x = [], gray
        for i, block in enumerate(self.down):
            if i == self.fusion and self.global_encoder is not None:
                x = torch.cat([x, self.global_encoder(gray, tuple(x.shape[-2:]))], 1)
            x = block(x)
            skips.append(x)
        decoder = {}
        for level, block in zip(range(self.levels - 2, -1, -1), self.up, strict=True):
            decoder[level] = block(x)
            x = torch.cat([skips[level], decoder[level]], 1)
        rgb_hat = self.to_rgb(x)
        saliency_hat = self.saliency(decoder[3], decoder[2], decoder[1])
        if self.keep_luminance:
            r, g, b = rgb_hat.split(1, 1)
            rgb_hat = rgb_hat + (gray - (0.299 * r + 0.587 * g + 0.114 * b))
        return rgb_hat, saliency_hat


class Critic(nn.Module):
    """PatchGAN on gray and an image, concatenated."""

    def __init__(self, profile: Profile):
        super().__init__()
        width, c = profile.critic_width, profile.critic_width
        norm, more = profile.critic_norm, dict(spectral=profile.critic_spectral)
        blocks = [Block(4, width, 7, norm="none", **more)]
        for _ in range(profile.critic_layers):
            blocks.append(Block(c, min(2 * c, 8 * width), 3, 2, norm=norm, **more))
            c = min(2 * c, 8 * width)
        blocks.append(Block(c, c, 4, pad=1, norm=norm, **more))
        blocks.append(Block(c, 1, 4, pad=1, norm="none", activation=nn.Identity(), **more))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, gray: Tensor, image: Tensor) -> Tensor:
        return self.blocks(torch.cat([gray, image], 1))


class Features(nn.Module):
    """VGG-16 conv3_3 after its ReLU, of an image in [-1, 1] normalised as ImageNet's."""

    def __init__(self):
        super().__init__()
        self.features = vgg16(3, 15)
        self.mean, self.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def forward(self, rgb: Tensor) -> Tensor:
        mean, std = rgb.new_tensor([self.mean, self.std]).view(2, 1, 3, 1, 1)
        return self.features(((rgb + 1) / 2 - mean) / std)


def load(plain: nn.Module, ours: nn.Module) -> nn.Module:
    """Give `plain` the weights, BatchNorm statistics and power-iteration vectors of `ours`."""
    names = {".parametrizations.weight.original": ".weight"}
    names |= {f".conv.parametrizations.weight.0._{x}": f".{x}" for x in "uv"}
    state = {}
    for name, value in [*ours.named_parameters(), *ours.named_buffers()]:  # frozen ones, too
        for theirs, mine in names.items():
            name = name.replace(theirs, mine)
        state[name] = value.detach().contiguous()
    plain.load_state_dict(state)
    return plain


class Reference:
    """Both stages' steps on plain networks that start from the state of `players`.

    `players` are those of `scgan_lib.training`. ValueError for settings that were not written out.
    """

    def __init__(self, profile: Profile, players):
        if profile.gan != "wgan-gp" or profile.fidelity != "paper":
            raise ValueError("the reference knows wgan-gp and fidelity='paper' only")
        self.profile = profile
        device = next(players.generator.parameters()).device
        self.generator = load(Generator(profile), players.generator).to(device)
        self.critics = {
            name: load(Critic(profile), c).to(device) for name, c in players.critics.items()
        }
        self.features = None
        if players.features is not None:
            self.features = load(Features(), players.features).to(device)
        self.generator_optimizer = self._optimizer(players.generator_optimizer, [self.generator])
        self.critic_optimizer = None
        if self.critics:
            self.critic_optimizer = self._optimizer(players.critic_optimizer, self.critics.values())

    def _optimizer(self, theirs, modules):
        """The same rule with the same numbers, one parameter after the other."""
        group = theirs.param_groups[0]
        kind = torch.optim.AdamW if self.profile.optimizer == "adamw" else torch.optim.Adam
        settings = {k: group[k] for k in ("lr", "betas", "eps", "weight_decay")}
        parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        return kind(parameters, **settings, foreach=False, fused=False)

    @torch.no_grad()
    def colorize(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        self.generator.eval()
        return self.generator(gray)

    def stage1_step(self, batch: dict) -> dict:
        self.generator_optimizer.zero_grad()
        terms = self._guided(batch, *self.generator(batch["gray"]))
        return self._update_generator(terms)

    def stage2_step(self, batch: dict) -> dict:
        """Critics first, on a generator call of their own; then the generator on another."""
        gray, rgb = batch["gray"], batch["rgb"]
        values = self._critics_turn(batch)

        self.generator_optimizer.zero_grad()
        rgb_hat, saliency_hat = self.generator(gray)
        terms = self._guided(batch, rgb_hat, saliency_hat)
        if self.features is not None:
            terms["perceptual"] = F.l1_loss(self.features(rgb_hat), self.features(rgb))
        views = {"color": rgb_hat, "salient": rgb_hat * saliency_hat}
        scores = [-critic(gray, views[name]).mean() for name, critic in self.critics.items()]
        if scores:
            terms["adversarial"] = sum(scores)
        return values | self._update_generator(terms)

    def _critics_turn(self, batch: dict) -> dict:
        """Eq. 4 for every critic: E[D(fake)] − E[D(real)] + λ·E[(‖∇D‖ − 1)²]."""
        if not self.critics:
            return {}
        gray, rgb, values, total = batch["gray"], batch["rgb"], {}, 0.0
        self.critic_optimizer.zero_grad()
        rgb_hat, saliency_hat = self.generator(gray)
        views = {
            "color": (rgb, rgb_hat.detach()),
            "salient": (rgb * batch["saliency"], (rgb_hat * saliency_hat).detach()),
        }
        for name, critic in self.critics.items():
            real, fake = views[name]
            gap = critic(gray, real).mean() - critic(gray, fake).mean()
            penalty = self._penalty(critic, gray, real, fake)
            loss = self.profile.loss.gradient_penalty * penalty - gap
            parts = {"gap": gap, "penalty": penalty, "critic": loss}
            values |= {f"{name}_{part}": value.detach() for part, value in parts.items()}
            total = total + loss
        total.backward()
        self.critic_optimizer.step()
        return values

    def _penalty(self, critic: nn.Module, gray: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        t = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
        z = (t * real + (1 - t) * fake).requires_grad_()
        scores = critic(gray, z).flatten(1)
        total = scores.sum() if self.profile.penalty_patches == "sum" else scores.mean(1).sum()
        (gradient,) = torch.autograd.grad(total, z, create_graph=True)
        norm = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
        return (norm - 1).square().mean()

    def _guided(self, batch: dict, rgb_hat: Tensor, saliency_hat: Tensor) -> dict:
        """Eq. 1 and 2."""
        terms = {"pixel": F.l1_loss(rgb_hat, batch["rgb"])}
        if self.profile.saliency_guidance:
            real = batch["rgb"] * batch["saliency"]
            terms["attention"] = F.l1_loss(rgb_hat * saliency_hat, real)
        return terms

    def _update_generator(self, terms: dict) -> dict:
        """Eq. 6, its gradients, one step. -> the losses."""
        total = sum(getattr(self.profile.loss, name) * term for name, term in terms.items())
        total.backward()
        self.generator_optimizer.step()
        return {name: term.detach() for name, term in (terms | {"generator": total}).items()}
