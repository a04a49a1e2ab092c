"""What is told of NVIDIA devices: on a machine without one, from TensorFlow's own words and devices that are played."""

import subprocess
import types

import pytest

from mpl_tf.base import gpu, quiet

# TensorFlow 2.21's own lines, shortened. The last but one is what the silenced start of a program used to lose.
NO_DRIVER = """\
I0000 00:00:17.5 32 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
I0000 00:00:17.5 32 dso_loader.cc:144] Could not load dynamic library 'libcuda.so.1'; dlerror: no file
E0000 00:00:17.5 32 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: UNKNOWN ERROR (303)
"""
NO_LIBRARIES = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:17.5 32 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
I0000 00:00:17.5 32 dso_loader.cc:144] Could not load dynamic library 'libcudnn.so.9'; dlerror: no file
I0000 00:00:17.5 32 dso_loader.cc:144] Could not load dynamic library 'libcudnn.so.9'; dlerror: no file
I0000 00:00:17.5 32 dso_loader.cc:144] Could not load dynamic library 'libcufft.so.11'; dlerror: no file
W0000 00:00:17.5 32 gpu_device.cc:2365] Cannot dlopen some GPU libraries. Please make sure the missing ones are there.
Skipping registering GPU devices...
"""
BUILT = ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (NO_DRIVER, "failed call to cuInit: INTERNAL: CUDA error: UNKNOWN ERROR (303) (libcuda.so.1)"),
        (NO_LIBRARIES, "Cannot dlopen some GPU libraries (libcudnn.so.9, libcufft.so.11)"),
        ("", "it does not say why"),
    ],
)
def test_the_reason_is_tensorflows_own_with_the_libraries_that_it_misses(log, expected):
    assert gpu.reason(log) == expected


@pytest.mark.slow
def test_tensorflow_says_so_in_these_words():
    gpu.why.cache_clear()
    assert gpu.why().startswith("failed call to cuInit: ") and gpu.why().endswith("(libcuda.so.1)")


def test_a_tensorflow_that_does_not_start_in_time_is_told(monkeypatch):
    def late(*_, timeout, **__):
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(gpu.subprocess, "run", late)
    gpu.why.cache_clear()
    assert gpu.why() == "it does not say why (TimeoutExpired)"
    gpu.why.cache_clear()


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((6, 1), True),
        ((7, 5), True),
        ((8, 6), True),
        ((9, 0), True),
        ((10, 0), False),
        ((12, 0), False),
        ((5, 2), False),
    ],
)
def test_which_cards_wait_for_the_driver_to_compile(capability, expected):
    assert gpu.has_kernels(capability, BUILT) is expected
    assert gpu.has_kernels(capability, [])  # A build that does not say.


def played(*capabilities):
    """A tensorflow that finds GPUs of these compute capabilities."""
    details = {number: {"device_name": "Card", "compute_capability": c} for number, c in enumerate(capabilities)}
    return types.SimpleNamespace(
        config=types.SimpleNamespace(
            list_physical_devices=lambda kind: list(details),
            experimental=types.SimpleNamespace(get_device_details=details.get),
        ),
        sysconfig=types.SimpleNamespace(get_build_info=lambda: {"cuda_compute_capabilities": BUILT}),
    )


def told(tensorflow, capsys):
    gpu.tell(tensorflow)
    return capsys.readouterr().err.splitlines()


def test_what_is_told_of_a_device(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "why", lambda: "Cannot dlopen some GPU libraries (libcudnn.so.9)")
    monkeypatch.setattr(gpu, "DEVICES", (f"{tmp_path}/nvidia[0-9]*",))
    assert not gpu.present() and told(played(), capsys) == []

    (tmp_path / "nvidia0").touch()
    (line,) = told(played(), capsys)
    assert line == (
        "mpl_tf: an NVIDIA device is here and TensorFlow does not use it: Cannot dlopen some GPU libraries "
        f"(libcudnn.so.9); {gpu.INSTALL}"
    )
    assert told(played((8, 0), (9, 0)), capsys) == []
    (line,) = told(played((12, 0), (12, 0), (8, 0)), capsys)
    assert line.startswith("mpl_tf: Card (compute capability 12.0): this TensorFlow has machine code for sm_60, ")
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert told(played(), capsys) == []


def test_memory_is_taken_as_it_is_asked_for_unless_a_person_says_otherwise(monkeypatch):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    quiet.grow()
    assert gpu.os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    quiet.grow()
    assert gpu.os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"
