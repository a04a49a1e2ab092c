"""What waits for the backward pass, and what it works with, in each form of --remat: elements from shapes alone."""

import dataclasses
import itertools
import math

FLOAT = 4  # Bytes of a variable's element.
DOUBLED = 3  # Values that a second derivative has of each: the pass's, its gradient's and the derivative's.


@dataclasses.dataclass(frozen=True)
class Image:
    """Bytes a core for one image of a pass.

    Args:
        held: what waits from the forward to the backward pass.
        windows: of `held`, the windows that a mesh cuts out of images.
        worked: what the backward pass has at its largest beyond `held`: values made again, gradients on their way, and
            what the compiler copies of them. What waited for later layers has gone by then.
        alone: what a network, or a piece of it that is made again, has at its largest by itself.
        weights: bytes of the weights as they are used, for all images together, of one network.
    """

    held: float
    windows: float
    worked: float
    alone: float
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
        held, alone = each * network.kept + windows, each * (network.most.kept if split else network.most.whole)
        return Image(held, windows, alone - held, alone, used * network.count)
    if remat == "layer":
        held, alone = each * network.kept, each * (network.most.made if split else network.most.whole)
        return Image(held, 0, alone - held, alone, used * network.largest)
    # A piece's values are made again whole when all after it are done with: then the arguments of those before wait.
    before = list(itertools.accumulate(piece.first for piece in network.pieces))
    alone = [piece.most.made if split else piece.most.whole for piece in network.pieces]
    most_in_all = max(waiting + own for waiting, own in zip(before, alone, strict=True))
    weights = math.ceil((used + FLOAT / cores) * max(piece.count for piece in network.pieces))  # As a sum with 0, too.
    return Image(each * before[-1], 0, each * (most_in_all - before[-1]), each * max(alone), weights)


def most(image, of_step, remat, accumulate):
    """Images that wait, and bytes beside what they hold, at the moment when both take most.

    Args:
        image: Image.
        of_step: estimate.Passes.
        remat, accumulate: as the flags.
    Returns:
        (waiting, beside): a number of images, not always whole; bytes a core.
    """
    # In parts nothing of the others waits: each is passed again before it goes backwards.
    before = of_step.held if accumulate == 1 else 0
    last, student, doubled = (count / accumulate for count in (of_step.held, of_step.student, of_step.doubled))
    # Twice differentiated, a network that keeps all has all three times, one in blocks a block's.
    if remat == "block":
        twice = (before, DOUBLED * doubled * image.alone)
    else:
        twice = (before + DOUBLED * doubled, doubled * image.worked)
    moments = [(last, last * image.worked), (before + student, student * image.worked), twice]
    return max(moments, key=lambda moment: moment[0] * image.held + moment[1])
