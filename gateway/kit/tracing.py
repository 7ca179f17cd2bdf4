"""Spans for OpenTelemetry, if an endpoint is configured; otherwise one attribute look-up per request.

How it works: with `OTEL_EXPORTER_OTLP_ENDPOINT` set, each request is a span that continues the client's `traceparent`, and whatever opens spans below it (the
command's handling, the save) becomes its child. Spans go out in batches as OTLP over HTTP in JSON.

What may go wrong: a collector that is away must not hold anything up: spans are dropped, and that is logged once a minute at most by the SDK.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_OK = 300


class Spans:
    """The spans of requests."""

    def __init__(self, service: str = "anamnesis-gateway") -> None:
        base = os.environ.get(ENDPOINT, "").rstrip("/")
        url = os.environ.get(TRACES_ENDPOINT) or (f"{base}/v1/traces" if base else "")
        self.on = bool(url)
        if self.on:
            self._provider = provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)}))
            provider.add_span_processor(BatchSpanProcessor(JsonExporter(url)))
            trace.set_tracer_provider(provider)
            self._tracer = provider.get_tracer("gateway")

    @contextmanager
    def request(self, name: str, headers: Mapping[bytes, bytes], request_id: bytes) -> Iterator[None]:
        """A span around the answering of a request."""
        carrier = {key.decode(): headers[key].decode("latin-1") for key in (b"traceparent", b"tracestate") if key in headers}
        attributes = {"request.id": request_id.decode()}
        with self._tracer.start_as_current_span(name, propagate.extract(carrier), kind=trace.SpanKind.SERVER, attributes=attributes):
            yield

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A span within that of the request."""
        with self._tracer.start_as_current_span(name):
            yield

    def flush(self) -> None:
        """Send what has been gathered so far."""
        if self.on:
            self._provider.force_flush()

    def close(self) -> None:
        """Send what is left."""
        if self.on:
            self._provider.shutdown()


class JsonExporter(SpanExporter):
    """Sends spans as OTLP over HTTP, in its JSON form, which needs no further package."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(timeout=5)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            answer = self._client.post(self._url, json=payload(spans))
        except httpx.HTTPError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if answer.status_code < _OK else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._client.close()


def payload(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """Return spans in OTLP's JSON form."""
    resource = _attributes(spans[0].resource.attributes) if spans else []
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"scope": {"name": "gateway"}, "spans": [_span(s) for s in spans]}]}]}


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.context
    return {
        "traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}", "name": span.name, "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time), "endTimeUnixNano": str(span.end_time), "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value}, **({"parentSpanId": f"{span.parent.span_id:016x}"} if span.parent else {}),
    }


def _attributes(values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": str(value)}} for key, value in values.items()]
