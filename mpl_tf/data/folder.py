"""folder: anybody's own images, and TFRecord shards of them: in memory where they fit, else read while a run trains.

Each of the parts, labeled, scored and unlabeled, is in memory or not, the smallest first as long as all together take
no more than MEMORY_SHARE of the machine's memory. Both ways give the same batches, to the bit. What is in memory is
decoded at the start, and files that cannot be read are told then; of the others when they are met (own_images.py).
"""

from typing import NamedTuple

import numpy as np

from mpl_tf.base import memory
from mpl_tf.base.errors import UsageError
from mpl_tf.data import decode, listing, own_parts, plausible, tfrecord
from mpl_tf.data.own_parts import SCORED
from mpl_tf.data.source import Dataset, Source
from mpl_tf.data.splits import balanced

# For decoded images: the input's tensor takes as much again, and some more for a moment at the start.
MEMORY_SHARE = 0.25


def load(row, config, most=None):
    """Read --labeled_dir, --validation_dir and --test_dir (a folder a class) and --unlabeled_dir (any depth).

    mpl_tf/data/listing.py says which files are images. --unlabeled_dir holds images, TFRecord shards (data/shards.py;
    an image of image/copies c comes c times an epoch), or both. With --labels a CSV file says which images of
    --labeled_dir are labeled; the others are unlabeled.

    Images are uint8 [N, S, S, 3] with S = config.image_size, resized as --resize says. With --num_labels, the labeled
    images beyond it join the unlabeled ones. --unlabeled_source=labeled reads none of --unlabeled_dir.

    Args:
        row: catalogue.DataRow.
        config: Config.
        most: bytes that images may take in memory; None: MEMORY_SHARE of it.
    Raises:
        UsageError: as in own_parts.listed; a class or a part of which no image can be read.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    names, parts, notes = own_parts.listed(config)
    # Where not all can be in memory, those to be labeled are drawn before any is read.
    first = config.num_labels and sum(part.nbytes for part in parts.values()) > _most(most)
    if first:
        parts, told = _num_labels(parts, config, names)
        notes += told
    ready = _chosen(parts, most)
    for flag in (flag for flag in SCORED if flag in parts):
        notes += _copies(flag, {name: part for name, part in parts.items() if name in ready.names})
    read, skipped, more = _read({name: parts[name] for name in ready.names}, config)
    parts = {name: read.get(name, part) for name, part in parts.items()}
    _check_classes(parts["labeled"].labels, names)
    for flag in (flag for flag in SCORED if flag in parts):
        _check_any(config, flag, parts[flag])
    if config.num_labels and not first:
        parts, told = _num_labels(parts, config, names)
        notes += told
    return _dataset(row, config, names, parts, skipped, notes + more + ready.told)


def load_test(row, config, class_names, most=None):
    """Read --test_dir alone, for a run whose classes are known: --labeled_dir and --unlabeled_dir may be gone.

    Args:
        row, config, most: as in `load`.
        class_names: of the run, tuple of str in the order of its outputs; None: not known.
    Returns:
        Dataset without labeled and unlabeled examples.
    Raises:
        UsageError: no image, a class that the run does not have, or classes that are not known.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    if class_names is None:
        raise UsageError(
            f"--workdir: expected the run's classes in identity.json or results.json, found neither in "
            f"{config.workdir}; the command that trained the run writes them again"
        )
    unknown = f"no place among the run's classes {listing.told(class_names)}; give test images of these"
    names, parts, notes = own_parts.scored(config, "test_dir", tuple(class_names), unknown)
    ready = _chosen(parts, most)
    read, skipped, more = _read({name: parts[name] for name in ready.names}, config)
    parts |= read
    _check_any(config, "test_dir", parts["test_dir"])
    return _dataset(row, config, names, parts, skipped, notes + more + ready.told)


class _Chosen(NamedTuple):
    """Names of the parts that are to be in memory, in the order of all; and what is told of it, tuple of lines."""

    names: list
    told: tuple


def _most(most):
    return memory.total() * MEMORY_SHARE if most is None else most


def _chosen(parts, most):
    """Which parts are to be in memory: the smallest first, as long as they fit.

    Args:
        parts: dict of names to OwnImages.
        most: as in `load`.
    """
    names, taken = [], 0
    for name, part in sorted(parts.items(), key=lambda item: item[1].nbytes):
        if taken + part.nbytes > _most(most):
            break
        names, taken = [*names, name], taken + part.nbytes
    told = [
        f"images in memory: {_size(taken)} of the {_size(_most(most))}, {MEMORY_SHARE:.0%} of it, that they may take"
    ]
    for name, part in parts.items():
        if name not in names:
            told.append(
                f"{name.removesuffix('_dir')} images are read from their files while the run goes on: {len(part):,} of "
                f"{part.size} x {part.size} pixels would take {_size(part.nbytes)}"
            )
    return _Chosen([name for name in parts if name in names], tuple(told))


def _size(count):
    """Bytes as a person reads them."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _copies(flag, parts):
    """What plausible.shared tells of the files of a part to be scored, those parts being given that are in memory."""
    files = {
        name: [source for source in part.sources() if not isinstance(source, tfrecord.Record)]
        for name, part in parts.items()
        if name in (flag, "labeled", "unlabeled") or (flag, name) == ("test_dir", "validation_dir")
    }
    own = files.pop(flag, [])
    seen = {name.removesuffix("_dir"): paths for name, paths in files.items()}
    order = ("labeled", "unlabeled", "validation")
    return plausible.shared(f"--{flag}", own, {name: seen[name] for name in order if name in seen}) if own else ()


def _read(parts, config):
    """Decode OwnImages into memory.

    Args:
        parts: dict of names to OwnImages.
        config: Config.
    Returns:
        (dict of names to Source; names of the files that were left out and lines for the user, tuples of str).
    """
    sources = [source for part in parts.values() for source in part.sources()]
    background = decode.colour(config.background)
    images, good, notes = decode.decode_files(
        sources, config.image_size, config.skip_bad_images, background, config.resize
    )
    read, start = {}, 0
    for name, part in parts.items():
        own, fine = (values[start : start + len(part)] for values in (images, good))
        start += len(part)
        origin = part if fine.all() else part.kept(fine)
        read[name] = Source(own if fine.all() else own[fine], origin.labels, order=origin.order, origin=origin)
    skipped = tuple(str(source) for source, fine in zip(sources, good, strict=True) if not fine)
    return read, skipped, notes


def _num_labels(parts, config, names):
    """(parts, lines for the user): --num_labels of the labeled examples are labeled, the others join the unlabeled."""
    labeled = parts["labeled"]
    chosen, rest = balanced(labeled.labels, config.num_labels, len(names), config.seed, names, fewer=True)
    rest = labeled.take(rest, with_labels=False)
    joined = parts["unlabeled"].joined(rest) if "unlabeled" in parts else rest
    each, counts = config.num_labels // len(names), np.bincount(labeled.labels, minlength=len(names))
    few = [f"{name} has {count}" for name, count in zip(names, counts, strict=True) if count < each]
    told = f"--num_labels: {each} of each class are asked for, {listing.told(few)}: {len(chosen)} labels in all"
    return parts | {"labeled": labeled.take(chosen), "unlabeled": joined}, (told,) if few else ()


def _check_classes(labels, names):
    counts = np.bincount(labels, minlength=len(names))
    if not counts.all():
        raise UsageError(f"--labeled_dir: no image of class {names[int(counts.argmin())]} could be read")


def _check_any(config, flag, part):
    """UsageError where a folder of SCORED has no image that could be read."""
    if not len(part):
        raise UsageError(f"--{flag}: no image in {getattr(config, flag)} could be read")


def _dataset(row, config, names, parts, skipped, notes):
    """The Dataset of these parts."""
    unlabeled = parts.get("unlabeled")
    return Dataset(
        row.name,
        parts.get("labeled"),
        unlabeled if unlabeled is not None and len(unlabeled) else None,
        parts.get("test_dir"),
        tuple(names),
        row.mean,
        row.std,
        flip=config.flip,
        fill=row.fill,
        skipped=skipped,
        notes=tuple(notes),
        validation=parts.get("validation_dir"),
    )
