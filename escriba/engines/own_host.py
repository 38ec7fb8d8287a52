"""Keeps what is asked of a vision model on the way to one host: no other host, no proxy, no redirect, no header that nobody asked for."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence

import httpx2

from escriba.errors import ConfigurationError, EngineUnavailable

Resolver = Callable[[str, int], Sequence[str]]
"""Addresses of a name, for a port. Raises OSError where there are none."""

_OWN = [
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10")
]
_OWN_NAMES = (
    ".internal",
    ".local",
)  # no public name ends so: the one is set aside for private use (ICANN, 2024), the other for mDNS (RFC 6762)
_LAST_PORT = 65535
_MOST = 16 * 1024 * 1024  # bytes of one response: the events of more than 30,000 tokens
_HEADERS = frozenset({"accept", "connection", "content-type", "content-length", "transfer-encoding"})


def resolve(host: str, port: int) -> list[str]:
    """Every address that the system knows for a name. Raises OSError."""
    try:
        return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except UnicodeError as error:
        raise OSError(f"{host} can be nobody's name") from error


def is_own_address(address: str) -> bool:
    """Whether an IP address is loopback, private or link-local."""
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped:
        number = number.ipv4_mapped
    return any(number in network for network in _OWN)


def is_own_host(url: str, resolver: Resolver = resolve) -> bool:
    """Whether an endpoint stands within the deployment: by address, by a name that is private by rule, or by a name that resolves to such addresses only."""
    try:
        address = httpx2.URL(url)
        return _is_own_name(address.host) or _all_own(resolver(address.host, _port(address)))
    except (httpx2.InvalidURL, OSError):
        return False


def is_nowhere(url: str, resolver: Resolver = resolve) -> bool:
    """Whether an endpoint's host is a name for which nobody knows an address now."""
    address = httpx2.URL(url)
    try:
        return not resolver(address.host, _port(address))
    except OSError:
        return not _is_address(address.host)


def checked_url(base_url: str, *, own: bool, trusted_hosts: Collection[str], resolver: Resolver) -> httpx2.URL:
    """The endpoint's address, its path without a slash at the end. Raises `ConfigurationError` for one that must not be used.

    A name that resolves to nothing yet is let through: its server may start later, and every request checks the address it goes to.
    """
    if not base_url.strip():
        raise ConfigurationError(
            "a vision endpoint needs its address, such as http://127.0.0.1:8000/v1; none is taken from the environment"
        )
    try:
        url = httpx2.URL(base_url.strip().rstrip("/"))
    except httpx2.InvalidURL as error:
        whole = base_url.count("[") == base_url.count("]")  # else it is the bracket of an IPv6 address that is taken for a port
        wrong = f"not a URL ({'its port is no number' if whole and 'port' in str(error) else 'it cannot be read as one'})"
        raise ConfigurationError(f"the vision endpoint's address is {wrong}; write it as http://127.0.0.1:8000/v1") from None
    if url.port is not None and not 0 < url.port <= _LAST_PORT:
        raise ConfigurationError(
            f"the vision endpoint's address is not a URL (its port must be 1 to {_LAST_PORT}); write it as http://127.0.0.1:8000/v1"
        )
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError("the vision endpoint's address must begin with http:// or https:// and name a host")
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError("the vision endpoint's address must hold neither a key nor a query; give the key apart")
    if own and url.host not in trusted_hosts and not _is_own_name(url.host) and not _own_or_unknown(url, resolver):
        raise ConfigurationError(
            f"{url.host} is not a private address, so a vision endpoint there does not count as the deployment's own: declare it external "
            "(pages then go there only under policies with vision.external = true), or list it among the trusted hosts"
        )
    return url


def _own_or_unknown(url: httpx2.URL, resolver: Resolver) -> bool:
    try:
        return _all_own(resolver(url.host, _port(url)))
    except OSError:
        return not _is_address(url.host)


def _is_own_name(host: str) -> bool:
    return is_own_address(host) or host.rstrip(".").lower().endswith(_OWN_NAMES)


def _all_own(addresses: Sequence[str]) -> bool:
    return bool(addresses) and all(map(is_own_address, addresses))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


class _Bounded(httpx2.AsyncByteStream):
    """A response that ends with an error where it is longer than any answer: a server that lies must not fill our memory."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _MOST
        async for part in self._inner:
            left -= len(part)
            if left < 0:
                raise httpx2.ReadError("longer than any answer")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


class OneHost(httpx2.AsyncBaseTransport):
    """A transport that knows one scheme, host and port, and sends nothing anywhere else.

    Where the host is to be the deployment's own (`own`), its name is resolved for each request, all addresses are checked, and the connection goes to
    the one that was checked: a name that means another machine by then is not followed. Of the headers only those that the protocol needs go
    out, and host and key are this transport's own: the `openai` package takes headers from the environment.
    """

    def __init__(
        self, base: httpx2.URL, *, key: str, own: bool, trusted_hosts: Collection[str], resolver: Resolver, connections: int
    ) -> None:
        self._origin = (base.scheme, base.host, _port(base))
        self._headers = [(b"host", base.netloc), (b"user-agent", b"escriba"), (b"accept-encoding", b"identity")]
        self._headers += [(b"authorization", f"Bearer {key}".encode())] if key else []
        self._check = own and base.host not in trusted_hosts and not _is_own_name(base.host)
        self._resolver = resolver
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30.0)
        # Certificates take a tenth of a second to load, and plain HTTP has no use for them.
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits, verify=base.scheme == "https")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if (request.url.scheme, request.url.host, _port(request.url)) != self._origin:
            raise EngineUnavailable("a request to another host than the configured vision endpoint was stopped")
        needed = [(name, value) for name, value in request.headers.raw if name.decode("latin-1").lower() in _HEADERS]
        request.headers = httpx2.Headers(self._headers + needed)
        if self._check:
            request.extensions = {**request.extensions, "sni_hostname": request.url.host}  # TLS still proves the name
            request.url = request.url.copy_with(host=await self._own_address(request))
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("compressed, which nobody asked for", request=request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  (an asynchronous transport has no other)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=_Bounded(response.stream), extensions=response.extensions
        )

    async def _own_address(self, request: httpx2.Request) -> str:
        _, host, port = self._origin
        try:
            addresses = await asyncio.get_running_loop().run_in_executor(None, self._resolver, host, port)
        except OSError as error:
            raise httpx2.ConnectError(f"{host} has no address", request=request) from error
        if not _all_own(addresses):
            raise EngineUnavailable(f"{host} no longer resolves to private addresses alone; nothing was sent to it")
        return addresses[0]

    async def aclose(self) -> None:
        await self._inner.aclose()
