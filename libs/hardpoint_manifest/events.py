"""Owns the names of what happens: in an org, which a trigger of type `event` waits for, and at senders of webhooks."""

import re
from typing import Final

UPLOADED: Final = "file.uploaded"
RUN_FINISHED: Final = "run.finished"
RUN_FAILED: Final = "run.failed"
RUN_WAITING: Final = "run.waiting"
EVENTS: Final = (UPLOADED, RUN_FINISHED, RUN_FAILED, RUN_WAITING)

_NAME: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,100}", re.ASCII)
_SLACK_PLACES: Final = {"channels": "channel", "groups": "group", "im": "im", "mpim": "mpim"}
"""What a message says of where it is (`channel_type`), by the event that an app subscribes to for it."""


def sent_as(verifier: str, event: str) -> str:
    """The filter of what a webhook's sender calls by a name; empty where its way to sign does not tell how it does.

    `message.channels` of Slack, `pull_request.opened` of GitHub, and the `type` of Standard Webhooks.
    """
    if not _NAME.fullmatch(event):
        return ""
    kind, _, more = event.partition(".")
    if verifier == "slack" and kind == "message" and more in _SLACK_PLACES:
        return f'event.event.type == "message" && event.event.channel_type == "{_SLACK_PLACES[more]}"'
    if verifier == "slack":
        return f'event.event.type == "{event}"'
    if verifier == "github":
        return f'trigger.headers["x-github-event"] == "{kind}"' + (f' && event.action == "{more}"' if more else "")
    return f'event.type == "{event}"' if verifier == "standard-webhooks" else ""
