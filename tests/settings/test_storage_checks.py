"""Buckets that cannot be reached are told by the flags that name them, one line each."""

import pytest

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags, storage_checks
from mpl_tf.settings.config import Config
from mpl_tf.settings.run_settings import MODES


def test_all_of_them_are_told_at_once(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as raised:
        flags.parse(["--dataset=digits_50", "--workdir=s3://b/run", "--weights=gs://b/w.npz"])
    assert "2 problems: (1) --workdir: s3://b/run: needs the package s3fs" in str(raised.value)
    assert "(2) --weights: gs://b/w.npz: needs the package gcsfs" in str(raised.value)


def test_every_mode_looks_at_the_places_that_it_is_given():
    assert set(storage_checks.PLACES) == set(MODES)
    assert all("workdir" in storage_checks.PLACES[mode] for mode in (*Config.FINISHED, "train"))


def test_what_a_mode_does_not_read_is_not_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(storage, "check", lambda given, flag: asked.append(flag))
    flags.parse(["--dataset=digits_50", "--workdir=x"])
    assert "workdir" in asked
    assert "images" not in asked
