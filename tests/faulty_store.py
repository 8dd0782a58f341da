"""A way to a store that can be broken: it passes requests on, or hangs, or answers errors."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

Fault = Literal["", "hangs", "answers 500"]

_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(eq=False)
class FaultyStore:
    """A server on loopback before the real one.

    Attributes
    ----------
    endpoint : str
        Its address; signatures of requests stay valid, because their bytes pass unchanged.
    fault : str
        What it does to requests from now on; empty if they pass.
    after_puts : int or None
        Number of PUT requests after which `later` becomes the fault.
    delay : float
        Seconds for which a request is held back.
    requests : int
        Requests that came while there was a fault.
    """

    endpoint: str
    fault: Fault = ""
    after_puts: int | None = None
    later: Fault = "answers 500"
    delay: float = 0.0
    requests: int = 0

    def _see(self, data: bytes) -> Fault:
        if self.after_puts is not None and data.startswith(b"PUT "):
            if self.after_puts == 0:
                self.fault = self.later
            else:
                self.after_puts -= 1
        self.requests += bool(self.fault)
        return self.fault


@contextmanager
def faulty_store(target: str) -> Iterator[FaultyStore]:
    """Listen on a free port of loopback, before the server at ``http://host:port``."""
    host, _, port = target.removeprefix("http://").partition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = FaultyStore(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        def serve(client: socket.socket) -> None:
            with suppress(OSError), client, socket.create_connection((host, int(port))) as server:
                threading.Thread(target=copy, args=(server, client), daemon=True).start()
                while data := client.recv(1 << 16):
                    fault = store._see(data)
                    time.sleep(store.delay)
                    if fault == "answers 500":
                        client.sendall(_ERROR)
                        return
                    if not fault:
                        server.sendall(data)

        def copy(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(1 << 16):
                    target.sendall(data)

        threading.Thread(target=accept, daemon=True).start()
        yield store
