"""Servers of buckets on the loopback device: moto's of S3, and an emulator of Google's, with what goes wrong put in."""

import contextlib
import os
import threading
import time
import urllib.request

import pytest

SECRET = "wJalrXUtnFEMI-never-to-be-told"
S3 = {
    "AWS_ACCESS_KEY_ID": "AKIDtesting",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# The emulator speaks no gRPC, by which gcsfs asks of what kind a bucket is.
GCS = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}


class _Between:
    """What stands between a client and a server: delays, and refusals.

    Attributes:
        forbidden: methods of HTTP, as PUT, that are answered by 403.
    """

    def __init__(self, app, every, seconds):
        self.app, self.every, self.seconds, self.forbidden = app, every, seconds, ()
        self.count, self.refused, self.lock = 0, 0, threading.Lock()

    def __call__(self, environ, start_response):
        time.sleep(self.seconds)
        with self.lock:
            self.count += 1
            refused = self.every and not self.count % self.every
            self.refused += bool(refused)
        if refused:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        if environ["REQUEST_METHOD"] in self.forbidden:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _answer(403, b"<Error><Code>AccessDenied</Code></Error>", environ, start_response)
        return self.app(environ, start_response)


def _answer(status, body, environ, start_response):
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else body
    start_response(f"{status} Refused", [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
    return [body]


@contextlib.contextmanager
def s3(every=0, seconds=0.0):
    """moto's S3 server with a bucket, s3://bucket1.

    Args:
        every: of so many requests one is answered by 503; 0: none.
        seconds: by which each is delayed.
    Yields:
        (environment for clients, dict; _Between).
    """
    pytest.importorskip("s3fs", reason="mpl-tf[s3] is not installed")
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    between = _Between(moto.DomainDispatcherApplication(moto.create_backend_app), 0, 0.0)
    with _served(between) as address:
        environment = S3 | {"AWS_ENDPOINT_URL": address}
        with given(environment):
            import fsspec

            urllib.request.urlopen(
                urllib.request.Request(f"{environment['AWS_ENDPOINT_URL']}/moto-api/reset", method="POST")
            )
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket1")
            between.every, between.seconds = every, seconds
            yield environment, between


@contextlib.contextmanager
def _served(app):
    """A WSGI application on a port of the loopback device; yields its address."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_):
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextlib.contextmanager
def refusing(kind, status, body):
    """A server that answers every request alike.

    Args:
        kind: s3 or gs, whose clients it is for.
        status: of HTTP; 0: there is no answer for minutes.
        body: bytes.
    """
    module = {"s3": "s3fs", "gs": "gcsfs"}[kind]
    pytest.importorskip(module, reason=f"{module} is not installed")
    pytest.importorskip("werkzeug", reason="moto[server], which brings werkzeug, is not installed")
    ended = threading.Event()

    def app(environ, start_response):
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not status:
            ended.wait(120)
        return _answer(status or 503, body, environ, start_response)

    with _served(app) as address:
        environment = S3 | {"AWS_ENDPOINT_URL": address} if kind == "s3" else GCS | {"STORAGE_EMULATOR_HOST": address}
        try:
            with given(environment):
                yield
        finally:
            ended.set()


@contextlib.contextmanager
def gcs():
    """An emulator of Google's storage with a bucket, gs://bucket1; yields the environment for clients."""
    pytest.importorskip("gcsfs", reason="mpl-tf[gcs] is not installed")
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed")
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket1")
    server.start()
    port = server._api._httpd.server_port if hasattr(server._api, "_httpd") else server._api.server_port
    environment = GCS | {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}
    try:
        with given(environment):
            yield environment
    finally:
        server.stop()


@contextlib.contextmanager
def given(environment):
    """The variables, for this process, and file systems that were made without them forgotten."""
    from mpl_tf.base.storage import paths

    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    paths._file_system.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        paths._file_system.cache_clear()
