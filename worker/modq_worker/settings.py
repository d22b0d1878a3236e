"""Every setting of modq's processes: environment variables that begin with ``MODQ_``.

The connections default to the stack that ``modq up`` runs in this folder, so that a second terminal
needs no configuration.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from modq.errors import ModqError
from modq.queue_url import with_verified_tls
from modq.secret_file import read_secret

RUNNING_STACK = "running.json"
"""Where ``modq up`` writes ``{"redis_url": ..., "database_url": ...}``, in the home folder, mode 0600."""

OWN_SECRET_KEY = "secret.key"  # noqa: S105 - the name of a file
"""Where ``modq up`` keeps the key for the secrets in its own store, in the home folder, mode 0600."""


class NotConfigured(ModqError):
    """A connection is neither set in the environment nor offered by a running ``modq up``."""


class Settings(BaseSettings):
    """The settings reference (docs/settings.md) is written from these descriptions."""

    model_config = SettingsConfigDict(
        env_prefix="MODQ_",
        extra="ignore",
        frozen=True,
        # `MODQ_X=` is how compose files and shells say that a setting is not set.
        env_ignore_empty=True,
        # What is refused may be a password in the wrong variable.
        hide_input_in_errors=True,
    )

    # Where things are
    home: Path = Field(Path(".modq"), description="Folder in which `modq up` and `modq demo` keep their servers' data.")
    redis_url: SecretStr | None = Field(None, description="The queue: redis://, rediss:// or unix://. Default: the running `modq up`.")
    redis_url_file: Path | None = Field(None, description="File that holds the queue's URL, instead of `MODQ_REDIS_URL`.")
    redis_ca_file: Path | None = Field(
        None, description="Certificates (PEM) of whom the queue's rediss:// certificate must come from. Default: whom the system trusts."
    )
    database_url: SecretStr | None = Field(None, description="The store: postgresql://user:password@host/name. Default: the running `modq up`.")
    database_url_file: Path | None = Field(None, description="File that holds the store's URL, instead of `MODQ_DATABASE_URL`.")

    # The classifier
    adapter: Path | None = Field(None, description="Folder of the pinned adapter to judge with. Default: the adapter that ships with modq.")
    backbone: Path | None = Field(None, description="Local folder of the base model; its weights must still have the pinned sha256.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the model runs; auto takes a GPU if there is one.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision of the model; auto takes bfloat16 where the hardware is fast at it, else float32."
    )
    threads: int = Field(1, ge=1, description="CPU threads of one worker's model. One worker per core beats one worker with many threads.")
    pass_tokens: int | None = Field(
        None,
        ge=64,
        description="Tokens of one forward pass. Default: 512 on a CPU, or as many as take 100 ms, if these are fewer; 16384 on a GPU. More keeps a live post waiting longer behind the backlog's pass in progress; "
        "while live posts keep coming, the backlog's passes are shorter: as many tokens as take about 10 ms on a CPU, a third on a GPU.",
    )
    max_windows: int = Field(
        16, ge=2, description="Windows of a long text that are judged; of a longer one they are spread evenly and the verdict says truncated."
    )
    score_cache: int = Field(
        100_000,
        ge=0,
        description="Texts whose scores are remembered in Redis, for a day at most, so that a text that is posted again and again is judged once; "
        "of each a hash is kept, and no text (about 150 bytes). 0 for none.",
    )

    # The policy
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Score from which a post is toxic. Default: the one the adapter was calibrated for."
    )
    keep_text: Literal["always", "flagged", "never"] = Field("always", description="Which posts keep their text in the store.")
    text_days: int | None = Field(
        None, ge=1, description="Days after which `modq expire` drops the text of a post, and the content of a dead letter. Default: never."
    )

    # The worker
    batch_posts: int = Field(256, ge=1, le=10_000, description="Most posts that one batch takes from the queue.")
    max_attempts: int = Field(3, ge=1, description="How often a post whose worker died is tried alone before it becomes a dead letter.")
    heartbeat_seconds: float = Field(3.0, gt=0, description="A worker silent for so long is taken for dead, and its posts go to another.")
    stall_seconds: float = Field(20.0, gt=0, description="A worker whose work makes no progress for so long ends itself.")

    # The notifier
    webhook_deadline_seconds: float = Field(10.0, gt=0, description="Total time that one webhook may take, from name look-up to answer.")
    webhook_in_flight: int = Field(50, ge=1, description="Webhooks in flight at once, over all endpoints.")
    webhook_in_flight_per_endpoint: int = Field(4, ge=1, description="Webhooks in flight at once to one endpoint.")
    webhook_ports: str = Field(
        "443,8443", pattern=r"^\d{1,5}( *, *\d{1,5})*$", description="Ports that endpoints may have, with commas between them."
    )
    webhook_ca_file: Path | None = Field(
        None, description="Certificates (PEM) of authorities that endpoints' certificates may come from, besides the public ones."
    )
    allow_private_endpoints: bool = Field(
        False, description="Allow webhooks to http, to private addresses and to any port: for development."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Key that encrypts the endpoints' secrets in the store, from `modq endpoints new-key`; of several, with commas between them, "
        "the first encrypts. Default: that of the running `modq up`, else they are kept as they are.",
    )
    secret_key_file: Path | None = Field(None, description="File that holds the keys, instead of `MODQ_SECRET_KEY`.")

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severity that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="Logs for a person or for a machine. Neither ever holds a post's text.")

    def redis(self) -> str:
        """The queue's URL, its password included.

        Raises:
            NotConfigured: it is not set and no stack runs here.
            SecretUnreadable: it should be in a file that cannot be read.
        """
        return with_verified_tls(self._connection("redis_url"), self.redis_ca_file)

    def database(self) -> str:
        """The store's URL for SQLAlchemy (``postgresql+psycopg://``), its password included.

        Raises:
            NotConfigured: it is not set and no stack runs here.
            SecretUnreadable: it should be in a file that cannot be read.
        """
        url = self._connection("database_url")
        scheme, _, rest = url.partition("://")
        return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url

    def secret_keys(self) -> str:
        """The keys for the endpoints' secrets, newest first; empty when there are none.

        Raises:
            SecretUnreadable: they should be in a file that cannot be read.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        if self.secret_key_file is not None:
            return read_secret(self.secret_key_file, "MODQ_SECRET_KEY_FILE")
        embedded = self.database_url is None and self.database_url_file is None
        own = self.home / OWN_SECRET_KEY
        return read_secret(own, str(own)) if embedded and own.exists() else ""

    def _connection(self, name: Literal["redis_url", "database_url"]) -> str:
        if (configured := getattr(self, name)) is not None:
            return str(configured.get_secret_value())
        if (file := getattr(self, f"{name}_file")) is not None:
            return read_secret(file, f"MODQ_{name.upper()}_FILE")
        try:
            return str(json.loads((self.home / RUNNING_STACK).read_text())[name])
        except (OSError, ValueError, KeyError):
            raise NotConfigured(f"Set MODQ_{name.upper()} or MODQ_{name.upper()}_FILE, or start a stack in this folder with: modq up") from None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
