# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of an OpenNebula cloud, each one sentence: what failed, where, and what to do about it."""

from __future__ import annotations

import re
from typing import Any

# RequestManager error numbers of oned. pyone knows classes for all but ALLOCATE, so numbers are the only reliable key.
AUTHENTICATION = 0x0100
AUTHORIZATION = 0x0200
NO_EXISTS = 0x0400
ACTION = 0x0800
XML_RPC_API = 0x1000
INTERNAL = 0x2000
ALLOCATE = 0x4000

_METHOD_PREFIX = re.compile(r"^\[(one\.[\w.]+)\]\s*")
# The same words for every pool, but under another number in each of them.
_TAKEN = "NAME is already taken by"


class OneError(Exception):
    """Any failure of a cloud call.

    text: the server's own words without the method prefix. kind: short name of the family, the same for XML-RPC and
    OneFlow. code: number of oned or HTTP status, if any. method: call or route. object_id: -1 where unknown.
    """

    kind = "error"
    hint = ""

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        method: str = "",
        endpoint: str = "",
        object_id: int = -1,
        hint: str | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text.strip()
        self.code = code
        self.method = method
        self.endpoint = endpoint
        self.object_id = object_id
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        where = f"OpenNebula at {self.endpoint}: " if self.endpoint else ""
        call = f"{self.method}: " if self.method else ""
        sentence = f"{where}{call}{self.text}".rstrip()
        if not self.hint:
            return sentence
        return f"{sentence.rstrip('.')}; {self.hint}"

    def details(self) -> dict[str, Any]:
        """Return the machine readable part: {kind, code, method, endpoint, object_id, text}."""
        return {
            "kind": self.kind,
            "code": self.code,
            "method": self.method,
            "endpoint": self.endpoint,
            "object_id": self.object_id,
            "text": self.text,
        }


class OneAuthenticationError(OneError):
    """The cloud does not know this user name and password."""

    kind = "authentication"
    hint = "check api_username and api_password (or ONE_USERNAME, ONE_PASSWORD, ONE_AUTH)"


class OneAuthorizationError(OneError):
    """The user may not do this, or the object is locked."""

    kind = "authorization"
    hint = "ask its owner or an administrator for the permission, or use another user"


class OneNotFoundError(OneError):
    """The object does not exist."""

    kind = "not_found"


class OneActionError(OneError):
    """The object exists but the action is impossible in its present state."""

    kind = "action"


class OneApiError(OneError):
    """The request itself was not understood (unknown method, wrong argument)."""

    kind = "api"
    hint = "check that the endpoint is an OpenNebula of a supported version (6.10 to 7.4)"


class OneInternalError(OneError):
    """oned answered "internal error": parse errors and many name clashes arrive as this."""

    kind = "internal"


class OneAllocateError(OneError):
    """A new object could not be created."""

    kind = "allocate"


class OneTakenError(OneAllocateError):
    """The owner has an object of that name already: another run was quicker, or it is one that was not looked for."""

    kind = "taken"
    hint = "choose another name, or give owner or id to mean that object"


class OneConnectionError(OneError):
    """No usable answer from the endpoint: refused, name unknown, TLS, proxy, or not an OpenNebula."""

    kind = "connection"


class OneTimeoutError(OneError):
    """An answer or a state did not come in time. `last` is the last object seen by a wait, None otherwise."""

    kind = "timeout"
    last: Any = None


class OneFailedStateError(OneError):
    """An object that was waited for went into a failure state. `last` is the object."""

    kind = "failed_state"
    last: Any = None


class OneUsageError(OneError):
    """What the user asked for is impossible or ambiguous; nothing was sent to the cloud for it."""

    kind = "usage"


class OneMissingLibraryError(OneError):
    """A Python package is not importable where the module runs."""

    kind = "missing_library"

    @classmethod
    def of(cls, package: str, distribution: str, error: ImportError) -> OneMissingLibraryError:
        """package: what was imported; distribution: what to install to have it."""
        from ansible.module_utils.basic import missing_required_lib

        sentence = missing_required_lib(package, reason=f"It comes with {distribution}.")
        return cls(" ".join(sentence.split()), hint=f"pip install {distribution} ({error})")


class OneMarkError(OneUsageError):
    """The object exists but belongs to somebody else, judged by its ownership mark."""

    kind = "mark"


BY_CODE: dict[int, type[OneError]] = {
    AUTHENTICATION: OneAuthenticationError,
    AUTHORIZATION: OneAuthorizationError,
    NO_EXISTS: OneNotFoundError,
    ACTION: OneActionError,
    XML_RPC_API: OneApiError,
    INTERNAL: OneInternalError,
    ALLOCATE: OneAllocateError,
}


def from_answer(answer: list[Any], method: str, endpoint: str) -> OneError:
    """Turn a failed XML-RPC answer [false, "[one.x.y] text", code, object id, …] into its error."""
    text = str(answer[1]) if len(answer) > 1 else "the call failed without a reason"
    code = int(answer[2]) if len(answer) > 2 else None
    object_id = int(answer[3]) if len(answer) > 3 else -1
    family = BY_CODE.get(code or 0, OneError)
    hint = None
    if family is OneAuthorizationError and "is locked" in text:
        hint = "give lock: none to unlock it first"
    elif _TAKEN in text:
        family = OneTakenError
    return family(
        _METHOD_PREFIX.sub("", text),
        code=code,
        method=method,
        endpoint=endpoint,
        object_id=object_id,
        hint=hint,
    )
