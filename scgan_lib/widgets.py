"""Comparison sliders: one ES module, live in a notebook (anywidget) and in self-contained HTML."""

import base64
import html
import inspect
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets
from PIL import Image, ImageOps

from scgan_lib import viz
from scgan_lib.paths import UserError, atomic_write

Picture = np.ndarray | Image.Image | str | Path
_MODULE = Path(__file__).with_name("compare.js")


def to_image(picture: Picture, label: str = "picture") -> Image.Image:
    """Return a gray or RGB 8-bit image from a file, a PIL image or an array.

    Arrays: see `viz.to_u8`. UserError, naming `label`, on another shape or outside of 0..1.
    """
    if isinstance(picture, (str, Path)):
        try:
            picture = Image.open(picture)
        except OSError as error:
            raise UserError(f"{picture}: no readable picture for '{label}'") from error
    if not isinstance(picture, Image.Image):
        array = np.asarray(picture)
        if array.dtype != np.uint8 and not (array.min() >= -1e-3 and array.max() <= 1 + 1e-3):
            raise UserError(f"'{label}' leaves 0..1; scale it, or give uint8")
        picture = Image.fromarray(viz.to_u8(array, label))
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def _markup(frames: Mapping, captions: Mapping, side: int, quality: int) -> str:
    """One section a frame; figures equal to the first frame's are left out (compare.js knows)."""
    labels, sections, first = [*next(iter(frames.values()))], [], {}
    for name, pictures in frames.items():
        if [*pictures] != labels or len(labels) < 2:
            raise UserError(
                f"'{name}' has {[*pictures]}: every frame needs the same labels, two at least"
            )
        images = {label: to_image(picture, label) for label, picture in pictures.items()}
        shapes = {label: image.width / image.height for label, image in images.items()}
        if max(shapes.values()) > 1.02 * min(shapes.values()):
            raise UserError(f"'{name}': pictures differ in shape (width / height): {shapes}")
        figures = {label: _figure(label, image, side, quality) for label, image in images.items()}
        kept = [figure for label, figure in figures.items() if first.get(label) != figure]
        first = first or figures
        title, caption = html.escape(name), html.escape(captions.get(name, ""))
        text = ": ".join(part for part in (title, caption) if part)
        sections.append(
            f'<section data-name="{title}" data-caption="{caption}">'
            f"{f'<p>{text}</p>' if text else ''}{''.join(kept)}</section>"
        )
    return "".join(sections)


def _figure(label: str, image: Image.Image, side: int, quality: int) -> str:
    if max(image.size) > side:
        image = ImageOps.contain(image, (side, side))
    file, alt = io.BytesIO(), html.escape(label)
    image.save(file, "WEBP", quality=quality, method=6)
    url = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return (
        '<figure style="display:inline-block;margin:2px">'
        f'<img src="{url}" alt="{alt}" width="{image.width}" height="{image.height}"'
        f' style="width:160px;height:auto"><figcaption>{alt}</figcaption></figure>'
    )


class Compare(anywidget.AnyWidget):
    """Wipe between any two of the labelled `images` (arrays, PIL images or files of one shape).

    Drag, arrow keys, Home and End move the border; digits choose the right picture, Shift and
    digit the left one. `position` is the border in percent, `left` and `right` are indices; in a
    live notebook they follow the user. Without a kernel the same control works from saved HTML,
    without scripts a labelled strip remains. Pictures are stored as WebP, `side` pixels at most.
    """

    _esm = _MODULE
    markup = traitlets.Unicode().tag(sync=True)
    left = traitlets.Int(0).tag(sync=True)
    right = traitlets.Int(1).tag(sync=True)
    position = traitlets.Float(50.0, min=0, max=100).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    width = traitlets.Int(384).tag(sync=True)
    kind = traitlets.Unicode("picture").tag(sync=True)
    thumbnails = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, images: Mapping, *, caption: str = "", side: int = 384, quality: int = 85, **state
    ):
        self._settings = {"side": side, "quality": quality}
        super().__init__(**{"right": len(images) - 1} | state)
        self.show(images, caption)

    def show(self, images: Mapping[str, Picture], caption: str = "") -> None:
        """Replace the pictures, keeping border and choice."""
        self.markup = _markup({"": images}, {"": caption}, **self._settings)
        self._labels = [*images]

    def html(self) -> str:
        """The control as self-contained HTML: pictures and script inside, nothing fetched."""
        script = re.sub(r"^(\s*//.*\n|[ ]+)", "", _MODULE.read_text(encoding="utf-8"), flags=re.M)
        return (
            f'<scgan-compare left="{self.left}" right="{self.right}" position="{self.position:g}"'
            f' frame="{self.frame}" kind="{html.escape(self.kind)}"'
            f'{" thumbnails" if self.thumbnails else ""} style="--width:{self.width}px">'
            f'{self.markup}</scgan-compare><script type="module">\n{script}</script>'
        )

    def save(self, path: str | Path, title: str = "Comparison") -> None:
        """Write a page that holds nothing but the control."""
        title = html.escape(title)
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
        with atomic_write(path) as part:
            page = f"{head}<main><h1>{title}</h1>{self.html()}</main></html>"
            part.write_text(page, encoding="utf-8")

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        return data | {"text/html": self.html()}, metadata

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._labels)})"


class Gallery(Compare):
    """A Compare with a second slider over `frames`: photos, training steps, settings.

    `frames` maps a name to labelled pictures, the same labels in each; `captions` maps names to a
    line of text (measures of that picture, say). A picture that does not change is stored once.
    """

    def __init__(self, frames: Mapping, *, captions: Mapping[str, str] | None = None, **state):
        if not frames:
            raise UserError("a Gallery needs one frame at least")
        options = {"kind": "photo", "thumbnails": True, "side": 256, "quality": 75} | state
        super().__init__(next(iter(frames.values())), **options)
        self.markup = _markup(frames, captions or {}, **self._settings)


class Explore(ipywidgets.VBox):
    """Controls that need the kernel: `draw(**values)` makes the labelled pictures to compare.

    `controls` are ipywidgets or their short forms: `(low, high, step)`, a list, a bool; they start
    at the default of that argument of `draw`, if it has one. `draw` returns the pictures, or
    pictures and a caption; it runs when a control is let go. `examples` maps names to values:
    without a kernel a Gallery of these few settings stands in, pictures `side` pixels at most.
    `left` and `right` are the indices of the pictures shown first; None: the last one.
    """

    def __init__(
        self,
        draw: Callable,
        *,
        examples: Mapping[str, Mapping] | None = None,
        kind: str = "setting",
        side: int = 256,
        quality: int = 75,
        width: int = 384,
        left: int = 0,
        right: int | None = None,
        **controls,
    ):
        self._draw, self.controls = draw, {}
        for name, given in controls.items():
            argument = inspect.signature(draw).parameters.get(name)
            start = argument.default if argument else inspect.Parameter.empty
            control = ipywidgets.interactive.widget_from_abbrev(given, start)
            control.continuous_update = False
            control.description = control.description or name.replace("_", " ")
            control.style.description_width = "initial"
            control.observe(lambda _: self.compare.show(*self._call(self.values)), "value")
            self.controls[name] = control
        images, caption = self._call(self.values)
        state = dict(left=left, right=len(images) - 1 if right is None else right, width=width)
        self.compare = self._static = Compare(images, caption=caption, **state)
        if examples:
            chosen = [self.values | dict(values) for values in examples.values()]
            drawn = dict(zip(examples, map(self._call, chosen), strict=True))
            self._static = Gallery(
                {name: pictures for name, (pictures, _) in drawn.items()},
                captions={name: text for name, (_, text) in drawn.items()},
                frame=chosen.index(self.values) if self.values in chosen else 0,
                **state | dict(kind=kind, thumbnails=False, side=side, quality=quality),
            )
        super().__init__([*self.controls.values(), self.compare])

    @property
    def values(self) -> dict:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def _call(self, values: Mapping) -> tuple[Mapping, str]:
        drawn = self._draw(**values)
        return drawn if isinstance(drawn, tuple) else (drawn, "")

    def _repr_mimebundle_(self, **options):
        names = ", ".join(control.description for control in self.controls.values())
        note = f"Needs a running notebook: {html.escape(names)}."
        if self._static is not self.compare:
            note += " This page shows settings that were computed before."
        page = f"<p><em>{note}</em></p>{self._static.html()}"
        text = f"Explore({', '.join(self.controls)})"
        bundle = super()._repr_mimebundle_(**options)
        return bundle | {"text/html": page, "text/plain": text}
