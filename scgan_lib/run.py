"""Chapters without a browser: `python -m scgan_lib.run run | pair | summary`.

`run` executes a chapter (py:percent text) through papermill and writes a notebook that is the same
byte for byte whenever code and results are the same. `pair` puts the executed chapters of the
default profile beside their sources. `summary` prints what `make reproduce` has made.
"""

from __future__ import annotations

import argparse
import ast
import base64
import csv
import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import papermill
import yaml
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from traitlets.config import Config

from scgan_lib.paths import ROOT, UserError, atomic_write, output_root
from scgan_lib.progress import MARK

INJECTED = "injected-parameters"
VIEW = "application/vnd.jupyter.widget-view+json"
MAX_BYTES = 600_000  # of an executed chapter in git
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}


class ChapterEngine(Engine):
    """papermill's engine, with a time limit for the chapter and no imitation of Output widgets.

    nbclient's imitation can lose a wake-up and wait for ever (nbclient issue 312).
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, timeout, transport, **_):
        end = time.monotonic() + timeout
        client = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            timeout_func=lambda cell: max(1, round(end - time.monotonic())),
            startup_timeout=120,
            coalesce_streams=True,
            store_widget_state=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            config=Config({"KernelManager": {"transport": transport}}),
        )
        client.widget_registry = {}
        return client.execute()


papermill_engines.register("chapter", ChapterEngine)


def _environment() -> str:
    """Keep Jupyter's and matplotlib's files in the clone; return the transport to the kernel."""
    home = ROOT / "build" / "jupyter"
    (home / "ipython").mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this very environment
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "SCGAN_HEADLESS": "1",
    }
    os.environ.setdefault("MPLCONFIGDIR", str(home / "matplotlib"))
    os.environ.setdefault("PYTHONHASHSEED", "0")  # sets print in one order
    socket = home / "runtime" / f"kernel-{'0' * 36}-ipc-1"  # a socket's path has 107 bytes at most
    return "ipc" if sys.platform == "linux" and len(os.fsencode(socket)) < 108 else "tcp"


def read_source(source: Path) -> nbformat.NotebookNode:
    """Read a py:percent chapter; cells get ids from their text, so a diff shows real changes."""
    try:
        nb = jupytext.read(source)
    except FileNotFoundError as error:
        raise UserError(f"{source}: no such chapter; see notebooks/") from error
    seen: dict[str, int] = {}
    for cell in nb.cells:
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"
    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


def parameters(nb: nbformat.NotebookNode) -> dict:
    """Names and default values in the cell tagged `parameters` (None: not a literal)."""
    found = {}
    for cell in nb.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            for line in ast.parse(cell.source).body:
                targets = getattr(line, "targets", None) or [getattr(line, "target", None)]
                for target in targets:
                    if isinstance(target, ast.Name):
                        try:
                            found[target.id] = ast.literal_eval(line.value)
                        except ValueError:
                            found[target.id] = None
    return found


def _plain_png(data: str) -> str:
    """Drop the text and time chunks of a base64 PNG: they hold versions and dates."""
    raw = base64.b64decode(data)
    kept, at = [raw[:8]], 8
    while at < len(raw):
        end = at + 12 + int.from_bytes(raw[at : at + 4], "big")
        if raw[at + 4 : at + 8] not in (b"tEXt", b"iTXt", b"zTXt", b"tIME"):
            kept.append(raw[at:end])
        at = end
    return base64.b64encode(b"".join(kept)).decode()


def tidy(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove, in place, what changes from run to run though nothing changed.

    Timings, progress lines, widget views that nothing backs, addresses, temporary and absolute
    paths, random table ids, PNG comments. A table's static HTML stays.
    """
    tables: dict[str, str] = {}

    def clean(text: str) -> str:
        text = text.replace(f"{ROOT}{os.sep}", "").replace(str(ROOT), ".")
        text = re.sub(r"(<[\w.\- ]+) at 0x[0-9a-f]{6,}", r"\1", text)
        text = re.sub(r"\S*ipykernel_\d+/\d+\.py", "cell", text)
        if '<style type="text/css">' in text:  # a pandas Styler
            for name in re.findall(r'<table id="T_(\w+)"', text):
                tables.setdefault(name, f"{len(tables):05d}")
                text = text.replace(f"T_{name}", f"T_{tables[name]}")
        return text

    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in nb.cells:
        keep = {k: v for k, v in cell.metadata.items() if k in ("tags", "jupyter", "editable")}
        if not keep.get("tags"):
            keep.pop("tags", None)
        cell.metadata = nbformat.from_dict(keep)
        if INJECTED in keep.get("tags", ()):
            cell["id"], cell["source"] = INJECTED, cell.source.strip()
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            data = output.get("data", {})
            if data.pop(VIEW, None) is not None and set(data) <= {"text/plain"}:
                continue  # a control or a bar that is dead without a kernel
            if output.output_type == "stream":
                lines = clean(output.text).splitlines(keepends=True)
                output["text"] = "".join(x for x in lines if not x.startswith(MARK))
                if not output["text"]:
                    continue
            for kind in data:
                if kind == "image/png":
                    data[kind] = _plain_png(data[kind])
                elif kind.startswith("text/"):
                    data[kind] = clean(data[kind])
            outputs.append(output)
        cell["outputs"] = outputs
    return nb


def record(profile: str, name: str, seconds: float) -> None:
    """Append or replace the row `name` of `results/<profile>/timings.csv`.

    The longest time stays: a rerun that finds its weights trained does not say how long the
    chapter takes from nothing. `make reproduce` starts a new file with the first chapter.
    """
    path = output_root() / "results" / profile / "timings.csv"
    rows = dict(timings(path))
    rows[name] = f"{max(seconds, float(rows.get(name, 0))):.1f}"
    with atomic_write(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("name", "seconds"), *sorted(rows.items())])


def timings(path: Path) -> list[tuple[str, str]]:
    """Rows (name, seconds) of a timings.csv; none when there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [(row["name"], row["seconds"]) for row in csv.DictReader(file)]


def run(source: Path, target: Path, values: dict | None = None, timeout: float = 3600) -> float:
    """Execute the chapter `source` with parameter `values`; write `target`; return the seconds.

    The working folder is the clone. `target` appears only when all cells passed; otherwise
    `<target>.failed.ipynb` shows where it stopped, and UserError (a value that the chapter does
    not have) or RuntimeError (a cell failed, or the chapter took longer than `timeout`) is raised.
    """
    source, target, values = Path(source), Path(target).absolute(), dict(values or {})
    nb = read_source(source)
    defaults = parameters(nb)
    for name in values:
        if name not in defaults:
            raise UserError(
                f"{source}: no parameter '{name}' in its cell tagged parameters; "
                f"choose from {', '.join(defaults) or 'none'}"
            )
    changed = {k: v for k, v in values.items() if v != defaults[k]}
    failed = target.with_suffix(".failed.ipynb")
    failed.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        papermill.execute_notebook(
            nb,
            str(failed).replace("{", "{{").replace("}", "}}"),  # papermill formats paths
            parameters=changed,
            engine_name="chapter",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(ROOT),
            timeout=timeout,
            transport=_environment(),
        )
    except Exception as error:
        raise RuntimeError(_explain(source, failed, error, timeout)) from error
    seconds = time.monotonic() - start
    with atomic_write(target) as part:
        nbformat.write(tidy(nbformat.read(failed, 4)), part)
    failed.unlink()
    profile, seed = ((defaults | values).get(k) for k in ("profile", "seed"))
    if profile:
        record(f"{profile}-seed{seed}" if seed else profile, source.stem, seconds)
    return seconds


def _explain(source: Path, failed: Path, error: Exception, timeout: float) -> str:
    """One line: chapter and line, the cell's first line of code, the error, where to look."""
    started = [
        cell
        for cell in (nbformat.read(failed, 4).cells if failed.exists() else [])
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("start_time")
    ]
    where, code = str(source), "before the first cell"
    if started:
        text, code = source.read_text(), started[-1].source.strip()
        if code and code in text:
            where += f":{text[: text.index(code)].count(chr(10)) + 1}"
        code = f"cell '{code.splitlines()[0] if code else ''}'"
    if isinstance(error, papermill.PapermillExecutionError):
        what = f"{error.ename}: {error.evalue}".strip()
    elif isinstance(error, TimeoutError):
        what = f"the chapter took longer than {timeout:g} s (--timeout)"
    else:
        what = f"{type(error).__name__}: {error}"
    what = re.sub(r"\x1b\[[0-9;]*m", "", what).strip().splitlines()[0]
    return f"{where}: {code}: {what} (see {failed})"


def pair(profile: str, check: bool = False, folder: Path | None = None) -> list[str]:
    """Copy executed chapters of `profile` beside their sources, or only `check`; list mistakes.

    A pair is right when both have the same text and code cells, the injected parameters apart,
    and the notebook is small enough for git.
    """
    wrong = []
    for source in sorted((folder or ROOT / "notebooks").glob("[0-9]*.py")):
        beside = source.with_suffix(".ipynb")
        made = output_root() / "results" / profile / "notebooks" / beside.name
        if not check and not made.exists():
            wrong.append(f"{made}: missing; run the chapter on profile {profile} first")
            continue
        chosen = beside if check else made
        if not chosen.exists():
            wrong.append(f"{beside}: missing; run `python -m scgan_lib.run pair`")
        elif _cells(nbformat.read(chosen, 4)) != _cells(jupytext.read(source)):
            wrong.append(f"{chosen}: differs from {source.name}; run the chapter, then `pair`")
        elif chosen.stat().st_size > MAX_BYTES:
            wrong.append(f"{chosen}: {chosen.stat().st_size} bytes, more than {MAX_BYTES}")
        elif not check:
            shutil.copyfile(made, beside)
    return wrong


def _cells(nb: nbformat.NotebookNode) -> list[tuple[str, str]]:
    mine = [c for c in nb.cells if INJECTED not in c.metadata.get("tags", ())]
    return [(c.cell_type, c.source.strip()) for c in mine]


def readme_text(profile: str, text: str) -> str:
    """README `text` with the table and the run time of `profile` between its markers."""
    results = output_root() / "results" / profile
    minutes = sum(float(seconds) for _, seconds in timings(results / "timings.csv")) / 60
    blocks = {
        "table1": f"\n{(results / 'table1.md').read_text().strip()}\n",
        "time": f"{minutes:.0f} minutes on two CPU cores for everything",
    }
    for name, block in blocks.items():
        pattern = rf"(<!-- {name}:begin -->).*?(<!-- {name}:end -->)"
        text = re.sub(pattern, lambda m, b=block: m[1] + b + m[2], text, flags=re.S)
    return text


def summary(profile: str) -> str:
    """The table, where the pictures and chapters are, the time each step took, what comes next."""
    results, figures = (output_root() / kind / profile for kind in ("results", "figures"))
    table = results / "table1.md"
    if not table.exists():
        raise UserError(f"{table}: missing; run `make reproduce PROFILE={profile}`")
    lines = [table.read_text().strip(), ""]
    pictures = sorted(p for p in figures.glob("*") if p.suffix in (".png", ".jpg"))
    lines += ["Pictures:", *(f"  {p}" for p in pictures)] if pictures else []
    lines += [f"Executed chapters: {results / 'notebooks'}", "Time:"]
    times = [(name, float(seconds)) for name, seconds in timings(results / "timings.csv")]
    for name, seconds in [*times, ("total", sum(s for _, s in times))]:
        lines.append(f"  {name:<40}{seconds // 60:4.0f} min {seconds % 60:4.1f} s")
    lines += ["Next: `make lab` opens the chapters with live sliders;"]
    lines += ["      `.venv/bin/scgan colorize FOLDER -o OTHER` colours pictures of your own."]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 0, 1 (a chapter failed, a pair differs) or 2 (a wrong call)."""
    parser = argparse.ArgumentParser(prog="python -m scgan_lib.run", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="execute a chapter")
    one.add_argument("source", type=Path, metavar="SOURCE.py")
    one.add_argument("target", type=Path, metavar="TARGET.ipynb")
    one.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "YAML"))
    one.add_argument("--timeout", type=float, default=3600, help="seconds, for the whole chapter")
    two = commands.add_parser("pair", help="executed chapters beside sources; README's table")
    two.add_argument("--check", action="store_true", help="copy nothing, exit 1 if a pair differs")
    three = commands.add_parser("summary", help="print the table, the pictures, the times")
    for command in (two, three):
        command.add_argument("--profile", default="mini")
    args = parser.parse_args(argv)
    try:
        if args.command == "run":
            values = {name: yaml.safe_load(value) for name, value in args.p}
            seconds = run(args.source, args.target, values, args.timeout)
            print(f"{args.target}: {seconds:.1f} s")
        elif args.command == "summary":
            print(summary(args.profile))
        elif wrong := pair(args.profile, args.check):
            raise RuntimeError("\n".join(wrong))
        elif not args.check:
            readme = ROOT / "README.md"
            text = readme_text(args.profile, readme.read_text())
            with atomic_write(readme) as part:
                part.write_text(text)
    except (UserError, yaml.YAMLError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
