"""Watches what the sockets of this process are told to connect to, and which names are looked up."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest


class Watched:
    """What sockets were told to connect to, and which names were looked up."""

    def __init__(self) -> None:
        self.places: set[tuple[str, int]] = set()
        self.names: set[str] = set()


def watch(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """From now on, until the test ends."""
    seen = Watched()

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(this: socket.socket, address: Any) -> Any:
            if this.family in {socket.AF_INET, socket.AF_INET6}:
                seen.places.add((address[0], address[1]))
            return real(this, address)

        return connect

    real_sendto, real_lookup = socket.socket.sendto, socket.getaddrinfo

    def sendto(this: socket.socket, data: bytes, *rest: Any) -> int:
        seen.places.add(rest[-1][:2])
        return real_sendto(this, data, *rest)

    def lookup(host: Any, *rest: Any, **more: Any) -> Any:
        seen.names.add(str(host))
        return real_lookup(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", noting(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", noting(socket.socket.connect_ex))
    monkeypatch.setattr(socket.socket, "sendto", sendto)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return seen
