"""Uploaded files as filters see them: `file.type` is what people call the type (`pdf`), not its media type."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hardpoint_manifest.known import Known
from hardpoint_manifest.model import Parameter

_CALLED: Final = {
    "text/plain": "txt",
    "text/markdown": "md",
    "text/javascript": "js",
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "application/x-yaml": "yaml",
    "application/gzip": "gz",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
}
"""Media types whose second half nobody says."""

_HANDLE: Final = Known.parameter(Parameter(name="file", type="file", required=True))
FILE: Final = replace(_HANDLE, members={**_HANDLE.members, "media_type": Known("string")})
"""What is known of `file` in a filter."""


def seen(handle: Mapping[str, Any]) -> dict[str, Any]:
    """A file's handle as a filter's `file`: its `type` in short, its `media_type` as it was."""
    media = str(handle.get("type", "")).partition(";")[0].strip().lower()
    called = _CALLED.get(media) or media.partition("/")[2]
    return {"name": "", "size": 0, **handle, "type": called, "media_type": media}
