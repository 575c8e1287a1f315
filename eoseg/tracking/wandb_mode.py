"""Whether a run goes to W&B at once, later, or not at all: found out before anything is written."""

import http.client
import importlib.util
import logging
import os
import signal
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eoseg.errors import ConfigError
from eoseg.tracking.run_folder import process_rank

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

type Mode = Literal["online", "offline", "disabled", "absent"]
"""Absent: W&B is not installed, or not wanted, and no logger is made for it."""

ID_FILE = "wandb_run_id.txt"
"""Holds the id of the W&B run, in its run folder."""
ID_KEY = "wandb_run_id"
"""Where a checkpoint that training can go on from has the same id."""

_ANSWER_SECONDS = 5.0
_FINISH_SECONDS = 600.0
_SPARE_SECONDS = 90.0
_RETRIES = 4
_RETRY_SECONDS = 4.0
_log = logging.getLogger(__name__)


def choose_mode(*, wanted: bool = True) -> Mode:
    """Find out what W&B can do here, and say in a line why a run stays offline.

    `WANDB_MODE` and `wandb offline` are obeyed. Without them a run is offline where there is no login, or
    where the server does not answer, as on the nodes of a cluster; W&B itself would ask, or wait.

    Args:
        wanted: False leaves W&B out.

    Raises:
        ConfigError: There is a login, and it is wrong.
    """
    if not wanted:
        return "absent"
    if importlib.util.find_spec("wandb") is None:
        if process_rank() == 0:
            _log.warning("W&B is not installed: figures go to metrics.csv alone (pip install wandb).")
        return "absent"
    import wandb

    settings: Any = wandb.setup().settings
    if settings.mode == "disabled":
        return "disabled"
    if process_rank() > 0:
        return "online"  # only rank zero starts a run
    if settings.mode == "offline":
        return _offline("as its settings say")
    login = _login(settings.base_url)
    if login is None:
        # Asked for outright, it is W&B that says what is missing.
        return "online" if os.environ.get("WANDB_MODE") else _offline("as no login was found")
    silence = why_silent(settings.base_url)
    if silence is not None:
        return _offline(f"as {settings.base_url} does not answer ({silence})")
    _verify(login, settings.base_url)
    return "online"


def why_silent(address: str) -> str | None:
    """Why a server does not answer within a few seconds; None where it does, whatever it says.

    Proxies of the environment are used, as W&B does.
    """
    try:
        with urllib.request.urlopen(address, timeout=_ANSWER_SECONDS):
            return None
    except urllib.error.HTTPError:
        return None
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", None) or error)


def close_run(run: "Run", run_folder: Path) -> None:
    """End a run, and name the command that uploads what W&B has not got: all of it, or the rest.

    Args:
        run: The run.
        run_folder: Its run folder.
    """
    if _finished(run):
        if run.offline and not run.disabled:
            _log.info("W&B was offline. To upload this run: %s", sync_command(run_folder))
        return
    silence = why_silent(str(run.settings.base_url)) or "too slowly to be waited for"
    _log.warning(
        "W&B has not got all of this run: %s does not answer (%s). It is all on disk; to upload it: %s",
        run.settings.base_url,
        silence,
        sync_command(run_folder),
    )


def _finished(run: "Run") -> bool:
    """End a run; False where its server did not take all of it in time.

    W&B's own limit begins only once everything that was logged before has been sent or given up. Where even
    that does not come, W&B's process, which would keep this one from ending, is stopped.
    """
    ended: list[bool] = []

    def end() -> None:
        try:
            run.finish()
            ended.append(True)
        except Exception:  # W&B's own limit, or whatever it raises once its process is stopped
            ended.append(False)

    worker = threading.Thread(target=end, daemon=True)
    worker.start()
    worker.join(None if run.offline or run.disabled else float(run.settings.finish_timeout) + _SPARE_SECONDS)
    if not worker.is_alive():
        return ended == [True]
    _log.warning("W&B's process did not end and is stopped: its file may lack the last figures.")
    _stop_service()
    worker.join(_ANSWER_SECONDS)
    return False


def _stop_service() -> None:
    """Stop W&B's process beside this one, and the wait for it at the end of this one."""
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib.service import service_token

    setup: Any = wandb_setup.singleton()
    connection: Any = setup._connection
    if connection is None or connection._proc is None:
        return
    if connection._cleanup is not None:
        connection._cleanup()
    os.kill(connection._proc._process.pid, signal.SIGKILL)
    service_token.clear_service_in_env()
    setup._connection = None  # the next run of this process starts one of its own


def end_service() -> None:
    """End W&B's process beside this one, where a command ends with an error of its own.

    W&B does so when Python ends, and prints a traceback where that process is gone: SLURM, for one, ends all
    processes of a step as soon as one is lost.
    """
    import wandb

    try:
        wandb.teardown(exit_code=1)
    except Exception as error:  # whatever W&B raises: what it had is in its file
        _log.debug("W&B's process was gone: %s", error)


def run_settings() -> Any:
    """Settings of W&B that differ from its own: at the end of a run its server is not waited for without end.

    `WANDB_FINISH_TIMEOUT` says how long, in seconds.
    """
    import wandb

    seconds = os.environ.get("WANDB_FINISH_TIMEOUT", "")
    wait = float(seconds) if seconds.replace(".", "", 1).isdecimal() else _FINISH_SECONDS
    return wandb.Settings(
        finish_timeout=wait,
        finish_timeout_raises=True,
        # W&B sends one question at a time, and asks for a quarter of an hour before it gives one up; until
        # then it neither ends nor completes its file. What it gives up is in the file all the same.
        x_graphql_retry_max=_RETRIES,
        x_graphql_retry_wait_max_seconds=_RETRY_SECONDS,
    )


def sync_command(run_folder: Path) -> str:
    """The command that uploads all that a run left on disk, whatever became of its connection."""
    kind = "offline-run" if any(run_folder.glob("wandb/offline-run-*")) else "run"
    return f"wandb sync {run_folder}/wandb/{kind}-*"


def _login(address: str) -> Any:
    """The login that W&B would use, None without one."""
    from wandb.errors import AuthenticationError
    from wandb.sdk.lib import wbauth

    try:
        return wbauth.authenticate_session(host=address, source="eoseg", prompt=False, update_session=False)
    except AuthenticationError as error:
        raise _wrong_key(address, str(error)) from error


def _verify(login: Any, address: str) -> None:
    """Refuse a key that the server does not know, before a run is begun with it."""
    from wandb.errors import AuthenticationError

    try:
        login.verify()
    except AuthenticationError as error:
        raise _wrong_key(address, str(error)) from error


def _wrong_key(address: str, told: str) -> ConfigError:
    return ConfigError(
        f"The W&B key is wrong: {address} does not take it ({' '.join(told.split())[:160]}). Log in again "
        "with 'wandb login --relogin' or correct WANDB_API_KEY; or set WANDB_MODE=offline, or --no-wandb."
    )


def _offline(why: str) -> Mode:
    _log.info("W&B stays offline, %s. The command that uploads the run is named at its end.", why)
    return "offline"
