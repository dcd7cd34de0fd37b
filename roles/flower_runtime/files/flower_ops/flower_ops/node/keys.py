# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key pair by which a SuperNode proves who it is: EC P-384, OpenSSH private format (Flower refuses PKCS#8)."""

from __future__ import annotations


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
    """Return the bare `type base64` form of an EC public key in OpenSSH form; ValueError when it is anything else."""
    parts = text.split()
    if len(parts) < 2 or not parts[0].startswith("ecdsa-sha2-nistp"):
        raise ValueError("not an EC public key in OpenSSH form (ecdsa-sha2-nistp384 …)")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    bare = " ".join(parts[:2])
    try:
        serialization.load_ssh_public_key(bare.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not an EC public key in OpenSSH form (ecdsa-sha2-nistp384 …)") from error
    return bare
