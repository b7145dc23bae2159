"""A server on 127.0.0.1 that answers every request with the bytes it is given, HTTP or not, as long as they are read.

Law of the file: it knows no protocol and never fails; a client that hangs up ends the answer.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Self

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
"""It serves one request a connection."""


class Wire:
    """Use it as `with`: `url` is where it listens.

    Args:
        answer: makes the pieces of one answer, from the request's first bytes.
    """

    def __init__(self, answer: Callable[[bytes], Iterable[bytes]]) -> None:
        self.asked: list[bytes] = []
        """The first bytes of every request."""
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._start(self._serve, self._socket.accept()[0])

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(0.2)  # so that it notices when the test is over
            request = b""
            while not self._closed.is_set() and not request:
                with contextlib.suppress(TimeoutError):
                    request = connection.recv(65536)
            self.asked.append(request)
            for piece in self._answer(request):
                view = memoryview(piece)
                while view:
                    if self._closed.is_set():
                        return
                    with contextlib.suppress(TimeoutError):
                        view = view[connection.send(view) :]
