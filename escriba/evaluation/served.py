"""Asks a served model over HTTP and nothing more: the measurement's own client, without the retries and limits that production needs."""

from __future__ import annotations

import base64
from typing import Any

import openai

from escriba.errors import EngineRejected, EngineTimeout, EngineUnavailable, Throttled
from escriba.vision import Answer, Question

_FINISHED = {"length": "length", "content_filter": "filtered", "repetition": "repetition"}


class Served:
    """Implements `vision.VisionModel` for an endpoint with OpenAI's protocol at `base_url`."""

    def __init__(self, base_url: str) -> None:
        self._client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)

    def ask(self, question: Question, seconds: float) -> Answer:
        """One try; see `VisionModel.ask`."""
        image = f"data:{question.media_type};base64,{base64.b64encode(question.image).decode()}"
        content: list[Any] = [{"type": "text", "text": question.prompt}, {"type": "image_url", "image_url": {"url": image}}]
        try:
            said = self._client.chat.completions.create(
                model=question.model,
                messages=[{"role": "user", "content": content}],
                max_tokens=question.max_tokens,
                temperature=question.temperature,
                timeout=seconds,
            )
        except openai.APITimeoutError:
            raise EngineTimeout(f"the model did not answer within {seconds:g} s") from None
        except openai.RateLimitError:
            raise Throttled("the model is busy") from None
        except openai.APIStatusError as error:
            kind = EngineRejected if error.status_code < 500 else EngineUnavailable  # noqa: PLR2004  (HTTP's two families of errors)
            raise kind(f"the model's server answered with status {error.status_code}") from None
        except openai.APIConnectionError:
            raise EngineUnavailable("the model's server cannot be reached") from None
        [choice] = said.choices
        return Answer(text=choice.message.content or "", finish=_FINISHED.get(choice.finish_reason, "stop"), model=said.model)  # type: ignore[arg-type]

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()
