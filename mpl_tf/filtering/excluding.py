"""The evaluation images: their fingerprints made, and what the unlabeled ones are compared with."""

import pyarrow.compute as pc

from mpl_tf.base.errors import UsageError
from mpl_tf.filtering import embedding, features, inputs, pipeline, recording, tables

CHUNK = 1024  # Images a unit of work.


def prepare(job):
    """Fingerprint the evaluation images.

    Args:
        job: Job.
    Returns:
        (chunks, files, counts): list of inputs.Chunk; tuple of the files of their fingerprints; dict of how many images
        there are, how many of them are unreadable, and the least cosine of features that overlap, if compared.
    Raises:
        UsageError: no image matched.
    """
    own, folder = job.selection, pipeline.excluded(job.work)
    if not own.exclude:
        return [], (), _counts((), job.echo)
    ground = job.record["scoring"]["background"]
    about = (own.data_dir, CHUNK, folder, ground, job.echo, own.image_feature, job.beam_arguments)
    chunks = inputs.plan(own.exclude, "--exclude", *about)
    if not chunks:
        raise UsageError("--exclude: no image matched")
    scoring = None
    if own.embedded:
        scoring = job.scoring or recording.embedding(job.record, job.scores)
    pipeline.fingerprint(chunks, str(folder), job.beam_arguments, scoring)
    paths = tuple(str(pipeline.evaluation_path(folder, chunk)) for chunk in chunks)
    counts = _counts(paths, job.echo)
    if own.embedded:
        noted = [features.path(folder, chunk) for chunk in chunks]
        counts["least_similarity"] = embedding.build(folder, noted, own.similarity, own.overlap == "both")
        job.echo(f"features overlap from a cosine of {counts['least_similarity']:.4f} on{_few(counts, own.similarity)}")
    return chunks, paths, counts


def _few(counts, similarity):
    """What is told where there are too few evaluation images to find embedding.SHARE of them; else nothing."""
    count = counts["images"] - counts["unreadable"]
    if similarity or count * embedding.SHARE >= 1:
        return ""
    return f"; found from {count} images alone, it may take one in {count} images that overlap none: see --similarity"


def _counts(paths, echo):
    """Counts of the evaluation images; those that cannot be read, and so cannot be compared, are told."""
    counts, unread = {"images": 0, "unreadable": 0}, []
    for path in paths:
        table = tables.read(path, tables.EVALUATION)
        lost = table.filter(pc.invert(table["usable"]))
        counts = {"images": counts["images"] + len(table), "unreadable": counts["unreadable"] + len(lost)}
        unread += lost["id"].to_pylist()[:1]
    if unread:
        lost, every = counts["unreadable"], counts["images"]
        echo(f"{lost} of {every} evaluation images cannot be read and are not compared, {unread[0]} among them")
    return counts
