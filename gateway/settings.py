"""Every setting of a gateway, read from the environment in this one place."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from paddlewheel.sources.url_fetcher import UrlPolicy
from paddlewheel.wire.addresses import Addresses
from paddlewheel.wire.environment import Names, read_settings, split

Scope = Literal["tasks", "galleries:read", "galleries:write", "jobs", "metrics"]
"""Scopes of an API key: run tasks, search galleries, change galleries, run batch jobs, read metrics."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


Scopes = Annotated[tuple[Scope, ...], BeforeValidator(split)]
Networks = Annotated[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], BeforeValidator(split)]


class GatewaySettings(BaseModel):
    """One gateway's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    broker_url: str = Field(repr=False, description="The broker: redis://, rediss:// or unix://.")
    result_url: str = Field(repr=False, description="Where results are kept; the broker's server by default.")
    blob_url: str = Field(
        repr=False, description="Where images are kept: Redis protocol, file:///folder, or an fsspec URL."
    )
    database_url: str = Field(
        repr=False, min_length=1, description="Postgres: API keys, jobs and galleries live there."
    )
    blob_ttl: float = Field(3600, gt=0, description="Seconds that an image is kept after it was stored.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The lowest level that is logged."
    )

    gateway_host: str = Field("127.0.0.1", description="The address to listen on.")
    gateway_port: int = Field(8080, ge=1, le=65535, description="The port to listen on.")
    gateway_max_body_bytes: int = Field(64 << 20, ge=1024, description="Most bytes of one request.")
    gateway_max_image_bytes: int = Field(32 << 20, ge=1024, description="Most bytes of one image.")
    gateway_timeout: float = Field(
        60, gt=0, le=3600, description="Longest time in seconds that a request waits for a task."
    )
    gateway_anonymous_scopes: Scopes = Field(
        (), description="Scopes of callers without a key: any of " + ", ".join(SCOPES) + "; none by default."
    )
    gateway_rate: float = Field(0, ge=0, description="Requests per second for each key; 0 for no limit.")
    gateway_burst: int = Field(20, ge=1, description="Requests that a key may send at once.")
    gateway_max_queue_age: float = Field(
        60,
        ge=0,
        description="Age in seconds of the oldest waiting task above which new work is refused; 0: never.",
    )

    gateway_sweep_interval: float = Field(
        2, gt=0, description="Seconds between two checks for jobs that ended or were lost."
    )
    gateway_keep_jobs: float = Field(
        7 * 86_400, gt=0, description="Seconds that a job and its result are kept after the job ended."
    )

    webhook_secret: str = Field(
        "", repr=False, description="The secret from which webhook secrets are derived; empty: no webhooks."
    )
    webhook_hosts: Names = Field(
        (), description="Hosts that may receive webhooks; empty for all public ones."
    )
    webhook_networks: Networks = Field((), description="Private networks that may receive webhooks.")

    url_inputs: bool = Field(False, description="Whether callers may send images by https address.")
    url_hosts: Names = Field(
        (), description="Hosts from which images are fetched; empty for all public ones."
    )
    url_networks: Networks = Field((), description="Private networks from which images are fetched.")
    url_allow_http: bool = Field(False, description="Whether plain http addresses are fetched too.")
    url_timeout: float = Field(
        20, gt=0, le=300, description="Longest time in seconds for fetching one image."
    )

    @model_validator(mode="before")
    @classmethod
    def _addresses(cls, values: dict[str, Any]) -> dict[str, Any]:
        found = Addresses.find(values.get("broker_url"), values.get("result_url"), values.get("blob_url"))
        return {**values, "broker_url": found.broker, "result_url": found.results, "blob_url": found.blobs}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read PADDLEWHEEL_* variables. Raises ConfigurationError that names the wrong one."""
        return read_settings(cls, environment)

    @property
    def webhook_policy(self) -> UrlPolicy:
        """The addresses that may receive webhooks."""
        return UrlPolicy(
            hosts=self.webhook_hosts,
            networks=self.webhook_networks,
            allow_http=self.url_allow_http,
            timeout=15,
        )

    @property
    def url_policy(self) -> UrlPolicy | None:
        """The addresses that may be fetched; None while URLs are disabled."""
        if not self.url_inputs:
            return None
        return UrlPolicy(
            hosts=self.url_hosts,
            networks=self.url_networks,
            allow_http=self.url_allow_http,
            max_bytes=self.gateway_max_image_bytes,
            timeout=self.url_timeout,
        )
