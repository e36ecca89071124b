"""Chapters (py:percent text) without a browser: `python tools/chapters.py run | pair | summary`."""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import tempfile
import time
from pathlib import Path

sys.modules["rfc3987_syntax"] = None  # a check of addresses that takes jsonschema seconds to load
import jupytext
import nbformat
import papermill
import yaml
from nbclient import NotebookClient
from traitlets.config import Config

from scgan_lib.paths import ROOT, UserError, atomic_write, output_root
from scgan_lib.progress import MARK

GONE = (MARK, "Downloading: ")  # lines that tell how far something is, of ours and torch's
VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
# nbclient's imitation of Output widgets can lose a wake-up and wait for ever (nbclient issue 312).
NotebookClient.on_comm_open_jupyter_widget = lambda client, message: None


def read_source(source: Path) -> nbformat.NotebookNode:
    """A py:percent chapter as a notebook whose cells have lasting ids."""
    nb = jupytext.read(source)
    for number, cell in enumerate(nb.cells):
        cell["id"] = f"cell-{number}"
    nb.metadata, nb.nbformat, nb.nbformat_minor = nbformat.from_dict(METADATA), 4, 5
    return nb


def parameters(nb: nbformat.NotebookNode) -> dict:
    """Names and default values, all literals, in the cell tagged `parameters`."""
    cells = [c for c in nb.cells if "parameters" in c.metadata.get("tags", ())]
    lines = ast.parse("\n".join(c.source for c in cells)).body
    return {line.targets[0].id: ast.literal_eval(line.value) for line in lines}


def tidy(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove, in place, progress lines, dead widgets (their HTML stays), addresses and paths."""

    def clean(text: str) -> str:
        text = text.replace(f"{ROOT}{os.sep}", "").replace(str(ROOT), ".")
        text = text.replace(f"{Path.home()}{os.sep}", f"~{os.sep}")
        text = re.sub(r"(<[\w.\- ]+) at 0x[0-9a-f]{6,}", r"\1", text)
        text = re.sub(r"\S*ipykernel_\d+/\d+\.py", "cell", text)
        return "".join(x for x in text.splitlines(keepends=True) if not x.startswith(GONE))

    seconds = round(nb.metadata.get("papermill", {}).get("duration") or 0, 1)
    nb.metadata = nbformat.from_dict(METADATA | {"papermill": {"duration": seconds}})
    for cell in nb.cells:
        cell.metadata.pop("papermill", None)
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data.pop(VIEW, None) is not None and set(data) <= {"text/plain"}:
                data.clear()  # a control or a bar that is dead without a kernel
            data |= {kind: clean(data[kind]) for kind in data if kind.startswith("text/")}
            if "text" in output:
                output["text"] = clean(output["text"])
        if "outputs" in cell:
            cell["outputs"] = [o for o in cell.outputs if o.get("data") or o.get("text")]
    return nb


def run(source: Path, target: Path, values: dict | None = None, timeout: float = 3600) -> float:
    """Execute the chapter `source` with parameter `values`; write `target`; return the seconds.

    The working folder is the clone. `target` appears only when all cells passed; otherwise
    `<target>.failed.ipynb` shows where it stopped, and UserError (a value that the chapter does
    not have) or RuntimeError (a cell failed, or the chapter took longer than `timeout`) is raised.
    """
    source, target, values = Path(source), Path(target).absolute(), dict(values or {})
    nb = read_source(source)
    defaults = parameters(nb)
    if unknown := values.keys() - defaults.keys():
        raise UserError(f"{source}: no parameter '{min(unknown)}' among {', '.join(defaults)}")
    failed = target.with_suffix(".failed.ipynb")
    failed.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + timeout
    options = {
        "kernel_name": "python3", "language": "python", "cwd": str(ROOT), "progress_bar": False,
        "start_timeout": 120, "stdout_file": sys.stdout, "stderr_file": sys.stderr,
        "coalesce_streams": True, "store_widget_state": False, "record_timing": False,
        "timeout_func": lambda cell: max(1, round(end - time.monotonic())),
    }  # fmt: skip
    home = ROOT / "build" / "jupyter"  # files of Jupyter and matplotlib stay in the clone
    (home / "ipythondir").mkdir(parents=True, exist_ok=True)
    names = ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    os.environ |= {name: str(home / name.lower()) for name in names} | {
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this very environment
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONHASHSEED": "0",  # sets print in one order
        "SCGAN_HEADLESS": "1",
    }
    path = str(failed).replace("{", "{{").replace("}", "}}")  # papermill formats paths
    chosen = {name: value for name, value in values.items() if value != defaults[name]}
    try:
        # sockets in a folder of this kernel alone: two kernels at once can take the same port
        with tempfile.TemporaryDirectory() as sockets:
            config = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
            papermill.execute_notebook(nb, path, chosen, config=config, **options)
    except Exception as error:
        where, what = source, f"{type(error).__name__}: {error}"
        if isinstance(error, papermill.PapermillExecutionError):
            line = source.read_text().partition(error.source.strip())[0].count("\n") + 1
            where, what = f"{source}:{line}", f"{error.ename}: {error.evalue}"
        elif isinstance(error, TimeoutError):
            what = f"the chapter took longer than {timeout:g} s (--timeout)"
        raise RuntimeError(f"{where}: {what.splitlines()[0]} (see {failed})") from error
    nb = tidy(nbformat.read(failed, 4))
    with atomic_write(target) as part:
        nbformat.write(nb, part)
    failed.unlink()
    return nb.metadata.papermill.duration


def pair(profile: str, check: bool = False, folder: Path = ROOT / "notebooks") -> list[str]:
    """Copy executed chapters of `profile` beside their sources, or only `check`; list mistakes."""

    def cells(nb: nbformat.NotebookNode) -> list[tuple[str, str]]:
        mine = [c for c in nb.cells if "injected-parameters" not in c.metadata.get("tags", ())]
        return [(c.cell_type, c.source.strip()) for c in mine]

    wrong = []
    for source in sorted(folder.glob("[0-9]*.py")):
        beside = source.with_suffix(".ipynb")
        made = output_root() / "results" / profile / "notebooks" / beside.name
        chosen = beside if check else made
        if not chosen.exists():
            wrong.append(f"{chosen}: missing; run the chapter on profile {profile}, then `pair`")
        elif cells(nbformat.read(chosen, 4)) != cells(jupytext.read(source)):
            wrong.append(f"{chosen}: differs from {source.name}; run the chapter, then `pair`")
        elif not check:
            beside.write_bytes(made.read_bytes())
    return wrong


def durations(folder: Path) -> dict[str, float]:
    """Executed chapters of a folder -> seconds that papermill has measured."""
    chapters = [p for p in sorted(folder.glob("[0-9]*.ipynb")) if ".failed" not in p.name]
    return {p.stem: nbformat.read(p, 4).metadata.papermill.duration for p in chapters}


def summary(profile: str) -> str:
    """The table, the pictures, where the chapters are, the time each took, what comes next."""
    results, figures = (output_root() / kind / profile for kind in ("results", "figures"))
    if not (table := results / "table1.md").exists():
        raise UserError(f"{table}: missing; run `make reproduce PROFILE={profile}`")
    times = durations(results / "notebooks")
    times["total"] = sum(times.values())
    pictures = [f"  {path}" for path in sorted(figures.glob("*.[jp][pn]g"))]
    lines = [table.read_text().strip(), "", "Pictures:", *pictures]
    lines += [f"Executed chapters: {results / 'notebooks'}", "Time of their last run:"]
    lines += [f"  {name:<40}{t // 60:4.0f} min {t % 60:4.1f} s" for name, t in times.items()]
    lines += ["Next: `make lab` opens the chapters with live sliders;"]
    lines += ["      `.venv/bin/scgan colorize FOLDER -o OTHER` colours pictures of your own."]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Command line. Exit status 1: a chapter failed or a pair differs; 2: a wrong call."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="execute SOURCE.py into TARGET.ipynb")
    one.add_argument("source", type=Path)
    one.add_argument("target", type=Path)
    one.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "YAML"))
    one.add_argument("--timeout", type=float, default=3600, help="seconds, for the whole chapter")
    for name in ("pair", "summary"):
        commands.add_parser(name).add_argument("--profile", default="mini")
    args = parser.parse_args(argv)
    try:
        if args.command == "run":
            values = {name: yaml.safe_load(value) for name, value in args.p}
            print(f"{args.target}: {run(args.source, args.target, values, args.timeout):.1f} s")
        elif args.command == "summary":
            print(summary(args.profile))
        elif wrong := pair(args.profile):
            sys.exit("\n".join(wrong))
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    except (UserError, FileNotFoundError, yaml.YAMLError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
