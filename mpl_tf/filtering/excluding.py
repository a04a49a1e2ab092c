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
        UsageError: no image matched, none can be read, or none has features.
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
        built = embedding.build(folder, noted, own.similarity, own.overlap == "both")
        _tell(built, counts, scoring, own.similarity, job.echo)
        counts["least_similarity"] = built.similarity
    return chunks, paths, counts


def _tell(built, counts, scoring, similarity, echo):
    """Tell from which cosine on features overlap, and what is wrong with them, as far as the evaluation images show.

    Args:
        built: embedding.Built.
        counts: as _counts gives them.
        scoring: settings.Scoring, whose network the features are of.
        similarity: that the user gave; 0: it was found.
        echo: as in Job.
    Raises:
        UsageError: no evaluation image has features.
    """
    count = counts["images"] - counts["unreadable"]
    if built.blank == count:
        name = "backbone" if scoring.backbone else "model"
        raise UsageError(
            f"--{name}: expected features of --exclude's images, {getattr(scoring, name)} gives zeros, infinite values "
            "or NaN for all of them; give a --backbone that tells images apart"
        )
    if built.blank:
        echo(f"{built.blank} of {count} evaluation images have no features, by which they would be compared")
    # Two of few are the nearest pair that the threshold is found from.
    if built.share * count > max(3, 2 * embedding.SHARE * count):
        more = (
            f"; {built.share:.0%} of the evaluation images have another one so near, and as many images that overlap "
            "none may be taken: see --backbone and --similarity"
        )
    else:
        more = _few(count, similarity)
    echo(f"features overlap from a cosine of {built.similarity:.4f} on{more}")


def _few(count, similarity):
    """What is told where there are too few evaluation images to find embedding.SHARE of them; else nothing."""
    if similarity or count * embedding.SHARE >= 1:
        return ""
    if count == 1:
        return ", as usual of networks: one evaluation image does not tell how near others are; see --similarity"
    return f"; found from {count} images alone, it may take one in {count} images that overlap none: see --similarity"


def _counts(paths, echo):
    """Counts of the evaluation images; those that cannot be read, and so cannot be compared, are told.

    Raises:
        UsageError: none can be read.
    """
    counts, unread = {"images": 0, "unreadable": 0}, []
    for path in paths:
        table = tables.read(path, tables.EVALUATION)
        lost = table.filter(pc.invert(table["usable"]))
        counts = {"images": counts["images"] + len(table), "unreadable": counts["unreadable"] + len(lost)}
        unread += zip(lost["id"].to_pylist()[:1], lost["detail"].to_pylist()[:1], strict=True)
    if unread:
        lost, every = counts["unreadable"], counts["images"]
        (name, why), *_ = unread
        if lost == every:
            raise UsageError(
                f"--exclude: expected evaluation images that can be read, got none among {every}, {name} ({why}) for "
                "example; mend them, or leave --exclude out"
            )
        echo(f"{lost} of {every} evaluation images cannot be read and are not compared, {name} among them")
    return counts
