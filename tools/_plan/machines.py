"""Cards and TPU types: memory and peak rate of what a run's replica, or a core of its mesh, has to itself.

Google Cloud, "TPU v3", "TPU v4", "TPU v5e", "TPU v5p" and "TPU v6e" (cloud.google.com/tpu/docs): memory and bfloat16
peak of a chip; a chip of v3 is two cores of half of each, those of v4 and v5p work as one. NVIDIA, data sheets of A100
and H100 (SXM), as others quote them: dense bfloat16 peak of the tensor cores, without sparsity. Memory of these cards:
what nvidia-smi shows (40,960, 81,920 and 81,559 MiB).
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Machine:
    """A device.

    Args:
        memory: GiB.
        peak: operations of bfloat16 products, 1/s.
    """

    memory: float
    peak: float


ALL = "all"  # In place of a name: each.
MACHINES = {
    "v3": Machine(16, 6.15e13),
    "v4": Machine(32, 2.75e14),
    "v5e": Machine(16, 1.97e14),
    "v5p": Machine(95, 4.59e14),
    "v6e": Machine(32, 9.18e14),
    "a100": Machine(40, 3.12e14),
    "a100_80": Machine(80, 3.12e14),
    "h100": Machine(79.6, 9.89e14),
}
