"""The report of a run: what it is made of, at an epoch's end and at the run's."""

import contextlib
import functools
import random
import time
from pathlib import Path

import jinja2
import numpy as np

from mpl_tf.base import console, files, storage
from mpl_tf.base.errors import RunError, reason
from mpl_tf.data.stored import Stored
from mpl_tf.models import saved
from mpl_tf.run import evaluate, teacher_labels
from mpl_tf.run.report import charts, grids, look, pseudo, sample, tables

NAME = "report.html"


class Report:
    """Writes WORKDIR/report.html; whatever goes wrong with it is told, and the run goes on.

    One for all of a run: its samples are drawn once, and networks are asked anew where their weights have changed, so
    that the finished run's page differs from the last epoch's in what is different alone.

    Args:
        config: Config of the run.
        dataset: Dataset as the run trains on it.
        shown: the same Dataset as it was read, with the images that the page shows; None: `dataset`.
    """

    def __init__(self, config, dataset, shown=None):
        self.config, self.dataset, self.shown = config, dataset, shown or dataset
        self.path = storage.path(config.workdir) / NAME
        self.failed, self.answers = False, sample.Answers(config.eval_batch)

    def write(self, networks, step, seconds, results=None, confusion=None):
        """Write the page anew.

        Args:
            networks: dict of "student", and "teacher" where one is trained beside it, to deployable keras.Model
                (export.deployable).
            step, seconds: how far the main phase is.
            results: of a finished run, what results.json holds; else None.
            confusion: with them, int [C, C] of the images that were scored.
        """
        with self._harmless():
            content = self._content(networks, step, seconds, results, confusion)
            files.write_text(self.path, _template().render(content))

    def pictures(self):
        """Views of a few images, one picture a part: dict of name to uint8 [H, W, 3], empty where there are none."""
        found = {}
        with self._harmless():
            if not grids.without(self.shown):
                found = {part: grids.joined(kinds) for part, kinds in self.views.items()}
        return found

    @contextlib.contextmanager
    def _harmless(self):
        """What fails inside is told, once: a page about a run is no reason to lose it; no random numbers are drawn."""
        with _random_state_kept():
            try:
                yield
            except Exception as error:
                if not self.failed:
                    console.tell(f"{self.path} is not written ({reason(error)}); the run goes on without it")
                self.failed = True

    def _content(self, networks, step, seconds, results, confusion):
        """What the template shows, a dict."""
        config, dataset = self.config, self.dataset
        rows = charts.table(storage.path(config.workdir) / "metrics.csv")
        state = "finished" if results else f"step {step:,} of {config.train_steps:,}"
        about = [tables.shown(config.workdir), config.model, f"seed {config.seed}", tables.examples(dataset)]
        return {
            "title": f"{config.method} on {config.dataset}: {state}",
            "subtitle": " · ".join([*about, time.strftime("written %Y-%m-%d %H:%M:%S")]),
            "style": look.STYLE,
            "headline": tables.headline(config, rows, step, seconds, results),
            "charts": charts.of_run(rows),
            "phases": charts.of_phases(self.path.parent),
            **self._looked_at(networks, step, results, confusion),
            "flags": tables.flag_rows(config),
            "machine": tables.machine(),
        }

    def _looked_at(self, networks, step, results, confusion):
        """What the networks say of the samples; where an image cannot be read that is said in its place."""
        self.answers.ask(networks)
        try:
            labels, alarms = self._labels(step, results)
            content = {"labels": labels, "alarms": alarms} | self._scores(results, confusion)
            left_out = grids.without(self.shown)
            return content | ({"left_out": [left_out]} if left_out else {"grids": self._grids(results)})
        except RunError as error:
            return {"alarms": [f"The images could not be looked at: {reason(error)}"]}

    def _labels(self, step, results):
        """(the section on pseudo labels, sentences of their collapse)."""
        who, what = pseudo.labeler(self.config, self.dataset)
        if who is None:
            return {"what": what}, []
        given, validated = self._given(who), None
        if self.validation is not None:
            said = self.fixed if who == "targets" else self.answers.of(who, self.validation)
            validated = self.validation.labels, said
        # The networks of a finished run may be those of its best step, which has its record.
        if not (results and self.history.records):
            self.history.add(pseudo.record(step, given, validated))
        known = self.dataset.class_prior
        prior = np.array(known or [1 / self.dataset.num_classes] * self.dataset.num_classes)
        shown, told = pseudo.section(self.history.records, prior, self.dataset.class_names)
        what += f", on {len(given):,} of the unlabeled images as they are, without a view."
        if known is None:
            what += " The labeled shares are not known and taken as alike."
        if validated:
            what += f" Precision: of those given to {len(validated[0]):,} validation images."
        return {"what": what} | shown, told

    def _given(self, who):
        """The pseudo labels' distributions on the unlabeled sample, float [n, C]; who gives them: pseudo.labeler."""
        if who == "targets":
            return self.dataset.unlabeled.targets[self.unlabeled.numbers]
        return self.answers.of(who, self.unlabeled)

    def _scores(self, results, confusion):
        """The classes' scores and the confusions: of a finished run those of its results, else of a sample."""
        names = self.dataset.class_names
        if results:
            part = "test" if "test" in results else "validation"
            scores, noted = results[part]["per_class"], f"All {results[part]['n']:,} {part} images, scored at the end."
        elif self.validation is not None:
            found = self.answers.of("student", self.validation).argmax(axis=-1)
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

    def _grids(self, results):
        """The grids of pictures."""
        names, found, own = self.dataset.class_names, grids.of_views(self.views), "student"
        who, _ = pseudo.labeler(self.config, self.dataset)
        if who is not None:
            given, pictured = self._given(who), self._pictured("unlabeled", self.unlabeled)
            found.append(grids.confident(given, pictured, names))
            if who != "student":
                found.append(grids.differing(given, self.answers.of(own, self.unlabeled), pictured, names))
        # The test images are looked at when nothing can be chosen by them any more.
        part = "validation" if self.validation is not None else "test"
        drawn = self.validation
        if drawn is None and results and self.dataset.test is not None:
            drawn = sample.draw(self.dataset.test)
        if drawn is not None:
            found.append(grids.errors(self.answers.of(own, drawn), self._pictured(part, drawn), names, part))
        return found

    def _pictured(self, part, drawn):
        """A Sample of a part of the data set with its images, where the part has their features: in the same order."""
        if not isinstance(getattr(self.dataset, part), Stored):
            return drawn
        return drawn._replace(images=sample.Pictures(getattr(self.shown, part), drawn.numbers))

    @functools.cached_property
    def views(self):
        """The views of a few images (grids.views), which training does not change."""
        return grids.views(self.shown, self.config)

    @functools.cached_property
    def validation(self):
        """A Sample of the validation images; None where there are none."""
        part = self.dataset.validation
        return None if part is None else sample.draw(part)

    @functools.cached_property
    def fixed(self):
        """The fixed teacher's distributions on the validation sample, float64 [n, C]; its file is opened for them."""
        teacher = saved.load(teacher_labels.teacher_file(self.config), "teacher")
        return sample.distributions(teacher, self.validation, self.config.eval_batch)

    @functools.cached_property
    def unlabeled(self):
        """A Sample of the unlabeled images."""
        return sample.draw(self.dataset.unlabeled, with_labels=False)

    @functools.cached_property
    def history(self):
        """The History of the run."""
        return pseudo.History(self.config.workdir)


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
