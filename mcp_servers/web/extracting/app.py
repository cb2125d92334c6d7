"""Assembly: an extractor as the settings say."""

from __future__ import annotations

from mcp_servers.fetching.retries import RetryPolicy
from mcp_servers.web.extracting.extractor import Extractor
from mcp_servers.web.extracting.llm import Llm
from mcp_servers.web.extracting.settings import ExtractSettings


def create_extractor(
    settings: ExtractSettings | None = None, *, retries: RetryPolicy | None = None
) -> Extractor:
    """Return an extractor, to be used by `async with`.

    Args:
        settings: How; None for what the environment says.
        retries: In place of what the settings say.

    Raises:
        pydantic.ValidationError: a variable of the environment is unusable.
        OSError: the file with the key cannot be read.
    """
    settings = settings or ExtractSettings()
    url = settings.chat_url
    if url is None:
        return Extractor(settings, None)
    llm = Llm(
        url,
        settings.llm_model_name,
        settings.key(),
        answer_tokens=settings.answer_tokens,
        connections=settings.llm_connections,
        retries=retries or RetryPolicy(settings.llm_attempts),
    )
    return Extractor(settings, llm)
