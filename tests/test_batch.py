"""Many pictures in one go: what results keep of their originals, and when they are made anew."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib

import inputs
import numpy as np
import pandas as pd
import pytest
from conftest import noise
from PIL import ExifTags, Image, ImageOps

from scgan_lib.colorize import Colorizer
from scgan_lib.pictures import open_picture, pages_of


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_results_keep_what_the_original_says(colours, weights, tmp_path, suffix):
    """A scan on its side, with what the scanner and its owner wrote into it."""
    exif, xmp = Image.Exif(), b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "José".encode()
    exif[ExifTags.IFD.Exif] = {0x9003: "1911:01:02 03:04:05", 0xA002: 60}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 30.0, 0.0)}
    Image.fromarray(noise(40, 60)).save(tmp_path / "print.jpg", exif=exif, xmp=xmp)
    more = ("--format", suffix, "--quality", "60")
    assert colours(tmp_path / "print.jpg", out=tmp_path / "out", more=more) == 0
    with Image.open(tmp_path / f"out/print.{suffix}") as result:
        assert result.size == (40, 60) and result.mode == "RGB"  # upright
        exif = result.getexif()
        assert ExifTags.Base.Orientation not in exif
        assert exif[ExifTags.Base.Artist].encode("latin-1").decode() == "José"
        inside = exif.get_ifd(ExifTags.IFD.Exif)
        assert inside[0x9003] == "1911:01:02 03:04:05" and 0xA002 not in inside
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 30.0, 0.0)
        assert bytes(result.info["xmp"]) == xmp
        assert exif[ExifTags.Base.Software].startswith("scgan-replicated: colours predicted by")
        sha = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert sha[:16] in exif[ExifTags.Base.ImageDescription]


# The least ICC v2 profile of a gray device: white point and one curve of gamma 1.8; compressed.
GRAY_18 = (
    b"c-muNVANm$0wxCrhT`PBBKIK2$cV@&1@>1Aj6etmiOIzU40yq}YY?@Ubs0zp%qgkG$v}Dq5X"
    b"Y346qGP9FtPyIBH1B9&Oo*VkSzdJ19oaU19bt&zv%u*E-fm9N;5K^WncgR9K#ra"
)


def test_colour_profiles_are_converted_before_the_luma_is_taken(tmp_path):
    """A gray of gamma 1.8: x -> (x/255)^1.8 in light; the sRGB curve takes it back to levels."""
    path = tmp_path / "gray.png"
    gray = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (4, 1)))
    gray.save(path, icc_profile=zlib.decompress(base64.b85decode(GRAY_18)))
    found = np.asarray(open_picture(path))
    light = (np.arange(256) / 255) ** 1.8
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found[0, :, 1] - 255 * srgb).max() < 2.0


def test_a_result_is_there_only_for_its_picture_weights_and_chroma(colours, tmp_path, capsys):
    source, out = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(noise(40, 50)).save(source)

    def go(*more):
        first = (out / "a.png").read_bytes() if out.exists() else b""
        assert colours(source, out=out, more=more) == 0
        return (out / "a.png").read_bytes() != first, capsys.readouterr().err

    assert go() == (True, "")
    assert go()[0] is False
    made = (out / "a.png").stat().st_mtime_ns
    assert go("--overwrite") == (False, "")  # made again, the same picture
    assert (out / "a.png").stat().st_mtime_ns > made
    for seed in (0, 1):  # another chroma, then another picture
        Image.fromarray(noise(40, 50, seed=seed)).save(source)
        changed, said = go("--chroma", "1.5")
        assert changed and "1 were made anew" in said
    changed, said = go("--chroma", "1.5")
    assert not changed and "1 were there already" in said
    Image.fromarray(noise(40, 50, seed=2)).save(tmp_path / "other.png")
    (tmp_path / "b").mkdir()
    other = (tmp_path / "other.png").rename(tmp_path / "b/a.png")  # another picture of this name
    before = (out / "a.png").read_bytes()
    assert colours(other, out=out) == 1 and (out / "a.png").read_bytes() == before
    assert "is the result of another picture" in capsys.readouterr().err
    assert colours(other, out=out, more=("--list", str(out / "a-2.png"), "--overwrite")) == 0
    assert colours(other, out=tmp_path / "x.png") == 2


def test_every_page_of_a_tiff_is_a_picture_but_its_thumbnails(colours, tmp_path, capsys):
    pages = [Image.new("L", (50, 40), level) for level in (20, 80, 140)]
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}  # a thumbnail
    given, taken = tmp_path / "a.tif", tmp_path / "a-page3.png"
    pages[0].save(given, save_all=True, append_images=pages[1:])
    Image.new("L", (50, 40), 99).save(taken)
    for _ in range(2):  # the second time nothing is left to do
        assert colours(given, taken, out=tmp_path) == 0
    assert "3 were there already" in capsys.readouterr().err
    levels = {p.name: np.asarray(Image.open(p).convert("L")).mean() for p in tmp_path.glob("a*png")}
    expected = {"a.png": 20, "a-page3.png": 99, "a-page3-2.png": 140, "a-page3.png.png": 99}
    assert levels == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("kind", ["jfif", "jpe", "pgm", "gif", "avif", "heic", "jp2", "tif"])
def test_formats_in_and_out(colours, tmp_path, kind, capsys):
    """The format of the original where it can hold colours and words; else PNG."""
    given, several = tmp_path / f"a.{kind}", kind == "gif"
    frames = [Image.fromarray(noise(40, 50, seed=k)) for k in range(1 + several)]
    more = {"save_all": True, "append_images": frames[1:]} if several else {}
    frames[0].save(given, **more)
    assert colours(given, out=tmp_path / "out", more=("--format", "same")) == 0
    (made,) = (tmp_path / "out").iterdir()
    kept = kind not in ("pgm", "gif", "heic", "jp2")
    assert made.name == (given.name if kept else "a.png")
    with Image.open(made) as image, Image.open(given) as source:
        assert image.format == (source.format if kept else "PNG")
        tolerance = 25 if kept and image.format != "TIFF" else 2
        change = np.asarray(image.convert("L"), float) - np.asarray(source.convert("L"))
        assert np.abs(change).mean() < tolerance
    assert ("1 of the files hold several pictures" in capsys.readouterr().err) == several


def test_standard_input_and_output(colours, tmp_path, monkeypatch, capsysbinary):
    buffer = io.BytesIO()
    Image.fromarray(noise(40, 50)).save(buffer, "PNG")

    def go(*inputs, out="-", more=()):
        given = io.TextIOWrapper(io.BytesIO(buffer.getvalue()))
        monkeypatch.setattr("sys.stdin", given)
        return colours(*inputs, out=out, more=more), *capsysbinary.readouterr()

    status, content, said = go("-", more=("--format", "tiff"))
    assert status == 0 and said == b""
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("TIFF", (50, 40))
    assert go("-", out=tmp_path / "out")[0] == 0
    assert Image.open(tmp_path / "out/stdin.png").size == (50, 40)
    status, content, said = go("x.png", "-")
    assert (status, content) == (2, b"") and b"-o -: takes one picture, not 2" in said
    buffer.truncate(100)
    status, content, said = go("-")
    assert (status, content) == (1, b"") and said.startswith(b"skipped: -: not a readable picture")


def test_the_page_holds_the_whole_batch(colours, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(noise(40, 50)).save(tmp_path / "in" / name)
    file = tmp_path / "page.html"
    more = ("--compare", str(file))
    for k in range(2):  # results that were there already are on it too
        assert colours(tmp_path / "in", out=tmp_path / "out", more=more) == 0, k
        assert file.read_text().count("<template>") == 2
    file.write_text("mine")
    assert colours(tmp_path / "in", out=tmp_path / "new", more=more) == 2
    assert file.read_text() == "mine" and not (tmp_path / "new").exists()
    assert "page.html: exists already" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["png", "jpg", "webp", "tiff"])
def test_odd_inputs_are_coloured_or_named(colours, tmp_path, wanted, capsys, monkeypatch):
    pictures = inputs.pictures(tmp_path / "in", large=False)
    before = {path: path.read_bytes() for _, path, _ in pictures}
    wanted_results = len(before) + sum(len(pages_of(path)) - 1 for path in before)
    bad = [path for _, path, status in pictures if status] + [tmp_path / "missing.png"]
    if wanted != "png":  # the network once is enough
        monkeypatch.setattr(Colorizer, "__call__", lambda self, image: image)
    more = ("--format", wanted, "--list", str(tmp_path / "list.csv"))
    assert colours(*before, bad[-1], out=tmp_path / "out", more=more) == 1
    said = capsys.readouterr()
    lines = [x for x in said.err.splitlines() if x.startswith("skipped:")]
    made = wanted_results + 1 - len(bad)
    assert f"{made} of {wanted_results + 1} pictures written" in said.out
    assert [x.split(": ")[1] for x in lines] == [str(path) for path in bad]
    rows = pd.read_csv(tmp_path / "list.csv")
    assert len(rows) == rows["result"].nunique() == made
    for source, result in rows.itertuples(index=False):
        with Image.open(source) as old, Image.open(result) as new:
            assert new.size == ImageOps.exif_transpose(old).size, source
    assert {path: path.read_bytes() for path in before} == before


def test_a_limit_of_pixels_that_the_user_sets(colours, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    picture = tmp_path / "large.png"
    Image.fromarray(noise(40, 50)).save(picture)
    assert colours(picture, out=tmp_path / "out", more=("--max-pixels", "1999")) == 1
    assert f"{picture}: too many pixels" in capsys.readouterr().err
    assert colours(picture, out=tmp_path / "out", more=("--max-pixels", "2000")) == 0
