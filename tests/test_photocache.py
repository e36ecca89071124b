"""Decoded once: what is read is what was made, whatever happened to the files since."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from scgan_lib import photocache
from scgan_lib.paths import ROOT, UserError
from scgan_lib.photocache import TAIL, Pictures, digests, place, within

KEYS = ["ab" + "0" * 38, "cd" + "1" * 38]


def ramp(i):
    return (np.arange(5 * 7 * 4).reshape(5, 7, 4) + i).astype(np.uint8)


def recorded(made):
    """A `make` that notes what it was asked for."""
    return lambda i: made.append(i) or ramp(i)


def test_pictures_come_back_as_they_were_made_and_once_only(tmp_path):
    made = []
    for _ in range(2):
        pictures = Pictures(tmp_path, KEYS, recorded(made))
        assert len(pictures) == 2
        for i in range(2):
            assert pictures[i].mode == "RGBX" and pictures[i].size == (7, 5)
            np.testing.assert_array_equal(np.asarray(pictures[i]), ramp(i))
    assert sorted(made) == [0, 1]
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert files == [f"ab/{KEYS[0]}", f"cd/{KEYS[1]}"]  # and no part of a file
    assert place(tmp_path, KEYS[0]).stat().st_size == 5 * 7 * 4 + TAIL.size


def test_equal_keys_are_made_once_and_no_folder_means_each_time(tmp_path):
    made = []
    twice = Pictures(tmp_path, [KEYS[0]] * 3, recorded(made))
    assert len(made) == 1 and len(twice) == 3
    made.clear()
    plain = Pictures(None, KEYS, recorded(made), mode="RGBA")
    assert made == [] and plain[0].mode == "RGBA" and made == [0]
    np.testing.assert_array_equal(np.asarray(plain[1]), ramp(1))
    np.testing.assert_array_equal(np.asarray(plain[1]), ramp(1))
    assert made == [0, 1, 1]


def altered(whole):
    flipped = bytearray(whole)
    flipped[17] ^= 1
    wide = whole[: -TAIL.size] + TAIL.pack(photocache.MARK, 5, 7, 0)
    return {
        "half": whole[: len(whole) // 2], "no tail": whole[: -TAIL.size], "empty": b"",
        "one byte short": whole[:-1], "longer": whole + b"x", "a bit flipped": bytes(flipped),
        "turned, wrong sum": wide, "other": b"<html>no</html>",
    }  # fmt: skip


@pytest.mark.parametrize("damage", [*altered(b"x" * 100), "removed"])
@pytest.mark.parametrize("reopened", [True, False])
def test_a_damaged_file_is_noticed_and_made_again(tmp_path, damage, reopened):
    made = []
    pictures = Pictures(tmp_path, KEYS, recorded(made))
    path = place(tmp_path, KEYS[1])
    whole = path.read_bytes()
    path.unlink()  # a new file, as a copy or a half-written one would be
    if damage != "removed":
        path.write_bytes(altered(whole)[damage])
    if reopened:
        pictures = Pictures(tmp_path, KEYS, recorded(made))
    np.testing.assert_array_equal(np.asarray(pictures[1]), ramp(1))
    np.testing.assert_array_equal(np.asarray(pictures[0]), ramp(0))
    assert path.read_bytes() == whole and made.count(1) == 2 and made.count(0) == 1


def test_a_picture_outlives_its_file(tmp_path):
    """A mapped picture stays whole when the cache is emptied or the file replaced meanwhile."""
    pictures = Pictures(tmp_path, KEYS, ramp)
    image = pictures[0]
    shutil.rmtree(tmp_path)
    np.testing.assert_array_equal(np.asarray(image), ramp(0))
    np.testing.assert_array_equal(np.asarray(pictures[0]), ramp(0))


def test_what_a_killed_run_left_is_no_picture(tmp_path):
    """Killed in the middle of a write: the part is no entry, the next run makes the rest."""
    code = (
        "import os, numpy as np\nfrom pathlib import Path\n"
        "from scgan_lib import photocache\n"
        "real = os.replace\n"
        "os.replace = lambda a, b: os._exit(9)\n"
        f"photocache.Pictures(Path({str(tmp_path)!r}), {KEYS!r}, "
        "lambda i: np.zeros((9, 9, 4), np.uint8))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert done.returncode == 9
    assert not any(place(tmp_path, key).exists() for key in KEYS)
    pictures = Pictures(tmp_path, KEYS, ramp)
    np.testing.assert_array_equal(np.asarray(pictures[1]), ramp(1))


def test_two_processes_at_once_make_one_sound_cache(tmp_path):
    keys = [f"{i % 16:02x}" + f"{i:038d}" for i in range(120)]
    code = (
        "import numpy as np, time, sys\nfrom pathlib import Path\n"
        "from scgan_lib import photocache\n"
        f"root = Path({str(tmp_path)!r})\n"
        "(root / sys.argv[1]).touch()\n"
        "while not ((root / 'a').exists() and (root / 'b').exists()): time.sleep(0.001)\n"
        f"names = [[p] for p in sorted(Path({str(ROOT / 'scgan_lib')!r}).glob('*.py'))]\n"
        "sums = photocache.digests(names, root)\n"
        "make = lambda i: np.full((40, 50, 4), i, np.uint8)\n"
        f"pictures = photocache.Pictures(root / 'p', {keys!r}, make)\n"
        "bad = [i for i in range(120) if not (np.asarray(pictures[i]) == i).all()]\n"
        "print(bad, sums)\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, name], cwd=ROOT, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in "ab"
    ]  # fmt: skip
    out = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], out
    assert out[0][0] == out[1][0] and out[0][0].startswith("[] [")

    def refuse(i):
        raise AssertionError("made again")

    assert (np.asarray(Pictures(tmp_path / "p", keys, refuse)[119]) == 119).all()
    assert not [p for p in tmp_path.rglob("*") if ".part" in p.name]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_and_a_locked_folder_are_said_in_one_line(tmp_path, monkeypatch, number):
    """And what lies there already is served all the same."""
    Pictures(tmp_path, KEYS[:1], ramp)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    np.testing.assert_array_equal(np.asarray(Pictures(tmp_path, KEYS[:1], ramp)[0]), ramp(0))
    with pytest.raises(UserError) as caught:
        Pictures(tmp_path, KEYS, ramp)
    text = str(caught.value)
    assert str(tmp_path) in text and os.strerror(number) in text and "\n" not in text
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "pictures").touch()
    with pytest.raises(UserError, match=r"pictures: cannot be made .*SCGAN_CACHE"):
        Pictures(tmp_path / "pictures", KEYS, ramp)


def test_a_disk_too_small_is_said_before_it_is_full(tmp_path, monkeypatch):
    """After the first go the rest is known: 2 of 3 pictures of 140 + 32 bytes still to come."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(photocache, "CHUNK", 1)
    keys = [*KEYS, "ef" + "2" * 38]
    for free, fits in ((2 * 172 - 1, False), (2 * 172, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(0, 0, free))
        folder = tmp_path / str(free)
        if fits:
            assert len(Pictures(folder, keys, ramp)) == 3
            continue
        with pytest.raises(UserError, match=r"SCGAN_CACHE=DIR.*cache_pictures=false"):
            Pictures(folder, keys, ramp)
        assert sum(p.is_file() for p in folder.rglob("*")) == 1


def test_an_error_of_one_picture_reaches_the_caller(tmp_path):
    def broken(i):
        raise UserError(f"{i}.jpg: not a readable picture")

    with pytest.raises(UserError, match="not a readable picture"):
        Pictures(tmp_path, KEYS, broken)


def test_within_shrinks_to_the_short_side_and_never_enlarges():
    flat = np.broadcast_to(np.array([9, 200, 31, 0], np.uint8), (40, 100, 4))
    small = within(flat, 20)
    assert small.shape == (20, 50, 4)
    assert (small == (9, 200, 31, 0)).all()  # no weighing by the fourth channel
    assert within(flat, 40) is flat and within(flat, 41) is flat
    assert within(flat.transpose(1, 0, 2), 20).shape == (50, 20, 4)


# --- digests --------------------------------------------------------------------------------------

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's example


@pytest.fixture
def counted(monkeypatch):
    """The groups whose contents were read."""
    read, real = [], photocache._digest
    monkeypatch.setattr(photocache, "_digest", lambda group: read.append(group) or real(group))
    return read


def test_digests_are_right_remembered_and_noticed(tmp_path, counted):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a")
    two.write_bytes(b"bc")
    assert digests([(one, two)], tmp_path) == [ABC]
    assert digests([(one, two)], tmp_path) == [ABC] and len(counted) == 1
    one.write_bytes(b"x")  # the same length, another time
    os.utime(one, ns=(1, 1))
    changed = digests([(one, two)], tmp_path)
    assert changed != [ABC] and len(counted) == 2
    one.write_bytes(b"a")
    os.utime(one, ns=(1, 2))
    assert digests([(one, two)], tmp_path) == [ABC]
    (tmp_path / "three").write_bytes(b"abc")
    assert digests([(one, two), (tmp_path / "three",)], tmp_path) == [ABC, ABC]
    assert digests([], tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0 cut short"])
def test_a_damaged_memory_is_only_forgotten(tmp_path, counted, content):
    (tmp_path / "f").write_bytes(b"abc")
    memory = tmp_path / "digests.sqlite"
    digests([(tmp_path / "f",)], tmp_path)
    memory.write_bytes(content)
    counted.clear()
    for _ in range(2):
        assert digests([(tmp_path / "f",)], tmp_path) == [ABC]
    assert len(counted) == 1  # remembered again
    memory.write_bytes(b"")
    sqlite3.connect(memory).execute("CREATE TABLE other (x)").connection.close()
    assert digests([(tmp_path / "f",)], tmp_path) == [ABC]


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert digests([(tmp_path / "f",)], tmp_path / "none" / "there") == [ABC]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: cannot be read \(No such file"):
        digests([(tmp_path / "gone.jpg",)], tmp_path)
