"""The part of a W&B server that `wandb sweep` and `wandb agent` talk to, on a port of this machine.

W&B's programs run as they are. The server keeps the sweep that `wandb sweep` creates, gives the agent the
options of a few runs, one after the other, and tells it to exit. What W&B 0.31 asks for was read off its
requests.
"""

import json
import math
import random
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import yaml

ENTITY = "someone"

type Arguments = dict[str, Any]


def draw(parameters: Mapping[str, Mapping[str, Any]], rng: random.Random) -> Arguments:
    """Draw one value of each parameter of a sweep, of the type that W&B's search gives it.

    See https://docs.wandb.ai/models/sweeps/sweep-config-keys for the distributions. A quantized one gives
    whole numbers where q is one.

    Raises:
        AssertionError: A distribution that no shipped sweep has used so far.
    """
    return {name: _draw(parameter, rng) for name, parameter in parameters.items()}


def _draw(parameter: Mapping[str, Any], rng: random.Random) -> Any:
    if "values" in parameter:
        return rng.choice(parameter["values"])
    kind = parameter.get("distribution")
    if kind == "log_uniform_values":
        return math.exp(rng.uniform(math.log(parameter["min"]), math.log(parameter["max"])))
    if kind == "q_uniform":
        return round(rng.uniform(parameter["min"], parameter["max"]) / parameter["q"]) * parameter["q"]
    raise AssertionError(f"draw does not know {dict(parameter)}: teach it")


class SweepServer:
    """A server for one sweep, to be used in a `with` block.

    Attributes:
        url: Address for WANDB_BASE_URL.
        sweep: The configuration of the sweep as it was uploaded, None before.
        runs: The options given to each run, by id of the run.
        asked: Names of the operations asked for, in order.
        refused: What was asked for and is not known here.
    """

    sweep_id = "sweep0001"

    def __init__(self, runs: int, seed: int) -> None:
        """Serve a sweep of a few runs, whose options depend on the seed."""
        self.sweep: dict[str, Any] | None = None
        self.runs: dict[str, Arguments] = {}
        self.asked: list[str] = []
        self.refused: list[str] = []
        self._count = runs
        self._rng = random.Random(seed)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Answer one request; None refuses it."""
        if path.startswith("/sdk/otel/"):  # W&B counts how it is used
            return {}
        found = re.search(r"(?:query|mutation) (\w+)", request.get("query", ""))
        name = found.group(1) if found else path
        known: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "Viewer": self._viewer,
            "UpsertSweep": self._create,
            "SweepWithRuns": self._describe,
            "CreateAgent": lambda asked: {"createAgent": {"agent": {"id": "agent"}}},
            "Heartbeat": self._heartbeat,
        }
        if name not in known:
            self.refused.append(f"{path} {json.dumps(request)}")
            return None
        self.asked.append(name)
        return {"data": known[name](request.get("variables") or {})}

    def _viewer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        user = {"id": "user", "username": ENTITY, "entity": ENTITY, "email": "someone@example.org"}
        return {"viewer": {**user, "flags": "{}", "teams": {"edges": []}}}

    def _create(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.sweep = yaml.safe_load(asked["config"])
        project = {"id": "p", "name": asked["projectName"], "entity": {"id": "e", "name": ENTITY}}
        sweep = {"name": self.sweep_id, "project": project}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def _describe(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if asked["sweep"] != self.sweep_id or self.sweep is None:
            return {"project": {"sweep": None}}
        config = yaml.safe_dump(self.sweep)
        return {
            "project": {"sweep": {"id": "s", "name": self.sweep_id, "config": config, "runs": {"edges": []}}}
        }

    def _heartbeat(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Let a run end before the next one is given."""
        commands: list[dict[str, Any]] = []
        if not json.loads(asked["runState"]):
            commands.append({"type": "exit"} if len(self.runs) == self._count else self._next_run())
        return {"agentHeartbeat": {"agent": {"id": asked["id"]}, "commands": json.dumps(commands)}}

    def _next_run(self) -> dict[str, Any]:
        assert self.sweep is not None
        run_id = f"run{len(self.runs)}"
        self.runs[run_id] = draw(self.sweep["parameters"], self._rng)
        values = {name: {"value": value} for name, value in self.runs[run_id].items()}
        return {"id": run_id, "type": "run", "run_id": run_id, "program": None, "args": values}


def _handler(server: SweepServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_json = "json" in self.headers.get("Content-Type", "")
            found = server.answer(self.path, json.loads(body) if is_json else {})
            answer = json.dumps(found if found is not None else {"errors": [{"message": "not known"}]})
            self.send_response(400 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def do_GET(self) -> None:
            server.refused.append(f"GET {self.path}")
            self.send_error(404)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Keep quiet."""

    return Handler
