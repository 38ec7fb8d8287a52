"""The Core stack's template, against literal expectations."""

from __future__ import annotations

import json

from escriba.settings import Settings
from tests.infra.conftest import Template, filled, of_type


def test_every_function_is_told_what_it_needs(dev: Template) -> None:
    """Each environment makes a `Settings`, whose queues carry the topology's six names."""
    functions = of_type(dev, "Lambda::Function")
    assert len(functions) == 4
    for function in functions.values():
        environment = filled(dev, function["Environment"]["Variables"])
        settings = Settings.from_env(environment)
        assert sorted(settings.queues) == ["assemble", "assemble-dlq", "intake", "intake-dlq", "pages", "pages-dlq"]
        assert len(json.dumps(environment)) < 3000
