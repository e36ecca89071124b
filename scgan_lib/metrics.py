"""Image metrics: one number an image, from 8-bit RGB pictures.

Every metric takes uint8 images as (H, W, 3) arrays, and returns a float, or as (B, 3, H, W)
tensors, and returns a (B,) float64 tensor on the CPU. The real image comes first.
"""

import functools

import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from skimage.color import rgb2lab
from skimage.metrics import structural_similarity

CCI_RANGE = (16.0, 20.0)  # where Hasler and Suesstrunk's observers liked pictures best
BAND = 3  # pixels on each side of the object's edge that `boundary_chroma_error` looks at
# Hue band in degrees -> (a, b) of its naturalness exp(-((mean saturation - a) / b)^2 / 2).
CNI_BANDS = {(25, 70): (0.76, 0.52), (95, 135): (0.81, 0.53), (185, 260): (0.43, 0.22)}


def _metric(function):
    """Make a metric of (H, W, 3) arrays and (B, 3, H, W) tensors from one of (3, H, W) arrays.

    Arguments by position are colour images (uint8) or masks (one channel), all of one size.
    """

    @functools.wraps(function)
    def metric(*images, **options):
        if isinstance(images[0], np.ndarray):
            planes = [x.transpose(2, 0, 1) if x.ndim == 3 else x for x in map(np.asarray, images)]
            return float(function(*_checked(planes), **options))
        if any(x.ndim not in (3, 4) or len(x) != len(images[0]) for x in images):
            raise ValueError("metrics want batches of one length: (B, 3, H, W) tensors")
        batches = zip(*(x.detach().cpu().numpy() for x in images), strict=True)
        values = [float(function(*_checked(batch), **options)) for batch in batches]
        return torch.tensor(values, dtype=torch.float64)

    return metric


def _checked(planes) -> list[np.ndarray]:
    first = planes[0]
    if first.ndim != 3 or len(first) != 3:
        raise ValueError("metrics want (H, W, 3) arrays or (B, 3, H, W) tensors")
    for x in planes:
        if x.ndim == 3 and len(x) == 3 and x.dtype != np.uint8:
            raise ValueError(f"metrics want uint8 images (0..255), not {x.dtype}: round them first")
        if x.shape[-2:] != first.shape[-2:]:
            raise ValueError(f"sizes differ: {first.shape[-2:]} and {x.shape[-2:]} (H, W)")
    return [np.ascontiguousarray(x) for x in planes]


def _squares(x: np.ndarray) -> int:
    """Exact sum of squares of whole numbers."""
    return int(np.square(x, dtype=np.int64).sum())


@_metric
def psnr(real, fake):
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / MSE), MSE over all three channels.

    Identical images give inf. Equal to scikit-image's with data_range=255.
    """
    error = _squares(np.subtract(real, fake, dtype=np.int16))
    return 10 * np.log10(255.0**2 * real.size / error) if error else np.inf


@_metric
def nrmse(real, fake):
    """Root mean square error, normalised: ||real - fake|| / ||real||, not symmetric.

    The "euclidean" normalisation of scikit-image. A black real image gives nan: no norm.
    """
    norm = _squares(real)
    return np.sqrt(_squares(np.subtract(real, fake, dtype=np.int16)) / norm) if norm else np.nan


@_metric
def ssim(real, fake):
    """Structural similarity, -1..1: data range 255, 7x7 uniform window, sample covariance.

    K1 = .01, K2 = .03; mean over R, G, B and all windows inside the image, as scikit-image's.
    Wang et al., IEEE TIP 2004. ValueError below 7x7 pixels.
    """
    if min(real.shape[-2:]) < 7:
        raise ValueError(f"SSIM needs 7x7 pixels or more, not {real.shape[-2:]}")
    return structural_similarity(real, fake, data_range=255, channel_axis=0)


@_metric
def cci(image):
    """Colourfulness of Hasler and Suesstrunk (2003): 0 is gray, 16..20 is said to be best.

    rg = R - G, yb = (R + G)/2 - B, CCI = sqrt(var rg + var yb) + .3 sqrt(mean(rg)^2 + mean(yb)^2);
    signed (no absolute value), population variance, 0..255 values.
    """
    r, g, b = image.astype(np.float64)
    rg, yb = r - g, (r + g) / 2 - b
    mean = np.hypot(rg.mean(), yb.mean())
    return np.sqrt(rg.var() + yb.var()) + 0.3 * mean


def cci_ratio(values) -> float:
    """Share (0..1) of images with a CCI in 16..20, ends included; nan where there is none.

    `values`: CCI values (nan left out), a (B, 3, H, W) tensor, an (H, W, 3) array or a list of
    arrays. Real photographs score a few percent, so this is no measure of quality.
    """
    if isinstance(values, (list, tuple)):
        values = [cci(x) if np.ndim(x) else x for x in values]
    elif np.ndim(values) > 2:
        values = cci(values)
    values = np.asarray(values, dtype=np.float64).ravel()
    values = values[~np.isnan(values)]
    low, high = CCI_RANGE
    return float(np.mean((values >= low) & (values <= high))) if len(values) else float("nan")


@_metric
def cni(image):
    """Colour naturalness, 0..1, as the authors' script computes it.

    HSL pixels with S > .1 and .2 < L < .8 fall into the hue bands skin 25..70, grass 95..135, sky
    185..260 degrees (ends included). A band of mean saturation m scores exp(-((m - a)/b)^2 / 2),
    see CNI_BANDS; the scores are averaged by pixel count. No such pixel: 0. Huang et al., 2006.
    """
    count, total = np.array(_cni_bands(image.reshape(3, -1))).T
    a, width = np.array(list(CNI_BANDS.values())).T
    score = np.exp(-0.5 * ((total / np.maximum(count, 1) - a) / width) ** 2)
    return (count * score).sum() / max(count.sum(), 1)


def _cni_bands(pixels):
    """Number of pixels and sum of their HSL saturations in each hue band, from (3, N) uint8."""
    r, g, b = pixels / 255.0
    high, low = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    chroma, light = high - low, (high + low) / 2
    saturation = chroma / np.maximum(1 - np.abs(2 * light - 1), 1e-9)  # black, white: 0
    keep = (saturation > 0.1) & (light > 0.2) & (light < 0.8)
    red = high == r
    green = (high == g) & ~red
    rise = red * (g - b) + green * (b - r) + ~(red | green) * (r - g)
    hue = 60 * (rise / np.maximum(chroma, 1e-9)) + (240.0 + 120 * red.astype(float) - 120 * green)
    hue -= 360.0 * (hue >= 360)  # red comes as 300..420
    inside = [(keep & (hue >= start) & (hue <= end)).astype(float) for start, end in CNI_BANDS]
    return [(x.sum(), saturation @ x) for x in inside]


@_metric
def mean_saturation(image):
    """Mean HSV saturation, (max - min) / max of R, G, B and 0 for black pixels; 0..1.

    HSV, since the saturation of HSL is large for nearly black and nearly white pixels.
    """
    high, low = image.max(0).astype(np.float64), image.min(0)
    return np.mean((high - low) / np.maximum(high, 1))


def _chroma_error(real, fake, region):
    """Mean distance in the (a*, b*) plane over the pixels of an (H, W) region."""
    if not region.any():
        return np.nan
    real, fake = (rgb2lab(x[:, region].T)[..., 1:] for x in (real, fake))  # (pixels, 2)
    return np.linalg.norm(real - fake, axis=-1).mean()


def _object(mask: np.ndarray) -> np.ndarray:
    """(H, W) or (1, H, W) mask -> bool (H, W): True, >= 128 (uint8) or >= .5 (float) is object."""
    return mask.reshape(mask.shape[-2:]) >= (128 if mask.dtype == np.uint8 else 0.5)


@_metric
def boundary_chroma_error(real, fake, mask, *, width: int = BAND):
    """Colour bleeding: mean sqrt(da*^2 + db*^2) to the real image along the object's edge.

    The band: all pixels that have one from the other side of the edge of `mask` in the square of
    `width` pixels around them. Lab (D65) units, lightness left out: about 2 is just visible. `mask`
    is (H, W), or (B, 1, H, W); True, >= 128 in uint8, or >= .5 is object. No edge: nan.
    """
    inside, size = _object(mask), 2 * width + 1
    return _chroma_error(real, fake, maximum_filter(inside, size) & ~minimum_filter(inside, size))


@_metric
def salient_chroma_error(real, fake, mask):
    """Mean sqrt(da*^2 + db*^2) in Lab (D65) to the real image inside the object of `mask`.

    Lightness left out; `mask` as in `boundary_chroma_error`; an empty mask gives nan.
    """
    return _chroma_error(real, fake, _object(mask))
