"""Recorded file operations: read from strace's lines by hand, done again, and those of a real process."""

import shutil
import sys

import pytest

from mpl_tf.base.errors import RunError
from tools._faults import record
from tools._faults.record import Operation


def hexed(text):
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def opened(number, path):
    return f"{number}<{hexed(path)}>"


AB, C = opened(3, "/w/run/a b"), opened(5, "/w/run/c")
LINES = [
    f'7 mkdir("{hexed("/w/run")}", 0777) = 0',
    f'7 openat(AT_FDCWD<{hexed("/")}>, "{hexed("/w/run/a b")}", O_WRONLY|O_CREAT|O_TRUNC, 0666) = {AB}',
    f'7 write({AB}, "{hexed("hello, world")}", 12) = 12',
    f"7 lseek({AB}, 7, SEEK_SET) = 7",
    # Another thread's line cuts this one in two; only 3 of 5 bytes were written.
    f'7 write({AB}, "{hexed("WORLD")}", 5 <unfinished ...>',
    f'8 write({opened(4, "/elsewhere")}, "{hexed("no")}", 2) = 2',
    "7 <... write resumed>) = 3",
    f'7 pwrite64({AB}, "{hexed("J")}", 1, 0) = 1',
    f'7 rename("{hexed("/w/run/a b")}", "{hexed("/w/run/c")}") = 0',
    f'7 unlink("{hexed("/w/run/none")}") = -1 ENOENT (No such file or directory)',
    f'7 openat(AT_FDCWD<{hexed("/")}>, "{hexed("/w/run/c")}", O_WRONLY|O_APPEND, 0666) = {C}',
    f'7 write({C}, "{hexed("!")}", 1) = 1',
    f"7 ftruncate({C}, 5) = 0",
    f'7 unlinkat({opened(6, "/w/run")}, "{hexed("c")}", 0) = 0',
    "7 +++ exited with 0 +++",
]
EXPECTED = [
    Operation("mkdir", "."),
    Operation("make", "a b"),
    Operation("write", "a b", b"hello, world", 0),
    Operation("write", "a b", b"WOR", 7),
    Operation("write", "a b", b"J", 0),
    Operation("rename", "a b", "c"),
    Operation("write", "c", b"!", None),
    Operation("truncate", "c", place=5),
    Operation("unlink", "c"),
]


def test_operations_of_lines(tmp_path):
    assert list(record.operations(LINES, "/w/run")) == EXPECTED


def test_each_state(tmp_path):
    folder, states = tmp_path / "run", []
    for operation in EXPECTED:
        record.apply(operation, folder)
        states.append({path.name: path.read_text() for path in folder.iterdir()})
    assert states == [
        {},
        {"a b": ""},
        {"a b": "hello, world"},
        {"a b": "hello, WORld"},
        {"a b": "Jello, WORld"},
        {"c": "Jello, WORld"},
        {"c": "Jello, WORld!"},
        {"c": "Jello"},
        {},
    ]


def test_a_file_that_is_opened_again_stays(tmp_path):
    (tmp_path / "a").write_text("kept")
    record.apply(Operation("make", "a", place=None), tmp_path)
    assert (tmp_path / "a").read_text() == "kept"
    record.apply(Operation("make", "a"), tmp_path)
    assert (tmp_path / "a").read_text() == ""


def test_what_it_cannot_do_again_is_refused():
    line = f'7 rename("{hexed("/w/run/a")}", "{hexed("/tmp/a")}") = 0'
    with pytest.raises(RunError, match="expected operations within the folder, got rename"):
        list(record.operations([line], "/w/run"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_real_process(tmp_path):
    folder = tmp_path / "run"
    program = (
        "import mmap, os, pathlib, shutil, sys; p = pathlib.Path(sys.argv[1]); p.mkdir();"
        "(p / 'a').write_text('1' * 100000);"
        "(p / 'b').mkdir(); os.replace(p / 'a', p / 'b' / 'c'); f = open(p / 'b' / 'c', 'r+b'); f.seek(5);"
        "f.write(b'22'); f.close();"
        "m = open(p / 'm', 'w+b'); m.truncate(9); m = mmap.mmap(m.fileno(), 9); m[3:5] = b'33'; m.flush();"
        "os.replace(p / 'm', p / 'n'); (p / 'd').mkdir(); (p / 'd' / 'e').write_text(''); shutil.rmtree(p / 'd')"
    )
    operations = record.record([sys.executable, "-c", program, str(folder)], folder, tmp_path / "log")
    again = tmp_path / "again"
    for operation in operations:
        record.apply(operation, again)
    assert [path.relative_to(again) for path in sorted(again.rglob("*"))] == [
        path.relative_to(folder) for path in sorted(folder.rglob("*"))
    ]
    assert (again / "b" / "c").read_bytes() == (folder / "b" / "c").read_bytes() == b"1" * 5 + b"22" + b"1" * 99993
    assert (again / "n").read_bytes() == b"\0\0\0" + b"33" + b"\0\0\0\0"
    assert not (tmp_path / "log").exists()
    with pytest.raises(RunError, match="expected it to end well under strace, got 3"):
        record.record([sys.executable, "-c", "raise SystemExit(3)"], folder, tmp_path / "log")
