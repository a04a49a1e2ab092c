"""Running a Beam pipeline: its flags, and its errors in one line."""

import argparse
import logging

from mpl_tf.base.errors import RunError, UsageError, did_you_mean
from mpl_tf.filtering.settings import Scoring, Selection
from mpl_tf.settings import fields

_before = logging.root.manager.disable
logging.disable(logging.WARNING)  # Beam's on clients of Google Cloud that are not installed.
try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
finally:
    logging.disable(_before)

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
    # Beam logs a worker's error with its traceback; it reaches the user once, in one line.
    log = logging.getLogger("apache_beam")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with beam.Pipeline(options=PipelineOptions(list(arguments))) as pipeline:
            build(pipeline)
    except Exception as error:
        if _failed:
            raise _failed[0] from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"the Beam pipeline failed: {lines[-1]}") from error
    finally:
        log.setLevel(before)


def check_arguments(arguments):
    """Refuse flags that neither the tool nor Beam knows.

    Raises:
        UsageError: naming the first of them, and the nearest known one.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    unknown = parser.parse_known_args(list(arguments))[1]
    if unknown:
        known = [*fields.merged(Scoring, Selection), *(name.lstrip("-") for name in parser._option_string_actions)]
        near = did_you_mean(unknown[0].lstrip("-").partition("=")[0], known, "--{}")
        raise UsageError(f"{unknown[0]}: expected a flag of this tool or of Apache Beam; see --help{near}")
