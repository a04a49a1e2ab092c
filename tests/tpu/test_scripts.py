"""The scripts for TPU VMs: the commands they print, and what they do with a gcloud that plays a cloud on this disk."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHERE = ["--name=net", "--zone=z1"]
TPU_VM = "gcloud compute tpus tpu-vm"
# What stands for the virtual environment of a host: its python is a training of one line a start. It ends as the next
# line of $FAKE/plan says: with that status, or, where that is `stay`, by SIGTERM alone, saving first.
PYTHON3 = """#!/usr/bin/env bash
mkdir -p "$3/bin"
cp "$FAKE/program" "$3/bin/python"
printf '#!/usr/bin/env bash\\necho "pip $*" >> "$FAKE/calls"\\n' > "$3/bin/pip"
chmod +x "$3/bin/python" "$3/bin/pip"
"""
PROGRAM = """#!/usr/bin/env bash
workdir=${*: -1}
workdir=${workdir#--workdir=}
workdir=${workdir/#gs:\\/\\/b\\/f/$FAKE/bucket}
mkdir -p "$workdir"
echo "$* TF_CONFIG=${TF_CONFIG:-}" >> "$FAKE/started${OWN_ADDRESS##*.}"
touch "$workdir/config.json"
echo step >> "$workdir/checkpoint"
plan=$FAKE/plan${OWN_ADDRESS##*.}
ends=$(head -n 1 "$plan")
sed -i 1d "$plan"
if [[ $ends == stay ]]; then
    trap 'echo saved >> "$workdir/checkpoint"; exit 75' TERM
    while :; do sleep 0.1; done
fi
exit "$ends"
"""
HOSTNAME = """#!/usr/bin/env bash
if [[ ${1:-} == -I ]]; then echo "172.17.0.1 $OWN_ADDRESS"; else echo "host$OWN_ADDRESS"; fi
"""


def tpu(script, *arguments, environment=None, **options):
    """Run a script of tpu/ to its end."""
    return subprocess.run(
        [ROOT / "tpu" / f"{script}.sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
        **options,
    )


def printed(done):
    """The commands that a script prints, unquoted, without the temporary folder of the code's archive."""
    lines = [line[2:] for line in done.stderr.splitlines() + done.stdout.splitlines() if line.startswith("+ ")]
    return [" ".join(shlex.split(line)).replace(str(ROOT / "tpu/.."), "ROOT") for line in lines]


class Cloud:
    """A TPU of some hosts and a bucket, gs://b/f, in a folder."""

    def __init__(self, folder, hosts, plans, states=("READY",)):
        self.folder = folder
        for number in range(hosts):
            (folder / f"host{number}").mkdir()
            (folder / f"plan{number}").write_text("\n".join(plans[number]) + "\n")
        (folder / "states").write_text("\n".join(states) + "\n")
        tools = folder / "tools"
        tools.mkdir()
        shutil.copy(Path(__file__).with_name("fake_gcloud"), tools / "gcloud")
        for name, text in (("python3", PYTHON3), ("hostname", HOSTNAME), ("../program", PROGRAM)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "FAKE": str(folder),
            "TPU_POLL_SECONDS": "1",
            "SUPERVISE_PAUSE_SECONDS": "1",
        }

    def tpu(self, script, *arguments):
        """Run a script against this cloud."""
        return tpu(script, *WHERE, *arguments, environment=self.environment)

    def read(self, path):
        """Lines of a file, none if it is not there."""
        path = self.folder / path
        return path.read_text().splitlines() if path.exists() else []

    def wait(self, path, lines=1):
        """Wait until a file has so many lines."""
        for _ in range(300):
            if len(self.read(path)) >= lines:
                return
            time.sleep(0.1)
        raise AssertionError(f"{path}: {self.read(path)}; {self.read('host0/runs/run/log')}")


@pytest.fixture
def cloud(tmp_path):
    """A function that makes a Cloud; what still runs on it at the end is ended."""
    made = []

    def make(**options):
        made.append(Cloud(tmp_path, **options))
        return made[-1]

    yield make
    for pid in tmp_path.glob("host*/runs/*/pid"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("script", "options", "commands"),
    [
        (
            "create",
            ["--type=v3-8"],
            [f"{TPU_VM} create net --zone=z1 --accelerator-type=v3-8 --version=tpu-ubuntu2204-base"],
        ),
        (
            "create",
            ["--type=v5litepod-64", "--spot", "--project=p"],
            [
                "gcloud compute tpus queued-resources create net --node-id=net --zone=z1 --project=p "
                "--accelerator-type=v5litepod-64 --runtime-version=v2-alpha-tpuv5-lite --spot",
                "gcloud compute tpus queued-resources describe net --zone=z1 --project=p --format=value(state.state)",
            ],
        ),
        (
            "create",
            ["--type=v6e-16", "--version=own-image"],
            [f"{TPU_VM} create net --zone=z1 --accelerator-type=v6e-16 --version=own-image"],
        ),
        (
            "create",
            ["--type=v5e-16", "--queued", "--project=p", "--disk=data"],
            [
                "gcloud compute tpus queued-resources create net --node-id=net --zone=z1 --project=p "
                "--accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite "
                "--data-disk=source=projects/p/zones/z1/disks/data,mode=read-only",
                "gcloud compute tpus queued-resources describe net --zone=z1 --project=p --format=value(state.state)",
            ],
        ),
        (
            "create",
            ["--type=v6e-8", "--project=p", "--disk=data", "--disk_size=400"],
            [
                "gcloud compute disks create data --zone=z1 --project=p --size=400GB --type=hyperdisk-balanced",
                f"{TPU_VM} create net --zone=z1 --project=p --accelerator-type=v6e-8 --version=v2-alpha-tpuv6e "
                "--data-disk=source=projects/p/zones/z1/disks/data,mode=read-write",
            ],
        ),
        ("delete", ["--queued"], ["gcloud compute tpus queued-resources delete net --zone=z1 --force --quiet"]),
        ("delete", [], [f"{TPU_VM} delete net --zone=z1 --quiet"]),
        ("delete", ["--spot"], ["gcloud compute tpus queued-resources delete net --zone=z1 --force --quiet"]),
        (
            "status",
            ["--dry_run=2", "--logs=collected"],
            [
                f"{TPU_VM} describe net --zone=z1 --format=value(state)",
                f"{TPU_VM} ssh net --zone=z1 --worker=all --command=cd runs/run && "
                'echo "$(hostname): $(cat status 2>/dev/null || echo running)" && tail -n 5 log',
                "mkdir -p collected",
                f"{TPU_VM} describe net --zone=z1 --flatten=networkEndpoints[] "
                "--format=value(networkEndpoints.ipAddress)",
                f"{TPU_VM} scp net:runs/run/log collected/worker0.log --zone=z1 --worker=0",
                f"{TPU_VM} scp net:runs/run/log collected/worker1.log --zone=z1 --worker=1",
            ],
        ),
        ("launch", ["--stop"], [f'{TPU_VM} ssh net --zone=z1 --worker=all --command=kill "$(cat runs/run/pid)"']),
    ],
)
def test_a_dry_run_prints_the_commands_and_runs_none(script, options, commands, tmp_path):
    dry = [] if "--dry_run=2" in options else ["--dry_run"]
    (tmp_path / "gcloud").write_text(f"#!/bin/sh\necho called >> {tmp_path}/calls\n")
    (tmp_path / "gcloud").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = tpu(script, *WHERE, *options, *dry, environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(printed(done)) == sorted(commands)
    assert not (tmp_path / "calls").exists()
    assert not (tmp_path / "collected").exists()


def test_a_dry_launch_on_a_slice_prints_every_command():
    done = tpu("launch", *WHERE, "--bucket=gs://b/f", "--dry_run=2", "--", "--dataset=svhn_1k", "--unlabeled_dir=a b")
    assert done.returncode == 0, done.stderr
    describe, archive, copy, install, start = printed(done)
    assert describe == f"{TPU_VM} describe net --zone=z1 --flatten=networkEndpoints[] " + (
        "--format=value(networkEndpoints.ipAddress)"
    )
    assert archive.startswith("git -C ROOT archive --format=tar.gz --prefix=mpl_tf/ --output=")
    assert copy.endswith("/mpl_tf.tar.gz net:mpl_tf.tar.gz --zone=z1 --worker=all")
    everywhere = f"{TPU_VM} ssh net --zone=z1 --worker=all --command="
    assert install.startswith(f"{everywhere}mkdir -p runs && {{ flock -n runs/lock true")
    assert "{ python3 -m venv mpl_env || { sudo apt-get -q update && sudo apt-get" in install
    assert "mpl_env/bin/pip install --quiet ./mpl_tf/tpu/tensorflow './mpl_tf[tpu,gcs]'" in install
    assert start == (
        f"{everywhere}mkdir -p runs/run && rm -f runs/run/status && {{ setsid nohup mpl_tf/tpu/supervise.sh --run=run "
        "--workers=HOST0\\,HOST1 --bucket=gs://b/f -- --dataset=svhn_1k --unlabeled_dir=a\\ b "
        "> runs/run/log 2>&1 < /dev/null & }"
    )


@pytest.mark.parametrize(
    ("option", "how", "formatted"),
    [("--disk=data", "ro,noload", False), ("--disk_size=400", "discard", True), ("--disk_write", "discard", True)],
)
def test_a_data_disk_is_mounted_before_anything_else_and_only_one_for_writing_may_be_formatted(option, how, formatted):
    done = tpu("launch", *WHERE, "--disk=data", option, "--dry_run", "--", "--dataset=imagenet")
    assert done.returncode == 0, done.stderr
    mount = printed(done)[3]
    assert f"sudo mount -o {how} /dev/disk/by-id/google-persistent-disk-1 /mnt/disks/data" in mount
    assert "--command=mountpoint -q /mnt/disks/data || " in mount
    assert ("mkfs" in mount) == formatted


@pytest.mark.parametrize(
    ("script", "arguments", "told"),
    [
        ("create", ["--zone=z"], "--name: expected the name of the TPU, got nothing"),
        ("create", ["--name=n"], "--zone: expected a zone"),
        ("create", ["--name=n", "--zone=z", "--tyep=v3-8"], "got --tyep=v3-8"),
        ("create", [*WHERE, "--type=tpu7x-8"], "--type: TPU7x takes no TensorFlow"),
        (
            "create",
            [*WHERE, "--type=h100"],
            "--type: expected v2-, v3-, v4-, v5e-, v5litepod-, v5p- or v6e- and a number",
        ),
        ("create", [*WHERE, "--disk=d", "--disk_size=1TB"], "--disk_size: expected a number of GB, got 1TB"),
        ("create", [*WHERE, "--disk_write"], "--disk: expected the name of the data disk, got nothing"),
        ("launch", WHERE, "expected -- and the flags of the program, got none"),
        ("launch", [*WHERE, "--bucket=b/f", "--", "--dataset=x"], "--bucket: expected gs://BUCKET/FOLDER, got b/f"),
        ("launch", [*WHERE, "--watch", "--", "--dataset=x"], "--watch: expected --bucket too"),
        ("launch", [*WHERE, "--", "--workdir=w"], "--workdir=w: the workdir is runs/run/workdir on the hosts"),
        ("launch", [*WHERE, "--run=a b", "--", "--dataset=x"], "--run: expected a name of letters"),
        ("status", [*WHERE, "--dry_run=none"], "--dry_run: expected a number of hosts, got none"),
    ],
)
def test_bad_options_end_with_one_line(script, arguments, told):
    done = tpu(script, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{script}.sh: error: ")
    assert told in line


@pytest.mark.slow
def test_a_slice_trains_together_and_again_after_status_75_and_its_logs_are_collected(cloud, tmp_path):
    here = cloud(hosts=2, plans=[["75", "0"], ["75", "0"]])
    done = here.tpu("launch", "--bucket=gs://b/f", "--", "--strategy=multi_worker", "--seed=1 2")
    assert done.returncode == 0, done.stderr
    for number in range(2):
        here.wait(f"host{number}/runs/run/status")
        assert here.read(f"host{number}/runs/run/status") == ["0"]
        first, second = here.read(f"started{number}")
        assert first == second
        arguments, _, config = first.partition(" TF_CONFIG=")
        assert arguments == "-m mpl_tf.main --strategy=multi_worker --seed=1 2 --workdir=gs://b/f"
        workers = {"worker": ["10.0.0.0:20471", "10.0.0.1:20471"]}
        assert json.loads(config) == {"cluster": workers, "task": {"type": "worker", "index": number}}
    assert here.read("bucket/checkpoint") == ["step"] * 4  # Both hosts have it for their workdir, twice.
    assert here.read("calls").count("pip install --quiet ./mpl_tf/tpu/tensorflow ./mpl_tf[tpu,gcs]") == 2
    assert (tmp_path / "host0/mpl_tf/setup.cfg").exists()
    done = here.tpu("status", f"--logs={tmp_path / 'logs'}")
    assert "net: READY" in done.stdout
    assert "host10.0.0.1: 0" in done.stdout
    assert "the program ended with 75; again in 1 s" in (tmp_path / "logs/worker1.log").read_text()


@pytest.mark.slow
def test_a_pre_empted_tpu_is_created_again_and_the_run_goes_on_from_the_bucket(cloud):
    here = cloud(hosts=1, plans=[["stay", "0"]], states=["READY", "READY", "PREEMPTED", "ACTIVE", "READY"])
    done = here.tpu("launch", "--bucket=gs://b/f", "--watch", "--spot", "--type=v3-8", "--", "--dataset=x")
    assert done.returncode == 0, done.stderr
    assert "the run has ended; its files are in gs://b/f" in done.stdout
    assert here.read("bucket/checkpoint") == ["step", "step"]  # Of the first machine and of the second.
    made = [" ".join(call.split()[2:4]) for call in here.read("calls") if "queued-resources" in call]
    assert made == ["queued-resources delete", "queued-resources create", "queued-resources describe"]


@pytest.mark.slow
def test_a_run_that_fails_is_not_started_again_and_is_told(cloud):
    here = cloud(hosts=1, plans=[["2"]])
    done = here.tpu("launch", "--bucket=gs://b/f", "--watch", "--", "--dataset=x")
    assert done.returncode == 2
    assert "launch.sh: error: the run has failed" in done.stderr
    assert here.read("host0/runs/run/status") == ["2"]
    assert len(here.read("started0")) == 1


@pytest.mark.slow
def test_stop_saves_and_ends_and_until_then_nothing_else_starts(cloud):
    here = cloud(hosts=1, plans=[["stay"]])
    assert here.tpu("launch", "--bucket=gs://b/f", "--", "--dataset=x").returncode == 0
    here.wait("started0")
    second = here.tpu("launch", "--run=other", "--", "--dataset=x")
    assert second.returncode == 1
    assert "a run is under way here; --stop ends it" in second.stderr
    assert here.tpu("launch", "--stop").returncode == 0
    here.wait("host0/runs/run/status")
    assert here.read("host0/runs/run/status") == ["75"]
    assert here.read("bucket/checkpoint") == ["step", "saved"]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    scripts = [*(ROOT / "tpu").glob("*.sh"), Path(__file__).with_name("fake_gcloud")]
    done = subprocess.run(
        ["shellcheck", "-x", "-P", "SCRIPTDIR", *scripts], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
