"""Build the course site offline: `python docs/build.py [--profile mini]`.

Gathers the executed chapters, the table, the run times and the figures in `build/site/source`,
runs Sphinx, and checks every link. The site is `build/site/html/index.html`; it loads nothing
from elsewhere and works from the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

from scgan_lib.paths import ROOT, UserError, output_root

sys.path.insert(0, str(ROOT / "tools"))
from chapters import durations

DEFAULT = "mini"  # its chapters lie beside their sources
SITE = ROOT / "build" / "site"
MATHJAX = "3.2.2"
MATHJAX_SHA256 = "d4295dc33744836935c1399feece5159577b34c5c8ffb9f1c6324cd82e03a882"


def mathjax() -> Path:
    """Fetch the one script that draws formulas from npm, once; return its path."""
    script = ROOT / "build" / "mathjax" / MATHJAX / "tex-svg.js"
    if not script.exists():
        script.parent.mkdir(parents=True, exist_ok=True)
        cure = f"install Node.js with npm, or put es5/tex-svg.js of mathjax {MATHJAX} at {script}"
        if not shutil.which("npm"):
            raise UserError(f"npm is missing: {cure}")
        call = ["npm", "pack", f"mathjax@{MATHJAX}", "--silent"]
        if subprocess.run(call, cwd=script.parent, stdout=subprocess.DEVNULL).returncode:
            raise UserError(f"npm could not fetch mathjax {MATHJAX}: {cure}")
        package = script.parent / f"mathjax-{MATHJAX}.tgz"
        with tarfile.open(package) as tar:
            script.write_bytes(tar.extractfile("package/es5/tex-svg.js").read())
        package.unlink()
    if hashlib.sha256(script.read_bytes()).hexdigest() != MATHJAX_SHA256:
        raise UserError(f"{script}: not mathjax {MATHJAX}; delete it and build again")
    return script


def gather(profile: str, folder: Path) -> Path:
    """Lay out `folder/source` as the clone is, so that the chapters' links hold; return it."""
    results, figures = (output_root() / kind / profile for kind in ("results", "figures"))
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    made = ROOT / "notebooks" if profile == DEFAULT else results / "notebooks"
    chapters = [c for c in sorted(made.glob("[0-9]*.ipynb")) if not c.stem.endswith(".failed")]
    if not chapters:
        raise UserError(f"{made}: no executed chapter; run `make reproduce PROFILE={profile}`")
    (source / "notebooks").mkdir(parents=True)
    there = {chapter.name for chapter in chapters}
    missing = {name for chapter in chapters for name in _chapter(chapter, source, there)}
    if missing:
        print(f"not executed, so links to them are plain text: {', '.join(sorted(missing))}")
    if figures.exists():
        shutil.copytree(figures, source / "figures" / profile)
    sources = source / "notebooks" / "exercises"
    shutil.copytree(ROOT / "notebooks" / "exercises", sources)
    shutil.copyfile(ROOT / "docs" / "index.md", source / "index.md")
    (source / "results.md").write_text(_results(results, figures, profile, made), encoding="utf-8")
    static = folder / "static" / "mathjax"
    static.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax(), static / "tex-svg.js")
    for name in ("site.css", "site.js"):
        shutil.copyfile(ROOT / "docs" / name, static.parent / name)
    return source


def _chapter(chapter: Path, source: Path, there: set[str]) -> set[str]:
    """Copy a chapter without its links to chapters that are not `there`; return those."""
    nb, missing = nbformat.read(chapter, 4), set()

    def link(match: re.Match) -> str:
        if match[2] in there:
            return match[0]
        missing.add(match[2])
        return match[1]

    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\[([^]\n]+)\]\((\d\d_\w+\.ipynb)\)", link, cell.source)
    nbformat.write(nb, source / "notebooks" / chapter.name)
    return missing


def _results(results: Path, figures: Path, profile: str, made: Path) -> str:
    """Markdown: gallery picture, Table 1, run times; what is not there is left out."""
    parts = []
    for picture in sorted(figures.glob("gallery*.jpg")) + sorted(figures.glob("gallery*.png")):
        text = "Test photographs: gray input, stage 1, SCGAN, real photo"
        parts.append(f"![{text}](figures/{profile}/{picture.name})")
        parts.append(f"*{text}, in that order. No network saw these photos in training.*")
        break
    if (results / "table1.md").exists():
        table = (results / "table1.md").read_text().removeprefix("**Table 1**").strip()
        parts += [f"## Table 1, profile {profile}", table]
    if times := durations(made):
        rows = [f"| {name.replace('_', ' ')} | {seconds:.0f} |" for name, seconds in times.items()]
        total = sum(times.values())
        rows.append(f"| **all: {total / 60:.0f} minutes** | {total:.0f} |")
        head = "As the last run measured them, training included where it was not done before:"
        parts += ["## Run times", head, "\n".join(["| chapter | seconds |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


class _Links(HTMLParser):
    """Collect a page's ids, links, and the addresses of what it loads."""

    def __init__(self, page: Path):
        super().__init__()
        self.ids, self.links, self.loads = {"", "top"}, [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        elif tag in ("script", "img", "link", "iframe", "source"):
            address = attrs.get("src") or attrs.get("href")
            if address and attrs.get("rel") not in ("canonical", "search", "next", "prev"):
                self.loads.append(address)


def check(site: Path) -> list[str]:
    """Broken internal links, missing files, and anything loaded from another host."""
    mine = [page for page in site.rglob("*.html") if "_static" not in page.parts]
    pages = {page.resolve(): _Links(page) for page in mine}
    wrong = []
    for page, found in pages.items():
        for address in found.links + found.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in found.loads and parts.scheme != "data":
                    wrong.append(f"{page.name}: loads {address} from another host")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            known = pages.get(target)
            if not target.exists() or (known and unquote(parts.fragment) not in known.ids):
                wrong.append(f"{page.name}: broken link {address}")
    return sorted(set(wrong))


def build(profile: str = DEFAULT, folder: Path = SITE) -> Path:
    """Build and check the site; return its first page. Raises UserError with what is wrong."""
    source, site = gather(profile, folder), folder / "html"
    shutil.rmtree(site, ignore_errors=True)  # pages of an earlier course would stay
    call = [sys.executable, "-m", "sphinx", "-q", "-E", "-b", "html", "-c", str(ROOT / "docs")]
    call += ["-d", str(folder / "doctrees"), "-D", f"html_static_path={folder / 'static'}"]
    if subprocess.run([*call, str(source), str(site)]).returncode:
        raise UserError("Sphinx failed; see above (is it installed? pip install -e .[site])")
    if wrong := check(site):
        raise UserError("the site has mistakes:\n" + "\n".join(wrong))
    return site / "index.html"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default=DEFAULT)
    try:
        print(build(parser.parse_args().profile))
    except UserError as error:
        sys.exit(f"error: {error}")
