"""How fast images come from a bucket whose every request takes a while, beside the same images on the disk.

    python -m tools.studies.bucket --json=docs/results/speed/bucket.json

Photographs of noise, read and decoded as a run scores them. The bucket is in memory, its requests are delayed: what is
measured is how well the wait is hidden, not a network's throughput.
"""

import contextlib
import dataclasses
import io
import sys
import tempfile
import time
from pathlib import Path

from mpl_tf.base import quiet
from mpl_tf.settings.fields import flag, like

from .. import _command


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the measurement."""

    json: str = like(_command.Figures, "json", "")
    images: int = flag("images to read", 2000, unit="images", low=1)
    side: int = flag("their side", 128, unit="pixels", low=8)
    delay: float = flag("what each request takes", 20.0, unit="ms", low=0)


COMMAND = _command.Command("bucket", __doc__, (Flags,))


def main(argv=None):
    """Measure; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow()
    _command.show_figures(measure(values.images, values.side, values.delay / 1000), values.json)


def measure(count, side, seconds):
    """Images a second from the disk, from the bucket, and from the bucket without reading ahead.

    Args:
        count: images; a tenth of them, 50 at most, without reading ahead.
        side: of them, pixels.
        seconds: that a request takes.
    Returns:
        dict of what was measured and how.
    """
    from mpl_tf.base import storage

    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            content = _photograph(number, side)
            Path(folder, f"{number:06d}.jpg").write_bytes(content)
            storage.put(content, f"memory://bucket/{number:06d}.jpg")
        found = {"images": count, "side": side, "request_ms": 1000 * seconds}
        found["disk"] = _rate(folder, side)
        with _delayed(seconds):
            found["bucket"] = _rate("memory://bucket", side)
            found["bucket_without_reading_ahead"] = _rate(
                "memory://bucket", side, min(50, -(-count // 10)), ahead=False
            )
    return found | {"unit": "images a second"}


def _rate(folder, side, most=None, ahead=True):
    """Images a second of a folder, read and decoded."""
    import numpy as np

    from mpl_tf.data import listing
    from mpl_tf.data.own_images import OwnImages

    paths = listing.find(folder, "--images").images
    images = OwnImages((paths,), np.arange(len(paths) if most is None else most, dtype=np.int32), side)
    if not ahead:
        images.__dict__["ahead"] = None
    start = time.perf_counter()
    read = sum(len(part) for part, _ in images.pieces(64))
    return round(read / (time.perf_counter() - start), 1)


def _photograph(number, side):
    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((side, side)).save(file, "JPEG")
    return file.getvalue()


@contextlib.contextmanager
def _delayed(seconds):
    """Each request to the bucket in memory takes so long."""
    from fsspec.implementations.memory import MemoryFileSystem

    plain = MemoryFileSystem.cat_file

    def delayed(self, *arguments, **named):
        time.sleep(seconds)
        return plain(self, *arguments, **named)

    MemoryFileSystem.cat_file = delayed
    try:
        yield
    finally:
        MemoryFileSystem.cat_file = plain


if __name__ == "__main__":
    sys.exit(main())
