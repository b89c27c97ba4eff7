"""Owns what carries a span to whoever is called, as the W3C's Trace Context writes it.

The library's propagator does the same by way of a context made for it, in three times the calls; every hop needs it.
"""

from opentelemetry.trace import Span


def carrier(span: Span) -> dict[str, str]:
    """The headers, or the metadata, that carry a span on; none for one that is not valid."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    carried = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    if state := context.trace_state:
        carried["tracestate"] = state.to_header()
    return carried
