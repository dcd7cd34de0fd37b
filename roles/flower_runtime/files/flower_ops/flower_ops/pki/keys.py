# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key pair by which a SuperNode proves who it is: EC P-384, OpenSSH private format (Flower refuses PKCS#8)."""

from __future__ import annotations

import base64
import binascii

_PROOF = b"new key of a Flower SuperNode\n"


def new_key_pair(comment: str = "") -> tuple[bytes, bytes]:
    """Make a key pair.

    Returns (private key in OpenSSH PEM form, public key as one OpenSSH line ending in a newline).
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, public + (b" " + comment.encode() if comment else b"") + b"\n"


def public_of(private: bytes) -> bytes:
    """The public line that belongs to an OpenSSH private key; ValueError when it is not an unencrypted EC key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_ssh_private_key(private, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an EC key")
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH) + b"\n"


def check_public(text: str) -> str:
    """Return the bare `type base64` form of an EC public key in OpenSSH form; ValueError when it is anything else.

    Base64 is read with stray characters in it: a key is written anew, so that it has one text whoever sends it.
    """
    parts = text.split()
    if len(parts) < 2 or not parts[0].startswith("ecdsa-sha2-nistp"):
        raise ValueError("not an EC public key in OpenSSH form (ecdsa-sha2-nistp384 …)")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_ssh_public_key(" ".join(parts[:2]).encode())
        return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not an EC public key in OpenSSH form (ecdsa-sha2-nistp384 …)") from error


def prove(private: bytes, new_public: str) -> str:
    """Signature by a node's present private key (OpenSSH form) over its next public one, in base64.

    Every VM of a service may write the attributes of any other one: this shows that the owner of the present key wants
    the next one. ValueError when the private key cannot be used.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_ssh_private_key(private, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an EC key")
    return base64.b64encode(key.sign(_statement(new_public), ec.ECDSA(hashes.SHA384()))).decode()


def proven(public: str, new_public: str, proof: str) -> bool:
    """Whether `proof` was made by the owner of `public` for `new_public`, both in OpenSSH form."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_ssh_public_key(public.encode())
        signature = base64.b64decode(proof, validate=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, _statement(new_public), ec.ECDSA(hashes.SHA384()))
            return True
    except (ValueError, binascii.Error, UnsupportedAlgorithm, InvalidSignature):
        return False
    return False


def _statement(new_public: str) -> bytes:
    return _PROOF + " ".join(new_public.split()[:2]).encode()
