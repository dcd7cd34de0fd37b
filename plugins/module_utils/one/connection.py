# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML-RPC calls to oned: pyone's client with a time-out per request, TLS and proxy settings of its own."""

from __future__ import annotations

import re
import traceback
import xmlrpc.client
from typing import Any
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

from ansible.module_utils.basic import missing_required_lib

from .errors import (
    OneApiError,
    OneConnectionError,
    OneError,
    OneInternalError,
    OneTimeoutError,
    from_answer,
)
from .lazy_pyone import load_pyone
from .settings import Settings, api_argument_spec, is_loopback
from .template import Template, render

__all__ = ["Connection", "Settings", "api_argument_spec"]

_FAULT = re.compile(r"<Fault (-?\d+): ['\"](.*)['\"]>$", re.DOTALL)
_HEADERS = {"Content-Type": "text/xml", "User-Agent": "opennebula.flower"}


class MissingLibraryError(OneError):
    """pyone is not importable where the module runs."""

    kind = "missing_library"


class Connection:
    """One user's connection to one oned. Cheap to make: nothing is sent before the first call.

    calls counts the requests made, for tests and for `-vvv` output.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calls = 0
        try:
            pyone = load_pyone()
            import requests
        except ImportError as error:
            raise MissingLibraryError(
                missing_required_lib("pyone", url="https://pypi.org/project/pyone/"),
                hint=traceback.format_exception_only(type(error), error)[-1].strip(),
            ) from error
        self._requests = requests
        self._error_class: type[Exception] = pyone.OneException
        self._http = requests.Session()
        # Taking settings from the environment wholesale would also send ~/.netrc passwords; proxies are read below.
        self._http.trust_env = False
        if not is_loopback(settings.api_url):
            self._http.proxies.update(requests.utils.get_environ_proxies(settings.api_url))
        options = {"session": settings.session, "https_verify": settings.verify}
        try:
            # Otherwise ONEAPI_PROTOCOL of the environment might choose gRPC.
            self._server = pyone.OneServer(settings.api_url, protocol="xmlrpc", **options)
        except TypeError:
            # pyone 6 knows XML-RPC only and has no such option.
            self._server = pyone.OneServer(settings.api_url, **options)
        # The transport of pyone has neither a time-out nor a connection that is kept; ours replaces its sending half.
        self._transport = self._server("transport")
        self._transport.request = self._post

    def call(self, method: str, *args: Any) -> Any:
        """Call e.g. one.image.info with its arguments after the session; mappings and Templates become template text.

        Returns the value of the answer unparsed: XML text, an id, or a bool. Raises a OneError.
        """
        self.calls += 1
        arguments = [render(arg) if isinstance(arg, (dict, Template)) else arg for arg in args]
        endpoint = self.settings.api_url
        try:
            answer = self._server._do_request(method, (self.settings.session, *arguments))
        except OneError as error:
            error.method = method
            raise
        except self._error_class as error:
            raise _from_fault(str(error), method, endpoint) from error
        except (ExpatError, xmlrpc.client.ResponseError) as error:
            raise OneInternalError(
                "the answer is not XML-RPC", method=method, endpoint=endpoint, hint="check that api_url ends in /RPC2"
            ) from error
        if not isinstance(answer, (list, tuple)) or len(answer) < 2:
            raise OneInternalError(f"unexpected answer {answer!r:.80}", method=method, endpoint=endpoint)
        if not answer[0]:
            raise from_answer(list(answer), method, endpoint)
        return answer[1]

    def _post(self, host: str, handler: str, request_body: bytes, verbose: bool = False) -> Any:
        """Send one request; the signature is that of xmlrpc.client.Transport.request."""
        exceptions = self._requests.exceptions
        url = self.settings.api_url
        try:
            response = self._http.post(
                url,
                data=request_body,
                headers=_HEADERS,
                timeout=self.settings.timeout,
                verify=self.settings.verify,
                # A redirect would turn the POST into a GET; say so instead.
                allow_redirects=False,
            )
        except exceptions.Timeout as error:
            raise OneTimeoutError(
                f"no answer within {self.settings.timeout:g} s",
                endpoint=url,
                hint="check that oned is running and reachable, or raise api_timeout",
            ) from error
        except exceptions.SSLError as error:
            raise OneConnectionError(
                f"TLS failed ({_innermost(error)})",
                endpoint=url,
                hint="give the right authority with ca_path, or set validate_certs to false for a test",
            ) from error
        except exceptions.ProxyError as error:
            raise OneConnectionError(
                f"the proxy did not forward the request ({_innermost(error)})",
                endpoint=url,
                hint=f"check the proxy variables of the environment or add {urlsplit(url).hostname} to no_proxy",
            ) from error
        except (exceptions.RequestException, OSError) as error:
            raise OneConnectionError(
                f"cannot connect ({_innermost(error)})", endpoint=url, hint="check api_url and that oned is running"
            ) from error
        if response.status_code != 200:
            raise OneConnectionError(
                f"HTTP {response.status_code} {response.reason}",
                endpoint=url,
                hint="check api_url: it must be the XML-RPC endpoint of oned, usually …:2633/RPC2",
            )
        return self._transport.parse_response(response)


def _from_fault(text: str, method: str, endpoint: str) -> OneError:
    match = _FAULT.match(text)
    if match is None:
        return OneInternalError(text, method=method, endpoint=endpoint)
    return OneApiError(match.group(2), code=int(match.group(1)), method=method, endpoint=endpoint)


def _innermost(error: BaseException) -> str:
    """Return the words of the error at the bottom of a chain: requests wraps three layers around it."""
    seen: BaseException = error
    for _depth in range(8):
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None) or seen.__cause__
        if not isinstance(inner, BaseException) or inner is seen:
            break
        seen = inner
    text = str(seen)
    if isinstance(seen, OSError) and seen.strerror:
        text = seen.strerror
    # urllib3 puts "HTTPConnection(host=…): " before the reason.
    return re.sub(r"^(<[^>]*>|\w+\([^)]*\)): ", "", text)
