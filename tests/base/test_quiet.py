"""TensorFlow starts without its chatter, and what is said afterwards is heard."""

import os
import sys
import types

import pytest

from mpl_tf.base import quiet


def test_what_is_written_meanwhile_is_not_heard_and_an_error_is_passed_on(capfd):
    with pytest.raises(ValueError, match="passed on"), quiet.silenced():
        os.write(2, b"a note of the C++ code\n")
        raise ValueError("passed on")
    os.write(2, b"a word of ours\n")
    assert capfd.readouterr().err == "a word of ours\n"


def test_what_tensorflow_writes_while_it_starts_is_not_heard(monkeypatch, capfd):
    asked = []

    def started():
        asked.append("devices")
        os.write(2, b"a note of the C++ code\n")

    noisy = types.SimpleNamespace(
        get_logger=lambda: types.SimpleNamespace(setLevel=asked.append),
        config=types.SimpleNamespace(list_logical_devices=started),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", noisy)
    quiet.import_tensorflow(start=False)
    assert asked == ["ERROR"]
    quiet.import_tensorflow()
    assert asked == ["ERROR", "ERROR", "devices"]
    os.write(2, b"a word of ours\n")
    assert capfd.readouterr().err == "a word of ours\n"
