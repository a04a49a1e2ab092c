"""A whole run: plan, score, select, take overlaps out, write what is kept and what is not, and say how it went.

Every step leaves its result under its own name in one move, and is not done again where that name exists; so a run
that was cut off goes on, and summary.json, written last, says that it is done.
"""

import dataclasses
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from mpl_tf.base import files, versions
from mpl_tf.base.errors import UsageError
from mpl_tf.filtering import inputs, outputs, overlap, pipeline, progress, report, runner, select, settings, tables

MORE = (8, 16)  # Candidates beyond k a class in the first search for duplicates: k / 8 + 16.


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
        UsageError, RunError: see the parts.
    """
    settings.check(scoring, selection)
    runner.check_arguments(beam_arguments)
    output = Path(output)
    record = _scored(scores, selection) if scores else _described(scoring, output)
    limits = settings.limits(selection.per_class, record["classes"], record["class_names"])
    plain = json.loads(json.dumps(dataclasses.asdict(selection)))
    new = settings.claim(output, record | {"selection": plain, "limits": limits.tolist()}, "output")
    if (output / "summary.json").exists():
        summary = json.loads((output / "summary.json").read_text())
        echo(f"{output} holds the finished run: {headline(summary)}")
        return summary
    try:
        return _steps(scoring, selection, record, limits, output, scores, beam_arguments, echo)
    except UsageError:
        if new and not any(output.glob("scores/scores-*")):  # So that the mended command finds an empty folder.
            shutil.rmtree(output, ignore_errors=True)
        raise


def _steps(scoring, selection, record, limits, output, scores, beam_arguments, echo):
    """The steps of a run in its folder; returns the summary."""
    started, work = time.perf_counter(), output / "work"
    scored = Path(scores) if scores else output / "scores"
    if not scores:
        settings.claim(scored, record, "output")
    chunks = inputs.plan(
        scoring.images if scoring else (), "--images", record["scoring"]["data_dir"], record["scoring"]["chunk"], scored
    )
    done = sum(len(chunk) for chunk in chunks if pipeline.scores_path(scored, chunk).exists())
    total = sum(map(len, chunks))
    _refuse_nothing(total, scores, done)
    echo(f"{total} images in {len(chunks)} chunks, {done} scored before; files in {output}")
    excluded = _fingerprint(selection, work, beam_arguments)
    evaluation = tuple(str(pipeline.evaluation_path(work / "exclude", chunk)) for chunk in excluded)
    compared = _compared(evaluation, echo)
    with progress.shown(done, total, limits, selection.min_probability):
        chosen = _select(chunks, scoring, scored, selection, limits, work, evaluation, beam_arguments)
    seconds = time.perf_counter() - started
    overlaps = work if evaluation else None
    counts = outputs.write_tables(chunks, scored, overlaps, chosen, selection.min_probability, output)
    outputs.write_shards(chunks, chosen, selection.shard_images, output, beam_arguments)
    names = record["class_names"] or [str(number) for number in range(record["classes"])]
    report.write(counts, chosen, names, chunks, excluded, output)
    summary = counts.summary(chosen, names) | {
        "seconds_to_selection": seconds,
        "images_scored_now": total - done,
        "evaluation_images": compared,
        **versions.versions(),
    }
    files.write_text(output / "summary.json", json.dumps(summary, indent=2) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    echo(f"{headline(summary)}; everything is in {output}")
    return summary


def headline(summary):
    """A run in one line."""
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in summary["rejected"].items() if count)
    return f"{summary['kept_images']} of {summary['images']} images kept; left out: {reasons or 'none'}"


def _described(scoring, output):
    """settings.of_model; the model is opened only where the folder does not have its record yet."""
    path = output / "scores" / "settings.json"
    classes = settings.read(path, "output")["classes"] if path.is_file() and Path(scoring.model).is_file() else None
    record = settings.of_model(scoring, classes or pipeline.scorer(scoring).classes)
    if scoring.top_classes > record["classes"]:
        raise UsageError(f"--top_classes: expected at most the model's {record['classes']}, got {scoring.top_classes}")
    return record


def _scored(scores, selection):
    """The record of an earlier run's scores, which must hold what this selection needs."""
    record = settings.read(Path(scores) / "settings.json", "scores")
    before = record["scoring"]
    if selection.top_classes > before["top_classes"]:
        raise UsageError(
            f"--top_classes: {scores} holds the {before['top_classes']} best of each image, "
            f"got {selection.top_classes}; score again"
        )
    if selection.hashed and not before["fingerprints"]:
        raise UsageError(f"--scores: {scores} holds no fingerprints, which --exclude and --dedup need; score again")
    if not (Path(scores) / "chunks.jsonl").is_file():
        raise UsageError(f"--scores: expected the scores of a run, found no chunks.jsonl in {scores}")
    return record


def _refuse_nothing(total, scores, done):
    if not total:
        raise UsageError("--images: no image matched")
    if scores and done < total:
        raise UsageError(f"--scores: {scores} holds {done} of {total} images; let that run finish first")


def _fingerprint(selection, work, beam_arguments):
    """Chunks of the evaluation images, their fingerprints made."""
    if not selection.exclude:
        return []
    folder = work / "exclude"
    chunks = inputs.plan(selection.exclude, "--exclude", selection.data_dir, 1024, folder)
    if not chunks:
        raise UsageError("--exclude: no image matched")
    pipeline.fingerprint(chunks, str(folder), beam_arguments)
    return chunks


def _compared(evaluation, echo):
    """Counts of the evaluation images; those that cannot be read, and so cannot be compared, are told."""
    counts, unread = {"images": 0, "unreadable": 0}, []
    for path in evaluation:
        table = tables.read(path)
        lost = table.filter(pc.invert(table["usable"]))
        counts = {"images": counts["images"] + len(table), "unreadable": counts["unreadable"] + len(lost)}
        unread += lost["id"].to_pylist()[:1]
    if unread:
        lost, every = counts["unreadable"], counts["images"]
        echo(f"{lost} of {every} evaluation images cannot be read and are not compared, {unread[0]} among them")
    return counts


def _select(chunks, scoring, scores, selection, limits, work, evaluation, beam_arguments):
    """outputs.Selected; with --dedup the search widens until every class is full or has no more candidates."""
    limits = np.asarray(limits)
    asked = limits + (limits > 0) * (limits // MORE[0] + MORE[1]) if selection.dedup else limits
    while True:
        found = work / "best.parquet"
        candidates = pipeline.Candidates(str(scores), selection, asked, str(work), evaluation)
        pipeline.select_best(chunks, scoring, str(scores), candidates, str(found), beam_arguments)
        pool, scoring = tables.read(found), None
        if not selection.dedup:
            kept, duplicates = pool, {}
            break
        kept, dropped = overlap.without_duplicates(pool, limits, selection.distance)
        had, has = (np.bincount(table["class"].to_numpy(), minlength=len(limits)) for table in (pool, kept))
        short = (has < limits) & (had == asked)
        if not short.any():
            ids, places = pool["id"].to_pylist(), [pool[name].to_pylist() for name in ("chunk", "row")]
            duplicates = {
                image: (ids[other], *(column[other] for column in places), bits)
                for image, (other, bits) in dropped.items()
            }
            break
        asked = np.where(short, 2 * asked, asked)
    classes = kept["class"].to_numpy()
    copies = select.copies(classes, limits) if selection.upsample else np.ones([len(kept)], np.int32)
    return outputs.Selected(kept, copies, limits, duplicates)
