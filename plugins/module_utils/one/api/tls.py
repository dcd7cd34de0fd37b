# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of both protocols: whom to trust, whom to be."""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import NoReturn

from ..errors import OneUsageError
from .settings import Settings

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_SUFFIXES = (".pem", ".crt", ".cer")


def make_context(settings: Settings) -> ssl.SSLContext:
    """Return the context for all TLS connections of these settings. Raises OneUsageError for files that are no use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not settings.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.authorities:
        _trust(context, settings.authorities)
    else:
        context.load_default_certs()
    if settings.client_cert:
        _identify(context, settings.client_cert, settings.client_key)
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    """Trust what is in the file or folder, and nothing else."""
    # Whoever names one certificate means it, even where it is the server's own or an intermediate one.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if not os.path.isdir(path):
            context.load_verify_locations(cafile=path)
            return
        context.load_verify_locations(capath=path)
        loaded = _load_folder(context, path)
    except (OSError, ssl.SSLError) as error:
        raise OneUsageError(
            f"the authorities to trust in {path} cannot be read ({error.strerror or error})",
            hint="set ca_path to a file or folder of certificates in PEM form",
        ) from error
    if not loaded:
        raise OneUsageError(
            f"the folder {path} holds no certificates of authorities",
            hint="put them there as *.pem files, or set ca_path to another file or folder",
        )


def _load_folder(context: ssl.SSLContext, path: str) -> bool:
    """Load what lies in a folder, so that it need not be one that `openssl rehash` has prepared."""
    found = False
    for name in sorted(os.listdir(path)):
        file = os.path.join(path, name)
        # Files of a prepared folder are called <hash>.<number>; OpenSSL finds those by itself.
        hashed = name.rpartition(".")[2].isdigit()
        if os.path.isfile(file) and (hashed or name.endswith(_SUFFIXES)):
            with open(file, "rb") as stream:
                readable = _CERTIFICATE in stream.read()
            if readable and not hashed:
                with contextlib.suppress(ssl.SSLError):
                    context.load_verify_locations(cafile=file)
            found = found or readable
    return found


def _identify(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    try:
        # Without the callback OpenSSL would ask the terminal for the passphrase of an encrypted key.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (OSError, ssl.SSLError) as error:
        raise OneUsageError(
            f"client_cert {certificate} cannot be used ({error.strerror or error})",
            hint="give a PEM file with the certificate, and its key in the same file or in client_key",
        ) from error


def _no_passphrase() -> NoReturn:
    raise OneUsageError("the key of client_cert is encrypted", hint="give a key without a passphrase")
