"""Encryption at rest: AES-256-GCM over pieces of a file, from the cryptography library.

A file is a header and pieces of 1 MiB, each sealed with a nonce of a random prefix, its number and
whether it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): a
piece that is altered, moved, left out or cut off does not open. Each set has a key of its own,
derived from the user's by HKDF with the set's salt. The file of an image is named by an HMAC of its
SHA-256, so that nobody without the key can ask whether a known image is there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from vedette.errors import UsageError, VedetteError
from vedette.extras import require

VARIABLE = "VEDETTE_VAULT_KEY"
_SERVICE, _USER = "vedette", "vault"
"""Under which the key is in the operating system's keyring."""
_PIECE = 2**20
_TAG = 16
_MAGIC = b"vedette1"
_PREFIX = 7


class Seal(Protocol):
    """How the bytes of a set are stored."""

    def address(self, sha256: str) -> str:
        """The name of the file that an image of that hash is stored in."""
        ...

    def seal(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """A file's content as it is stored."""
        ...

    def open(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """A stored file's content as it was. Raises VedetteError ``bad_vault``."""
        ...


class Plain:
    """Stored as it is."""

    def address(self, sha256: str) -> str:
        """See :class:`Seal`."""
        return sha256

    def seal(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """See :class:`Seal`."""
        return pieces

    def open(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """See :class:`Seal`."""
        while piece := read(_PIECE):
            yield piece


class Encrypted:
    """Stored so that only who has the key can tell what it is.

    Args:
        key: 32 bytes, the user's.
        salt: the set's.

    Raises:
        MissingExtraError: cryptography is not installed.
    """

    def __init__(self, key: bytes, salt: bytes) -> None:
        hkdf = require("cryptography.hazmat.primitives.kdf.hkdf", extra="vault")
        hashes = require("cryptography.hazmat.primitives.hashes", extra="vault")
        aead = require("cryptography.hazmat.primitives.ciphers.aead", extra="vault")
        self._damage: type[Exception] = require("cryptography.exceptions", extra="vault").InvalidTag
        derived = hkdf.HKDF(hashes.SHA256(), 64, salt, b"vedette vault set").derive(key)
        self._cipher: Any = aead.AESGCM(derived[:32])
        self._naming: bytes = derived[32:]

    @property
    def check(self) -> str:
        """Tells a wrong key before it is used; tells nothing else about it."""
        return self.address("check")

    def address(self, sha256: str) -> str:
        """See :class:`Seal`."""
        return hmac.new(self._naming, sha256.encode(), hashlib.sha256).hexdigest()

    def seal(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """See :class:`Seal`."""
        prefix = os.urandom(_PREFIX)
        yield _MAGIC + prefix
        number = 0
        held = b""
        for whole in pieces:
            for at in range(0, len(whole), _PIECE):
                held += whole[at : at + _PIECE]
                if len(held) > _PIECE:  # the last one is held back: it is sealed as such
                    nonce = _nonce(prefix, number, last=False)
                    yield self._cipher.encrypt(nonce, held[:_PIECE], None)
                    held = held[_PIECE:]
                    number += 1
        yield self._cipher.encrypt(_nonce(prefix, number, last=True), held, None)

    def open(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """See :class:`Seal`."""
        head = read(len(_MAGIC) + _PREFIX)
        if len(head) != len(_MAGIC) + _PREFIX or not head.startswith(_MAGIC):
            raise VedetteError("a file of the set is not one that was sealed", code="bad_vault")
        prefix = head[len(_MAGIC) :]
        number = 0
        sealed = read(_PIECE + _TAG)
        while True:
            following = read(_PIECE + _TAG)
            nonce = _nonce(prefix, number, last=not following)
            try:
                yield self._cipher.decrypt(nonce, sealed, None)
            except (self._damage, ValueError) as error:
                raise VedetteError("a file of the set was altered", code="bad_vault") from error
            if not following:
                return
            sealed = following
            number += 1


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def find_key(*, make: bool) -> bytes:
    """The user's key: from ``$VEDETTE_VAULT_KEY``, else from the operating system's keyring.

    Args:
        make: make one and put it into the keyring where there is none.

    Raises:
        UsageError: ``vault_key``: there is none, or what there is cannot be one.
        MissingExtraError: keyring is not installed.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return _parse(given, f"${VARIABLE}")
    keyring = require("keyring", extra="vault")
    problem = require("keyring.errors", extra="vault").KeyringError
    try:
        stored = keyring.get_password(_SERVICE, _USER)
        if stored is None and make:
            stored = base64.b64encode(os.urandom(32)).decode()
            keyring.set_password(_SERVICE, _USER, stored)
    except problem as error:
        raise UsageError(
            "there is no keyring here that can keep the vault's key",
            code="vault_key",
            hint=f"set {VARIABLE} to 32 random bytes in base64, and keep them safe",
        ) from error
    if stored is None:
        raise UsageError("there is no key for the vault", code="vault_key")
    return _parse(stored, "the keyring's entry")


def _parse(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise UsageError(  # what it is instead is nobody's to read in a log
            f"{where} is not 32 bytes in base64",
            code="vault_key",
            hint="make one: head -c 32 /dev/urandom | base64",
        )
    return key
