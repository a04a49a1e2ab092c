"""Figures of the yardstick, run as a program: PyTorch and TensorFlow do not get along in one process.

Prints JSON: shapes of the network's weights and the number of its statistics; mean losses, UDA's and the cross entropy,
of the logits in the .npz file that is named; what one step gave and moved; the layout of the fastest form.
"""

import copy
import json
import sys

import numpy as np
import torch

from mpl_tf.settings import flags
from tools._benchmark import yardstick


def main(path):
    """Print the figures; `path` is of an .npz file of weak, strong, float32 [B, 10], and y, int [B]."""
    torch.set_num_threads(1)  # Threads that wait for each other on a busy machine take minutes for a step.
    config = flags.parse(["--dataset=cifar10_4k", "--labeled_batch=2", "--mu=2", "--dropout=0", "--uda_threshold=0.3"])
    network = yardstick.WideResNet(dropout=0.2)
    step = yardstick.Step(config, "float32")
    given = {name: torch.tensor(values) for name, values in np.load(path).items()}
    found = {
        "shapes": sorted(sorted(weight.shape) for weight in network.parameters()),
        "statistics": sum(one.numel() for name, one in network.named_buffers() if "running" in name),
        "uda": float(step._uda(given["weak"], given["strong"])),
        "cross_entropy": float(step._cross_entropy(given["strong"], given["y"])),
    }
    fastest = yardstick.Step(config, "channels_last_bfloat16")
    parts = (fastest.student.stem.weight, fastest.teacher.stem.weight, fastest.x_w, fastest.x_s)
    layouts = [part.is_contiguous(memory_format=torch.channels_last) for part in parts]
    print(json.dumps(found | moved(step) | {"layouts": layouts}))


def moved(step):
    """What two steps do: the feedback beside the fall of the labeled loss, what stays, the average's error."""
    before = copy.deepcopy(step)
    h, fall = step()["h"], float(copy.deepcopy(before)._labeled_loss()) - float(step._labeled_loss())
    pairs = zip([*before.teacher.parameters(), *before.student.parameters()], _weights(step), strict=True)
    unmoved = sum(bool((a == b).all()) for a, b in pairs)
    former, decay = [one.clone() for one in step.average.module.parameters()], step.config.ema_decay
    step()  # The first call of the average copies the weights, the second averages.
    expected = [decay * a + (1 - decay) * b for a, b in zip(former, step.student.parameters(), strict=True)]
    error = max(float((a - b).abs().max()) for a, b in zip(expected, step.average.module.parameters(), strict=True))
    return {"h": h, "fall": fall, "unmoved": unmoved, "average_error": error}


def _weights(step):
    return [*step.teacher.parameters(), *step.student.parameters()]


if __name__ == "__main__":
    main(sys.argv[1])
