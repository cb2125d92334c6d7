"""Assembly: an extractor as the settings say."""

from __future__ import annotations

from mcp_servers.fetching.retries import RetryPolicy
from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.extracting.extractor import Extractor
from mcp_servers.web.extracting.llm import Llm
from mcp_servers.web.extracting.settings import ExtractSettings
from mcp_servers.web.keys import Keys, keys_of


def create_extractor(
    settings: ExtractSettings | None = None,
    *,
    fetching: FetchSettings | None = None,
    keys: Keys | None = None,
    retries: RetryPolicy | None = None,
) -> Extractor:
    """Return an extractor, to be used by `async with`.

    Args:
        settings: How; None for what the environment says.
        fetching: Names the proxy and the hosts that need none; None for what the environment says.
        keys: What is hidden in all that the model says; None for those of these settings.
        retries: In place of what the settings say.

    Raises:
        pydantic.ValidationError: a variable of the environment is unusable.
        OSError: the file with the key cannot be read.
    """
    settings = settings or ExtractSettings()
    fetching = fetching or FetchSettings()
    url = settings.chat_url
    if url is None:
        return Extractor(settings, None)
    key = settings.key()
    llm = Llm(
        url,
        settings.llm_model_name,
        key,
        answer_tokens=settings.answer_tokens,
        connections=settings.llm_connections,
        proxy=fetching.proxy_to(url),
        retries=retries or RetryPolicy(settings.llm_attempts),
    )
    keys = keys or Keys([*keys_of(settings, fetching), key or ""])
    return Extractor(settings, llm, keys)
