"""Spans of calls for OpenTelemetry. The only file that knows its SDK, which is an optional extra.

Names and attributes are those of OpenTelemetry's conventions for MCP and for generative AI:
https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wire.errors import PlatformError
from wire.faces.catalogue import Catalogue
from wire.models import Call, Outcome, ToolInfo

EXPORT_S = 3.0
MAX_NAME = 128
"""Longest tool name in a span, in characters: a caller may name what does not exist."""


class TracedCatalogue:
    """A catalogue whose calls become spans. What a call passes on names its span as the parent.

    Spans wait in memory, up to the SDK's bound, and are sent by a thread of their own; while the
    collector is away they are dropped, and no call waits for it.

    Args:
        catalogue: Has the tools.
        endpoint: The collector's address, without `/v1/traces`. The SDK's own variables, such as
            OTEL_EXPORTER_OTLP_HEADERS, hold as well.
        version: Ours.
    """

    def __init__(self, catalogue: Catalogue, endpoint: str, version: str) -> None:
        self._catalogue = catalogue
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S)
        resource = Resource.create({"service.name": "agentdock", "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("agentdock", version)
        self._context = TraceContextTextMapPropagator()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Send what waits when the context ends."""
        try:
            yield
        finally:
            await asyncio.to_thread(self._provider.shutdown)

    def tools(self, server: str | None = None) -> Sequence[ToolInfo]:
        """See `Catalogue`."""
        return self._catalogue.tools(server)

    def servers(self) -> Sequence[str]:
        """See `Catalogue`."""
        return self._catalogue.servers()

    def find(self, name: str) -> ToolInfo:
        """See `Catalogue`."""
        return self._catalogue.find(name)

    async def call(self, call: Call) -> Outcome:
        """See `Catalogue`."""
        span = self._start(call)
        try:
            outcome = await self._catalogue.call(call)
            span.set_attribute("gen_ai.tool.name", outcome.tool.name)
            span.set_attribute("agentdock.server", outcome.tool.server)
            span.set_attribute("agentdock.node", outcome.node)
            if outcome.is_error:
                _fail(span, "tool_error")
            return outcome
        except PlatformError as error:
            _fail(span, error.code)
            raise
        except asyncio.CancelledError:
            _fail(span, "cancelled")
            raise
        finally:
            span.end()

    def _start(self, call: Call) -> Span:
        """Begin a span below the caller's, and put it in the caller's place for what follows."""
        meta = dict(call.meta or {})
        carrier = {name: value for name, value in meta.items() if isinstance(value, str)}
        name = call.tool[:MAX_NAME]
        span = self._tracer.start_span(
            f"tools/call {name}",
            context=self._context.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={
                "mcp.method.name": "tools/call",
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "agentdock.call_id": call.id,
            },
        )
        self._context.inject(meta, set_span_in_context(span))
        call.meta = meta
        return span


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
