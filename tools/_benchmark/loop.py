"""What surrounds the compiled step in fit(): the Python loop, and the wait for input."""

import tempfile
import time
from pathlib import Path


def loop(method, batches, per_call, calls):
    """A run of fit(), timed inside and outside of its compiled calls, then the same under TensorFlow's profiler.

    Args:
        method: compiled Method.
        batches: tf.data.Dataset of its batches, without end.
        per_call: steps that one compiled call holds, the method's steps_per_execution.
        calls: compiled calls timed.
    Returns:
        dict: seconds_per_step, python_loop_share (of the time between the first call's start and the last one's end,
        what lies outside the calls), input_wait_share (of fit()'s time under the profiler, what its steps spend taking
        their batches; other threads prepare them meanwhile).
    """
    import tensorflow as tf

    method.fit(batches, epochs=1, steps_per_epoch=2 * per_call, verbose=0)  # Traces and compiles.
    compiled, spans = method.train_function, []

    def timed(iterator):
        start = time.perf_counter()
        logs = compiled(iterator)
        tf.nest.map_structure(lambda value: value.numpy(), logs)  # Waits for the step.
        spans.append((start, time.perf_counter()))
        return logs

    # Once timed by this clock, once without it under the profiler, which slows each call down.
    method.train_function = timed
    method.fit(batches, epochs=1, steps_per_epoch=calls * per_call, verbose=0)
    whole, inside = spans[-1][1] - spans[0][0], sum(end - start for start, end in spans)
    method.train_function = compiled
    wait = _input_wait(profile(lambda: method.fit(batches, epochs=1, steps_per_epoch=calls * per_call, verbose=0)))
    return {
        "seconds_per_step": whole / (calls * per_call),
        "python_loop_share": 1 - inside / whole,
        "input_wait_share": wait / whole,
    }


def profile(run):
    """TensorFlow's own trace of a run."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        for path in Path(folder).rglob("*.xplane.pb"):
            space.MergeFromString(path.read_bytes())
    return space


def _input_wait(space):
    """Seconds that a trace spends where the step takes its batch: found ready by the prefetch, or waited for."""
    return sum(
        event.duration_ps / 1e12
        for plane in space.planes
        for line in plane.lines
        for event in line.events
        if plane.event_metadata[event.metadata_id].name.startswith(
            ("IteratorGetNextOp::", "IteratorGetNextAsOptionalOp::")
        )
    )
