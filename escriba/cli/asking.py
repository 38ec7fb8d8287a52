"""Finds the vision model that `escriba run --vision` names: an Ollama, or any OpenAI-compatible endpoint."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from escriba import models
from escriba.backends import Backend
from escriba.engines.ollama import find_ollama
from escriba.engines.own_host import is_own_host
from escriba.errors import ConfigurationError, EngineMissing, EngineUnavailable, EscribaError
from escriba.policy import Policy

KEY_SECRET = "vision-key-of-this-run"  # noqa: S105  (its name)
_OLLAMA = "ollama"
_SECONDS_PER_PAGE = 1.0  # whoever names a model waits for it as long as the policy does


def find_backend(wish: str, model: str, policy: Policy, *, key: str = "", ollama_host: str = "") -> Backend:
    """The backend for `--vision WISH --model MODEL`.

    `wish` is `ollama` or a URL, `model` empty to take what is there, `ollama_host` a value of OLLAMA_HOST.
    An endpoint that does not answer is a backend all the same: its pages keep their CPU reading. Raises `ConfigurationError` for what a person
    must mend: no Ollama, a model that it lacks, an address outside this network that the policy does not allow.
    """
    if wish == _OLLAMA:
        return _on_ollama(model, ollama_host)
    if not wish.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"--vision takes `ollama` or the URL of an OpenAI-compatible endpoint (http://127.0.0.1:8000/v1), not {wish!r}"
        )
    own = is_own_host(wish)
    if not own and not policy.vision.external:
        raise ConfigurationError(
            f"{wish} is outside this network and the policy keeps pages inside; write external = true under [vision] in the policy to allow it"
        )
    entry, served = _match(model, _served(wish, own=own, key=key))
    return _backend(wish, entry, served, external=not own, key_secret=KEY_SECRET if key else "")


def _match(model: str, served: Sequence[str]) -> tuple[models.Model, str]:
    """The registry's entry for the model that a person named (or for what is there), and what the endpoint calls it."""
    if not model:
        entry = models.for_served(served[0]) if served else models.model(models.DEFAULT)
        return entry, served[0] if served else entry.served or entry.repo
    entry = models.for_served(model)
    if model in served or model not in models.catalogue():
        return entry, model
    same = [name for name in served if models.for_served(name).name == entry.name != models.ANY]
    if same:
        return entry, same[0]
    # A prompt of the registry's for a model that goes by another name there.
    return entry, served[0] if len(served) == 1 else entry.served or entry.repo or model


def _on_ollama(model: str, host: str) -> Backend:
    try:
        ollama = find_ollama(host)
        entry = models.for_served(model) if model else models.model(models.DEFAULT)
        known = entry.ollama if entry.ollama and (not model or model == entry.name) else model
        return _backend(ollama.base_url, entry, ollama.require(known), external=False)
    except (EngineUnavailable, EngineMissing) as error:
        raise ConfigurationError(str(error)) from None


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
