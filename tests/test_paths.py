"""Files appear whole or not at all."""

import errno

import pytest

from scgan_lib.paths import UserError, atomic_write


def test_a_file_appears_whole_and_stays_as_it_is_after_an_error(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with atomic_write(target) as part:
        part.write_text("old")
        assert part.suffix == ".csv" and not target.exists()
    with pytest.raises(ZeroDivisionError), atomic_write(target) as part:
        part.write_text("half")
        _ = 1 / 0
    assert target.read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_full_disk_is_said_in_one_line_with_the_file(tmp_path, number):
    target = tmp_path / "x.txt"
    with pytest.raises(UserError, match=f"^{target}: .*no room.*free space"), atomic_write(target):
        raise OSError(number, "no room")
    with pytest.raises(BlockingIOError), atomic_write(target):  # others are not disguised
        raise OSError(errno.EAGAIN, "later")
