"""What filter_study.py compares the filtering tool with: plain numpy over everything at once, ImageHash, PIL."""

import collections
import io
import itertools

import numpy as np
from PIL import Image, ImageOps
from scipy import fft

RESAMPLING = Image.Resampling.BILINEAR
BLOCK = 500  # Images compared with all evaluation hashes at once.
DISTANCE = 18  # The tool's default.
SMOOTH, BLANK, LEVELS = 6, 0.1, 5  # As in mpl_tf/filtering/smooth.py.


def read(data_dir, split, count=None):
    """(encoded images, labels, class names) of a CIFAR-10 split in the order of its file."""
    import tensorflow_datasets as tfds

    builder = tfds.builder("cifar10", data_dir=data_dir or None)
    examples = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    pairs = [(one["image"], int(one["label"])) for one in tfds.as_numpy(examples.take(count or -1))]
    images, labels = zip(*pairs, strict=True)
    return images, np.array(labels), builder.info.features["label"].names


def pixels(encoded):
    """PIL image, RGB."""
    with Image.open(io.BytesIO(encoded)) as image:
        return image.convert("RGB")


def compare(data_dir, model, output, per_class):
    """The tool's choice against a brute-force one.

    Args:
        data_dir: folder of TFDS data sets.
        model: path of the scorer.
        output: Path of the tool's results.
        per_class: k.
    Returns:
        dict: ids and ids_equal (rows of kept.parquet, and those equal in class, rank and id), furthest (of the other
        rows, how much less probable than the reference's image theirs is at most), overlaps_equal,
        precision_kept, precision_all and precision ({class: share}).
    """
    import keras
    import pyarrow.parquet as pq
    import tensorflow as tf

    images, labels, names = read(data_dir, "train")
    network = keras.models.load_model(model, compile=False)
    logits = network.predict(np.stack([np.asarray(pixels(one)) for one in images]), batch_size=256, verbose=0)
    probabilities = tf.nn.softmax(logits).numpy()
    ids = np.array([f"tfds:cifar10/train#{number}" for number in range(len(images))])
    near = overlapping(images, read(data_dir, "test")[0])
    best, found = probabilities.argmax(axis=1), []
    for label in range(len(names)):
        mine = [i for i in np.flatnonzero(best == label) if not near[i]]
        mine.sort(key=lambda i: (-probabilities[i, best[i]], ids[i]))
        found += [(label, rank, ids[i]) for rank, i in enumerate(mine[:per_class])]
    kept = pq.read_table(output / "kept.parquet").to_pylist()
    rejected = pq.read_table(output / "rejected.parquet").to_pylist()
    rows = [(row["class"], row["rank"], row["id"]) for row in kept]
    right = np.array([labels[int(row["id"].split("#")[1])] == row["class"] for row in kept])
    classes = np.array([row["class"] for row in kept])
    return {
        "ids": len(found),
        "ids_equal": sum(one == other for one, other in zip(rows, found, strict=True)),
        "furthest": furthest(rows, found, probabilities),
        "overlaps_equal": {row["id"] for row in rejected if row["reason"] == "overlaps"} == set(ids[near].tolist()),
        "precision_all": float((best == labels).mean()),
        "precision_kept": float(right.mean()),
        "precision": {name: float(right[classes == label].mean()) for label, name in enumerate(names)},
    }


def furthest(rows, found, probabilities):
    """How far apart the probabilities of two images are at most that stand in each other's row.

    Args:
        rows, found: lists of (class, rank, id), ids ending in #NUMBER.
        probabilities: float32 [N, C], by that number.
    """
    places = [(one, other) for one, other in zip(rows, found, strict=True) if one != other]
    pairs = [[probabilities[int(row[2].rpartition("#")[2]), row[0]] for row in place] for place in places]
    return float(np.abs(np.subtract(*np.array(pairs).T)).max()) if pairs else 0.0


def overlapping(images, tests):
    """bool [N]: images within DISTANCE of a test image, of one of its 15 slight crops, or of a mirror image of these,
    and smooth ones within LEVELS of one at 8 x 8; all pairs are compared."""
    # Each test image with and without a margin of a pixel on each side.
    crops = [
        (left, top, 32 - right, 32 - low) for left, top, right, low in itertools.product((0, 1), (0, 1), (0, 1), (0, 1))
    ]
    tests, images = list(map(pixels, tests)), list(map(pixels, images))
    cut = [test.crop(crop).convert("L") for test in tests if _texture(test) >= BLANK for crop in crops]
    shrunk = [image.resize((32, 32), Image.Resampling.LANCZOS) for image in cut]
    known = np.array([_signs(image) for one in shrunk for image in (one, ImageOps.mirror(one))]).T  # [256, hashes]
    # Of 256 signs that differ in d the product is 256 - 2 d.
    near = []
    for start in range(0, len(images), BLOCK):
        agreement = np.array([_signs(one) for one in images[start : start + BLOCK]]) @ known
        near.append((256 - agreement.max(axis=1)) / 2 <= DISTANCE)
    smooth = [test for test in tests if _texture(test) < SMOOTH]
    small = np.array([_small(one) for test in smooth for one in (test, ImageOps.mirror(test))])
    return np.concatenate(near) | np.array([_near(image, small) for image in images])


def _texture(image):
    """Middle distance of the coefficients from their median, grey levels."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = fft.dctn(grey)[:16, :16] / 64
    return np.median(np.abs(low - np.median(low)))


def _near(image, small):
    if not len(small) or _texture(image) >= SMOOTH:
        return False
    return np.sqrt(((_small(image) - small) ** 2).mean(axis=(1, 2, 3))).min() <= LEVELS


def _small(image):
    return np.asarray(image.resize((8, 8), Image.Resampling.BOX), np.float64)


def _signs(image):
    """Bits of ImageHash's perceptual hash as -1 and 1, float32 [256]."""
    import imagehash

    return np.where(imagehash.phash(image, 16, 2).hash.ravel(), 1, -1).astype(np.float32)


def export(data_dir, folder, labeled, test):
    """Write folders of images a class, FOLDER/labeled and FOLDER/test, with that many images in all."""
    for name, split, count in (("labeled", "train", labeled), ("test", "test", test)):
        images, labels, names = read(data_dir, split, count)
        for number, (encoded, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / name / names[label] / f"{number:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded)


def plant(data_dir, path):
    """Write a shard of 500 changed test images, ids planted/CHANGE/NUMBER."""
    import tensorflow as tf

    from mpl_tf.data import shards

    changes = {
        "exact": (100, _saved),
        "JPEG quality 60": (200, lambda image: _saved(image, "JPEG", quality=60)),
        "resized by 0.9 and back": (100, lambda image: _saved(_resized(image))),
        "cropped by 1 pixel": (100, lambda image: _saved(image.crop((1, 1, 31, 31)))),
    }
    images = iter(np.random.default_rng(0).permutation(np.array(read(data_dir, "test")[0], object))[:500])
    with tf.io.TFRecordWriter(str(path)) as writer:
        for change, (count, make) in changes.items():
            for number in range(count):
                encoded = make(pixels(next(images)))
                writer.write(shards.serialize(encoded, f"planted/{change}/{number}", -1, -1.0))


def _saved(image, form="PNG", **how):
    """Bytes of a PIL image in a format."""
    output = io.BytesIO()
    image.save(output, form, **how)
    return output.getvalue()


def _resized(image):
    """A CIFAR-10 image at 0.9 of its side, 28.8 pixels, and back."""
    return image.resize((29, 29), RESAMPLING).resize((32, 32), RESAMPLING)


def planted(output):
    """What became of the planted images and of the others in the tool's results: dict."""
    import pyarrow.parquet as pq

    kept, rejected = (pq.read_table(output / f"{name}.parquet").to_pylist() for name in ("kept", "rejected"))
    kinds = collections.defaultdict(lambda: {"images": 0, "removed": 0})
    for row in kept + rejected:
        kind = row["id"].split("/")[1] if row["id"].startswith("planted/") else "innocent"
        kinds[kind]["images"] += 1
        kinds[kind]["removed"] += row.get("reason") == "overlaps"
    innocent = kinds.pop("innocent")
    others = [about for kind, about in kinds.items() if kind != "exact"]
    share = sum(about["removed"] for about in others) / sum(about["images"] for about in others)
    return {
        "kinds": kinds,
        "others_removed_share": share,
        "innocent": innocent["images"],
        "innocent_removed": innocent["removed"],
    }
