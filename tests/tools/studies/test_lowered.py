"""What XLA takes of the steps: the list of what is tried, and single steps."""

import json

import pytest
import tensorflow as tf

from mpl_tf.base.errors import UsageError
from mpl_tf.methods.supervised import Supervised
from mpl_tf.settings.catalogue import METHODS
from mpl_tf.settings.config import Config
from tests.tools.studies.test_compiled import without_determinism  # noqa: F401  A fixture.
from tools.studies import lowered


def test_all_forms_of_all_methods_are_tried():
    tried = lowered.combinations(METHODS, ["small_cnn"], lowered.PRECISIONS)
    assert {one["method"] for one in tried} == set(METHODS)
    forms = {one["feedback"] for one in tried if one["method"] == "mpl"}
    assert forms == set(Config.__dataclass_fields__["feedback"].metadata["choices"])
    assert [one for one in tried if one["method"] == "uda"] == [
        {"method": "uda", "feedback": "", "network": "small_cnn", "precision": name} for name in lowered.PRECISIONS
    ]


def test_the_command_lists_what_is_taken(tmp_path, capsys):
    file = tmp_path / "steps.json"
    flags = ["--methods=supervised", "--networks=mlp", "--precisions=float32", "--dropout=0"]
    assert lowered.main([*flags, f"--json={file}"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "supervised mlp float32: taken"
    (step,) = json.loads(file.read_text())["steps"]
    assert step["refused"] == ""


def test_an_operation_that_xla_lacks_is_told(make_config, monkeypatch):
    def step(self, batch):
        return tf.strings.length(tf.strings.as_string(batch["y_l"]))

    monkeypatch.setattr(Supervised, "train_step", step)
    config = make_config("two_moons", method="supervised", steps_per_execution=1)
    assert "AsString" in lowered.refusal(config) or "StringLength" in lowered.refusal(config)


def test_what_is_unknown_is_refused_with_the_names():
    with pytest.raises(UsageError, match="^--networks: expected some of a, b, got c$"):
        lowered._chosen("networks", "a,c", ["a", "b"])
