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


class _Between:
    """What stands between a client and a server: delays, and refusals."""

    def __init__(self, app, every, seconds):
        self.app, self.every, self.seconds = app, every, seconds
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
        return self.app(environ, start_response)


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
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_):
            pass

    between = _Between(moto.DomainDispatcherApplication(moto.create_backend_app), 0, 0.0)
    server = make_server("127.0.0.1", 0, between, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = S3 | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    try:
        with given(environment):
            import fsspec

            urllib.request.urlopen(
                urllib.request.Request(f"{environment['AWS_ENDPOINT_URL']}/moto-api/reset", method="POST")
            )
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket1")
            between.every, between.seconds = every, seconds
            yield environment, between
    finally:
        server.shutdown()


@contextlib.contextmanager
def gcs():
    """An emulator of Google's storage with a bucket, gs://bucket1; yields the environment for clients."""
    pytest.importorskip("gcsfs", reason="mpl-tf[gcs] is not installed")
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed")
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket1")
    server.start()
    port = server._api._httpd.server_port if hasattr(server._api, "_httpd") else server._api.server_port
    # The emulator speaks no gRPC, by which gcsfs asks of what kind a bucket is.
    environment = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
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
