"""samconfig.toml: what `sam deploy --config-env <stage>` is told, comments kept."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carillon_client.errors import CarillonError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

DEPLOYS = {
    "resolve_s3": True,
    "capabilities": "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND",
    "confirm_changeset": False,
    "fail_on_empty_changeset": False,
}


class ConfigError(CarillonError):
    """The file is not there, or not TOML."""


@dataclass(slots=True)
class Environment:
    """A stage's part of the file."""

    path: Path
    stage: str
    document: "TOMLDocument"

    @classmethod
    def read(cls, path: Path, stage: str) -> "Environment":
        """Return a stage's part, which may not be there yet; raises ConfigError."""
        import tomlkit  # noqa: PLC0415 - an extra; as below

        try:
            return cls(path, stage, tomlkit.parse(path.read_text()))
        except FileNotFoundError:
            raise ConfigError(f"{path} is not here: go to Carillon's folder") from None
        except tomlkit.exceptions.ParseError as error:
            raise ConfigError(f"{path} is not TOML: {error}") from None

    @property
    def stack(self) -> str:
        """Return the stack's name."""
        return str(self._global().get("stack_name", f"carillon-{self.stage}"))

    @property
    def region(self) -> str | None:
        """Return where the stage is, once that is known."""
        found = self._global().get("region")
        return str(found) if found else None

    @property
    def parameters(self) -> dict[str, str]:
        """Return the template's parameters as they are told."""
        told = self._deploy().get("parameter_overrides", [])
        words = shlex.split(told) if isinstance(told, str) else [str(word) for word in told]
        return dict(word.split("=", 1) for word in words if "=" in word)

    def write(self, region: str, parameters: dict[str, str]) -> None:
        """Write where the stage is and these parameters; whatever else is told stays."""
        import tomlkit  # noqa: PLC0415

        environment = self.document.setdefault(self.stage, tomlkit.table(is_super_table=True))
        place = _below(environment, "global")
        place["stack_name"], place["region"] = self.stack, region
        deploy = _below(environment, "deploy")
        for name, value in DEPLOYS.items():
            deploy.setdefault(name, value)
        told = {"Stage": self.stage, **self.parameters, **parameters}
        written = tomlkit.array().multiline(multiline=True)
        written.extend(f"{name}={value}" for name, value in told.items() if value)
        deploy["parameter_overrides"] = written
        self.path.write_text(tomlkit.dumps(self.document))

    def _global(self) -> dict[str, Any]:
        return self._part("global")

    def _deploy(self) -> dict[str, Any]:
        return self._part("deploy")

    def _part(self, name: str) -> dict[str, Any]:
        found: Any = self.document.get(self.stage, {}).get(name, {}).get("parameters", {})
        return dict(found)


def _below(environment: Any, name: str) -> Any:
    import tomlkit  # noqa: PLC0415

    part = environment.setdefault(name, tomlkit.table(is_super_table=True))
    return part.setdefault("parameters", tomlkit.table())
