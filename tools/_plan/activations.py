"""What waits for the backward pass, and what it works with, in each form of --remat: elements from shapes alone."""

import dataclasses

FLOAT = 4  # Bytes of a variable's element.
DOUBLED = 3  # Values that a second derivative has of each: the pass's, its gradient's and the derivative's.


@dataclasses.dataclass(frozen=True)
class Image:
    """Bytes a core for one image of a pass.

    Args:
        held: what waits from the forward to the backward pass.
        windows: of `held`, the windows that a mesh cuts out of images.
        worked: what the backward pass has beside it at its largest: values made again, gradients on their way, and what
            the compiler copies of them.
        weights: bytes of the weights as they are used, for all images together, of one network.
    """

    held: float
    windows: float
    worked: float
    weights: int


def of_image(network, cores, size, remat):
    """The `Image` of a network.

    Args:
        network: estimate.Network.
        cores: of a replica.
        size: bytes of an activation's element.
        remat: as the flag.
    """
    split = cores > 1
    used = size if split or size < FLOAT else 0  # Else they are used where they lie.
    each = size / cores
    if remat == "none":
        windows = each * network.windows if split else 0
        return Image(each * network.kept + windows, windows, each * network.flight, used * network.count)
    if remat == "layer":
        worked = max(network.flight, 2 * network.window + network.flight if split else 0)
        return Image(each * network.kept, 0, each * worked, used * network.largest)
    # A piece's values are made again whole, of a copy of its argument; then they go backwards, with the windows of
    # a layer and their gradients at a time.
    worked = max(p.first + p.kept + p.flight + (2 * p.window if split else 0) for p in network.pieces)
    held = sum(piece.first for piece in network.pieces)
    return Image(each * held, 0, each * worked, used * max(piece.count for piece in network.pieces))


def most(image, of_step, remat, accumulate):
    """Images that wait, and images that are at work, at the moment when both take most.

    Args:
        image: Image.
        of_step: estimate.Passes.
        remat, accumulate: as the flags.
    Returns:
        (waiting, working): numbers of images, not always whole.
    """
    # In parts nothing of the others waits: each is passed again before it goes backwards.
    before = of_step.held if accumulate == 1 else 0
    # Twice differentiated, a network that keeps all has all three times, one in blocks a block's.
    kept = of_step.doubled / accumulate * (0 if remat == "block" else DOUBLED)
    moments = [
        (of_step.held / accumulate, of_step.held / accumulate),
        (before + of_step.student / accumulate, of_step.student / accumulate),
        (before + kept, of_step.doubled / accumulate * (DOUBLED if remat == "block" else 1)),
    ]
    return max(moments, key=lambda moment: moment[0] * image.held + moment[1] * image.worked)
