"""The program as processes of their own: signals at many moments, two writers at once, a disk that is full."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import judge

ROOT = Path(__file__).resolve().parents[2]
# How a stop ends the process: by itself, saying so, or killed; while Python starts or ends the signal does it alone.
SIGNALS = {
    "SIGTERM": ((signal.SIGTERM,), (75, -signal.SIGTERM)),
    "Ctrl-C": ((signal.SIGINT,), (130, -signal.SIGINT)),
    "Ctrl-C twice": ((signal.SIGINT, signal.SIGINT), (130, -signal.SIGINT)),
    "kill -9": ((signal.SIGKILL,), (-signal.SIGKILL,)),
}
MOMENTS = (0.3, 0.8)  # Of the time from the first file to the end.
DISKS = (0.02, 0.15, 0.35, 0.55, 0.75, 0.95)  # Of the room that the run's files take.


def command(arguments):
    """The program's command line, list of str, for any working folder."""
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import mpl_tf.main as m; "
            "sys.exit(m.main())", *arguments]  # fmt: skip


def start(method):
    """The run in `method.trial` as a process of its own, after it wrote its first file: (Popen, seconds since)."""
    shutil.rmtree(method.trial, ignore_errors=True)
    line = command([*method.program.arguments, f"--workdir={method.trial}"])
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (method.trial / "identity.json").exists() and process.poll() is None:
        time.sleep(0.01)
    return process


def signals(method):
    """Stops at many moments."""
    # How long a run takes from its first file to its end.
    seconds = None
    for name, (sent, statuses) in SIGNALS.items():
        for moment in MOMENTS:

            def stopped(sent=sent, statuses=statuses, moment=moment):
                nonlocal seconds
                seconds = seconds or _duration(method)
                return _stopped(method, sent, statuses, moment * seconds)

            yield f"{name} after {100 * moment:.0f} % of its time", stopped


def _duration(method):
    process = start(method)
    begun = time.monotonic()
    process.communicate()
    return time.monotonic() - begun


def _stopped(method, sent, statuses, delay):
    """Verdict of a run that gets signals after a delay, and then the same command."""
    process = start(method)
    time.sleep(delay)
    for one in sent:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(one)
        time.sleep(0.05)
    told = judge.Told(process.wait(), process.communicate()[1].splitlines())
    # A run that was done before the signal came is none that was stopped.
    if told.status not in (0, *statuses) or any("Traceback" in line for line in told.errors):
        return judge.Verdict(judge.UNEXPECTED, f"status {told.status}; {' | '.join(told.errors)}")
    verdict = method.goes_on()
    return judge.Verdict(verdict.outcome, f"status {told.status}; {' | '.join(told.errors)}; then: {verdict.why}")


def writers(method):
    """A second process in the folder of one that runs, and of one that was killed."""

    def second():
        first = start(method)
        told = method.program.train(method.trial)
        first.communicate()
        named = f"process {first.pid} on {socket.gethostname()}" in " ".join(told.errors)
        if told.status != 2 or not named:
            return judge.Verdict(judge.WRONG, f"the second: status {told.status}, {told.errors}")
        verdict = method.goes_on()
        return judge.Verdict(verdict.outcome, f"the second: {told.errors[-1]}; the first: {verdict.why}")

    def after_a_kill():
        first = start(method)
        first.kill()
        first.communicate()
        return method.goes_on()

    yield "a second process beside a running one", second
    yield "a second process after kill -9 of the first", after_a_kill


def disks(method):
    """File systems that become full; then there is room, and the same command."""
    room = sum(path.stat().st_blocks * 512 for path in method.place.rglob("*"))
    for share in DISKS:

        def full(share=share):
            with _mounted(method.work / "disk", int(share * room)) as disk:
                workdir = disk / "run"
                verdict = judge.judge(method.program.train(workdir), workdir, method.expected)
                if verdict.outcome != judge.REFUSED:
                    return verdict
                if "free space" not in verdict.why:
                    return judge.Verdict(judge.WRONG, f"no word of the disk's room: {verdict.why}")
                subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
                after = judge.judge(method.program.train(workdir), workdir, method.expected)
                return judge.Verdict(after.outcome, f"{verdict.why} [with more room: {after.outcome}, {after.why}]")

        yield f"a disk of {100 * share:.0f} % of what the run needs", full


@contextlib.contextmanager
def _mounted(folder, size):
    """A file system of `size` bytes in memory; only root may mount one."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield folder
    finally:
        # Lazily, as what the run has mapped of its files stays open a while.
        subprocess.run(["umount", "--lazy", folder], check=True)


def can_mount():
    """Whether this process may mount file systems; root in a container often may not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _mounted(Path(folder) / "disk", 2**16):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False
