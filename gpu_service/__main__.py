"""`python -m gpu_service`: one task of the GPU service, from its environment to its end."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

from escriba.aws.clients import client
from escriba.aws.gathering import GatheringLedger, GatheringQueue
from escriba.aws.stack import refusals
from escriba.backends import OURS
from escriba.engines.vision import VisionClient
from escriba.errors import ConfigurationError, EscribaError
from escriba.isolation import IsolatedReader
from escriba.models import model
from escriba.ports import ObjectStore, Ports
from escriba.settings import Settings
from gpu_service.admission import Admission
from gpu_service.files import SharedFiles
from gpu_service.front import Front, Rules
from gpu_service.pacing import Bounds, Pacer
from gpu_service.protection import Protection
from gpu_service.readers import shared
from gpu_service.settings import ServiceSettings
from gpu_service.vllm_server import Tuning, VllmServer, serve_arguments, vllm_command
from gpu_service.worker import Limits, Worker
from lambdas.entry import compose, vision_model

_FLUSH_SECONDS = 30.0


class Service:
    """Everything of one task, put together."""

    def __init__(self, settings: ServiceSettings, pipeline: Settings) -> None:
        self._settings = settings
        self.ports = _ports(settings, pipeline)
        meter = self.ports.meter
        self.admission = Admission(settings.at_once, line=settings.line)
        pacer = Pacer(self.admission, Bounds(most=settings.at_once_most))
        self.server = VllmServer(settings.server, meter, command=_command(settings), on_metrics=pacer, on_well=self._trust_again)
        self.front = (
            Front(settings.server, self.admission, meter, self.server.ready, self._rules(pipeline)) if settings.front_port else None
        )
        self.worker = Worker(
            self.ports,
            self.admission,
            self.server.ready,
            limits=Limits(
                ahead=settings.ahead,
                most=settings.at_once_most + settings.ahead,
                stop=settings.stop_seconds,
                visibility=settings.visibility,
                poll=settings.poll,
            ),
            protect=Protection(os.environ, meter),
        )
        self._ended = threading.Event()

    def run(self) -> None:
        """From start to end: until somebody calls `leave`. Raises `ConfigurationError` when the front cannot listen."""
        self.server.start()
        if self.front is not None:
            self._listen(self.front)
        threading.Thread(target=self._report, name="report", daemon=True).start()
        try:
            self.worker.run()
        finally:
            self._ended.set()
            if self.front is not None:
                self.front.stop()
            self.server.stop()
            self.ports.reader.close()
            self.ports.meter.flush()

    def leave(self) -> None:
        """End in good order; for signal handlers."""
        self.worker.leave()

    def _listen(self, front: Front) -> None:
        host, port = self._settings.front_host, self._settings.front_port
        try:
            front.start(host, port)
        except OSError as error:
            self.server.stop()
            raise ConfigurationError(f"nothing can listen on {host} port {port}: {error.strerror or error}") from None

    def _trust_again(self) -> None:
        """The server was seen to be well: nobody need wait for a breaker to find that out."""
        for backend in self.ports.backends:
            if backend.queue == OURS:
                cast("VisionClient", self.ports.vision(backend)).breaker.succeeded()

    def _rules(self, pipeline: Settings) -> Rules:
        asked = [backend for backend in pipeline.backends if backend.queue == OURS]
        most = min((model(backend.model).max_tokens for backend in asked), default=Rules.max_tokens)
        key = self.ports.secrets.get(self._settings.front_key_secret) if self._settings.front_key_secret else ""
        return Rules(max_tokens=most, seconds=self._settings.front_seconds, key=key)

    def _report(self) -> None:
        meter = self.ports.meter
        while not self._ended.wait(_FLUSH_SECONDS):
            for name, value in self.admission.counts().items():
                meter.count(f"VisionTurns{name.capitalize()}", value)
            meter.log("info", "gpu worker", held=self.worker.held, inside=self.admission.inside, at_once=self.admission.limit)
            meter.flush()


def _ports(settings: ServiceSettings, pipeline: Settings) -> Ports:
    absent = {OURS, f"{OURS}-dlq", "vision-api", "assemble"} - pipeline.queues.keys()
    if absent:
        raise ConfigurationError(f"ESCRIBA_QUEUES has no address for {', '.join(sorted(absent))}")
    ports = compose(pipeline)
    ports.reader.close()
    readers = [IsolatedReader(memory_mb=pipeline.reader_memory_mb) for _ in range(settings.readers)]
    queues = {**ports.queues, OURS: GatheringQueue(client("sqs"), pipeline.queues[OURS], OURS)}
    return replace(
        ports,
        ledger=GatheringLedger(client("dynamodb"), pipeline.ledger_table, ports.clock),
        queues=queues,
        reader=shared(readers),
        results=cast("ObjectStore", SharedFiles(ports.results, ports.scratch.parent / "shared")),
        # Admission is what bounds the questions; the client has room for all of them.
        vision=lambda backend: vision_model(backend.model_copy(update={"concurrency": settings.at_once_most})),
    )


def _command(settings: ServiceSettings) -> tuple[str, ...]:
    if not settings.model:
        return ()
    if not Path(settings.weights).is_dir():
        raise ConfigurationError(f"ESCRIBA_GPU_WEIGHTS names no folder: {settings.weights or 'it is empty'}")
    host, _, port = settings.server.rpartition("//")[2].partition(":")
    tuning = Tuning(more=tuple(shlex.split(settings.flags)))
    return vllm_command(serve_arguments(model(settings.model), settings.weights, tuning, host=host, port=int(port or 80)))


def main() -> None:
    """Work until SIGTERM or SIGINT; what is wrong in the environment ends it with one sentence."""
    try:
        with refusals():  # no region, say
            service = Service(ServiceSettings.from_env(os.environ), Settings.from_env(os.environ))
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: service.leave())
        service.run()
    except EscribaError as error:
        sys.exit(f"escriba: {error}")
    sys.stdout.flush()
    # Threads that still wait for an answer have nothing left to do: their messages were given back.
    os._exit(0)


if __name__ == "__main__":
    main()
