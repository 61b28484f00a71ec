"""Whether certificates and keys can be used, and what is to be done where they cannot."""

from __future__ import annotations

import ssl
from pathlib import Path as File
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.config.shown import Path
    from gateway.config.walk import Walk

_ENCRYPTED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")
_KEY: Final = b"PRIVATE KEY-----"
_CERTIFICATE: Final = (b"BEGIN CERTIFICATE-----", b"BEGIN TRUSTED CERTIFICATE-----")
_DER: Final = b"\x30\x82"


def check_pair(walk: Walk, path: Path, certificate: str, key: str) -> None:
    """Add what keeps a certificate chain and its key, at ``path``, from being served."""
    chain, secret = _read(walk, (*path, "certificate"), certificate), _read(walk, (*path, "key"), key)
    if chain is None or secret is None:
        return
    rule = _broken_chain(chain, certificate)
    if rule:
        walk.problem((*path, "certificate"), rule, f'"{certificate}"')
    rule = _broken_key(secret, key)
    if rule:
        walk.problem((*path, "key"), rule, f'"{key}"')
    if not walk.is_whole(path):
        return
    try:
        # A key that asks for a password in spite of all would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            rule = (
                "the key is not that of the first certificate in the other file; "
                "the server's own certificate stands first there, then those that signed it"
            )
            walk.problem((*path, "key"), rule, f'"{key}"')
        else:
            walk.problem(path, f"expected PEM files that can be used ({error.reason or 'not PEM'})")


def check_authorities(walk: Walk, path: Path, file: str) -> None:
    """Add what keeps the certificates in a file, whose key stands at ``path``, from judging others."""
    found = _read(walk, path, file)
    if found is None:
        return
    rule = _broken_chain(found, file)
    if not rule:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except ssl.SSLError as error:
            rule = f"expected a PEM file that can be used ({error.reason or 'not PEM'})"
    if rule:
        walk.problem(path, rule, f'"{file}"')


def _read(walk: Walk, path: Path, name: str) -> bytes | None:
    try:
        return File(name).read_bytes()
    except OSError as error:
        walk.problem(path, f"cannot be read: {error.strerror}", f'"{name}"')
    return None


def _broken_chain(found: bytes, name: str) -> str:
    if any(mark in found for mark in _CERTIFICATE):
        return ""
    if _KEY in found:
        return 'expected a certificate; this is a private key, which belongs to "key"'
    if found.startswith(_DER):
        return f'expected PEM; this looks like DER: "openssl x509 -inform der -in {name} -out {name}.pem" converts it'
    return 'expected PEM, a text that has "-----BEGIN CERTIFICATE-----"'


def _broken_key(found: bytes, name: str) -> str:
    if any(mark in found for mark in _ENCRYPTED):
        return (
            "is encrypted, and the gateway asks for no password: "
            f'"openssl pkey -in {name} -out {name}.plain" decrypts it; let nothing but the gateway read that file'
        )
    if _KEY in found:
        return ""
    if any(mark in found for mark in _CERTIFICATE):
        return 'expected a private key; this is a certificate, which belongs to "certificate"'
    if found.startswith(_DER):
        return f'expected PEM; this looks like DER: "openssl pkey -inform der -in {name} -out {name}.pem" converts it'
    return 'expected PEM, a text that has "-----BEGIN PRIVATE KEY-----"'
