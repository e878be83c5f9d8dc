"""Settings: environment or ``.env``, prefix ``PHOENIX_``; read once by each composition root."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import PhoenixError
from domain.governance_events import Mode

PORT_STEP = 1000  # Phoenix instances: base, base + 1000, base + 2000
BASE_PORTS: dict[str, int] = {
    "registry": 8000,
    "sovereign-factory": 8210,
    "build-executor": 8211,
    "intent-queue": 8212,
    "governance": 8213,
    "approval-dashboard": 8214,
}
GENERATED_PORTS = range(8300, 9000)
NATS_PORT = 4222


class WrongSetting(PhoenixError):
    """One line: the variable, its value and what is allowed."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PHOENIX_", env_file=".env", extra="ignore")

    data_dir: Path = Path(".phoenix")
    nats_url: str | None = None  # unset: the embedded server
    nats_creds: Path | None = None
    port_shift: int = Field(default=0, ge=0, le=40_000)
    replicas: int = Field(default=1, ge=1, le=5)
    lease_s: float = Field(default=2.0, ge=0.5, le=10.0)
    heartbeat_s: float = Field(default=5.0, ge=1.0, le=60.0)
    mode: Mode = "autonomous"  # first start only; later the log decides
    blueprint: Path | None = None
    source: Path | None = None  # what components are built from; unset: the installed source
    model: str = "claude-sonnet-5-5"
    model_read_usd: float | None = Field(default=None, ge=0)  # a million tokens; both or no cost
    model_written_usd: float | None = Field(default=None, ge=0)
    sandbox: Literal["auto", "bubblewrap", "landlock", "process"] = "auto"
    log_format: Literal["auto", "json", "console"] = "auto"
    queue_capacity: int = Field(default=1000, ge=1, le=100_000)
    spec_gate: float = Field(default=90.0, ge=0, le=100)
    max_failovers_per_hour: int = Field(default=10, ge=1, le=1000)
    approval_ttl_h: float = Field(default=72.0, gt=0, le=24 * 90)
    seal_every: int = Field(default=1000, ge=2, le=1_000_000)  # messages a signed checkpoint
    instance_price_usd: float = Field(default=25.0, ge=0)  # a month, for the cost report
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")

    @property
    def nats_port(self) -> int:
        return NATS_PORT + self.port_shift

    def port(self, service: str) -> int:
        """The base port of a built-in service on this host."""
        return BASE_PORTS[service] + self.port_shift


def load(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` (from the command line) win where they are not None.

    Raises:
        WrongSetting: the first value that is not allowed.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        variable = name if name.isupper() else f"PHOENIX_{name.upper()}"
        raise WrongSetting(f"{variable}={first['input']!r}: {first['msg']}") from None
