"""VGG-16 as a fixed measuring instrument: features for the perceptual loss and for gray images.

The weights come from `pretrained.vgg16_trunk` and `pretrained.fold_to_gray`; this module only
knows the layers. Simonyan & Zisserman 2015, numbered as in torchvision's `vgg16().features`.
"""

import torch
from torch import Tensor, nn

# Colour statistics of ImageNet on [0, 1], the convention of torchvision's weights.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Index of the convolution in `features`; its ReLU follows at the next index.
CONV3_3, CONV4_3, CONV5_3 = 14, 21, 28


def normalise(rgb_01: Tensor) -> Tensor:
    """ImageNet's normalisation (x − mean) / std of RGB in [0, 1], (..., 3, H, W)."""
    channels = zip(rgb_01.unbind(-3), IMAGENET_MEAN, IMAGENET_STD, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], -3)


def vgg16_layers(channels: int, last: int) -> nn.Sequential:
    """Layers 0..last of VGG-16's `features`: 3x3 convolutions, ReLU, 2x2 max-pooling, no norm."""
    layers: list[nn.Module] = []
    for width in (64, 64, "M", 128, 128, "M", *3 * (256,), "M", *3 * (512,), "M", *3 * (512,)):
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers[: last + 1])


class _FrozenVGG(nn.Module):
    """Layers filled from a trunk's state, frozen; gradients still flow to the input."""

    def __init__(self, state: dict[str, Tensor], last: int):
        super().__init__()
        self.features = vgg16_layers(state["features.0.weight"].shape[1], last)
        self.load_state_dict({name: state[name] for name in self.state_dict()})
        # channels_last halves the time of the forward pass on a CPU
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)


class VGGFeatures(_FrozenVGG):
    """φ of the perceptual loss (eq. 5): conv3_3 features of a colour image.

    rgb (B, 3, H, W) in [-1, 1] -> (B, 256, H/4, W/4). `fidelity="paper"` normalises the input
    with ImageNet's statistics and reads conv3_3 after its ReLU. `"released"` feeds the image as
    it is and reads conv3_3 before the ReLU, as the authors' code does. `trunk_state` is
    `vgg16_trunk().state`; see there for the scale of the features.
    """

    def __init__(self, trunk_state: dict[str, Tensor], fidelity: str = "paper"):
        super().__init__(trunk_state, CONV3_3 + (fidelity == "paper"))
        self.fidelity = fidelity

    def forward(self, rgb: Tensor) -> Tensor:
        return self.features(normalise((rgb + 1) / 2) if self.fidelity == "paper" else rgb)


class FoldedVGG(_FrozenVGG):
    """A VGG-16 that reads gray images: the offline start of the global encoder.

    gray (B, 1, H, W) in [-1, 1] -> conv4_3 (B, 512, H/8, W/8) and conv5_3 (B, 512, H/16, W/16),
    both after ReLU. Max-pooling is kept where the paper's VGG-16-Gray has stride-2
    convolutions: these weights were learned with pooling. `folded_state` is
    `fold_to_gray(vgg16_trunk())`.
    """

    def __init__(self, folded_state: dict[str, Tensor]):
        super().__init__(folded_state, CONV5_3 + 1)

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        conv4_3 = self.features[: CONV4_3 + 2](gray)
        return conv4_3, self.features[CONV4_3 + 2 :](conv4_3)
