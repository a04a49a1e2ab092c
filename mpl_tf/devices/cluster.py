"""The machines of a run on several hosts, from the environment variable TF_CONFIG as tf.distribute reads it."""

import dataclasses
import json
import os

from mpl_tf.base.errors import UsageError

EXAMPLE = '{"cluster": {"worker": ["host0:port", "host1:port"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run and which of them this process is.

    Args:
        workers: "host:port" of each, the chief first.
        index: of this process among them; 0 is the chief, which alone writes the run's files.
    """

    workers: tuple
    index: int


def read(environment=None):
    """The cluster that TF_CONFIG describes, None where there is none.

    Args:
        environment: dict of str to str; os.environ if None.
    Raises:
        UsageError: TF_CONFIG is not JSON, or not a cluster of the jobs "worker" and "chief" with a task of it.
    """
    text = (os.environ if environment is None else environment).get("TF_CONFIG", "")
    if not text:
        return None

    # What a scheduler or a hand wrote: each way to be no cluster is told apart, with what a cluster looks like.
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _refused(f"no JSON ({error}): {text}") from error
    try:
        jobs, task = dict(config["cluster"]), config["task"]
        kind, index = task["type"], task["index"]
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(text) from error
    if not set(jobs) <= {"chief", "worker"} or not all(isinstance(hosts, list) for hosts in jobs.values()):
        raise _refused(f"the jobs {', '.join(jobs)} in {text}; only worker, and one chief, can train")

    # The chief stands first, under whichever name: the first process writes the run's files.
    chief, workers = jobs.get("chief", []), jobs.get("worker", [])
    addresses = [*chief, *workers]
    wrong = [address for address in addresses if not _is_address(address)]
    if wrong or len(set(addresses)) < len(addresses) or len(chief) > 1:
        raise _refused(f"{wrong[0]!r} for an address" if wrong else f"an address twice, or two chiefs, in {text}")

    # `true` is an int to Python and no index to a person.
    if kind not in jobs or type(index) is not int or not 0 <= index < len(jobs[kind]):
        raise _refused(f"task {task}, which is none of the cluster's {len(addresses)}")
    return Cluster(tuple(addresses), index + len(chief) if kind == "worker" else 0)


def wanted(strategy):
    """The cluster that --strategy trains on; None where one process trains alone.

    Raises:
        UsageError: multi_worker without TF_CONFIG, or what `read` refuses.
    """
    # Who asks for the devices of one machine may have TF_CONFIG set for something else.
    if strategy not in ("auto", "multi_worker", "dtensor"):
        return None
    cluster = read()
    if strategy in ("auto", "dtensor"):
        return cluster if cluster and len(cluster.workers) > 1 else None
    if cluster is None:
        raise UsageError(
            f"--strategy: multi_worker expects the workers in the environment variable TF_CONFIG, as {EXAMPLE}, "
            "got none; set it on every worker, each with its own index, or give --strategy=auto"
        )
    return cluster


def starts_late(strategy):
    """Whether `choice.make_devices` starts TensorFlow's devices itself: to join several hosts, or to cut up a CPU."""
    return strategy == "dtensor" or bool(wanted(strategy))


def _is_address(address):
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    return bool(host) and port.isdigit() and 0 < int(port) < 65536


def _refused(got):
    return UsageError(f"TF_CONFIG: expected {EXAMPLE}, got {got}")
