"""Why a fetch failed, in words that a model can act on.

    FetchError
      BadUrl            bad_url            the address is malformed
      Refused           refused_by_policy  it may not be fetched from here
      UnknownHost       unknown_host       its name leads nowhere
      Unreachable       unreachable        nobody answers there, or not securely
      TooSlow           timeout            the deadline passed
        Crowded         timeout            no turn at the host came: too many of ours ask it
      TooLarge          too_large          more bytes than allowed
      TooManyRedirects  redirect_loop      it does not stop redirecting
      BrokenAnswer      broken_answer      the server does not keep to HTTP, or hung up
      HttpError         http_error         the server said no (downloads only)

Texts name the address as it was asked for, never what a name of ours led to.
"""

from __future__ import annotations

from typing import ClassVar


class FetchError(Exception):
    """A fetch failed; the message says why and what to do."""

    kind: ClassVar[str] = "fetch_error"


class BadUrl(FetchError):
    """The address is malformed."""

    kind = "bad_url"


class Refused(FetchError):
    """The address may not be fetched from here; nothing was dialled."""

    kind = "refused_by_policy"


class UnknownHost(FetchError):
    """The host's name leads to no address."""

    kind = "unknown_host"


class Unreachable(FetchError):
    """No connection came about, or none that is secure."""

    kind = "unreachable"


class TooSlow(FetchError):
    """The deadline passed before the whole answer was there."""

    kind = "timeout"


class Crowded(TooSlow):
    """So many of our own fetches ask a host that no turn came in time; it was not asked."""


class TooLarge(FetchError):
    """The answer is larger than allowed, as sent or unpacked."""

    kind = "too_large"


class TooManyRedirects(FetchError):
    """One redirect followed another."""

    kind = "redirect_loop"


class BrokenAnswer(FetchError):
    """The server broke the rules of HTTP, or hung up."""

    kind = "broken_answer"


class HttpError(FetchError):
    """The server answered with a status that is no success.

    Args:
        text: The message.
        status: The HTTP status.
        retry_after_s: Seconds that the server asked to wait, if it did.
    """

    kind = "http_error"

    def __init__(self, text: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after_s = retry_after_s
