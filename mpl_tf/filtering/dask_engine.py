"""Beam's pipelines on Dask: a scheduler that a flag names, or else workers on this machine.

Beam cuts a pipeline's input into partitions, each one task of a worker: of 128 elements, unless a flag says otherwise,
which leaves most workers idle where the elements are chunks of thousands of images.
"""

import functools
import logging
import warnings

from mpl_tf.base.errors import UsageError, reason
from mpl_tf.filtering import logs

with logs.unlogged(logging.WARNING):
    import distributed
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.dask import dask_runner

SHARE = 4  # Partitions a thread: who is done early takes another; far more would burden the scheduler.
UNKNOWN = 64  # Partitions where no worker is there yet: some clusters start them when there is work.
warnings.filterwarnings("ignore", "Sending large graph")  # Where chunks are many; it is sent once.


class Runner(dask_runner.DaskRunner):
    """Beam's DaskRunner, whose connections are closed when a pipeline has ended."""

    def run_pipeline(self, pipeline, options):
        """Start a pipeline; returns its result, to be waited for."""
        result = super().run_pipeline(pipeline, options)
        return _Result(result.client, result.futures)


class _Result(dask_runner.DaskRunnerResult):
    def wait_until_finish(self, duration=None):
        """Wait, at most `duration` milliseconds, and close the connection; the state, as Beam has it."""
        try:
            return super().wait_until_finish(duration)
        finally:
            self.client.close()


def completed(arguments):
    """Beam's flags, with a scheduler and a number of partitions where they name none.

    Args:
        arguments: list of str.
    Raises:
        UsageError: no scheduler answers.
    """
    arguments = list(arguments)
    about = PipelineOptions(arguments).view_as(dask_runner.DaskOptions)
    if not (about.address or about.scheduler_file):
        arguments.append(f"--dask_client_address={_own().scheduler_address}")
    if not (about.npartitions or about.partition_size):
        arguments.append(f"--dask_npartitions={SHARE * _threads(arguments) or UNKNOWN}")
    return arguments


def _threads(arguments):
    """Threads of all the workers of a scheduler."""
    given = PipelineOptions(arguments).view_as(dask_runner.DaskOptions)
    given = given.get_all_options(drop_default=True, current_only=True)
    try:
        with distributed.Client(**given) as client:
            return sum(client.nthreads().values())
    except (OSError, ValueError) as error:
        where, flag = given.get("address"), "dask_client_address"
        if "scheduler_file" in given:
            where, flag = given["scheduler_file"], "dask_scheduler_file"
        raise UsageError(
            f"--{flag}: expected a Dask scheduler, none answers at {where} ({reason(error)}); start one with "
            "`dask scheduler` and its workers with `dask worker`, or leave the flag out"
        ) from error


@functools.cache
def _own():
    """A cluster of this machine's processors, for all pipelines of this process; it ends with it."""
    # Dask's own silence ends before its cluster does, which would tell of each worker that it closes.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # Its web page lies at any free port: at Dask's usual one may be that of another cluster.
    return distributed.LocalCluster(
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL, preload=["mpl_tf.filtering.worker"]
    )
