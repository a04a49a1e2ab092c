"""A run's folder: whose it is, what it learned from, and that damage to its files is mended or told."""

import dataclasses
import json
import types

import numpy as np
import pytest

from mpl_tf.base import files, lock
from mpl_tf.base.errors import UsageError
from mpl_tf.data import Dataset, Source
from mpl_tf.run import workdir
from mpl_tf.settings import flags

ONE = types.SimpleNamespace(writes=True, same=lambda number: True)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)


def dataset(names=("cat", "dog", "emu"), labels=LABELS, test=IMAGES[4:]):
    """A data set of six labeled and two unlabeled images."""
    tested = Source(test, np.zeros(len(test), np.int32))
    return Dataset("folder", Source(IMAGES, labels), Source(IMAGES[:2]), tested, names)


@pytest.fixture
def config(make_config, tmp_path):
    """A Config whose workdir is new."""
    return make_config(workdir=tmp_path / "run")


@pytest.fixture
def begun(config, tmp_path):
    """The folder of a run that has begun, with a checkpoint."""
    with workdir.claimed(config, writes=True):
        workdir.record(config, dataset(), ONE)
    folder = tmp_path / "run"
    (folder / "checkpoints" / "train").mkdir(parents=True)
    (folder / "checkpoints" / "train" / "ckpt-8.index").write_text("")
    return folder


def again(config, **changes):
    """Start the same run again."""
    with workdir.claimed(config, writes=True):
        workdir.record(config, dataset(**changes), ONE)


def test_the_same_run_goes_on_and_leaves_no_lock(config, begun, capsys):
    again(config)
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in begun.iterdir()) == ["checkpoints", "config.json", "identity.json"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"names": ("cat", "hound", "emu")}, "classes gone: dog; classes new: hound"),
        ({"names": ("cat", "dog", "emu", "yak")}, "classes new: yak"),
        ({"labels": LABELS[::-1]}, "labeled examples: 6 as before, but others"),
    ],
)
def test_other_data_are_refused_and_what_changed_is_told(config, begun, changes, told):
    with pytest.raises(UsageError, match=f"--workdir: {begun} holds a run on other data: {told}"):
        again(config, **changes)


def test_another_test_set_is_told_and_the_run_goes_on(config, begun, capsys):
    again(config, test=IMAGES[3:])
    assert "other test data than when the run began: test examples: 2 before, 3 now" in capsys.readouterr().err


def test_another_teacher_is_refused_wherever_it_lies(make_config, tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
    configs = [make_config(method="pseudo_labels", teacher=tmp_path / n, workdir=tmp_path / "run") for n in "abc"]
    again(configs[0])
    again(configs[1])
    with pytest.raises(UsageError, match="other data: another --teacher"):
        again(configs[2])


@pytest.mark.parametrize("name", ["eval_batch", "keep_checkpoints", "save_minutes", "steps_per_execution"])
def test_flags_that_are_no_part_of_the_mathematics_may_change(config, begun, name):
    again(config.replace(**{name: getattr(config, name) + 1}))


def test_folders_may_be_written_another_way(make_config, tmp_path, monkeypatch):
    for name in ("labeled", "unlabeled", "test"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)

    def own(prefix, end):
        given = {f"{name}_dir": f"{prefix}{name}{end}" for name in ("labeled", "unlabeled", "test")}
        return make_config("folder", workdir=tmp_path / "run", **given)

    again(own("", ""))
    again(own("./", "/"))
    again(own(f"{tmp_path}/", ""))


def test_another_flag_is_refused_and_named(config, begun):
    with pytest.raises(UsageError, match="another --seed, --mu; give another --workdir, .*: --seed=0 --mu=7$"):
        again(config.replace(mu=3, seed=1))


DAMAGE = {"flipped": lambda text: text.replace('"seed": 0', '"seed": 1'), "cut": lambda text: text[:-9], "gone": None}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_config_json_is_mended(config, begun, damage, capsys):
    path, whole = begun / "config.json", (begun / "config.json").read_text()
    if DAMAGE[damage]:
        path.write_text(DAMAGE[damage](whole))
        assert path.read_text() != whole
    else:
        path.unlink()
    with pytest.raises(UsageError, match="expected .*config.json as it was written"):
        again(config.replace(seed=3))
    again(config)
    assert "config.json is damaged or gone and is written again" in capsys.readouterr().err
    assert path.read_text() == whole


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_damaged_config_json_of_a_run_that_is_scored_is_told_and_mended_as_it_says(config, begun, damage):
    path, whole = begun / "config.json", (begun / "config.json").read_text()
    path.unlink() if damage == "gone" else path.write_text(DAMAGE[damage](whole))
    with pytest.raises(
        UsageError, match="--workdir: .*config.json.*; .*the command that trained the run writes it again$"
    ):
        flags.parse(["--mode=evaluate", f"--workdir={begun}"])
    with workdir.claimed(config, writes=True):  # Of a finished run the command does no more than this.
        pass
    assert path.read_text() == whole
    assert flags.parse(["--mode=evaluate", f"--workdir={begun}"]).seed == config.seed


def test_a_name_that_was_changed_is_not_taken_for_another_versions(config, begun):
    path = begun / "config.json"
    path.write_text(path.read_text().replace('"mu"', '"my"'))
    with pytest.raises(UsageError, match="changed or damaged since it was written.*the command that trained the run"):
        flags.parse(["--mode=evaluate", f"--workdir={begun}"])
    with pytest.raises(
        UsageError, match="--config: .*by another version, or changed since: it differs in mu, my; give"
    ):
        flags.parse([f"--config={path}", "--workdir=new"])


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_identity_json_is_mended(config, begun, damage, capsys):
    path, whole = begun / "identity.json", (begun / "identity.json").read_text()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(whole.replace('"cat"', '"cut"') if damage == "flipped" else whole[:-9])
    again(config)
    assert "identity.json is " in capsys.readouterr().err
    assert path.read_text() == whole


def test_left_temporary_files_are_swept(config, begun):
    (begun / ".partial-config.json").write_text("")
    again(config)
    assert not (begun / ".partial-config.json").exists()


def test_a_kill_while_the_first_file_is_written_leaves_a_new_folder(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".partial-host-1-ab-config.json").write_text("{")
    again(config)


def test_a_folder_of_something_else_is_refused_and_kept(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "photo.jpg").write_text("mine")
    with pytest.raises(UsageError, match="expected an empty or new folder, .* holds files of something else"):
        again(config)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["photo.jpg"]


def test_a_refused_run_leaves_no_folder(config, tmp_path):
    with pytest.raises(UsageError, match="no"), workdir.claimed(config, writes=True):
        raise UsageError("no")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("existed", [False, True])
def test_what_is_refused_before_anything_was_made_leaves_the_folder_to_other_flags(make_config, tmp_path, existed):
    """As a model that turns out not to fit, which is known after the run's record was written."""
    folder = tmp_path / "run"
    if existed:
        folder.mkdir()
    config = make_config(workdir=folder)
    with pytest.raises(UsageError, match="unfit"), workdir.claimed(config, writes=True):
        workdir.record(config, dataset(), ONE)
        raise UsageError("unfit")
    assert folder.exists() == existed
    again(make_config(workdir=folder, seed=5))
    assert json.loads((folder / "config.json").read_text())["flags"]["seed"] == 5


def test_what_is_refused_after_that_leaves_the_run_as_it_is(config, begun):
    before = {path: path.read_bytes() for path in begun.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match="unfit"), workdir.claimed(config, writes=True):
        raise UsageError("unfit")
    assert {path: path.read_bytes() for path in begun.iterdir() if path.is_file()} == before
    assert workdir.going_on(begun) == "the same command goes on from step 8 of the phase train"


def test_a_checkpoint_that_is_a_broken_link_is_no_end(config, begun):
    (begun / "checkpoints" / "train" / "ckpt-9.index").symlink_to("/nowhere/ckpt-9.index")
    again(config)
    assert workdir.going_on(begun) == "the same command goes on from step 9 of the phase train"


def test_two_processes_in_one_folder(config, begun):
    with lock.held(begun, "workdir"), pytest.raises(UsageError, match=f"--workdir: {begun} is in use by process"):
        again(config)


def test_results_are_read_back_and_damage_is_told(begun):
    assert workdir.results(begun) is None
    with pytest.raises(UsageError, match="expected a finished run, found no results.json"):
        workdir.finished(begun)
    files.write_json(begun / "results.json", {"test": {"top1": 0.5}})
    assert workdir.finished(begun) == {"test": {"top1": 0.5}}
    for damaged in ((begun / "results.json").read_text().replace("0.5", "0.9"), "{", "[]", "\x00"):
        (begun / "results.json").write_text(damaged)
        with pytest.raises(UsageError, match="cannot read .*results.json .*; delete it, then"):
            workdir.results(begun)


def test_what_the_same_command_does_after_a_stop(config, begun, tmp_path):
    assert workdir.going_on(begun) == "the same command goes on from step 8 of the phase train"
    assert workdir.going_on(tmp_path / "new") == "no checkpoint was written yet; the same command starts anew"
    files.write_json(begun / "results.json", {})
    assert workdir.going_on(begun) == "the run is finished"


def test_scoring_on_other_data_is_told(config, begun, capsys):
    workdir.compare(begun, dataset())
    assert capsys.readouterr().err == ""
    workdir.compare(begun, dataset(test=IMAGES[3:]))
    assert "other test data than when the run was trained: test examples: 2 before, 3 now" in capsys.readouterr().err
    with pytest.raises(UsageError, match="was trained on other classes: classes gone: dog; classes new: hound"):
        workdir.compare(begun, dataset(names=("cat", "hound", "emu")))


def test_a_config_json_of_an_earlier_version_has_no_checksum_and_is_taken(config, begun):
    (begun / "config.json").write_text(json.dumps({"flags": dataclasses.asdict(config)}))
    again(config)
