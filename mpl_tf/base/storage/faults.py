"""What goes wrong at a server: by whatever exception of its library, an OSError of one line, whose number says more.

ENOENT: nothing is there. EACCES: no right, no credentials, or wrong ones. EINVAL: it is refused for good. EIO: it may
go well the next time: a busy server, a lost connection. No line repeats a credential.
"""

import contextlib
import errno
import itertools
import os
import re
import time

from mpl_tf.base.errors import reason

ACCOUNT = "give this machine's account that right, or log in (gcloud auth application-default login, aws configure)"
# What will be refused again: S3's refusals by the numbers that s3fs gives them, and those of this machine's own disk.
FINAL = {
    *("EINVAL", "ENOSYS", "EREMCHG", "ENAMETOOLONG", "EMSGSIZE", "ENOTEMPTY"),
    *("ENOSPC", "EDQUOT", "EFBIG", "EROFS"),
}
PATIENCE, TRIES = 120.0, 3  # Seconds, and so often at least: what a server refuses so long it refuses for good.
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
AGAIN = {408, 429}  # Of the answers 400 to 499.


@contextlib.contextmanager
def told(given):
    """Raise what a library raises inside as such an OSError, which names `given`; FileExistsError stays."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such object, or no such bucket", str(given)) from error
    except FileExistsError:
        raise
    except Exception as error:  # Of s3fs, gcsfs, aiohttp, botocore, google.auth, ...: their classes have no common one.
        kind = _kind(error)
        said = _harmless(reason(error))
        text = f"{type(error).__name__}: {said}"
        if kind == errno.EACCES:
            text = f"no right to it{_code(error)}; {ACCOUNT}"
        if _credentials(error):
            kind, text = errno.EACCES, f"no credentials for it ({said}); {ACCOUNT}"
        raise OSError(kind, text, str(given)) from error


def _kind(error):
    """EACCES, EINVAL or EIO."""
    status = _status(error)
    if isinstance(error, PermissionError) or status in (401, 403) or str(error).startswith("Forbidden: "):
        return errno.EACCES
    refused = errno.errorcode.get(getattr(error, "errno", None)) in FINAL or str(error).startswith("Bad Request: ")
    return errno.EINVAL if refused or status in set(range(400, 500)) - AGAIN else errno.EIO


def _harmless(text):
    """A text without this process's credentials, and without the queries of URLs, in which they may stand."""
    for name in SECRETS:
        if os.environ.get(name):
            text = text.replace(os.environ[name], "...")
    return re.sub(r"(://[^\s?]*\?)[^\s'\"]*", r"\1...", text)


def _status(error):
    """HTTP's number of an answer, as gcsfs and aiohttp have it; 0 where there is none."""
    found = getattr(error, "status", None) or getattr(error, "code", None)
    return int(found) if re.fullmatch("[0-9]{3}", str(found)) else 0


def _credentials(error):
    """Whether there are none, or they are no credentials; those that a server does not know are a matter of rights."""
    google = type(error).__module__.startswith("google.auth") and type(error).__name__ != "TransportError"
    google = google and not getattr(error, "retryable", False)  # Who hands them out may be busy.
    return not _status(error) and ("redential" in str(error) or google)


def _code(error):
    """S3's word for a refusal in brackets, as " (InvalidAccessKeyId)"; empty where there is none."""
    answer = getattr(error.__cause__, "response", None)
    word = answer.get("Error", {}).get("Code", "") if isinstance(answer, dict) else ""
    return f" ({word})" if re.fullmatch("[A-Za-z]+", str(word)) else ""


def persist(work):
    """Do what a server may refuse for a while; what it refuses for good is raised at once.

    Args:
        work: function without arguments, what fails in which is `told`.
    """
    since, wait = None, 1.0
    for tried in itertools.count(1):
        try:
            work()
            return
        except OSError as error:
            since = since or time.monotonic()  # The first refusal: a large file may take long before it.
            if error.errno != errno.EIO or (tried >= TRIES and time.monotonic() + wait > since + PATIENCE):
                raise
            time.sleep(wait)
            wait *= 2
