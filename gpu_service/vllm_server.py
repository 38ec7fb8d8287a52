"""Starts vLLM with the registry's flags and watches it: waits until it is well, ends it when it hangs, and starts it again, later each time.

Where something else runs the server (a container beside this one), it is only watched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Literal

import httpx2

from escriba.models import Model
from escriba.ports import Meter

State = Literal["starting", "well", "ill", "stopped"]
_LONGEST_PAUSE = 60.0  # seconds between two starts
_STEADY = 300.0  # after so many seconds of good health the next pause is short again


@dataclass(frozen=True)
class Tuning:
    """What a deployment sets besides the model's own flags; zero or empty leaves vLLM's default. See docs/performance.md."""

    max_num_seqs: int = 0
    max_num_batched_tokens: int = 0
    gpu_memory_utilization: float = 0.0
    kv_cache_dtype: str = ""
    stream_interval: int = 16
    more: tuple[str, ...] = ()

    def flags(self) -> tuple[str, ...]:
        """As vLLM's argument parser takes them."""
        given = {
            "--max-num-seqs": self.max_num_seqs,
            "--max-num-batched-tokens": self.max_num_batched_tokens,
            "--gpu-memory-utilization": self.gpu_memory_utilization,
            "--kv-cache-dtype": self.kv_cache_dtype,
            # Tokens that go out together: a worker that is told of each alone spends more time on listening than on anything else.
            "--stream-interval": self.stream_interval,
        }
        return tuple(part for flag, value in given.items() if value for part in (flag, str(value))) + self.more


def serve_arguments(model: Model, source: str, tuning: Tuning, *, host: str, port: int) -> tuple[str, ...]:
    """What follows `vllm serve`: weights in the folder `source`, the registry's flags, then the deployment's."""
    # A server that is told to stop finishes what it has begun; by default it drops it.
    ours = ("--host", host, "--port", str(port), "--shutdown-timeout", "60")
    return (*model.serve(source), *ours, *tuning.flags())


def vllm_command(arguments: Sequence[str]) -> tuple[str, ...]:
    """How this interpreter runs vLLM's server."""
    source, *flags = arguments
    return (sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", source, *flags)


@dataclass(frozen=True)
class Patience:
    """Seconds: between two looks, for one answer, and for a start; `misses` looks in a row without an answer mean that it hangs."""

    look: float = 2.0
    answer: float = 5.0
    start: float = 900.0
    misses: int = 6
    pause: float = 1.0


class VllmServer:
    """One server. With a `command` it is this object's child; without one, somebody else's.

    `on_metrics` gets its page of metrics at every look; `on_well` hears whenever it can be asked (again).
    """

    def __init__(
        self,
        address: str,
        meter: Meter,
        *,
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        log: IO[bytes] | None = None,
        patience: Patience | None = None,
        on_metrics: Callable[[str], None] = lambda _: None,
        on_well: Callable[[], None] = lambda: None,
    ) -> None:
        self._address, self._meter, self._command, self._env, self._log = address, meter, tuple(command), env, log
        self._patience = patience or Patience()
        self._on_metrics, self._on_well = on_metrics, on_well
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vllm", daemon=True)
        self._state: State = "stopped"
        self._http = httpx2.Client(trust_env=False, timeout=self._patience.answer)

    @property
    def state(self) -> State:
        return self._state

    def ready(self) -> bool:
        """Whether it can be asked now."""
        return self._state == "well"

    @property
    def pid(self) -> int:
        """The child's process id, 0 without one."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def start(self) -> None:
        """Begin to watch, and with a command to run it."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End the watching, and the child: asked to first, killed after so many seconds."""
        self._ended.set()
        self._thread.join(self._patience.answer + self._patience.look + 1)
        self._end_child(seconds)
        self._turn("stopped")

    def _watch(self) -> None:
        pause = self._patience.pause
        while not self._ended.is_set():
            began = time.monotonic()
            if self._command:
                self._launch()
            self._attend(began)
            if self._ended.is_set():
                return
            # Only a child comes back: what was ill and is nobody's child here is waited for on the spot.
            self._end_child(0)
            pause = self._patience.pause if time.monotonic() - began > _STEADY else min(_LONGEST_PAUSE, 2 * pause)
            self._meter.count("VisionServerRestarts")
            self._meter.log("warning", "vision server is started again", seconds=round(pause, 1))
            self._ended.wait(pause)

    def _launch(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603  (our own command)
            self._command,
            env=dict(self._env or os.environ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _attend(self, began: float) -> None:
        """Look at it until it has to be started again."""
        self._turn("starting")
        misses = 0
        while not self._ended.wait(self._patience.look if self._state == "well" else min(0.5, self._patience.look)):
            if self._process is not None and self._process.poll() is not None:
                self._meter.log("error", "vision server died", status=self._process.returncode)
                self._turn("ill")
                return
            health = self._health()
            if health == "well":
                misses = 0
                self._turn("well")
            elif self._state == "starting":
                if self._command and time.monotonic() - began > self._patience.start:
                    self._meter.log("error", "vision server does not start", seconds=round(self._patience.start))
                    return
            else:
                # Nobody listens: a process that is busy would at least not refuse.
                misses = max(misses + 1, self._patience.misses if health == "gone" else 0)
                if misses >= self._patience.misses:
                    self._turn("ill")
                    if self._command:
                        self._meter.log("error", "vision server hangs")
                        return

    def _health(self) -> Literal["well", "busy", "gone"]:
        try:
            if not self._http.get(f"{self._address}/health").is_success:
                return "busy"
            metrics = self._http.get(f"{self._address}/metrics")
        except httpx2.ConnectError:
            return "gone"
        except httpx2.HTTPError:
            return "busy"
        if metrics.is_success:
            self._on_metrics(metrics.text)
        return "well"

    def _turn(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._meter.log("info", "vision server", state=state)
            if state == "well":
                self._on_well()

    def _end_child(self, seconds: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if seconds and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._meter.log("warning", "vision server is killed: it did not end by itself")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too, which may outlive it
        process.wait()
