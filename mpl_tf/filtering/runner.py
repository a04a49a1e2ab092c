"""Running a Beam pipeline: its flags, and its errors in one line."""

import argparse

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from mpl_tf.base.errors import RunError, UsageError

_failed = []


class Told(beam.DoFn):
    """A DoFn whose UsageError and RunError reach `run` whole, without Beam's words around them."""

    def process(self, element):
        """What `work` of the subclass makes of an element."""
        try:
            yield from self.work(element)
        except (UsageError, RunError) as error:
            _failed.append(error)
            raise


def run(arguments, build):
    """Run a pipeline.

    Args:
        arguments: list of str, Beam's own flags.
        build: function of the beam.Pipeline.
    Raises:
        UsageError, RunError: a worker's own, or whatever else ended the pipeline.
    """
    _failed.clear()
    try:
        with beam.Pipeline(options=PipelineOptions(list(arguments))) as pipeline:
            build(pipeline)
    except Exception as error:
        if _failed:
            raise _failed[0] from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"the Beam pipeline failed: {lines[-1]}") from error


def check_arguments(arguments):
    """Refuse flags that neither the tool nor Beam knows.

    Raises:
        UsageError: naming the first of them.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    unknown = parser.parse_known_args(list(arguments))[1]
    if unknown:
        raise UsageError(f"{unknown[0]}: expected a flag of this tool or of Apache Beam; see --help")
