"""Image metrics: one number an image, from 8-bit RGB pictures.

Every metric takes uint8 images as (H, W, 3) arrays, and returns a float, or as (B, 3, H, W)
tensors, and returns a (B,) float64 tensor on the CPU. Both run the same code, in parts that fit
in the cache, which is what makes it fast. The real image comes first.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from skimage.color import rgb2lab

CCI_RANGE = (16.0, 20.0)  # where Hasler and Suesstrunk's observers liked pictures best
PART = 2**16  # pixels worked on at a time: fewer cost calls, more leave the cache
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
        batches = list(zip(*(x.detach().cpu().numpy() for x in images), strict=True))
        count = min(torch.get_num_threads(), len(batches) // 8)  # NumPy lets threads run
        values: list = [None] * len(batches)

        def some(start):
            for i in range(start, len(batches), count):
                values[i] = float(function(*_checked(batches[i]), **options))

        if count < 2:
            count = 1
            some(0)
        else:
            with ThreadPoolExecutor(count) as threads:
                list(threads.map(some, range(count)))
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


def _power(x: np.ndarray, largest: int = 255) -> float:
    """Exact sum of squares of whole numbers up to `largest`.

    float32 holds whole numbers to 2^24, so rows are kept short enough that their sums stay below;
    float64 adds them up. Not x @ x: threads of BLAS wait for each other longer than they work.
    """
    x = x.ravel().astype(np.float32)
    return _dot(x, x, 2**24 // largest**2)


def _dot(x: np.ndarray, y: np.ndarray, row: int = 256) -> float:
    """Sum of products of float32 vectors, `row` at a time in float32 and those in float64."""
    whole = x.size - x.size % row
    rows = np.einsum("ij,ij->i", x[:whole].reshape(-1, row), y[:whole].reshape(-1, row))
    return float(rows.sum(dtype=np.float64) + x[whole:].astype(float) @ y[whole:].astype(float))


@_metric
def psnr(real, fake):
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / MSE), MSE over all three channels.

    Identical images give inf. Equal to scikit-image's with data_range=255.
    """
    error = _power(np.subtract(real, fake, dtype=np.int16))
    return 10 * np.log10(255.0**2 * real.size / error) if error else np.inf


@_metric
def nrmse(real, fake):
    """Root mean square error, normalised: ||real - fake|| / ||real||, not symmetric.

    The "euclidean" normalisation of scikit-image. A black real image gives nan: no norm.
    """
    norm = _power(real)
    return np.sqrt(_power(np.subtract(real, fake, dtype=np.int16)) / norm) if norm else np.nan


@_metric
def ssim(real, fake):
    """Structural similarity, -1..1: data range 255, 7x7 uniform window, sample covariance.

    K1 = .01, K2 = .03; mean over R, G, B and all windows inside the image: scikit-image's with
    data_range=255, channel_axis=-1. Wang et al., IEEE TIP 2004. Written with p = x + y, m = x - y:
    (P - M + 2 C1)(Vp - Vm + 2 C2) / ((P + M + 2 C1)(Vp + Vm + 2 C2)), where P, M are squared means
    and Vp, Vm variances, so that all sums are whole numbers that fit in int32.
    """
    if min(real.shape[-2:]) < 7:
        raise ValueError(f"SSIM needs 7x7 pixels or more, not {real.shape[-2:]}")
    h, w = real.shape[1:]
    rows = max(1, PART // w)  # of windows at a time; they reach six rows further
    strips = [(c, slice(top, top + rows + 6)) for c in range(3) for top in range(0, h - 6, rows)]
    return sum(_ssim_sum(real[s], fake[s]) for s in strips) / (3 * (h - 6) * (w - 6))


def _ssim_sum(x, y):
    """Sum of the SSIM of all 7x7 windows inside two (H, W) strips."""
    (h, w), x, y = x.shape, x.astype(np.int16).ravel(), y.astype(np.int16).ravel()
    c1, c2 = np.float32([2 * (49 * 0.01 * 255) ** 2, 2 * 49 * 48 * (0.03 * 255) ** 2])

    def moments(s):  # n^2 times the squared mean, n (n - 1) times the variance
        mean = _box7(s, w).astype(np.int32)
        power = np.square(s, dtype=np.int32)
        mean *= mean
        return mean, _box7(power, w) * np.int32(49) - mean

    (p, vp), (m, vm) = moments(x + y), moments(x - y)
    top = ((p - m).astype(np.float32) + c1) * ((vp - vm).astype(np.float32) + c2)
    top /= ((p + m).astype(np.float32) + c1) * ((vp + vm).astype(np.float32) + c2)
    top.resize((h - 6) * w, refcheck=False)  # pads the last row, which _box7 cut short
    return top.reshape(h - 6, w)[:, : w - 6].sum(dtype=np.float64)


def _box7(x, width):
    """Sums of all 7x7 windows of a flattened image, by 4 + 4 additions; row ends are rubbish."""
    for step in (width, 1):
        size = len(x) - 6 * step
        two = x[:-step] + x[step:]
        seven = two[:size] + two[2 * step : 2 * step + size]
        seven += two[4 * step : 4 * step + size]
        seven += x[6 * step :]
        x = seven
    return x


@_metric
def cci(image):
    """Colourfulness of Hasler and Suesstrunk (2003): 0 is gray, 16..20 is said to be best.

    rg = R - G, yb = (R + G)/2 - B, CCI = sqrt(var rg + var yb) + .3 sqrt(mean(rg)^2 + mean(yb)^2);
    signed (no absolute value), population variance, 0..255 values.
    """
    r, g, b = image
    rg = np.subtract(r, g, dtype=np.int16)
    yb = np.add(r, g, dtype=np.int16) - 2 * b.astype(np.int16)  # doubled, to stay whole
    n = rg.size
    means = np.array([rg.sum() / n, yb.sum() / n / 2])
    variance = _power(rg) / n + _power(yb, 510) / n / 4 - means @ means
    return np.sqrt(max(variance, 0)) + 0.3 * np.sqrt(means @ means)


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
    pixels = image.reshape(3, -1)
    parts = np.array_split(pixels, -(-pixels.shape[1] // PART), axis=1)
    count, total = np.sum([_cni_parts(part) for part in parts], axis=0).T
    a, width = np.array(list(CNI_BANDS.values())).T
    score = np.exp(-0.5 * ((total / np.maximum(count, 1) - a) / width) ** 2)
    return (count * score).sum() / max(count.sum(), 1)


def _cni_parts(pixels):
    """Number of pixels and sum of their HSL saturations in each hue band, from (3, N) uint8.

    In whole numbers, with hue / 5 and saturation as fractions h / chroma and chroma / wide; only
    pixels that lie exactly on a limit are left to `_cni_bands`, where rounding decides.
    """
    high, low = pixels.max(0), pixels.min(0)
    red = high == pixels[0]
    green = (high == pixels[1]) & ~red
    blue = ~(red | green)
    r, g, b = pixels.astype(np.int16)
    light = np.add(high, low, dtype=np.int16)  # of 510
    chroma = (high - low).astype(np.int16)  # of 255
    wide = 255 - np.abs(light - 255)
    h = np.int16(12) * (red * (g - b) + green * (b - r) + blue * (r - g))
    h += chroma * (np.int16(24) * green + np.int16(48) * blue)
    h += chroma * (np.int16(72) * (h < 0))  # red comes as -12..12
    tenth = 10 * chroma - wide
    strict = (tenth > 0) & (light > 102) & (light < 408)
    loose = (tenth >= 0) & (light >= 102) & (light <= 408) & (chroma > 0)
    saturation = chroma.astype(np.float32)
    saturation /= np.maximum(wide, 1)
    found, edge = [], np.zeros_like(loose)
    for start, end in CNI_BANDS:
        depth = np.minimum(h - np.int16(start // 5) * chroma, np.int16(end // 5) * chroma - h)
        inside = strict & (depth > 0)
        edge |= (loose & (depth >= 0)) ^ inside
        found.append([np.count_nonzero(inside), _dot(saturation, inside.astype(np.float32))])
    rest = np.flatnonzero(edge)
    return np.add(found, _cni_bands(pixels.take(rest, axis=1))) if len(rest) else found


def _cni_bands(pixels):
    """The same as `_cni_parts`, in float64 as the authors' script computes it."""
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
