"""Buckets that cannot be reached, read or written: one line within seconds, and what is worth asking again is asked.

Against real clients of S3 and of Google's storage, and servers on the loopback device.
"""

import errno
import json
import time

import pytest

from mpl_tf import main
from mpl_tf.base import files, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage import faults, mirror, paths
from tests.base.storage import servers

DENIED = "caller does not have storage.objects.get access to the Google Cloud Storage object"


def google(code, message):
    """The body of a refusal of Google's."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def amazon(word):
    """The body of a refusal of S3's."""
    return f"<Error><Code>{word}</Code><Message>of {servers.S3['AWS_ACCESS_KEY_ID']}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("kind", "status", "body", "told"),
    [
        ("gs", 403, google(403, f"me {DENIED}"), "no right to it; give this machine's account that right, or log in"),
        ("gs", 401, google(401, f"Anonymous {DENIED}"), "no right to it; give this"),
        ("gs", 400, google(400, "Invalid bucket name"), "Invalid bucket name, 400"),
        ("gs", 404, google(404, "The specified bucket does not exist."), "make the bucket first"),
        ("s3", 403, amazon("SignatureDoesNotMatch"), "no right to it"),
        ("s3", 404, amazon("NoSuchBucket"), "make the bucket first"),
        ("s3", 400, amazon("InvalidToken"), "Bad Request"),
    ],
)
def test_a_refusal_ends_the_program_within_seconds_with_status_2(kind, status, body, told, capfd, monkeypatch):
    with servers.refusing(kind, status, body):
        began = time.monotonic()
        assert main.main(["--dataset=digits_50", f"--workdir={kind}://bucket1/run"]) == 2
        assert time.monotonic() - began < 20
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("mpl_tf: error: --workdir: ") and told in line
    assert servers.SECRET not in line and servers.S3["AWS_ACCESS_KEY_ID"] not in line


@pytest.mark.parametrize("kind", ["s3", "gs"])
@pytest.mark.parametrize("status", [0, 503])
def test_a_server_that_does_not_answer_is_left_after_a_while(kind, status, monkeypatch):
    monkeypatch.setattr(paths, "REACHED", 1.0)
    with servers.refusing(kind, status, b""):
        began = time.monotonic()
        with pytest.raises(UsageError, match=f"--workdir: {kind}://bucket1/run: .*no answer within 1 s"):
            storage.check(f"{kind}://bucket1/run", "workdir")
        assert time.monotonic() - began < 10


def test_the_word_of_a_wrong_key_is_told_and_a_place_that_may_be_read_alone_is_refused_before_the_work(tmp_path):
    with servers.s3() as (_, between):
        files.write_text("s3://bucket1/run/config.json", "{}")
        between.forbidden = ("PUT", "DELETE")
        refused = r"--workdir: expected to write s3://bucket1/run/.lock, got: no right to it \(AccessDenied\)"
        with pytest.raises(UsageError, match=refused), mirror.worked_in("s3://bucket1/run", "workdir"):
            raise AssertionError
        between.forbidden = ("GET",)
        with pytest.raises(PermissionError, match=r"no right to it \(AccessDenied\)"):
            storage.read_bytes("s3://bucket1/run/config.json")


def test_a_line_repeats_no_credential(monkeypatch):
    for name, value in servers.S3.items():
        monkeypatch.setenv(name, value)
    said = f"got {servers.SECRET} of {servers.S3['AWS_ACCESS_KEY_ID']} at https://x/y?X-Amz-Signature=abcd&z by GET"
    with pytest.raises(OSError) as raised, faults.told("s3://b/x"):
        raise RuntimeError(said)
    assert raised.value.strerror == "RuntimeError: got ... of ... at https://x/y?... by GET"


class RefreshError(Exception):
    """As google.auth's."""

    retryable = False


RefreshError.__module__ = "google.auth.exceptions"


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.EINVAL, "The provided token is malformed"), errno.EINVAL),
        (OSError(errno.EBUSY, "Reduce your request rate"), errno.EIO),
        (OSError(errno.ENOSPC, "No space left on device"), errno.EINVAL),
        (OSError("Forbidden: https://x\nno"), errno.EACCES),
        (ValueError("Bad Request: https://x\nno"), errno.EINVAL),
        (RefreshError("invalid_grant"), errno.EACCES),
        (TimeoutError("no answer"), errno.EIO),
        (ConnectionResetError(errno.ECONNRESET, "reset"), errno.EIO),
    ],
)
def test_the_number_says_whether_to_ask_again(error, number):
    with pytest.raises(OSError) as raised, faults.told("s3://b/x"):
        raise error
    assert raised.value.errno == number and "\n" not in raised.value.strerror


def test_what_is_refused_for_good_is_not_asked_again_and_what_is_busy_for_two_minutes(monkeypatch):
    now, asked = [0.0], []
    monkeypatch.setattr(faults.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(faults.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def refuse(number, seconds=0.0):
        asked.append(number)
        now[0] += seconds
        raise OSError(number, "refused")

    for number in (errno.EINVAL, errno.EACCES, errno.ENOENT):
        with pytest.raises(OSError):
            faults.persist(lambda number=number: refuse(number))
    assert len(asked) == 3 and now == [0.0]
    with pytest.raises(OSError):
        faults.persist(lambda: refuse(errno.EIO))
    assert 60 < now[0] <= 120
    # A file that takes long is asked for three times, however long.
    asked.clear()
    with pytest.raises(OSError):
        faults.persist(lambda: refuse(errno.EIO, 200.0))
    assert len(asked) == 3
