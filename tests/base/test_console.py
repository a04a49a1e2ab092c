"""Names of files on stdout: as they are where it can show them, else escaped, never an error."""

import io
import sys

import pytest

from mpl_tf.base import console

NAME = "caf\udce9/猫.jpg"  # A byte that is no text, and a text that is not ASCII.


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", b"caf\\udce9/\xe7\x8c\xab.jpg"),
        ("ascii", rb"caf\udce9/\u732b.jpg"),
        ("latin-1", rb"caf\udce9/\u732b.jpg"),
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_any_name_is_printed(encoding, expected, stream, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, stream, io.TextIOWrapper(raw, encoding=encoding))
    console.take_any_name()
    print(NAME, end="", flush=True, file=getattr(sys, stream))
    assert raw.getvalue() == expected


def test_a_stdout_of_another_kind_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    console.take_any_name()
    print(NAME, end="")
    assert sys.stdout.getvalue() == NAME
