"""A trained generator as a file that runs without this library: ONNX, or torch's .pt2."""

import importlib.util
import json
import timeit
from pathlib import Path
from unittest import mock

import torch
import torch.fx.experimental._config as symbolic
import torch.nn.functional as F
from torch import Tensor

from scgan_lib.colorize import inference_form, load_generator
from scgan_lib.layers import ConvBlock
from scgan_lib.paths import UserError, atomic_write

OPSET = 20
NAMES = {"input_names": ["gray"], "output_names": ["rgb", "saliency"]}
CLOSE = 1e-4  # the largest difference to torch that is let through


def export(source: Path, target: Path, as_torch: bool = False) -> str:
    """Write the network of the weights `source`, for any batch, height and width, and check it.

    gray (B,1,H,W) in [-1,1] -> rgb (B,3,H,W) in [-1,1] (clip it) and saliency (B,1,H,W) in [0,1].
    Its short side should be near the profile's `image_size`, which ONNX holds as metadata; what
    `colorize.render` does around the network is not inside. -> one line of what was measured.
    UserError, and no file, where results differ from torch.
    """
    if target.exists():
        raise UserError(f"{target}: exists already; remove it or choose another name")
    needed = () if as_torch else ("onnx", "onnxruntime", "onnxscript")
    if missing := [name for name in needed if not importlib.util.find_spec(name)]:
        raise UserError(f"{target}: needs {', '.join(missing)}: pip install -e '.[export]'")
    generator, profile, _ = load_generator(source)
    if generator.fidelity == "released":
        raise UserError(f"{source}: fidelity=released changes at each call: nothing to export")
    network = inference_form(generator).to(memory_format=torch.contiguous_format)
    for block in network.modules():
        if isinstance(block, ConvBlock):
            block.fused = False  # the fast forms ask for sizes, which are not known here
    side, free = profile.image_size, torch.export.Dim.DYNAMIC
    example = torch.zeros(2, 1, side + 33, 2 * side + 3)
    pooling = mock.patch.object(F, "adaptive_avg_pool2d", area_means)
    with pooling, symbolic.patch(backed_size_oblivious=True):  # one pixel is no special case
        sizes = [{0: free, 2: free, 3: free}]
        program = torch.export.export(network, (example,), dynamic_shapes=sizes)
    with atomic_write(target) as part:
        if as_torch:
            torch.export.save(program, part)
            run = torch.export.load(part).module()
        else:
            import onnxruntime

            made = torch.onnx.export(program, opset_version=OPSET, verbose=False, **NAMES)
            made.model.metadata_props["profile"] = json.dumps(profile.settings())
            made.save(part, external_data=False)
            session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
            run = lambda x: map(torch.from_numpy, session.run(None, {"gray": x.numpy()}))  # noqa: E731
        apart = 0.0
        for b, h, w in [(1, 0, 0), (1, 0, side // 2), (1, 2 * side, 1), (2, 1, 0), (3, 33, 67)]:
            gray = torch.rand(b, 1, side + h, side + w) * 2 - 1
            with torch.inference_mode():
                pairs = zip(run(gray), generator(gray), strict=True)
                apart = max(apart, *(float((x - y).abs().max()) for x, y in pairs))
        torch_form = inference_form(generator)
        with torch.inference_mode():
            seconds = [
                min(timeit.repeat(lambda f=f: [*f(gray)], number=1, repeat=9))
                for f in (torch_form, run)
            ]
        if not apart < CLOSE:
            raise UserError(f"{target}: differs from torch by {apart:.1e}; nothing written")
    kind = "torch.export" if as_torch else f"ONNX opset {OPSET}"
    size = target.stat().st_size / 1e6
    pace = f"{seconds[0] / seconds[1]:.2f} times as fast as this library"
    return f"{target}: {kind}, {size:.1f} MB, within {apart:.0e} of torch on five sizes, {pace}"


def area_means(x: Tensor, size: tuple[int, int]) -> Tensor:
    """`adaptive_avg_pool2d` by running sums: ONNX has it for sizes known beforehand only."""
    for axis, n in zip((-1, -2), reversed(size), strict=True):
        x = x.transpose(-1, axis)
        i, extent = torch.arange(n), x.shape[-1]
        first, end = i * extent // n, -((i + 1) * -extent // n)
        sums = F.pad(x.cumsum(-1), (1, 0))
        x = ((sums[..., end] - sums[..., first]) / (end - first)).transpose(-1, axis)
    return x
