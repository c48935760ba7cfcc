# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests' own servers have in common: a free port, threads, TLS, and no fear of connections that break."""

from __future__ import annotations

import socketserver
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

if __package__:
    from .serving import HOST
else:
    from serving import HOST


class Listener(socketserver.ThreadingTCPServer):
    """Listens at a free port, with TLS where there is a C(context). C(owner) is what its handlers work for."""

    daemon_threads = True
    allow_reuse_address = True
    # Many parts may come in at once.
    request_queue_size = 64
    # Seconds that a client with TLS may be silent.
    patience = 60.0

    def __init__(
        self, owner: Any, handler: type[socketserver.BaseRequestHandler], context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__((HOST, 0), handler)
        self.owner = owner
        self.port: int = self.server_address[1]
        self._context = context

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Here, not when it is accepted: a client that is slow to greet would keep all others waiting.
        if self._context is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(self.patience)
        with self._context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A test breaks connections on purpose. A stream that was closed by its own handler raises a ValueError.
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handle_error(request, client_address)


class HttpHandler(BaseHTTPRequestHandler):
    """Hands the requests of one connection, of whatever method, to C(serve)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def handle_expect_100(self) -> bool:
        return True  # said only when the body is wanted

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def serve(self) -> None:
        """Answer a request."""
        raise NotImplementedError
