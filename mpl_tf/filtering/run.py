"""A whole run: plan, score, select, take overlaps out, write what is kept and what is not, and say how it went.

Every step leaves its result under its own name in one move, and is not done again where that name exists; so a run
that was cut off goes on, and summary.json, written last, says that it is done.
"""

import contextlib
import json
import time

from mpl_tf.base import files, lock, storage, versions
from mpl_tf.base.errors import UsageError
from mpl_tf.filtering import (
    choice,
    embedding,
    excluding,
    inputs,
    kept,
    outputs,
    pipeline,
    recording,
    report,
    runner,
    settings,
)
from mpl_tf.filtering.job import Job


def run(scoring, selection, output, scores=None, beam_arguments=(), echo=print):
    """Filter unlabeled images.

    Args:
        scoring: settings.Scoring; None with `scores`.
        selection: settings.Selection.
        output: folder of the results.
        scores: folder OUT/scores of an earlier run, to select from again without a model.
        beam_arguments: list of str, Beam's own flags.
        echo: what tells the user where things stand.
    Returns:
        dict, as summary.json holds it.
    Raises:
        UsageError: another process works in the folder, or in that of the scores; else see the parts.
        RunError: see the parts.
    """
    # All that can be refused is refused before a folder is made.
    runner.check_arguments(beam_arguments)
    settings.check(scoring, selection)
    if selection.embedded:
        embedding.check()
    scoring = scoring and settings.resolved(scoring)
    output = storage.path(output)
    record = _scored(scores, selection) if scores else _described(scoring, output)
    limits = settings.limits(selection.per_class, record["classes"], record["class_names"])
    place = storage.path(scores) if scores else output / "scores"
    job = Job(scoring, selection, record, limits, output, place, tuple(beam_arguments), echo)
    # One process writes in a folder. Scores that are only read may be shared, but not with the one that writes them.
    recording.check_folder(output, "output")
    if scores:
        lock.refuse_held(place, "scores")
    with lock.held(output, "output"):
        return _claimed(job)


def _claimed(job):
    """`run`, nobody else working in the folder."""
    new = recording.claim(job.output, job.identity, "output")
    if storage.exists(job.output / "summary.json") and not _lost(job):
        summary = json.loads(storage.read_bytes(job.output / "summary.json"))
        job.echo(f"{job.output} holds the finished run: {headline(summary)}")
        return summary
    try:
        with lock.held(job.scores, "output") if job.scoring else contextlib.nullcontext():
            return _steps(job)
    except UsageError:
        # So that the mended command finds an empty folder.
        if new and not any(name.startswith("scores-") for name in storage.names(job.output / "scores")):
            storage.remove_tree(job.output)
        raise


def _lost(job):
    """Whether scores that the finished run had made are gone since; those of another run are its own."""
    if not job.scoring:
        return False
    # Where somebody cleared the whole folder, the results stand without it.
    if not storage.exists(job.scores / "chunks.jsonl"):
        return False
    chunks = _plan(job)
    return len(_scored_chunks(job, chunks)) < len(chunks)


def _steps(job):
    """The steps of a run in its folder; returns the summary."""
    started = time.perf_counter()
    # Plan: which images there are, and what an earlier start has done.
    chunks = _plan(job)
    before = _scored_chunks(job, chunks)
    done, total = sum(map(len, before)), sum(map(len, chunks))
    _refuse_nothing(job, total, done)
    job.echo(f"{total} images in {len(chunks)} chunks, {done} scored before; files in {job.output}")
    # The evaluation images first: what overlaps them is no candidate.
    excluded, evaluation, compared = excluding.prepare(job)
    chosen = choice.choose(job, chunks, before, evaluation)
    seconds = time.perf_counter() - started
    # What is kept and what is not; the summary last, as it says that all else is there.
    overlaps = job.work if evaluation else None
    counts = outputs.write_tables(chunks, job.scores, overlaps, chosen, job.selection.min_probability, job.output)
    kept.write(chunks, chosen.images, job.selection.shard_images, job.work, job.output, job.beam_arguments)
    report.write(counts, chosen, job.record["class_names"], job.selection.distance, chunks, excluded, job.output)
    summary = counts.summary(chosen, job.class_names) | {
        "seconds_to_selection": seconds,
        "images_scored_now": total - done,
        "evaluation_images": compared,
        **versions.versions(),
    }
    files.write_text(job.output / "summary.json", json.dumps(summary, indent=2) + "\n")
    storage.remove_tree(job.work)
    # What workers left that were lost on the way.
    for folder in (job.output, job.scores) if job.scoring else (job.output,):
        files.sweep(folder)
    job.echo(f"{headline(summary)}; everything is in {job.output}")
    return summary


def _scored_chunks(job, chunks):
    """Those of some chunks whose scores are there, and whose features are where these are noted, or compared."""
    there = storage.names(job.scores)
    embedded = job.scoring.embedded if job.scoring else job.selection.embedded and bool(job.selection.exclude)
    return [chunk for chunk in chunks if pipeline.is_scored(job.scores, chunk, embedded, there)]


def _plan(job):
    """List of inputs.Chunk: those of --images, or of the earlier run whose scores are taken."""
    if job.scoring:
        recording.claim(job.scores, job.record, "output")
    about = job.record["scoring"]
    images = job.scoring.images if job.scoring else ()
    how = about["data_dir"], about["chunk"], job.scores, about["background"], job.echo, about.get("image_feature", "")
    return inputs.plan(images, "--images", *how, job.beam_arguments)


def headline(summary):
    """A run in one line."""
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in summary["rejected"].items() if count)
    return f"{summary['kept_images']} of {summary['images']} images kept; left out: {reasons or 'none'}"


def _described(scoring, output):
    """recording.of_model; the model is opened only where the folder does not have its record yet."""
    path = output / "scores" / "settings.json"
    known = storage.is_file(path) and storage.is_file(scoring.model)
    classes = recording.read(path, "output")["classes"] if known else None
    if classes is None:
        classes = pipeline.scorer(scoring).classes
        pipeline.embedder(scoring)
    record = recording.of_model(scoring, classes)
    if scoring.top_classes > record["classes"]:
        raise UsageError(f"--top_classes: expected at most the model's {record['classes']}, got {scoring.top_classes}")
    return record


def _scored(scores, selection):
    """The record of an earlier run's scores, which must hold what this selection needs."""
    record = recording.read(storage.path(scores) / "settings.json", "scores")
    before = record["scoring"]
    if selection.top_classes > before["top_classes"]:
        raise UsageError(
            f"--top_classes: {scores} holds the {before['top_classes']} best of each image, "
            f"got {selection.top_classes}; score again"
        )
    if selection.hashed and not before["fingerprints"]:
        raise UsageError(f"--scores: {scores} holds no fingerprints, which --exclude and --dedup need; score again")
    if selection.embedded and selection.exclude:
        recording.embedding(record, scores)
    if not storage.is_file(storage.path(scores) / "chunks.jsonl"):
        raise UsageError(f"--scores: expected the scores of a run, found no chunks.jsonl in {scores}")
    return record


def _refuse_nothing(job, total, done):
    """Raise UsageError where there is no image, or where an earlier run has not scored all of them."""
    if not total:
        raise UsageError("--images: no image matched")
    if not job.scoring and done < total:
        raise UsageError(f"--scores: {job.scores} holds {done} of {total} images; let that run finish first")
