"""The report of a run: what it is made of, at an epoch's end and at the run's."""

import contextlib
import functools
import random
import time
from pathlib import Path

import jinja2
import numpy as np

from mpl_tf.base import console, files
from mpl_tf.base.errors import reason
from mpl_tf.run import evaluate
from mpl_tf.run.report import charts, look, sample, tables

NAME = "report.html"


class Report:
    """Writes WORKDIR/report.html; whatever goes wrong with it is told, and the run goes on.

    Args:
        config: Config of the run.
        dataset: Dataset as the run trains on it.
    """

    def __init__(self, config, dataset):
        self.config, self.dataset = config, dataset
        self.path = Path(config.workdir) / NAME
        self.failed = False

    def write(self, networks, step, seconds, results=None, confusion=None):
        """Write the page anew.

        Args:
            networks: dict of "student", and "teacher" where one is trained beside it, to deployable keras.Model
                (export.deployable).
            step, seconds: how far the main phase is.
            results: of a finished run, what results.json holds; else None.
            confusion: with them, int [C, C] of the images that were scored.
        """
        with _random_state_kept():
            try:
                content = self._content(networks, step, seconds, results, confusion)
                files.write_text(self.path, _template().render(content))
            except Exception as error:  # A page about a run is no reason to lose the run.
                if not self.failed:
                    console.tell(f"{self.path} is not written ({reason(error)}); the run goes on without it")
                self.failed = True

    def _content(self, networks, step, seconds, results, confusion):
        """What the template shows, a dict."""
        config, dataset = self.config, self.dataset
        rows = charts.table(Path(config.workdir) / "metrics.csv")
        state = "finished" if results else f"step {step:,} of {config.train_steps:,}"
        about = [tables.shown(config.workdir), config.model, f"seed {config.seed}", tables.examples(dataset)]
        return {
            "title": f"{config.method} on {config.dataset}: {state}",
            "subtitle": " · ".join([*about, time.strftime("written %Y-%m-%d %H:%M:%S")]),
            "style": look.STYLE,
            "headline": tables.headline(config, rows, step, seconds, results),
            "alarms": [],
            "charts": charts.of_run(rows),
            **self._scores(networks["student"], results, confusion),
            "flags": tables.flag_rows(config),
            "machine": tables.machine(),
        }

    def _scores(self, student, results, confusion):
        """The classes' scores and the confusions: of a finished run those of its results, else of a sample."""
        names, noted = self.dataset.class_names, "The images that the run was scored on at its end."
        if results:
            part = "test" if "test" in results else "validation"
            scores, noted = results[part]["per_class"], f"All {results[part]['n']:,} {part} images, scored at the end."
        elif self.validation is not None:
            found = sample.predict(student, self.validation, self.config.eval_batch).argmax(axis=-1)
            about = evaluate.by_class(self.validation.labels, found, np.arange(len(names)))
            scores, noted = about["per_class"], f"{len(found):,} of the validation images, by the student as it is now."
            confusion = evaluate.confusions(self.validation.labels, found, len(names))
        else:
            return {}
        return {
            "per_class": tables.classes(scores, names),
            "confusion": tables.confusions(confusion, names),
            "scored_note": noted,
        }

    @functools.cached_property
    def validation(self):
        """A Sample of the validation images; None where there are none."""
        part = self.dataset.validation
        return None if part is None else sample.draw(part)


@functools.cache
def _template():
    """The page; what is put into it is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html")


@contextlib.contextmanager
def _random_state_kept():
    """Python's and NumPy's random numbers, of which Keras seeds what it makes, go on as if nothing had been drawn."""
    own, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(numpy)
