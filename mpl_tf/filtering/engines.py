"""Beam's runners: the one that is asked for, with its flags; without --runner the local one.

Local is FnApiRunner, by whatever name: Beam's DirectRunner would first fetch a program of another language (Prism) from
the network and run there. Dask's flags are known to Beam once its module is imported.
"""

import argparse
import importlib.util
import logging

from mpl_tf.base.errors import UsageError, did_you_mean
from mpl_tf.filtering import logs

LOCAL = ("", "direct", "directrunner", "switchingdirectrunner", "fnapi", "fnapirunner")
DASK = ("dask", "daskrunner", "apache_beam.runners.dask.dask_runner.daskrunner")


with logs.unlogged(logging.WARNING):  # Beam's on clients of Google Cloud that are not installed.
    import apache_beam as beam
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners import runner as runners
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle


def pipeline(arguments):
    """A beam.Pipeline, a context manager that runs what is built on it.

    Args:
        arguments: list of str, Beam's own flags, that `check` lets pass.
    Raises:
        UsageError: there is no scheduler where a flag says.
    """
    name, arguments = asked(arguments), list(arguments)
    if name.lower() in DASK:
        from mpl_tf.filtering import dask_engine  # Deferred: an optional library.

        options = PipelineOptions(dask_engine.completed(arguments))
        return beam.Pipeline(runner=dask_engine.Runner(), options=options)
    options = PipelineOptions(arguments)
    return beam.Pipeline(runner=_local(options) if name.lower() in LOCAL else None, options=options)


def asked(arguments):
    """The runner that Beam's flags name, as they name it; empty where they do not."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner", default="")
    return parser.parse_known_args(list(arguments))[0].runner


def check(arguments, own):
    """Refuse flags that neither the tool nor Beam knows, and runners that are not there.

    Args:
        arguments: list of str, Beam's own flags.
        own: names of the tool's flags, which may have been meant.
    Raises:
        UsageError: naming the first of them, and the nearest known one.
    """
    with logs.unlogged(logging.WARNING):
        _import(asked(arguments))
    # A parser of all the flags that Beam's modules have; it ends the program where a value is wrong.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = _refuse
    for kind in PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    unknown = parser.parse_known_args(list(arguments))[1]
    if unknown:
        known = [*own, *(name.lstrip("-") for name in parser._option_string_actions)]
        near = did_you_mean(unknown[0].lstrip("-").partition("=")[0], known, "--{}")
        raise UsageError(f"{unknown[0]}: expected a flag of this tool or of Apache Beam; see --help{near}")


def _refuse(message):
    told = message.removeprefix("argument ")
    raise UsageError(f"{told}; --help of Apache Beam's runner says what it takes")


def _import(name):
    """Import a runner's module, which makes its flags known; UsageError where there is none."""
    if name.lower() in DASK:
        missing = [part for part in ("dask", "distributed") if importlib.util.find_spec(part) is None]
        if missing:
            raise UsageError(f"--runner: {name} needs {missing[0]}, not installed: pip install -e '.[dask]'")
        from mpl_tf.filtering import dask_engine  # noqa: F401 Its import alone makes Dask's flags known.
    elif name.lower() not in LOCAL:
        try:
            runners.create_runner(name)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"--runner: {name} cannot be used: {error}") from error
        except ValueError as error:
            names = ("DirectRunner", "DaskRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner")
            near = did_you_mean(name, names)
            raise UsageError(f"--runner: expected one of {', '.join(names)}, got {name}{near}") from error


def _local(options):
    """Beam's local runner; its worker processes, where it has any, are told the flags."""
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = fn_runner.ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded))
    # Beam's own mode would start its own program, which writes its log on the screen.
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return fn_runner.FnApiRunner(provision_info=info)
    direct.direct_running_mode = "in_memory"
    from mpl_tf.filtering import workers  # Deferred: the class there takes the place of Beam's own.

    return fn_runner.FnApiRunner(workers.environment(), provision_info=info)
