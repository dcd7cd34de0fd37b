# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML-RPC calls to oned: pyone's client, with a time-out per request, and TLS and proxy settings of its own."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..data.template import Template, render
from ..errors import (
    OneApiError,
    OneConnectionError,
    OneInternalError,
    OneMissingLibraryError,
    OneUsageError,
    from_answer,
)
from .lazy_pyone import load_pyone
from .pool_answer import LARGE, cleaned, quick
from .settings import Settings, api_argument_spec
from .transport import UNKNOWN_OUTCOME, Service, Transport

__all__ = ["Connection", "Settings", "api_argument_spec"]

ONED = Service("oned", "api_url", "oned")

_HEADERS = {"Content-Type": "text/xml", "User-Agent": "opennebula.flower"}
# The last word of every call that changes nothing.
_READING = frozenset({"info", "infoextended", "infoset", "version", "config", "monitoring", "accounting", "showback"})
_CREATING = frozenset({"allocate", "instantiate", "clone"})
_ADDRESS_HINT = "check api_url: it must be the XML-RPC endpoint of oned, usually …:2633/RPC2"


def only_reads(method: str) -> bool:
    """Tell whether a call such as one.vm.info changes nothing, so that it may be made again after a failure."""
    return method.rpartition(".")[2] in _READING


class Connection:
    """One user's connection to one oned. Cheap to make: nothing is sent before the first call.

    calls counts the calls made, for tests.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calls = 0
        self._transport = Transport(settings.api_url, settings, ONED)

    def call(self, method: str, *args: Any) -> Any:
        """Call e.g. one.image.info with its arguments after the session; mappings and Templates become template text.

        Returns the value of the answer unparsed: XML text, an id, or a bool. Raises a OneError. A call that only reads
        is made again when the connection breaks; of one that writes, the error says that its outcome is unknown.
        """
        self.calls += 1
        arguments = tuple(render(arg) if isinstance(arg, (dict, Template)) else cleaned(arg) for arg in args)
        reads = only_reads(method)
        unsure = "" if reads else f"; {UNKNOWN_OUTCOME}"
        endpoint = self.settings.api_url
        # pyone marshals the call and reads the answer; what lies between is ours.
        wire = self._server("transport")
        wire.request = lambda _host, _path, body, **_options: self._post(method, body, reads, wire.getparser)
        try:
            answer = self._server._do_request(method, (self.settings.session, *arguments))
        except OverflowError as error:
            raise OneUsageError(f"{method}: one of {args!r:.80} is too large a number for OpenNebula") from error
        if not _is_answer(answer):
            raise OneInternalError(
                f"unexpected answer {answer!r:.80}", method=method, endpoint=endpoint, hint=_ADDRESS_HINT + unsure
            )
        if not answer[0]:
            # Loaded for refusals only.
            from .access import explained

            raise explained(from_answer(answer, method, endpoint), self.settings.username)
        if reads and not isinstance(answer[1], str):
            raise OneInternalError(
                f"the answer is no object but {answer[1]!r:.80}", method=method, endpoint=endpoint, hint=_ADDRESS_HINT
            )
        if method.rpartition(".")[2] in _CREATING and (isinstance(answer[1], bool) or not isinstance(answer[1], int)):
            raise OneInternalError(
                f"the answer is no id but {answer[1]!r:.80}", method=method, endpoint=endpoint, hint=UNKNOWN_OUTCOME
            )
        return answer[1]

    def _post(self, method: str, body: bytes, reads: bool, make_parser: Callable[[], Any]) -> tuple[Any, ...]:
        """Send a call and return what its answer holds: the parameters of the response, of which there is one."""
        endpoint = self.settings.api_url
        found = self._transport.send(method, "POST", "", body, _HEADERS, reads=reads)
        if found.status != 200:
            raise OneConnectionError(
                f"HTTP {found.status} {found.reason}",
                code=found.status,
                method=method,
                endpoint=endpoint,
                hint=_ADDRESS_HINT,
            )
        content = cleaned(found.body)
        try:
            # Most of the answers of a large cloud, and most of their bytes.
            answer = quick(content) if len(content) >= LARGE else None
            if answer is not None:
                return (answer,)
            parser, target = make_parser()
            parser.feed(content)
            parser.close()
            values: tuple[Any, ...] = target.close()
            if target.getmethodname() is not None or len(values) != 1:
                raise ValueError("it holds no value")
            return values
        except xmlrpc.client.Fault as fault:
            raise OneApiError(fault.faultString, code=fault.faultCode, method=method, endpoint=endpoint) from fault
        # A parser meets nonsense in many ways.
        except Exception as error:
            unsure = "" if reads else f"; {UNKNOWN_OUTCOME}"
            raise OneInternalError(
                f"the answer is not XML-RPC ({error or type(error).__name__})",
                method=method,
                endpoint=endpoint,
                hint=_ADDRESS_HINT + unsure,
            ) from error

    @cached_property
    def _server(self) -> Any:
        """pyone's client; nothing of it is loaded before the first call."""
        try:
            pyone = load_pyone()
        except ImportError as error:
            raise OneMissingLibraryError.of("pyone", "pyone", error) from None
        options = {"session": self.settings.session, "https_verify": self.settings.validate_certs}
        try:
            # Otherwise ONEAPI_PROTOCOL of the environment might choose gRPC.
            return pyone.OneServer(self.settings.api_url, protocol="xmlrpc", **options)
        except TypeError:
            # pyone 6 knows XML-RPC only and has no such option.
            return pyone.OneServer(self.settings.api_url, **options)


def _is_answer(answer: Any) -> bool:
    """Whether it is [true, value, …] or [false, "text", number, …]."""
    if not isinstance(answer, list) or len(answer) < 2 or not isinstance(answer[0], bool):
        return False
    return answer[0] or all(isinstance(item, int) for item in answer[2:4])
