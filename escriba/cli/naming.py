"""Finds, among the models that a server has, the one that a person named, or the one there is to take where nobody named any."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from escriba import models
from escriba.cli.wording import a_few
from escriba.errors import ConfigurationError

_NEAR = 0.6
_LATEST = ":latest"  # what Ollama understands where no tag is said


def on_endpoint(model: str, served: Sequence[str]) -> tuple[models.Model, str]:
    """The registry's entry for the model that a person named (or for what is there), and what the endpoint calls it.

    `served` is empty where the endpoint does not say what it has. Raises `ConfigurationError` where it says so, and has not what was named.
    """
    if not served:
        entry = models.for_served(model or models.DEFAULT)
        registered = not model or model.lower() in models.catalogue()
        return entry, entry.served_as("") if registered else model
    if not model or model.lower() == models.ANY:
        return _the_one_of("the endpoint", served, model)
    name = there(model, served)
    if not name:
        told = f"the endpoint does not serve {model}; it serves {a_few(list(served))}"
        raise ConfigurationError(f"{told}{_meant(model, served)}{_renamed(model, served)}")
    return models.for_served(model), name


def on_ollama(model: str, installed: Sequence[str], address: str) -> tuple[models.Model, str]:
    """The same for an Ollama. Raises `ConfigurationError` with the command that fetches what it lacks, where Ollama has it at all."""
    if not model or model.lower() == models.ANY:
        default = there(models.DEFAULT, installed)
        if not installed:
            raise _missing(models.DEFAULT, installed, address)
        return (models.model(models.DEFAULT), default) if default and not model else _the_one_of(f"Ollama at {address}", installed, model)
    if name := there(model, installed):
        return models.for_served(model), name
    raise _missing(model, installed, address)


def there(model: str, served: Sequence[str]) -> str:
    """What a server calls this model: the same name, or another one of the same entry; empty where it has neither."""
    spelled = {name.lower(): name for name in reversed(served)}
    entry, wanted = models.for_served(model), model.lower()
    for exact in (wanted, f"{wanted}{_LATEST}", entry.ollama.lower() if wanted == entry.name else ""):
        if exact in spelled:
            return spelled[exact]
    if entry.name == models.ANY or _tag(model):
        return ""  # of weights with a tag others are other weights
    return next((name for name in served if models.for_served(name).name == entry.name), "")


def _the_one_of(place: str, served: Sequence[str], model: str) -> tuple[models.Model, str]:
    """What is taken where nobody named a model (or the entry for any): the only one, or the only one that the registry knows."""
    known = {} if model else {models.for_served(name).name: name for name in reversed(served)}
    known.pop(models.ANY, None)
    if len(served) != 1 and len(known) != 1:
        raise ConfigurationError(f"{place} has several models: say with --model which one is to read ({a_few(list(served))})")
    name = next(iter(known.values()), served[0])
    return models.catalogue()[models.ANY] if model else models.for_served(name), name


def _missing(model: str, installed: Sequence[str], address: str) -> ConfigurationError:
    """Why a model is not on an Ollama, and the way to it."""
    entry, lead = models.for_served(model), f"Ollama at {address} has no model {model}"
    has = f"; it has {a_few(list(installed))}" if installed else ""
    if entry.external:
        return ConfigurationError(f"{lead}, which lives at an API: {how_apis_are_used(entry)}")
    if entry.ollama:
        return ConfigurationError(f"{lead}{has}: fetch it with `ollama pull {entry.ollama if model.lower() == entry.name else model}`")
    if entry.name != models.ANY:
        return ConfigurationError(f"{lead}{has}: {entry.name} is not on Ollama; `escriba models show {entry.name}` says how vLLM serves it")
    unknown = f": `ollama pull {model}` fetches it, if that is its name there"
    return ConfigurationError(f"{lead}{has}{_meant(model, installed, everything=True) or unknown}")


def how_apis_are_used(entry: models.Model) -> str:
    """The options for a model that lives at somebody's endpoint."""
    return f"use --vision {entry.endpoint} --model {entry.name}, its key in ESCRIBA_VISION_KEY, and a policy with external = true under [vision]"


def _meant(model: str, served: Sequence[str], *, everything: bool = False) -> str:
    """The name that a person may have had in mind: of what is there, or of `everything` that the registry knows on Ollama."""
    names = [name if (entry := models.for_served(name)).name == models.ANY else entry.name for name in served]
    names += [entry.name for entry in models.catalogue().values() if everything and entry.ollama]
    near = max(names, key=lambda name: _likeness(model, name))
    return f"; did you mean {near}?" if _likeness(model, near) >= _NEAR else ""


def _likeness(model: str, name: str) -> float:
    """From 0 to 1, by what people remember of a name, ours or Ollama's: `olmocr2` of `richardyoung/olmocr2:7b-q8`."""
    forms = {_bare(name), _bare(models.for_served(name).ollama)} - {""}
    return max(difflib.SequenceMatcher(None, _bare(model), form).ratio() for form in forms)


def _bare(name: str) -> str:
    return name.lower().rsplit("/", 1)[-1].partition(":")[0]


def _tag(name: str) -> str:
    return name.rsplit("/", 1)[-1].partition(":")[2]


def _renamed(model: str, served: Sequence[str]) -> str:
    """The way to have a registry's prompt for weights that the server calls by a name that we do not know."""
    if models.for_served(model).name == models.ANY or any(models.for_served(name).name != models.ANY for name in served):
        return ""
    name = models.for_served(model).name
    return f". If that is {name}, have it served under this name (vLLM: --served-model-name {name}, llama.cpp: --alias {name})"
