"""Owns the two-way table between the exception family and `google.rpc.Status`.

`fix` and `place` travel in `ErrorInfo.metadata`, violations in `BadRequest`, `retry_after` in `RetryInfo`. Two classes
share a code here and there; the metadata key `error` then tells which one was raised.
"""

import re
from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from hardpoint_kit import errors
from hardpoint_kit.errors import HardpointError, Internal

DOMAIN = "hardpoint"
DETAILS_METADATA = "grpc-status-details-bin"
# A status travels in headers, of which both sides take 64 KiB.
_LONGEST_TEXT = 2_000
_MOST_BYTES_OF_VIOLATIONS = 16 * 1024
_TOO_LARGE = re.compile(r"message larger than max \((\d+) vs\. (\d+)\)")

_BY_CODE: dict[grpc.StatusCode, type[HardpointError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Conflict,
    grpc.StatusCode.ABORTED: errors.StaleEtag,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    grpc.StatusCode.OUT_OF_RANGE: errors.OutOfRange,
    grpc.StatusCode.UNIMPLEMENTED: errors.Unimplemented,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
    grpc.StatusCode.INTERNAL: errors.Internal,
}
_BY_NAME: dict[str, type[HardpointError]] = {errors.ActionFailed.__name__: errors.ActionFailed}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def to_status(error: HardpointError) -> status_pb2.Status:
    """Write an error as a status; long texts and long lists are cut."""
    status = status_pb2.Status(code=error.code.value[0], message=_cut(error.message))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    said = {"place": error.place, "fix": error.fix}
    if type(error).__name__ in _BY_NAME:
        said["error"] = type(error).__name__
    for key, value in {**error.metadata, **said}.items():
        if value:
            info.metadata[key] = _cut(value)
    status.details.add().Pack(info)
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for field, description in error.violations.items():
            bad.field_violations.add(field=_cut(field), description=_cut(description))
            if bad.ByteSize() > _MOST_BYTES_OF_VIOLATIONS:
                break
        status.details.add().Pack(bad)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        status.details.add().Pack(retry)
    return status


def from_status(status: status_pb2.Status) -> HardpointError:
    """Rebuild the error that a peer raised; a status that is not one of ours becomes the class of its code."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
        else:
            detail.Unpack(info) or detail.Unpack(bad)
    metadata = dict(info.metadata)
    place, fix = metadata.pop("place", ""), metadata.pop("fix", "")
    by_code = _BY_CODE.get(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), Internal)
    return _BY_NAME.get(metadata.pop("error", ""), by_code).received(
        status.message,
        reason=info.reason,
        fix=fix,
        place=place,
        retry_after=retry_after,
        metadata=metadata,
        violations={violation.field: violation.description for violation in bad.field_violations},
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> HardpointError:
    """Rebuild the error behind a failed call; `from_transport` when the way to the peer failed, and not the peer."""
    for key, value in _pairs(error.trailing_metadata()):
        if key == DETAILS_METADATA and isinstance(value, bytes):
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    code = error.code()
    if code is grpc.StatusCode.CANCELLED:
        # Nobody here cancelled it, that would be no error of the RPC, and no handler did: a server that stops says so.
        code = grpc.StatusCode.UNAVAILABLE
    rebuilt = from_status(status_pb2.Status(code=code.value[0], message=error.details() or code.value[1]))
    rebuilt.from_transport = True
    if too_large := _TOO_LARGE.search(rebuilt.message):
        size, most = (int(number) for number in too_large.groups())
        rebuilt.message = f"a message of {size:,} bytes was to be sent; one has at most {most:,}"
        rebuilt.fix = "give or ask for less at once, and pass what is large as a stored file"
    if isinstance(rebuilt, errors.DeadlineExceeded):
        rebuilt.message = "no answer came in time"
        rebuilt.fix = "try again later; what was asked for may have been done"
    if isinstance(rebuilt, errors.Unavailable):
        rebuilt.fix = "try again; check the address, and that the peer is running"
    return rebuilt


def trailing_metadata(error: HardpointError) -> tuple[tuple[str, bytes], ...]:
    """Return what an RPC sends after its last message so that the caller can rebuild the error."""
    return ((DETAILS_METADATA, to_status(error).SerializeToString()),)


def _pairs(metadata: "grpc.aio.Metadata | None") -> Sequence[tuple[str, str | bytes]]:
    return tuple(metadata) if metadata else ()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
