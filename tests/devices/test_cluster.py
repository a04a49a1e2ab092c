"""TF_CONFIG: who is who, and one clear line for whatever is wrong with it."""

import json

import pytest

from mpl_tf import main
from mpl_tf.base.errors import UsageError
from mpl_tf.devices import cluster

HOSTS = ["10.0.0.1:2222", "10.0.0.2:2222"]


def config(jobs=None, kind="worker", index=0):
    """TF_CONFIG as a string."""
    jobs = {"worker": HOSTS} if jobs is None else jobs
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "workers", "index"),
    [
        (config(), HOSTS, 0),
        (config(index=1), HOSTS, 1),
        (config({"chief": HOSTS[:1], "worker": HOSTS[1:]}, "chief"), HOSTS, 0),
        (config({"worker": HOSTS[1:], "chief": HOSTS[:1]}), HOSTS, 1),
    ],
)
def test_the_chief_is_worker_0_whichever_way_it_is_written(text, workers, index):
    assert cluster.read({"TF_CONFIG": text}) == cluster.Cluster(tuple(workers), index)


def test_without_tf_config_there_is_no_cluster():
    assert cluster.read({}) is None
    assert cluster.read({"TF_CONFIG": ""}) is None


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("{'cluster': 1}", "no JSON"),
        ("[]", r"\[\]"),
        ('{"cluster": {"worker": ["a:1"]}}', "cluster"),
        (json.dumps({"cluster": {"worker": HOSTS}, "task": 0}), "cluster"),
        (config({"worker": HOSTS, "ps": ["a:1"]}), "the jobs worker, ps"),
        (config({"worker": "a:1"}), "the jobs worker"),
        (config({"worker": ["10.0.0.1"]}), "'10.0.0.1' for an address"),
        (config({"worker": ["10.0.0.1:http"]}), "'10.0.0.1:http' for an address"),
        (config({"worker": [1]}), "1 for an address"),
        (config({"worker": HOSTS[:1] * 2}), "an address twice"),
        (config({"chief": HOSTS}), "two chiefs"),
        (config(index=2), r"task .*2.* none of the cluster's 2"),
        (config(index="0"), "task"),
        (config(index=True), "task"),
        (config(index=-1), "task"),
        (config(kind="evaluator"), "task"),
    ],
)
def test_a_malformed_one_is_refused_with_what_was_expected(text, got):
    with pytest.raises(UsageError, match=f'^TF_CONFIG: expected {{"cluster".* got .*{got}'):
        cluster.read({"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("strategy", "text", "expected"),
    [
        ("multi_worker", "", "--strategy: multi_worker expects the workers in the environment variable TF_CONFIG"),
        ("multi_worker", "{", "TF_CONFIG: expected"),
        ("auto", "{", "TF_CONFIG: expected"),
        ("tpu", "", "--strategy: tpu needs a TPU VM, found none"),
    ],
)
def test_missing_devices_and_clusters_end_the_program_with_one_line(
    strategy, text, expected, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("TF_CONFIG", text)
    workdir = tmp_path / "run"
    assert main.main(["--dataset=digits_50", f"--strategy={strategy}", f"--workdir={workdir}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"mpl_tf: error: {expected}")
    assert not workdir.exists()


def test_who_trains_alone(monkeypatch):
    """One device or one machine asked for: TF_CONFIG is not even read; auto joins where there are several workers."""
    monkeypatch.setenv("TF_CONFIG", "{")
    assert [cluster.wanted(strategy) for strategy in ("one", "mirrored", "tpu")] == [None] * 3
    monkeypatch.setenv("TF_CONFIG", config({"worker": HOSTS[:1]}))
    assert cluster.wanted("auto") is None
    assert cluster.wanted("multi_worker") == cluster.Cluster(tuple(HOSTS[:1]), 0)
    monkeypatch.setenv("TF_CONFIG", config(index=1))
    assert cluster.wanted("auto") == cluster.Cluster(tuple(HOSTS), 1)
