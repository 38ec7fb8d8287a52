"""Asks a vision model behind any OpenAI-compatible endpoint, bounded in time, length and number, and never anywhere but at that endpoint."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import msgspec
import openai

from escriba.engines.breaker import Breaker, pause
from escriba.engines.exchange import TOKENIZED, Arriving, Cost, LimitName, Unwatched, Watch, counted, request, tokenize_request
from escriba.engines.failures import NOT_FOUND, Broken, Failure, Silent, understand
from escriba.engines.own_host import OneHost, Resolver, checked_url, resolve
from escriba.errors import EngineUnavailable, EscribaError, Throttled
from escriba.vision import Answer, Question

T = TypeVar("T")
_CONNECT_SECONDS, _ASIDE_SECONDS = 5.0, 10.0


@dataclass(frozen=True)
class Pace:
    """Time and chance, which tests replace: seconds that only go forward, a way to wait, the time of day, and what jitter is drawn from."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    chance: random.Random = field(default_factory=random.Random)


class VisionClient:
    """Implements `vision.VisionModel`, for any number of threads and event loops: all work is done on one loop, in a thread of its own.

    `own` says that the endpoint is the deployment's own, which is then checked (see `own_host`; `trusted_hosts` are taken at their word). `concurrency`
    questions are under way at once, the others wait. A failed try is repeated up to `tries` times in all, a busy server's as long as there is
    time. `limit_name` is what the endpoint calls the bound on the answer; `watch` makes what follows one answer and cuts it when it runs in circles.
    Raises `ConfigurationError` for an address that must not be used. `close` it, or use it as a context.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str = "",
        own: bool = True,
        trusted_hosts: Collection[str] = (),
        concurrency: int = 4,
        tries: int = 5,
        limit_name: LimitName = "max_tokens",
        watch: Callable[[], Watch] = Unwatched,
        breaker: Breaker | None = None,
        pace: Pace | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        url = checked_url(base_url, own=own, trusted_hosts=trusted_hosts, resolver=resolver)
        transport = OneHost(url, key=key.strip(), own=own, trusted_hosts=trusted_hosts, resolver=resolver, connections=concurrency + 2)
        patience = httpx2.Timeout(None, connect=_CONNECT_SECONDS)  # whole tries are bounded by our own timers
        self._http = httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, timeout=patience)
        # The transport sets the key: the package would take another from the environment.
        self._openai = openai.AsyncOpenAI(base_url=str(url), api_key="-", http_client=self._http, max_retries=0, timeout=patience)
        self._root = str(url).removesuffix("/v1")
        self._place = f"the vision endpoint {url}"
        self._tries, self._limit_name, self._watch = tries, limit_name, watch
        self._pace = pace or Pace()
        self.breaker = breaker or Breaker(self._pace.clock)
        self._free = asyncio.Semaphore(concurrency)
        self._kind: str | None = None if own else ""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def ask(self, question: Question, seconds: float) -> Answer:
        return self._here(self._ask(question, seconds))

    async def ask_async(self, question: Question, seconds: float) -> Answer:
        """The same as `ask`, for a caller on any event loop; cancelling it ends the request, and with it the server's work."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._ask(question, seconds), self._running()))

    def served(self, seconds: float = _ASIDE_SECONDS) -> tuple[str, ...]:
        """Names of the models the endpoint serves. Raises as `ask` does."""
        return self._here(self._served(seconds))

    def count_tokens(self, text: str, model: str = "", seconds: float = _ASIDE_SECONDS) -> int | None:
        """Length of a text by the served model's own tokenizer; None where the server offers none, or does not answer."""
        return self._here(self._count(text, model, seconds))

    def close(self) -> None:
        """End what is under way, and the thread."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result(_ASIDE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_ASIDE_SECONDS)
        loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- on the client's own loop -----------------------------------------------------------------------------------

    def _here(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="vision", daemon=True)
                self._thread.start()
            return self._loop

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._http.aclose()

    async def _ask(self, question: Question, seconds: float) -> Answer:
        begun = self._pace.clock()
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Throttled(f"{self._place} is asked as much at once as it may be, and nothing came free in time") from None
        try:
            return await self._ask_until(begun, begun + seconds, question)
        finally:
            self._free.release()

    async def _ask_until(self, begun: float, deadline: float, question: Question) -> Answer:
        cost = Cost()
        failed = 0
        failure: Failure | None = None
        while True:
            if not self.breaker.admits():
                tired = f"{self._place} keeps failing and is left alone for {math.ceil(self.breaker.wait) or 1} s"
                raise failure.error if failure else EngineUnavailable(tired)
            done = await self._tried(question, deadline - self._pace.clock(), (deadline - begun) / 2, cost)
            if isinstance(done, Arriving):
                return done.answer(cost, self._pace.clock() - begun)
            failure = done
            failed += 1
            wait = pause(failed, failure.told, self._pace.chance)
            enough = failed >= self._tries and not isinstance(failure.error, Throttled)
            useless = self._pace.clock() + wait >= deadline or self.breaker.wait > wait
            if not failure.again or enough or useless:
                raise await self._told(failure, question.model)
            await self._pace.sleep(wait)

    async def _tried(self, question: Question, left: float, silence: float, cost: Cost) -> Arriving | Failure:
        """One try, and what it tells of the server."""
        try:
            answer = await self._stream(question, left, min(silence, left), cost)
        except Exception as error:  # noqa: BLE001  (what a server can do to a client has no end; `understand` sorts it)
            failure = understand(error, self._place, self._pace.now())
            (self.breaker.failed if failure.ill else self.breaker.succeeded)()
            return failure
        except BaseException:
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()
        return answer

    async def _told(self, failure: Failure, model: str) -> EscribaError:
        """The error to raise; where the model is not there, with those that are."""
        if failure.status != NOT_FOUND:
            return failure.error
        try:
            served = await self._served(_ASIDE_SECONDS)
        except EscribaError:
            return failure.error
        return EngineUnavailable(f"{self._place} does not serve the model {model}; it serves {', '.join(served) or 'none'}")

    async def _stream(self, question: Question, left: float, silence: float, cost: Cost) -> Arriving:
        arriving = Arriving(question, self._watch())
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(left), asyncio.timeout(silence) as patience:
                body = request(question, self._limit_name, await self._kind_of_server())
                # As bytes, and read as plain JSON: the package's own way through its types takes longer than everything else here.
                sent = self._openai.post(
                    "/chat/completions",
                    content=msgspec.json.encode(body),
                    cast_to=object,
                    options={"headers": {"Content-Type": "application/json"}},
                    stream=True,
                    stream_cls=openai.AsyncStream[object],
                )
                async with await sent as stream:
                    async for chunk in stream:
                        patience.reschedule(loop.time() + silence)
                        if arriving.take(chunk):
                            break  # which closes the connection, upon which servers stop
        except (TimeoutError, openai.APIError, httpx2.HTTPError) as error:
            # What had been said to the end before that still stands.
            if arriving.finish is None and isinstance(error, TimeoutError):
                raise Silent(heard=arriving.pieces > 0) from None
            if arriving.finish is None:
                raise
        finally:
            cost.add(arriving)
        if arriving.finish is None:
            raise Broken
        return arriving

    async def _kind_of_server(self) -> str:
        """`vllm`, `llamacpp` or another's own name, as it signs its models; asked once, of own endpoints alone."""
        if self._kind is None:
            try:
                listed = await self._openai.models.list()
                self._kind = next((model.owned_by or "" for model in listed.data), "")
            except openai.NotFoundError:
                self._kind = ""
        return self._kind

    async def _served(self, seconds: float) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(seconds):
                return tuple(model.id for model in (await self._openai.models.list()).data)
        except TimeoutError:
            raise understand(Silent(heard=False), self._place, self._pace.now()).error from None
        except Exception as error:  # noqa: BLE001  (as in `_tried`)
            raise understand(error, self._place, self._pace.now()).error from None

    async def _count(self, text: str, model: str, seconds: float) -> int | None:
        if self.breaker.state != "closed":
            return None  # an estimate is good enough; a failing server is not asked for less than an answer
        try:
            async with asyncio.timeout(seconds):
                kind = await self._kind_of_server()
                if kind not in TOKENIZED:
                    return None
                response = await self._http.post(f"{self._root}/tokenize", json=tokenize_request(kind, text, model))
            return counted(response.json()) if response.is_success else None
        except (EscribaError, TimeoutError, openai.APIError, httpx2.HTTPError, ValueError):
            return None
