"""The part of a W&B server that a run needs to begin online, on a port of this machine, and to go away.

What W&B 0.31 asks for was read off its requests.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY = "a" * 40


class RunServer:
    """A server to be used in a `with` block.

    Attributes:
        url: Address for WANDB_BASE_URL.
        asked: Names of the operations asked for, in order.
        runs: Ids of the runs that were begun.
    """

    def __init__(self, *, knows_key: bool = True) -> None:
        """Serve; without the key every question is refused."""
        self.asked: list[str] = []
        self.runs: list[str] = []
        self.knows_key = knows_key
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.go_away()

    def go_away(self) -> None:
        """Answer nobody any more."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; what is not known gets an empty answer."""
        found = re.search(r"(?:query|mutation) (\w+)", request.get("query", ""))
        name, asked = found.group(1) if found else path, request.get("variables") or {}
        self.asked.append(name)
        if name == "Viewer":
            user = {"id": "u", "username": "someone", "entity": "someone", "email": "a@example.org"}
            return {"data": {"viewer": {**user, "flags": "{}", "teams": {"edges": []}}}}
        if name == "UpsertBucket":
            self.runs.append(asked["name"])
            project = {"id": "p", "name": asked["project"], "entity": {"id": "e", "name": "someone"}}
            bucket = {"id": "b", "name": asked["name"], "displayName": "n", "project": project}
            rest = {"description": None, "config": None, "sweepName": None, "historyLineCount": 0}
            return {"data": {"upsertBucket": {"bucket": bucket | rest, "inserted": True}}}
        if name == "CreateRunFiles":
            files = [{"name": one, "uploadUrl": f"{self.url}/storage/{one}"} for one in asked["files"]]
            created = {"runID": asked["run"], "uploadHeaders": [], "files": files}
            return {"data": {"createRunFiles": created}}
        if name == "ServerFeaturesQuery":
            return {"data": {"serverInfo": {"features": []}}}
        return {"data": {}}


def _handler(server: RunServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_json = "json" in self.headers.get("Content-Type", "")
            request = json.loads(body) if is_json and body else {}
            if not server.knows_key:
                self._send(401, {"errors": [{"message": "invalid api key"}]})
                return
            self._send(200, server.answer(self.path, request if isinstance(request, dict) else {}))

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._send(200, {})

        def do_GET(self) -> None:
            self.send_error(404)

        def _send(self, status: int, content: dict[str, Any]) -> None:
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Keep quiet."""

    return Handler
