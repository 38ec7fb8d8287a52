"""Finds the Ollama of this machine, or of the host that OLLAMA_HOST names, and says what to do when it is not there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import httpx2

from escriba.engines.own_host import Resolver, checked_url, resolve
from escriba.errors import EngineUnavailable

_PORT = 11434
_ANY = {"", "0.0.0.0", "[::]"}  # noqa: S104  (where a server listens; a client asks this machine)


@dataclass(frozen=True)
class Ollama:
    """One that runs: its address without a path, its version, and the names of the models it has pulled, as it writes them."""

    address: str
    version: str
    models: tuple[str, ...]

    @property
    def base_url(self) -> str:
        """Where it speaks as OpenAI does, for `VisionClient`."""
        return f"{self.address}/v1"


def ollama_address(host: str) -> str:
    """The address that a value of OLLAMA_HOST means, as Ollama itself reads it: scheme, host and port may each be left out."""
    scheme, told, rest = host.strip().strip("\"'").rpartition("://")
    rest = rest.partition("/")[0]
    port = {"": _PORT, "http": 80, "https": 443}.get(scheme, _PORT)
    name, _, number = rest.rpartition(":") if ":" in rest.rpartition("]")[2] else (rest, "", "")
    if number.isascii() and number.isdigit():
        port = int(number)
    return f"{scheme if told else 'http'}://{'127.0.0.1' if name in _ANY else name}:{port}"


def find_ollama(host: str = "", *, seconds: float = 3.0, trusted_hosts: Collection[str] = (), resolver: Resolver = resolve) -> Ollama:
    """The Ollama at `host`, a value of OLLAMA_HOST; empty: the usual place on this machine.

    Raises `EngineUnavailable` when none answers there within so many seconds, and `ConfigurationError` for a host that is not the deployment's own.
    """
    address = str(checked_url(ollama_address(host), own=True, trusted_hosts=trusted_hosts, resolver=resolver))
    try:
        with httpx2.Client(base_url=address, trust_env=False, follow_redirects=False, timeout=seconds) as client:
            version, tags = _get(client, "/api/version"), _get(client, "/api/tags")
        return Ollama(address, str(version["version"]), tuple(sorted(str(model["name"]) for model in tags["models"])))
    except httpx2.HTTPError:
        raise EngineUnavailable(
            f"no Ollama answers at {address}: start it with `ollama serve`, or say in OLLAMA_HOST where it runs"
        ) from None
    except (KeyError, TypeError, ValueError):
        raise EngineUnavailable(f"what answers at {address} is not Ollama: say in OLLAMA_HOST where it runs") from None


def _get(client: httpx2.Client, path: str) -> Any:
    response = client.get(path)
    if response.is_redirect:
        raise ValueError
    return response.raise_for_status().json()
