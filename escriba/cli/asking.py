"""Finds the vision model that `escriba run --vision` names: an Ollama, or any OpenAI-compatible endpoint."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from escriba import models
from escriba.backends import Backend
from escriba.cli.naming import how_apis_are_used, on_endpoint, on_ollama
from escriba.engines.ollama import find_ollama
from escriba.engines.own_host import checked_url, is_nowhere, is_own_host, resolve
from escriba.errors import ConfigurationError, EngineUnavailable, EscribaError
from escriba.policy import Policy

KEY_SECRET = "vision-key-of-this-run"  # noqa: S105  (its name)
_OLLAMA = "ollama"
_WISHES = "`ollama` or the URL of an OpenAI-compatible endpoint (http://127.0.0.1:8000/v1)"
_SECONDS_PER_PAGE = 1.0  # whoever names a model waits for it as long as the policy does


def find_backend(wish: str | None, model: str, policy: Policy, *, key: str = "", ollama_host: str = "") -> Backend | None:
    """The backend for `--vision WISH --model MODEL`, None where neither was said.

    `wish` is `ollama` or a URL, `model` empty to take what is there, `ollama_host` a value of OLLAMA_HOST.
    An endpoint that does not answer is a backend all the same: its pages keep their CPU reading. Raises `ConfigurationError` for what a person
    must mend: no Ollama, a model that is not there, no URL, an address outside this network that the policy does not allow.
    """
    if wish is None and not model:
        return None
    if wish is None:
        raise ConfigurationError(f"--model {model} needs --vision, which says where the model runs: {_WISHES}")
    wish = wish.strip()
    if wish == _OLLAMA:
        return _on_ollama(model, ollama_host)
    if not wish.startswith(("http://", "https://")):
        raise ConfigurationError(_no_place(wish))
    checked_url(wish, own=False, trusted_hosts=(), resolver=resolve)  # whether it is one at all
    own = is_own_host(wish)
    if not own and not policy.vision.external:
        raise ConfigurationError(_kept_inside(wish))
    entry, served = on_endpoint(model, _served(wish, own=own, key=key))
    return _backend(wish, entry, served, external=not own, key_secret=KEY_SECRET if key else "")


def _no_place(wish: str) -> str:
    """What is told about a value of --vision that names no place."""
    told = f"--vision takes {_WISHES}, not {wish!r}"
    entry = models.catalogue().get(wish.lower())
    if entry is None:
        return told
    return f"{told}, which is a model: {how_apis_are_used(entry) if entry.external else f'say where it runs, and --model {entry.name}'}"


def _kept_inside(url: str) -> str:
    if is_nowhere(url):
        # Whoever mistyped a name of his own network must not be led to let pages out of it.
        return f"the name in {url} cannot be resolved, so nothing is sent there: mend it, or write the machine's IP address"
    return (
        f"{url} is outside this network and the policy keeps pages inside; write external = true under [vision] in the policy to allow it"
    )


def _on_ollama(model: str, host: str) -> Backend:
    try:
        ollama = find_ollama(host)
    except EngineUnavailable as error:
        raise ConfigurationError(str(error)) from None
    entry, name = on_ollama(model, ollama.models, ollama.address)
    return _backend(ollama.base_url, entry, name, external=False)


def _served(url: str, *, own: bool, key: str) -> Sequence[str]:
    from escriba.engines.vision import VisionClient  # noqa: PLC0415  (its packages take longer to load than all else of a command that asks nobody)

    with VisionClient(url, own=own, key=key) as client:
        try:
            return client.served()
        except EscribaError as error:
            sys.stderr.write(f"escriba: {error}; hard pages keep their CPU reading unless it comes back\n")
            return ()


def _backend(url: str, entry: models.Model, served: str, *, external: bool, key_secret: str = "") -> Backend:
    return Backend(
        name="this-run",
        base_url=url,
        model=entry.name,
        served_as=served,
        external=external,
        key_secret=key_secret,
        seconds_per_page=_SECONDS_PER_PAGE,
    )
