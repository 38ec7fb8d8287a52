"""Messages, policies, settings, identities and topology: what crosses a boundary is checked there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import escriba
from escriba import errors
from escriba.document import BoundingBox
from escriba.errors import ConfigurationError, Corrupt, MessageError, OverLimit, PermanentError, Unsupported, rejection
from escriba.identity import UploadKey, document_id, job_id, parse_upload_key, result_key, upload_key
from escriba.messages import (
    DocumentCompleted,
    DocumentReady,
    Message,
    ObjectCreated,
    PagesRequested,
    SplitContinued,
    decode,
    encode,
    object_created,
)
from escriba.policy import Limits, Policy, load_policy, parse_policy, with_languages
from escriba.settings import Settings
from escriba.topology import TOPOLOGY
from tests.documents import text_pdf

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MESSAGES: list[Message] = [
    SplitContinued(sent_at=NOW, document_id="d", first=501),
    PagesRequested(sent_at=NOW, document_id="d", first=1, last=50, generation=2, route="text_layer", object_key="k", offset=0),
    DocumentReady(sent_at=NOW, document_id="d", revision=3),
    DocumentCompleted(
        sent_at=NOW, document_id="d", tenant="t", state="PARTIAL", revision=1, output_prefix="p/", pages={"DONE": 3, "QUARANTINED": 1}
    ),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_survive_their_envelope(message: Message) -> None:
    """Encoded and decoded, a message is what it was; the envelope is EventBridge's."""
    body = encode(message)
    assert decode(body) == message
    assert {"version", "detail-type", "source", "time", "detail"} == set(json.loads(body))


def test_s3s_own_event_is_read() -> None:
    """The upload's event as EventBridge delivers it, with fields that Escriba does not need."""
    event = {
        "version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3", "account": "1", "time": "2026-01-01T00:00:00Z",
        "region": "eu-west-1", "resources": ["arn:aws:s3:::b"],
        "detail": {"version": "0", "bucket": {"name": "b"}, "object": {"key": "inbox/t/p/a ç.pdf", "size": 5, "etag": "x", "version-id": "v1", "sequencer": "0"},
                   "request-id": "r", "requester": "1", "source-ip-address": "1.2.3.4", "reason": "PutObject"},
    }  # fmt: skip
    upload = decode(json.dumps(event))
    assert isinstance(upload, ObjectCreated)
    assert (upload.bucket.name, upload.object.key, upload.object.version_id, upload.object.size) == ("b", "inbox/t/p/a ç.pdf", "v1", 5)
    ours = decode(object_created("b", "inbox/t/p/a ç.pdf", "v1", 5, NOW))
    assert ours == upload


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{", "not an event envelope"),
        ("[]", "not an event envelope"),
        ('{"source":"escriba","detail-type":"Pages Requested","detail":{"schema_version":2}}', "schema version 2"),
        ('{"source":"escriba","detail-type":"Document Ready","detail":{"document_id":"d","revision":1,"sent_at":"2026-01-01T00:00:00Z","new":1}}', "does not fit: new"),
        ('{"source":"escriba","detail-type":"Unheard Of","detail":{}}', "unknown message"),
        ('{"source":"aws.s3","detail-type":"Object Deleted","detail":{}}', "unknown message"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_message_error_without_its_content(body: str, sentence: str) -> None:
    """Unknown versions, fields and types are refused, in a sentence that quotes no content."""
    with pytest.raises(MessageError, match=sentence):
        decode(body)


def test_policies_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    """One sentence names the file and every wrong field."""
    path = tmp_path / "p.toml"
    path.write_text('languages = ["deu"]\n[ocr]\ndpi = 300\n')
    assert (load_policy(path).languages, load_policy(path).ocr.dpi) == (("deu",), 300)
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        parse_policy("x = ")
    with pytest.raises(ConfigurationError, match=r"ocr\.dpi.*; ocr\.colour"):
        parse_policy("[ocr]\ndpi = 5\ncolour = 1")
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_policy(tmp_path / "missing.toml")


def test_the_fingerprint_changes_with_the_output_only() -> None:
    """Languages, thresholds and engine versions change it; name and limits do not."""
    base, engines = Policy(), {"text_layer": "1"}
    assert base.fingerprint(engines) == Policy(name="other", limits=Limits(max_pages=5)).fingerprint(engines)
    assert base.fingerprint(engines) != Policy(languages=("eng",)).fingerprint(engines)
    assert base.fingerprint(engines) != base.fingerprint({"text_layer": "2"})
    assert base.fingerprint({"a": "1", "b": "2"}) == base.fingerprint({"b": "2", "a": "1"})


def test_settings_survive_the_environment() -> None:
    """What to_env writes, from_env reads; what is missing is named."""
    settings = Settings(inbox_bucket="i", results_bucket="r", ledger_table="l", idempotency_table="d", event_bus="e", queues={"pages": "u"})
    assert Settings.from_env(settings.to_env() | {"PATH": "/bin"}) == settings
    with pytest.raises(ConfigurationError, match="ESCRIBA_LEDGER_TABLE"):
        Settings.from_env({k: v for k, v in settings.to_env().items() if "LEDGER" not in k})
    with pytest.raises(ConfigurationError, match="ESCRIBA_QUEUES is not JSON"):
        Settings.from_env(settings.to_env() | {"ESCRIBA_QUEUES": "{"})


def test_a_policys_complaints_name_the_way_out(tmp_path: Path) -> None:
    """An unknown setting, a language that is none, a number out of bounds, a file that is no text."""
    for text, sentence in (
        ("x = 1", "x: there is no such setting (docs/configuration.md lists them all)"),
        ('languages = ["en"]', "languages.0: 'en' is no ISO 639-2 code, which has three letters (por, eng, deu)"),
        ("[ocr]\ndpi = 10", "ocr.dpi: input should be greater than or equal to 72, not 10"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            parse_policy(text)
        assert str(raised.value) == f"policy has settings that Escriba does not accept: {sentence}"
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="no text in UTF-8"):
        load_policy(tmp_path / "latin")
    assert with_languages(Policy(), "deu+chi_sim").languages == ("deu", "chi_sim")
    with pytest.raises(ConfigurationError, match=r"'en\+' names no languages"):
        with_languages(Policy(), "en+")


def test_the_package_offers_what_read_needs(tmp_path: Path) -> None:
    """A policy by value or by file, and the error to catch, under the package's own name."""
    assert escriba.Policy is Policy
    assert issubclass(ConfigurationError, escriba.EscribaError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = escriba.nothing
    (tmp_path / "small.toml").write_text("[limits]\nmax_bytes = 10")
    with pytest.raises(escriba.EscribaError, match="max_bytes = 10"):
        escriba.read(text_pdf("text"), policy=str(tmp_path / "small.toml"))


def test_deployed_policies_travel_as_what_differs() -> None:
    """Defaults take no room in a function's environment; what differs comes back whole."""
    invoices = Policy(name="invoices", languages=("eng",), limits=Limits(max_pages=5))
    names = {"inbox_bucket": "i", "results_bucket": "r", "ledger_table": "l", "idempotency_table": "d", "event_bus": "e"}
    settings = Settings.model_validate({**names, "queues": {}, "policies": {"default": Policy(), "invoices": invoices}})
    written = settings.to_env()
    assert written["ESCRIBA_POLICIES"] == '{"default":{},"invoices":{"name":"invoices","languages":["eng"],"limits":{"max_pages":5}}}'
    assert Settings.from_env(written).policies == {"default": Policy(), "invoices": invoices}
    with pytest.raises(ConfigurationError, match="ESCRIBA_POLICIES"):
        Settings.from_env(written | {"ESCRIBA_POLICIES": '{"default":{"colour":1}}'})


def test_upload_keys_name_tenant_and_policy() -> None:
    """inbox/<tenant>/<policy>/<name>, whatever the name holds."""
    assert parse_upload_key("inbox/acme/default/a/b ç.pdf") == UploadKey("acme", "default", "a/b ç.pdf")
    assert parse_upload_key(upload_key("t", "p", "n.pdf")) == UploadKey("t", "p", "n.pdf")
    for key in ("inbox/acme/a.pdf", "outbox/acme/default/a.pdf", ""):
        with pytest.raises(Unsupported):
            parse_upload_key(key)


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3)), unique=True, min_size=2, max_size=5))
def test_identities_are_told_apart(parts: list[tuple[str, str, str]]) -> None:
    """Different parts give different identities, wherever the characters stand (separators in names are not at issue)."""
    clean = {tuple(p.replace("\0", "") for p in part) for part in parts}
    assert len({document_id(*part) for part in clean}) == len(clean)  # type: ignore[call-arg]
    assert len({job_id(*part) for part in clean}) == len(clean)  # type: ignore[call-arg]


def test_results_are_named_by_their_content() -> None:
    """Another outcome of the same pages stands under another key."""
    assert result_key("d", 1, 50, b"a") != result_key("d", 1, 50, b"b")
    assert result_key("d", 1, 50, b"a").startswith("readings/d/pages/000001-000050-")


def test_every_permanent_error_has_a_code_of_its_own_and_comes_back_from_it() -> None:
    """The ledger keeps the code; the error can be told from it."""
    kinds = PermanentError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert type(rejection(kind.code, "why")) is kind
        assert errors.__doc__ is not None
        assert kind.__name__ in errors.__doc__
    assert type(rejection("unheard_of", "why")) is PermanentError
    assert OverLimit.surroundings
    assert not Corrupt.surroundings


def test_every_queue_outlives_its_consumer() -> None:
    """Visibility is six times a function's timeout; each source has dead letters kept 14 days; every queue is consumed, by a function or a service."""
    consumed = {name: function for function in TOPOLOGY.functions for name in function.consumes}
    served = {name for service in TOPOLOGY.services for name in service.consumes}
    assert set(consumed) | served == {queue.name for queue in TOPOLOGY.all_queues()}
    for queue in TOPOLOGY.all_queues():
        assert queue.name in served or queue.visibility >= 6 * consumed[queue.name].timeout
        assert queue.retention == (4 if queue.dead_letters else 14) * 86_400
    assert [queue.max_receives for queue in TOPOLOGY.queues] == [3, 3, 20, 20, 3]
    assert TOPOLOGY.scaled(0.5).queue("pages").visibility == TOPOLOGY.queue("pages").visibility / 2


def test_boxes_join() -> None:
    """The union of two boxes holds both."""
    assert BoundingBox.around((BoundingBox(0, 0, 1, 1), BoundingBox(2, -1, 3, 0.5))) == BoundingBox(0, -1, 3, 1)
