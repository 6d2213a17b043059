"""Every setting of a gateway, read from the environment in this one place."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from paddlewheel.sources.url_fetcher import UrlPolicy
from paddlewheel.wire.addresses import Addresses
from paddlewheel.wire.environment import Names, read_settings, split

Scope = Literal["tasks", "galleries:read", "galleries:write", "jobs", "metrics"]
"""What an API key may do: enqueue and read tasks, search galleries, change them, run batch jobs, watch."""

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
    blob_ttl: float = Field(3600, gt=0, description="Seconds that an image is kept after it was put.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")

    gateway_host: str = Field("127.0.0.1", description="The address that it listens on.")
    gateway_port: int = Field(8080, ge=1, le=65535, description="The port that it listens on.")
    gateway_max_body_bytes: int = Field(64 << 20, ge=1024, description="Bytes of one request.")
    gateway_max_image_bytes: int = Field(32 << 20, ge=1024, description="Bytes of one image in it.")
    gateway_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds that a request waits for its tasks, at most."
    )
    gateway_anonymous_scopes: Scopes = Field(
        (), description="What callers without a key may do: any of " + ", ".join(SCOPES) + "."
    )
    gateway_rate: float = Field(0, ge=0, description="Requests a second for each key; 0 for no limit.")
    gateway_burst: int = Field(20, ge=1, description="Requests at once before the rate counts.")
    gateway_max_queue_age: float = Field(
        60,
        ge=0,
        description="Seconds of the oldest waiting task past which work is refused; 0: never.",
    )

    gateway_sweep_interval: float = Field(
        2, gt=0, description="Seconds between two looks for jobs that ended or were lost."
    )
    gateway_keep_jobs: float = Field(
        7 * 86_400, gt=0, description="Seconds that a job and its result are kept after its end."
    )

    webhook_secret: str = Field(
        "", repr=False, description="What webhooks' secrets are made of; empty: no webhooks."
    )
    webhook_hosts: Names = Field((), description="Hosts that webhooks may go to; empty for all public ones.")
    webhook_networks: Networks = Field((), description="Private networks that webhooks may go to.")

    url_inputs: bool = Field(False, description="Whether images may be given by their https address.")
    url_hosts: Names = Field((), description="Hosts that images may come from; empty for all public ones.")
    url_networks: Networks = Field((), description="Private networks that images may come from.")
    url_allow_http: bool = Field(False, description="Whether plain http addresses are fetched too.")
    url_timeout: float = Field(20, gt=0, le=300, description="Seconds that fetching one image may take.")

    @model_validator(mode="before")
    @classmethod
    def _addresses(cls, values: dict[str, Any]) -> dict[str, Any]:
        found = Addresses.find(values.get("broker_url"), values.get("result_url"), values.get("blob_url"))
        return {**values, "broker_url": found.broker, "result_url": found.results, "blob_url": found.blobs}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read PADDLEWHEEL_*. Raises ConfigurationError that names what is wrong."""
        return read_settings(cls, environment)

    @property
    def webhook_policy(self) -> UrlPolicy:
        """Where webhooks may go."""
        return UrlPolicy(
            hosts=self.webhook_hosts,
            networks=self.webhook_networks,
            allow_http=self.url_allow_http,
            timeout=15,
        )

    @property
    def url_policy(self) -> UrlPolicy | None:
        """What may be fetched by its address; None while nothing may."""
        if not self.url_inputs:
            return None
        return UrlPolicy(
            hosts=self.url_hosts,
            networks=self.url_networks,
            allow_http=self.url_allow_http,
            max_bytes=self.gateway_max_image_bytes,
            timeout=self.url_timeout,
        )
