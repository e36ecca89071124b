"""Many pictures in one go: what results keep of their originals, and when they are made anew."""

from __future__ import annotations

import hashlib
import io
import struct

import inputs
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps

from scgan_lib import cli, config
from scgan_lib.colorize import Colorizer, build_generator, save_generator
from scgan_lib.pictures import open_picture


def noise(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained weights whose colours can be seen."""
    torch.manual_seed(0)
    profile = config.load("smoke", global_encoder="none", width=4, saliency_width=4)
    generator = build_generator(profile)
    generator.to_rgb.conv.weight.data.mul_(30)
    path = tmp_path_factory.mktemp("weights") / "some.safetensors"
    save_generator(generator, profile, path, stage=1)
    return path


@pytest.mark.parametrize("visible", [0, 1])
def test_colours_under_full_transparency_change_nothing_that_is_seen(weights, visible):
    pixels = noise(40, 50, 4)
    pixels[..., 3] = visible * 200
    pixels[5:30, 10:30, 3] = 0
    other = pixels.copy()
    other[pixels[..., 3] == 0, :3] = [255, 0, 9]
    colorizer = Colorizer.load(weights, "cpu")
    one, two = (np.asarray(colorizer(Image.fromarray(p))) for p in (pixels, other))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[..., 3], pixels[..., 3])
    assert not visible or np.ptp(one[..., :3].astype(int), axis=2).max() > 1


def colours(weights, *inputs, out, more=()):
    return cli.main(
        ["colorize", *map(str, inputs), "-o", str(out), "--weights", str(weights), *more]
    )


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rights>me</rights></x:xmpmeta>'


@pytest.fixture
def print_1911(tmp_path):
    """A JPEG on its side with all that a scanner and its owner wrote into it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "José".encode()
    exif[ExifTags.Base.Software] = "a scanner"
    exif[ExifTags.IFD.Exif] = {0x9003: "1911:01:02 03:04:05", 0xA002: 60, 0xA003: 40}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 30.0, 0.0)}
    path = tmp_path / "print.jpg"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(noise(40, 60))
    picture.save(path, exif=exif, dpi=(300, 300), xmp=XMP, icc_profile=profile)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_results_keep_what_the_original_says(weights, print_1911, tmp_path, suffix):
    before = print_1911.read_bytes()
    more = ("--format", suffix, "--quality", "60")
    assert colours(weights, print_1911, out=tmp_path / "out", more=more) == 0
    assert print_1911.read_bytes() == before
    with Image.open(tmp_path / f"out/print.{suffix}") as result:
        assert result.size == (40, 60) and result.mode == "RGB"  # upright
        exif = result.getexif()
        assert ExifTags.Base.Orientation not in exif
        assert exif[ExifTags.Base.Artist].encode("latin-1").decode() == "José"
        inside = exif.get_ifd(ExifTags.IFD.Exif)
        assert inside[0x9003] == "1911:01:02 03:04:05" and 0xA002 not in inside
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 30.0, 0.0)
        assert bytes(result.info["xmp"]) == XMP
        assert "icc_profile" not in result.info
        if suffix != "webp":
            assert result.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        sha = hashlib.sha256(weights.read_bytes()).hexdigest()
        software = exif[ExifTags.Base.Software]
        assert software.startswith("scgan-replicated: colours predicted by a model")
        note = exif[ExifTags.Base.ImageDescription]
        assert weights.name in note and sha[:16] in note
        if suffix == "png":
            assert (result.info["Software"], result.info["Comment"]) == (software, note)


@pytest.mark.parametrize("transparent", [False, True])
def test_colour_profiles_are_converted_before_the_luma_is_taken(tmp_path, transparent):
    """A gray of gamma 1.8: x -> (x/255)^1.8 in light; the sRGB curve takes it back to levels."""
    path = tmp_path / "gray.png"
    gray = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (4, 1)))
    if transparent:
        gray = Image.merge("LA", (gray, Image.new("L", gray.size, 128)))
    gray.save(path, icc_profile=gray_profile(1.8))
    found = np.asarray(open_picture(path))
    light = (np.arange(256) / 255) ** 1.8
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found[0, :, 1] - 255 * srgb).max() < 2.0
    assert found.shape[2] == 3 + transparent
    gray.save(path, icc_profile=b"no profile")
    np.testing.assert_array_equal(np.asarray(open_picture(path))[0, :, 0], np.arange(256))


def gray_profile(gamma: float) -> bytes:
    """The least ICC v2 profile of a gray device: white point and one curve."""
    curve = b"curv" + struct.pack(">4xIH2x", 1, round(gamma * 256))
    white = b"XYZ " + struct.pack(">4x3I", *(round(x * 65536) for x in (0.9642, 1, 0.8249)))
    text = b"desc" + struct.pack(">4xI", 2) + b"g\0" + bytes(78)
    text += bytes(-len(text) % 4)
    tags, body, at = b"", b"", 128 + 4 + 3 * 12
    for name, data in ((b"desc", text), (b"wtpt", white), (b"kTRC", curve)):
        tags += name + struct.pack(">II", at + len(body), len(data))
        body += data
    size = at + len(body)
    head = struct.pack(">I4xI4s4s4s", size, 0x02400000, b"scnr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp")
    head += bytes(28) + struct.pack(">3I", *(round(x * 65536) for x in (0.9642, 1, 0.8249)))
    return head + bytes(128 - len(head)) + struct.pack(">I", 3) + tags + body


def test_a_result_is_there_only_for_its_picture_weights_and_chroma(weights, tmp_path, capsys):
    source, out = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(noise(40, 50)).save(source)

    def go(*more, picture=source):
        first = (out / "a.png").read_bytes() if out.exists() else b""
        assert colours(weights, picture, out=out, more=more) == 0
        return (out / "a.png").read_bytes() != first, capsys.readouterr().err

    assert go() == (True, "")
    assert go()[0] is False
    made = (out / "a.png").stat().st_mtime_ns
    assert go("--overwrite") == (False, "")  # made again, the same picture
    assert (out / "a.png").stat().st_mtime_ns > made
    changed, said = go("--chroma", "1.5")
    assert changed and "1 were made anew" in said
    Image.fromarray(noise(40, 50, seed=1)).save(source)
    changed, said = go("--chroma", "1.5")
    assert changed and "1 were made anew" in said
    changed, said = go("--chroma", "1.5")
    assert not changed and "1 were there already" in said


@pytest.mark.parametrize("kind", ["jfif", "jpe", "pgm", "gif", "avif", "heic", "jp2", "tif"])
@pytest.mark.parametrize("wanted", ["png", "same"])
def test_formats_in_and_out(weights, tmp_path, kind, wanted, capsys):
    (tmp_path / "in").mkdir()
    name, several = f"a.{kind}", kind in ("gif", "tif")
    frames = [Image.fromarray(noise(40, 50, seed=k)) for k in range(1 + several)]
    more = {"save_all": True, "append_images": frames[1:]} if several else {}
    frames[0].save(tmp_path / "in" / name, **more)
    call = ("--format", wanted)
    assert colours(weights, tmp_path / "in", out=tmp_path / "out", more=call) == 0
    (made,) = (tmp_path / "out").iterdir()
    kept = wanted == "same" and kind not in ("pgm", "gif", "heic", "jp2")
    assert made.name == (name if kept else "a.png")
    with Image.open(made) as image, Image.open(tmp_path / "in" / name) as source:
        assert image.size == (50, 40)
        assert image.format == (source.format if kept else "PNG")
        tolerance = 25 if kept and image.format != "TIFF" else 2
        change = np.asarray(image.convert("L"), float) - np.asarray(source.convert("L"))
        assert np.abs(change).mean() < tolerance
    assert ("1 of the files hold several pictures" in capsys.readouterr().err) == several
    assert colours(weights, tmp_path / "in", out=tmp_path / "out", more=call) == 0
    assert "1 were there already" in capsys.readouterr().err


def test_jpeg_results_lay_transparency_on_white(weights, tmp_path):
    pixels = np.zeros((40, 50, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    more = ("--format", "jpg")
    assert colours(weights, tmp_path / "clear.png", out=tmp_path / "out", more=more) == 0
    assert np.asarray(Image.open(tmp_path / "out/clear.jpg")).min() >= 254


def test_standard_input_and_output(weights, tmp_path, monkeypatch, capsysbinary):
    buffer = io.BytesIO()
    Image.fromarray(noise(40, 50)).save(buffer, "PNG")

    def go(*inputs, out="-", more=()):
        given = io.TextIOWrapper(io.BytesIO(buffer.getvalue()))
        monkeypatch.setattr("sys.stdin", given)
        status = colours(weights, *inputs, out=out, more=more)
        return status, *capsysbinary.readouterr()

    status, content, said = go("-", more=("--format", "tiff"))
    assert status == 0 and said == b""
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("TIFF", (50, 40))
    status, content, _ = go("-", out=tmp_path / "out")
    assert status == 0 and Image.open(tmp_path / "out/stdin.png").size == (50, 40)
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    status, content, _ = go(tmp_path / "x.png")
    assert status == 0 and Image.open(io.BytesIO(content)).format == "PNG"
    status, content, said = go(tmp_path / "x.png", "-")
    assert (status, content) == (2, b"") and b"-o -: takes one picture, not 2" in said
    buffer.truncate(100)
    status, content, said = go("-")
    assert (status, content) == (1, b"") and said.startswith(b"skipped: -: not a readable picture")


def test_the_page_holds_the_whole_batch(weights, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(noise(40, 50)).save(tmp_path / "in" / name)
    file = tmp_path / "page.html"
    more = ("--compare", str(file))
    for k in range(2):  # results that were there already are on it too
        assert colours(weights, tmp_path / "in", out=tmp_path / "out", more=more) == 0, k
        assert file.read_text().count("<template>") == 2
    assert colours(weights, "-", out=tmp_path / "out", more=more) == 2
    file.write_text("mine")
    assert colours(weights, tmp_path / "in", out=tmp_path / "new", more=more) == 2
    assert file.read_text() == "mine" and not (tmp_path / "new").exists()
    assert "page.html: exists already" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["png", "jpg", "webp", "tiff"])
def test_odd_inputs_are_coloured_or_named(weights, tmp_path, wanted, capsys, monkeypatch):
    pictures = inputs.pictures(tmp_path / "in", large=False)
    before = {path: path.read_bytes() for _, path, _ in pictures}
    bad = [path for _, path, status in pictures if status] + [tmp_path / "missing.png"]
    if wanted != "png":  # the network once is enough
        monkeypatch.setattr(Colorizer, "__call__", lambda self, image: image)
    more = ("--format", wanted, "--list", str(tmp_path / "list.csv"))
    assert colours(weights, *before, bad[-1], out=tmp_path / "out", more=more) == 1
    said = capsys.readouterr()
    lines = [x for x in said.err.splitlines() if x.startswith("skipped:")]
    assert f"{len(before) + 1 - len(bad)} of {len(before) + 1} pictures written" in said.out
    assert [x.split(": ")[1] for x in lines] == [str(path) for path in bad]
    rows = pd.read_csv(tmp_path / "list.csv")
    assert len(rows) == rows["result"].nunique() == len(before) + 1 - len(bad)
    for source, result in rows.itertuples(index=False):
        with Image.open(source) as old, Image.open(result) as new:
            assert new.size == ImageOps.exif_transpose(old).size, source
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("allowed, status", [(1999, 1), (2000, 0)])
def test_a_limit_of_pixels_that_the_user_sets(
    weights, tmp_path, monkeypatch, capsys, allowed, status
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    picture = tmp_path / "large.png"
    Image.fromarray(noise(40, 50)).save(picture)
    call = ["colorize", str(picture), "-o", str(tmp_path / "out"), "--weights", str(weights)]
    assert cli.main([*call, "--max-pixels", str(allowed)]) == status
    assert f"{picture}: too many pixels" in capsys.readouterr().err or status == 0
    assert (tmp_path / "out" / "large.png").is_file() == (status == 0)
