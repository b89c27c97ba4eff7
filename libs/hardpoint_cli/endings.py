"""What every way in which an execution ends means, and what its caller and its author can do about it: a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class FixFor(Enum):
    """Whom the `fix` of the error speaks to."""

    CALLER = "caller"
    AUTHOR = "author"


@dataclass(frozen=True, slots=True)
class Ending:
    """What a reason means, and what to do where the error itself does not say it."""

    kind: str
    caller: str = "tell the capability's author; nothing that you grant or set changes it"
    author: str = "nothing: no line of the file decides it"
    fix_for: FixFor = FixFor.AUTHOR


_REPEAT: Final = "call it again; if it persists, tell the capability's author"
_LOOK: Final = "it may have taken effect: look before you repeat it"
_INPUT: Final = "give another input, or tell the capability's author"

ENDINGS: Final[Mapping[str, Ending]] = {
    # --- the author's code, and its jail ---
    "USER_ERROR": Ending("the capability's code failed", _INPUT, "correct the code at the place"),
    "TIMEOUT": Ending(
        "a limit of time: the action did not end within it",
        "ask for less at once, or call it again; " + _LOOK,
        "do less at once, or split the work into several actions",
    ),
    "MEMORY": Ending(
        "a limit of memory: the code needed more",
        "give a smaller input",
        "hold less at once: read and write in parts; no permission widens the limit",
    ),
    "PROCS": Ending(
        "a limit of processes: the code wanted another one, or too many threads",
        author="do the work in the one process of the call; no permission gives another",
    ),
    "DISK": Ending(
        "a limit of the disk: the code wrote more than a call's /tmp takes",
        "give a smaller input",
        "write less, or keep it outside the jail with temporary files (`file`)",
    ),
    "CRASH": Ending(
        "the interpreter died",
        _REPEAT,
        "look for endless recursion and for native code fed with wrong values",
    ),
    "VIOLATION": Ending(
        "a system call that no plugin may make; its jail was killed",
        "do not install it until its author has explained the call: honest code has no use for it",
        "remove what reaches for the system: tracing, mounting, namespaces, kernel modules, changing users. Which call "
        "it was is not known: with an nsjail of its own (isolation: strict, Node) code is killed without a word. In a "
        "slot the call is named: try Python without `isolation: strict`",
    ),
    "PROTOCOL": Ending(
        "the code ended or spoke out of turn, and gave no result",
        _REPEAT,
        "return a value; do not exit, and do not touch descriptor 3",
    ),
    "OUTPUT_LIMIT": Ending(
        "a limit of size: the output, or what was printed, is larger",
        "ask for less at once, or have the output as a stored file: --oversize-to-file",
        "return less, page by page; print less; save what is large with `file.save` and return its handle",
    ),
    "BUDGET": Ending(
        "a budget of the execution was spent",
        "ask for less at once",
        "make fewer calls and log less, or split the work into several actions",
    ),
    "CANCELLED": Ending(
        "the caller gave up before it ended",
        "call it again; " + _LOOK,
        "nothing: the code was stopped from outside",
    ),
    # --- what was declared, and what came ---
    "MAPPING_MISSING": Ending("the answer has no value where the mapping looks for one", _INPUT),
    "TYPE_MISMATCH": Ending("a value is not of the type that is declared", _INPUT),
    "EXPRESSION_FAILED": Ending(
        "an expression of the manifest could not be evaluated", _INPUT, "correct the expression"
    ),
    "MANIFEST_INVALID": Ending("the manifest cannot be run", author="correct what `hardpoint check` finds"),
    "INVALID_ARGUMENT": Ending("an argument that the broker does not take", _INPUT, "correct the argument"),
    "INPUT_INVALID": Ending(
        "the input is not what the action takes", "give what its schema says", fix_for=FixFor.CALLER
    ),
    "ACTION_NAME_INVALID": Ending("the action's name is none that code can have", author="rename the action"),
    # --- the upstream ---
    "UPSTREAM_ERROR": Ending(
        "the upstream said that the call failed",
        "look at what it said: a key that is wrong or spent, an input it does not know, too many calls",
        "tell its errors apart with `success` and `error`",
    ),
    "NOT_JSON": Ending("the upstream's answer is no JSON", _REPEAT),
    "UPSTREAM_TIMEOUT": Ending("the upstream did not answer in time", _REPEAT),
    "UPSTREAM_UNREACHABLE": Ending(
        "the upstream cannot be reached", _REPEAT, "look at the host's name, its port and its certificate"
    ),
    "RESPONSE_TOO_LARGE": Ending("the upstream's answer is too large", "ask for less at once"),
    "TOO_MANY_REDIRECTS": Ending("the upstream redirects too often"),
    "REDIRECT_REFUSED": Ending("a redirect was refused", fix_for=FixFor.CALLER),
    "WEBSOCKET_CLOSED": Ending(
        "a message was sent over a WebSocket that was closed",
        _REPEAT,
        "look at `closed` after the last message, and open another one",
    ),
    # --- what was asked for, declared and granted ---
    "HOST_NOT_GRANTED": Ending(
        "a host that is not granted", "grant the host to the installation", "declare the host", FixFor.CALLER
    ),
    "PERMISSION_NOT_GRANTED": Ending(
        "a permission that is not granted",
        "grant the permission to the installation",
        "declare the permission",
        FixFor.CALLER,
    ),
    "GRANT_MISSING": Ending(
        "a permission that is not granted",
        "grant the permission to the installation",
        "declare the permission",
        FixFor.CALLER,
    ),
    "SECRET_NOT_FOR_HOST": Ending(
        "a secret was to go to a host that it is not for",
        "nothing was sent; keep the secret from this release until its author has explained the host",
        "declare the host among the secret's `hosts`",
        FixFor.CALLER,
    ),
    # --- what the broker never lets through ---
    "SERVICE_UNKNOWN": Ending("a service that the broker does not have"),
    "METHOD_REFUSED": Ending("a method that no request may have", author="use GET, POST, PUT, PATCH, DELETE or HEAD"),
    "URL_REFUSED": Ending(
        "a URL that no request may have", _INPUT, "write https://, a host, and a path of plain letters"
    ),
    "USERINFO_REFUSED": Ending("a user or password in a URL", _INPUT, "send it in a header"),
    "HOST_NOT_A_NAME": Ending("an address where a host's name must stand", _INPUT, "use the host's name"),
    "ADDRESS_NOT_PUBLIC": Ending(
        "a host whose address is not of the public internet",
        "nothing was sent; a grant does not change it: private networks are never reached",
        "use a host of the public internet",
    ),
    "HEADER_REFUSED": Ending("a header that no request may have", _INPUT, "leave the header out"),
    "SECRET_MISPLACED": Ending("a secret where no secret may stand"),
    "REQUEST_TOO_LARGE": Ending("a request that is too large", "give a smaller input"),
    "ANSWER_HOLDS_SECRET": Ending(
        "an answer that repeats a secret in a hidden form; it was withheld",
        "replace the secret if you do not trust the host: it was sent there",
    ),
    "OUTPUT_HOLDS_SECRET": Ending(
        "an output that holds a secret in a hidden form; it was withheld",
        "replace the secret, and do not call it again before its author has explained it",
    ),
    "FILE_NOT_FOUND": Ending("a temporary file that is not there", author="write it before it is read"),
    "FILE_LIMIT": Ending("too many temporary files, or too much in them", "give a smaller input"),
    # --- calls of other capabilities, and flows ---
    "CALLEE_NOT_DECLARED": Ending(
        "a call of another capability that the release does not declare", author="declare it in `calls`"
    ),
    "CALLEE_NOT_INSTALLED": Ending("a call of a capability that is not installed", "install it", fix_for=FixFor.CALLER),
    "CALLEE_DISABLED": Ending(
        "a call of a capability that is switched off", "switch it on again", fix_for=FixFor.CALLER
    ),
    "CALLEE_UNKNOWN": Ending(
        "a call of an action that the installed release does not have",
        "install a release that has it",
        "correct the action's name in `calls`",
    ),
    "CALLEE_AMBIGUOUS": Ending(
        "a call of a capability that is attached twice with equal priority",
        "give one of the attachments a higher priority",
        fix_for=FixFor.CALLER,
    ),
    "CALLEE_CYCLE": Ending(
        "a capability that would call what it is called by", author="let one of them do without the other"
    ),
    "CALLEE_WORKFLOW": Ending(
        "a call of a workflow by what cannot wait for it",
        "start it as a run of its own: hardpoint start",
        "call it from a step of a workflow, without retries",
    ),
    "CALLEE_LIMIT": Ending("calls within calls that are too deep or too many", author="call fewer others"),
    "SETTINGS_MISSING": Ending(
        "a capability that was called lacks settings", "set them on its installation", fix_for=FixFor.CALLER
    ),
    "QUEUE_FULL": Ending("what was called found every jail busy", "call it again", fix_for=FixFor.CALLER),
    "TICKET_INVALID": Ending("a ticket of what was called was no longer good", "call it again"),
    "FLOW_WAITS": Ending("a flow with a step that waits", author="make it a workflow"),
    "STEP_UNKNOWN": Ending("a step that the flow does not have", "name one that it has", fix_for=FixFor.CALLER),
    "STEP_INSIDE": Ending("a step that cannot run alone", "run the one around it", fix_for=FixFor.CALLER),
    "FILE_NOT_GIVEN": Ending(
        "a stored file that the call was not given",
        "pass the file's handle where the action takes a file; one that is deleted is gone",
        "declare an input of type file: a handle anywhere else is data",
    ),
    "FILE_EXPIRED": Ending(
        "a file that was kept for a while, which is over",
        "have it made again; a file that is needed for longer has to be saved for longer",
        "save it with a longer `expires_in`, or without one where a run may wait",
        fix_for=FixFor.CALLER,
    ),
    "FILE_NAME_INVALID": Ending(
        "a name that no stored file can have", _INPUT, "save it under a plain name, without a path"
    ),
    "FILE_SAVE_LIMIT": Ending("too many stored files, or too much in them, for one call", "give a smaller input"),
    "FILE_QUOTA": Ending(
        "the org keeps as many files as it may",
        "delete some (`hardpoint file list`), or ask the operator for more room",
        fix_for=FixFor.CALLER,
    ),
    "FILES_UNAVAILABLE": Ending("stored files could not be reached", _REPEAT, fix_for=FixFor.CALLER),
    # --- the organisation's own services ---
    "SETTING_MISSING": Ending(
        "a service that is not set up: a setting or a secret has no value",
        "set it on the installation",
        fix_for=FixFor.CALLER,
    ),
    "SETTING_INVALID": Ending(
        "a setting or a secret whose value the service cannot use", "correct its value", fix_for=FixFor.CALLER
    ),
    "LOGIN_REFUSED": Ending(
        "a service does not accept the user, the password or the key", "correct its value", fix_for=FixFor.CALLER
    ),
    "TABLE_NOT_ALLOWED": Ending(
        "a table that the installation does not allow",
        "add it to the setting DATABASE_TABLES",
        "name the tables that the capability needs in its description",
        FixFor.CALLER,
    ),
    "EFFECTS_TABLE_MISSING": Ending(
        "a write that is to be made once, in a database that cannot note that it was",
        "have its owner make the table hardpoint_effects: docs/services.md",
        fix_for=FixFor.CALLER,
    ),
    "STATEMENT_REFUSED": Ending(
        "a statement that no capability can run", author="keep to SELECT, INSERT, UPDATE, DELETE and plain functions"
    ),
    "TOO_MANY_ROWS": Ending(
        "more rows fit the condition than one update or delete may touch; none was changed",
        "name more columns in `where`, or do it in parts",
        "have it done in parts",
        FixFor.CALLER,
    ),
    "STATEMENT_FAILED": Ending(
        "the database refused the statement", "look at what it said; " + _INPUT, "correct the statement or its values"
    ),
    "RECIPIENT_REFUSED": Ending("the mail server refused a recipient", "correct the address", fix_for=FixFor.CALLER),
    "RECIPIENT_DEFERRED": Ending(
        "the mail server does not take a recipient's mail yet; nobody got it",
        "send it again in some minutes",
        "let the step repeat it: error_handling.retry",
        FixFor.CALLER,
    ),
    "MAIL_REFUSED": Ending(
        "the mail server refused the mail", "look at what it said", "send less, or something plainer"
    ),
    "MAIL_NOT_FOUND": Ending(
        "the mailbox has no such mail, or no such folder", "search again: it may have been moved", fix_for=FixFor.CALLER
    ),
    "EVENT_CHANGED": Ending(
        "somebody else changed the event of the calendar meanwhile",
        "read it again, and decide anew",
        "pass the etag of what was read",
        fix_for=FixFor.CALLER,
    ),
    "EVENT_NOT_FOUND": Ending(
        "the calendar has no such event", "list the events again: it may have been removed", fix_for=FixFor.CALLER
    ),
    # --- dry runs and plans ---
    "EFFECT_NOT_PLANNED": Ending(
        "a write that is not in the plan that the call was held to; what the plan has before it was done",
        "make the plan anew, and look at what is different",
        "write the same for the same input: no time, chance or answer to a write in what is written",
        FixFor.CALLER,
    ),
    "EFFECT_PLAN_LIMIT": Ending(
        "more writes than a plan may have", "ask for less at once", "split the work into several actions"
    ),
    "ANSWER_NOT_KNOWN": Ending(
        "a dry run that cannot go on without the answer to a write", "call it without a plan", fix_for=FixFor.CALLER
    ),
    # --- tests ---
    "REPLAY_DIVERGED": Ending(
        "a test whose action does not do outside what was recorded",
        author="look at the call; if it is meant, record again: hardpoint test FILE --record",
    ),
    "CASSETTE_LIMIT": Ending(
        "a recording of more than a cassette holds", author="record with an input that makes the action fetch less"
    ),
    "CASSETTE_HOLDS_SECRET": Ending(
        "a recording with a secret in the input, in a setting or in what was sent",
        author="record with another input, and send secrets as they are given",
    ),
    # --- the platform ---
    "ENGINE_UNAVAILABLE": Ending(
        "an engine that this executor does not offer", "ask the operator of the executor for it", "name another engine"
    ),
    "LIBRARY_UNAVAILABLE": Ending(
        "a library that this executor does not offer", "ask the operator of the executor for it", "do without it"
    ),
    # --- runs of workflows: what they wait for, and how their steps end before anything runs ---
    "MAY_HAVE_HAPPENED": Ending(
        "nobody knows whether a step had its effect, and it must not happen twice",
        "look whether it happened, then: hardpoint resume RUN repeat, skip or fail",
        "name the header in which the upstream takes a key (`idempotency`), or say effect: read where it only reads",
        fix_for=FixFor.CALLER,
    ),
    "APPROVAL_REQUIRED": Ending(
        "it waits until somebody approves what comes next",
        "hardpoint approve RUN, or hardpoint approve RUN --refuse",
        fix_for=FixFor.CALLER,
    ),
    "EVENT_AWAITED": Ending("it waits for an event", "hardpoint send RUN EVENT", fix_for=FixFor.CALLER),
    "REFUSED": Ending(
        "somebody refused what a step asked", "ask who refused it; a fork asks again", fix_for=FixFor.CALLER
    ),
    "WORKFLOW_DETACHED": Ending(
        "the workflow is not attached to its agent any more, or switched off",
        "attach it again and fork the run",
        fix_for=FixFor.CALLER,
    ),
    "AGENT_PAUSED": Ending("the agent is paused", "resume it and fork the run", fix_for=FixFor.CALLER),
    "CONNECTION_NEEDS_REAUTH": Ending(
        "the provider wants somebody to sign in again", "hardpoint connect INSTALLATION", fix_for=FixFor.CALLER
    ),
    "CALLEE_APPROVAL": Ending(
        "a call of what somebody has to approve each time",
        "call it from a workflow, or by the agent itself",
        fix_for=FixFor.CALLER,
    ),
    "FILE_UNKNOWN": Ending(
        "a file that the org does not have", "upload it and pass the handle that this gives", fix_for=FixFor.CALLER
    ),
    "NO_DRY_RUN": Ending(
        "a run of a workflow that was to be held to a plan", "approve it without one", fix_for=FixFor.CALLER
    ),
    "PLAN_STALE": Ending(
        "something is not as it was when the plan was made", "make another plan", fix_for=FixFor.CALLER
    ),
    "PLAN_INCOMPLETE": Ending("a plan that ends before the action does", "go on without it", fix_for=FixFor.CALLER),
    "NO_EXECUTOR": Ending("no executor could be reached", "start one, then fork the run", fix_for=FixFor.CALLER),
    "JAIL_UNAVAILABLE": Ending(
        "the executor could not jail code", "see what its machine lacks: hardpoint doctor --jail", fix_for=FixFor.CALLER
    ),
    "UNAVAILABLE": Ending("the executor was lost while the action ran", _LOOK, fix_for=FixFor.CALLER),
    "DEADLINE_EXCEEDED": Ending("the time allowed for the call ran out", _LOOK, fix_for=FixFor.CALLER),
    "RESOURCE_EXHAUSTED": Ending("the executor had no room", "call it again later", fix_for=FixFor.CALLER),
    "INTERNAL": Ending("a defect of Hardpoint", "report it, with the run's trace", fix_for=FixFor.CALLER),
}
