"""A web server on this machine that sends parts of files, and remembers what it was asked for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@dataclass
class RangeServer:
    """What a running server is and what it did."""

    folder: Path
    address: str = ""
    status: int = 200
    """The answer to everything where it is not 200."""
    body: bytes = b""
    """What comes with such an answer."""
    asked: list[str] = field(default_factory=list)
    """The path of each request."""
    sent: int = 0
    """Bytes of files."""


@contextmanager
def serve(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder at 127.0.0.1 until the end of the context."""
    state = RangeServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.asked.append(self.path)
            file = state.folder / self.path.lstrip("/").partition("?")[0]
            if state.status != 200:
                self._answer(state.status, state.body, {})
            elif not file.is_file():
                self._answer(404, b"", {})
            else:
                content = file.read_bytes()
                wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                start, stop = 0, len(content)
                if wanted:
                    start, stop = int(wanted[1]), min(int(wanted[2] or stop) + 1, stop)
                part = content[start:stop]
                headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"} if wanted else {}
                self._answer(206 if wanted else 200, part, {"Accept-Ranges": "bytes", **headers})
                state.sent += len(part) if self.command == "GET" else 0

        do_HEAD = do_GET

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
