"""Why a language model gave no answer, in words that never hold a key or what the endpoint said.

LlmError
ContextOverflow  the request was longer than the model takes
LlmUnavailable   no answer that can be used came in time
"""

from __future__ import annotations


class LlmError(Exception):
    """The model gave no answer.

    Args:
        text: The message.
        spent: Tokens that were spent all the same.
    """

    def __init__(self, text: str, spent: int = 0) -> None:
        super().__init__(text)
        self.spent = spent


class ContextOverflow(LlmError):
    """The request was longer than the model takes; a shorter one may do."""


class LlmUnavailable(LlmError):
    """No answer came, or none that can be used; the same request would fare no better now."""
