"""A real server of the S3 protocol on loopback: moto's, with what goes wrong between it and its clients.

Law of the file: faults lie before and behind the server, never in what it stores; stopped and started again it has the same
objects on the same port.
"""

import logging
import re
import socket
import threading

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

BUCKET = "runs"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIA5ECRETKEY",
    "AWS_SECRET_ACCESS_KEY": "5ecret/5ecret+5ecret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_REFUSED = f"<Error><Code>InvalidAccessKeyId</Code><Message>No {KEYS}.</Message></Error>".encode()


class S3:
    """Use it as `with`: `url` is where it listens; the bucket `runs` is there."""

    def __init__(self):
        self.seen = []
        """Of every request: the method and the path."""
        self.sent = []
        """Of every answer: the path and the bytes of its body."""
        self.faults = []
        """Triples (method, pattern of the path, fault), each for one request, the first that fits."""
        self.down = False
        """Whether every request is answered by 503."""
        self.conditional = True
        """Whether `If-None-Match` is heeded."""
        # A line for every request hides what a failing test says.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._app = DomainDispatcherApplication(create_backend_app)
        # moto looks and writes without a lock; storage that promises conditional writes does not.
        self._one_at_a_time = threading.Lock()
        self._port = 0

    def __enter__(self):
        self.start()
        self._port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self._port}"
        boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        ).create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._server = make_server(
            "127.0.0.1", self._port, self, threaded=True, request_handler=MotoRequestHandler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._running = True

    def stop(self):
        """Nobody answers at the port any more."""
        self._running = False
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self):
        self.seen.clear()
        self.sent.clear()
        self.faults.clear()
        self.down, self.conditional = False, True

    def __call__(self, environ, start):
        if not self._running:  # a connection from before
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.seen.append((method, path))
        fault = next((one for one in self.faults if one[0] == method and re.search(one[1], path)), None)
        if fault:
            self.faults.remove(fault)
        if self.down or (fault and fault[2] == "503"):
            start("503 Service Unavailable", [("Content-Length", str(len(_SLOW_DOWN)))])
            return [_SLOW_DOWN]
        if not self.conditional:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        with self._one_at_a_time:
            said = []
            body = b"".join(self._app(environ, lambda *line: said.extend(line[:2])))
        status, headers = said
        if fault and fault[2] == "lost answer":
            status, body = "500 Internal Server Error", b"<Error><Code>InternalError</Code></Error>"
        if fault and fault[2] == "half":
            body = body[: len(body) // 2]
        if fault and fault[2] == "refused":
            status, body = "403 Forbidden", _REFUSED
        self.sent.append((path, len(body)))
        kept = [
            (name, value)
            for name, value in headers
            if not name.lower().startswith(("content-len", "x-amz-ch"))
        ]
        start(status, [*kept, ("Content-Length", str(len(body)))])
        return [] if method == "HEAD" else [body]
