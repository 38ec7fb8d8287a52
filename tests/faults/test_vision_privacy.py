"""Through the whole pipeline, with the real client and its sockets watched: a page goes to the configured own endpoint and nowhere else."""

from __future__ import annotations

import pytest

from escriba.backends import Backend
from escriba.engines.vision import VisionClient
from escriba.errors import ConfigurationError
from escriba.identity import policy_key
from escriba.policy import Policy, Vision, parse_policy
from escriba.ports import Picture
from lambdas import entry
from tests.engines.fake_server import Act, Fails, Nonsense, Says, fake
from tests.engines.pictures import picture
from tests.engines.servers import free_port
from tests.engines.watching import watch
from tests.faults.harness import SCRAWL, SURE, ObedientReader, document_of, made_up, pipeline, run

ELSEWHERE = "127.0.0.2"  # plays the host outside: also on this machine, but not the one that was configured as our own


def backend(name: str, url: str, **changes: object) -> Backend:
    return Backend.model_validate(
        {"name": name, "base_url": url, "model": "generic", "served_as": "tiny", "external": False, "seconds_per_page": 1, **changes}
    )


def state(made: object, job: str) -> tuple[str, str]:
    [row] = made.ports.ledger.pages(document_of(made, job).document_id)  # type: ignore[attr-defined,arg-type]
    return row.state, row.reason


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of another test's, a picture that servers take, and an environment that would lead elsewhere."""
    monkeypatch.setattr(ObedientReader, "render", lambda *_, **__: Picture(picture(), 100, 100, 0.1))
    monkeypatch.setattr(entry, "_vision", {})
    other = f"http://{ELSEWHERE}:{free_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, other)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{other}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (Says("\n\n".join(SURE + SCRAWL)), ""),
        (Says("Era uma vez um gato que tocava piano e falava com toda a gente da rua."), "was not believed"),
        (Fails(500), "500"),
        (Fails(429, headers={"Retry-After": "1"}), "429"),
        (Fails(307, headers={"Location": f"http://{ELSEWHERE}:81/v1/chat/completions"}), "redirect"),
        (Fails(401), "401"),
        (Nonsense(b"data: nonsense\n\n"), "does not answer as"),
    ],
    ids=["right", "wrong", "500", "429", "redirect", "401", "no protocol"],
)
def test_whatever_happens_only_our_own_is_asked(act: Act, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries, refusals, redirects and the next backend in line: under external = false nothing is sent outside, not even a greeting."""
    watched = watch(monkeypatch)
    with fake(*[act] * 40, owner="somebody") as own:
        backends = [backend("own", own.base_url), backend("outside", f"http://{ELSEWHERE}:82/v1", external=True)]
        with pipeline(vision=None) as made:
            made.ports = _with(made, backends)
            policy = Policy(vision=Vision(deadline_seconds=10))
            made.ports.results.put(policy_key("default"), policy.model_dump_json().encode())
            job = made.upload("hard.pdf", made_up("h"))
            run(made)
            found, reason = state(made, job)
        assert found == ("DEGRADED" if told else "DONE"), reason
        assert told in reason
        assert own.questions
        assert watched.places == {own.place}
        assert watched.names <= {own.place[0]}


@pytest.mark.parametrize("act", [Says("1: nada"), Fails(500), Nonsense(b"data: nonsense\n\n")], ids=["strays", "500", "no protocol"])
def test_text_to_be_corrected_goes_where_pictures_may_go(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with words in doubt is sent, as text, to the own endpoint alone, and ends as it was read."""
    watched = watch(monkeypatch)
    with fake(*[act] * 40, owner="somebody") as own:
        backends = [backend("own", own.base_url), backend("outside", f"http://{ELSEWHERE}:82/v1", external=True)]
        with pipeline(vision=None) as made:
            made.ports = _with(made, backends)  # type: ignore[assignment]
            policy = Policy(vision=Vision(deadline_seconds=10, correction=True))
            made.ports.results.put(policy_key("default"), policy.model_dump_json().encode())
            job = made.upload("doubtful.pdf", made_up("d"))
            run(made)
            assert state(made, job) == ("DONE", "")
        assert own.questions
        assert all(isinstance(question["messages"][0]["content"], str) for question in own.questions)
        assert watched.places == {own.place}
        assert watched.names <= {own.place[0]}


def _with(made: object, backends: list[Backend]) -> object:
    from dataclasses import replace

    return replace(made.ports, backends=backends, vision=entry.vision_model)  # type: ignore[attr-defined]


def test_an_endpoint_that_is_wrongly_called_our_own_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address declared as own: refused before anything is sent; the CPU reading stands."""
    watched = watch(monkeypatch)
    with pipeline(vision=None) as made:
        made.ports = _with(made, [backend("mistake", "https://192.0.2.7/v1")])  # type: ignore[assignment]
        job = made.upload("hard.pdf", made_up("h"))
        run(made)
        found, reason = state(made, job)
    assert found == "DEGRADED"
    assert "192.0.2.7" in reason or "mistake" in reason
    assert watched.places == set()


def test_nobody_to_ask_but_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment with an external endpoint alone: under the default policy it is as if there were none."""
    watched = watch(monkeypatch)
    with pipeline(vision=None) as made:
        made.ports = _with(made, [backend("outside", f"http://{ELSEWHERE}:82/v1", external=True)])  # type: ignore[assignment]
        job = made.upload("hard.pdf", made_up("h"))
        run(made)
        assert state(made, job)[1].endswith("no vision backend")
    assert watched.places == set()


def test_masking_is_not_there_yet() -> None:
    """So nothing that wants it can be sent outside."""
    with pytest.raises(ConfigurationError, match="cannot be masked yet"):
        parse_policy("mask_pii = true\n[vision]\nexternal = true")
    with pytest.raises(ConfigurationError):
        VisionClient("")
