"""Keeps the endpoints' secrets encrypted in the store, under keys that the store never sees."""

from __future__ import annotations

import re
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from modq.errors import ModqError
from modq_worker.settings import Settings

_SEALED: Final = "fernet:"


class InvalidSecretKey(ModqError, ValueError):
    """`MODQ_SECRET_KEY` holds something else than keys; the message does not repeat it."""


class SecretUnopened(ModqError):
    """An endpoint's secret is encrypted under a key that this process was not given."""


class SecretBox:
    """Seals and opens secrets; without a key it keeps them as they are.

    Args:
        keys: What `modq endpoints new-key` prints, the newest first, with commas or white space between several. The first
            seals, every one opens.

    Raises:
        InvalidSecretKey: one of them is no key.
    """

    def __init__(self, keys: str = "") -> None:
        try:
            fernets = [Fernet(key) for key in re.split(r"[\s,]+", keys.strip()) if key]
        except ValueError:
            raise InvalidSecretKey("MODQ_SECRET_KEY must hold keys as `modq endpoints new-key` prints them, with commas between several.") from None
        self._keys = MultiFernet(fernets) if fernets else None

    @classmethod
    def of(cls, configured: Settings) -> SecretBox:
        """With the keys of the settings."""
        return cls(configured.secret_keys())

    @property
    def seals(self) -> bool:
        """Whether there is a key to seal with."""
        return self._keys is not None

    def seal(self, secret: str) -> str:
        """The secret as the store keeps it."""
        return secret if self._keys is None else _SEALED + self._keys.encrypt(secret.encode()).decode()

    def open(self, kept: str) -> str:
        """The secret that the store keeps so; one that was kept before there was a key is itself.

        Raises:
            SecretUnopened: none of our keys opens it.
        """
        if not kept.startswith(_SEALED):
            return kept
        try:
            if self._keys is not None:
                return self._keys.decrypt(kept.removeprefix(_SEALED)).decode()
        except InvalidToken:
            pass
        raise SecretUnopened("The endpoint's secret is encrypted under a key that is not in MODQ_SECRET_KEY.")


def new_key() -> str:
    """A random key for ``MODQ_SECRET_KEY``."""
    return Fernet.generate_key().decode()
