"""NVIDIA devices of this machine: whether TensorFlow can use them, why not, and whether their first run takes long.

TensorFlow (2.21) trains on the CPU where a CUDA library is missing, and says so on stderr alone, among its other notes,
which quiet.py holds back.
"""

import functools
import glob
import os
import re
import subprocess
import sys

from mpl_tf.base import console

DEVICES = ("/dev/nvidia[0-9]*", "/proc/driver/nvidia/gpus/*", "/dev/dxg")  # The last: Windows' subsystem for Linux.
INSTALL = "pip install -e '.[gpu]' brings the CUDA libraries of TensorFlow's build, the driver is the system's own"
# What TensorFlow says of GPUs that it does not take, the reason that tells most first.
REASONS = ("cannot dlopen", "failed call to cuinit", "skipping", "ignoring visible gpu", "could not find cuda", "cuda")
LIBRARY = "Could not load dynamic library '"
SECONDS = 120  # For TensorFlow to start, on a slow disk too.


def present():
    """Whether this machine shows an NVIDIA device that is not hidden from CUDA by CUDA_VISIBLE_DEVICES."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return not hidden and any(glob.glob(pattern) for pattern in DEVICES)


def tell(tf):
    """Say, in a line each, that an NVIDIA device is not used, or that its first step takes long.

    Args:
        tf: the imported module tensorflow; its devices need not have started.
    """
    if not present():
        return
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        console.tell(f"an NVIDIA device is here and TensorFlow does not use it: {why()}; {INSTALL}")
        return
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    built = tf.sysconfig.get_build_info().get("cuda_compute_capabilities", [])
    for name, (major, minor) in sorted({_card(card) for card in details if card.get("compute_capability")}):
        if not has_kernels((major, minor), built):
            console.tell(
                f"{name} (compute capability {major}.{minor}): this TensorFlow has machine code for "
                f"{', '.join(built)}; the driver compiles its own at the first steps, once, for half an hour or longer "
                "by TensorFlow's words; it is kept in ~/.nv (CUDA_CACHE_PATH), where CUDA_CACHE_MAXSIZE=4294967296 "
                "makes room"
            )


def has_kernels(capability, built):
    """Whether TensorFlow has machine code for a card, or else the driver compiles its PTX.

    Args:
        capability: of the card, (major, minor), int.
        built: those that TensorFlow was built for, as its build info has them: "sm_80" is machine code, which also
            runs on later minors of the same major, "compute_90" is PTX and machine code of 9.0 (both in 2.20 and 2.21).
    """
    # As TensorFlow's own check has it (gpu_device.cc): the same major, and a minor that is not later.
    have = [divmod(int(number), 10) for number in re.findall(r"(?:sm|compute)_(\d+)", " ".join(built))]
    return not have or any(major == capability[0] and minor <= capability[1] for major, minor in have)


@functools.cache
def why():
    """TensorFlow's own reason for taking no GPU, with the libraries that it missed: str, a line.

    It is asked in a process of its own, as it says so once, while it starts.
    """
    # Of libraries that it misses TensorFlow 2.21 tells the names to those who ask for them alone.
    asked = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"}
    command = [sys.executable, "-c", "import tensorflow as tf; tf.config.list_physical_devices('GPU')"]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=SECONDS, env=os.environ | asked
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not say why ({type(error).__name__})"
    return reason(done.stderr)


def reason(log):
    """The reason in what TensorFlow wrote while it started.

    Args:
        log: its stderr, with dso_loader's notes.
    """
    notes = [line.partition("] ")[2].strip() for line in log.splitlines() if re.match(r"[IWEF\d]\S* .*\] ", line)]
    told = [note for start in REASONS for note in notes if start in note.lower() and not note.startswith(LIBRARY)]
    # The advice after its first sentence is what this program says in its own words.
    first = told[0].split(". Please")[0].rstrip(".") if told else "it does not say why"
    missed = dict.fromkeys(note.removeprefix(LIBRARY).partition("'")[0] for note in notes if note.startswith(LIBRARY))
    return f"{first} ({', '.join(missed)})" if missed else first


def _card(details):
    return details.get("device_name", "The GPU"), tuple(details["compute_capability"])
