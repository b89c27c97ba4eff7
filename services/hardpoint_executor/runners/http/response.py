"""From an answer to an output: every way in which an answer can be wrong has its own reason, and none becomes null."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from hardpoint_executor.broker.fetch import FetchResponse
from hardpoint_executor.runners.http.outputs import check_output
from hardpoint_executor.runners.http.repeats import retry_after
from hardpoint_executor.runners.oversize import check_size
from hardpoint_kit.errors import ActionFailed
from hardpoint_manifest.expression import Expression, ExpressionError, Scope, as_text, compile
from hardpoint_manifest.model import Action, HttpCall, Parameter

MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class ResponsePlan:
    """A compiled mapping, and what makes an answer a success."""

    host: str
    success: Expression | None
    error: Expression | None
    mapping: tuple[tuple[str, Expression], ...]
    outputs: tuple[Parameter, ...]

    @classmethod
    def compile(cls, call: HttpCall, host: str, action: Action) -> Self:
        """Compile the expressions of a call that read its answer; raises ExpressionError."""
        scope, collected = Scope.response(action), Scope.response(action, collected=True)
        return cls(
            host,
            compile(call.success, scope) if call.success else None,
            compile(call.error, scope) if call.error else None,
            tuple((name, compile(text, collected)) for name, text in call.response_mapping.items()),
            action.outputs,
        )

    def read(self, response: FetchResponse, input: Mapping[str, Any]) -> dict[str, Any]:
        """What expressions may say about a successful answer; raises ActionFailed for another."""
        well = 200 <= response.status < 300
        try:
            data = _parsed(response.body)
        except ValueError as error:
            if well:
                self._not_json(response, error)
            self._upstream_error(response, "")
        variables = {"data": data, "status": response.status, "headers": response.headers, "input": input}
        if self.success is not None:
            well = self._held(self.success, variables, well)
        if not well:
            self._upstream_error(response, self._error_text(variables))
        return variables

    def output(self, variables: Mapping[str, Any], whole: Any, limit: int) -> Any:
        """What the mapping makes, or `whole` without one; at most `limit` bytes as JSON. Raises ActionFailed."""
        output = {name: _evaluated(path, variables, f"response_mapping.{name}") for name, path in self.mapping}
        value = output if self.mapping else whole
        check_output(value, self.outputs)
        check_size(value, limit)
        return value

    def _held(self, success: Expression, variables: Mapping[str, Any], well: bool) -> bool:
        """Whether the answer is a success; one that the status calls a failure need not have what is asked about."""
        try:
            return success.evaluate(variables) is True
        except ExpressionError as error:
            if well:
                raise _failed(success, error, "success") from None
            return False

    def _error_text(self, variables: Mapping[str, Any]) -> str:
        if self.error is None:
            return ""
        try:
            text = as_text(self.error.evaluate(variables))
        except ExpressionError:
            return ""  # the answer names no error: its status says all there is
        return " ".join(text.split())[:200]

    def _upstream_error(self, response: FetchResponse, text: str) -> NoReturn:
        said = f": {text}" if text else ""
        raise ActionFailed(
            f"{self.host} answered that the call failed, with status {response.status}{said}",
            reason="UPSTREAM_ERROR",
            retry_after=retry_after(response.headers),
            status=response.status,
            error=text,
        )

    def _not_json(self, response: FetchResponse, error: ValueError) -> NoReturn:
        content_type = response.headers.get("content-type", "no content type")[:100]
        begins = ascii(response.body[:32].decode(errors="replace"))
        raise ActionFailed(
            f"{self.host} answered with {content_type} that is not JSON: it begins with {begins} ({error})",
            reason="NOT_JSON",
            fix="check the URL of the action: pages for people often stand where an API does not",
            content_type=content_type,
        )


def _evaluated(expression: Expression, variables: Mapping[str, Any], place: str) -> Any:
    try:
        return expression.evaluate(variables)
    except ExpressionError as error:
        raise _failed(expression, error, place) from None


def _failed(expression: Expression, error: ExpressionError, place: str) -> ActionFailed:
    missing = error.reason == "MAPPING_MISSING"
    return ActionFailed(
        f"the answer has no {error.place}" if missing else f"{expression.text}: {error.message}",
        reason=error.reason,
        place=place,
        fix=error.fix or ("correct the path, or ask the service why it left the value out" if missing else ""),
        path=error.place or expression.text,
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _parsed(body: bytes) -> Any:
    """The JSON value of a body, null for an empty one; raises ValueError."""
    if not body.strip():
        return None
    try:
        value = _DECODER.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at byte {error.pos}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # Counting brackets is free; only an answer with many of them is walked.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deep(value):
        raise ValueError("it is nested too deeply")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for parent in level
            if isinstance(parent, dict | list)
            for part in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
