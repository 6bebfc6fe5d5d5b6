"""A stage's secrets, where the functions read them: SecureStrings of Systems Manager."""

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carillon_client.errors import CarillonError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

ADMIN_TOKEN = "admin-token"  # noqa: S105 - a name


class NotStoredError(CarillonError):
    """A secret that is to be read is not there."""


@dataclass(frozen=True, slots=True)
class Store:
    """The parameters below ``/carillon/<stage>``; their values never leave it but by ``read``."""

    ssm: "SSMClient"
    stage: str

    @property
    def prefix(self) -> str:
        """Return the path that the template grants its functions."""
        return f"/carillon/{self.stage}"

    def names(self) -> set[str]:
        """Return what is stored, without the prefix."""
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(
            Path=self.prefix, Recursive=True
        )
        found = (parameter["Name"] for page in pages for parameter in page["Parameters"])
        return {name.removeprefix(f"{self.prefix}/") for name in found}

    def put(self, name: str, value: str | dict[str, Any]) -> None:
        """Store a secret, or another in its place."""
        text = value if isinstance(value, str) else json.dumps(value)
        self.ssm.put_parameter(
            Name=f"{self.prefix}/{name}", Value=text, Type="SecureString", Overwrite=True
        )

    def read(self, name: str) -> str:
        """Return a secret; raises NotStoredError."""
        try:
            reply = self.ssm.get_parameter(Name=f"{self.prefix}/{name}", WithDecryption=True)
        except self.ssm.exceptions.ParameterNotFound:
            raise NotStoredError(f"{self.prefix}/{name} is not stored") from None
        return reply["Parameter"]["Value"]

    def make_admin_token(self) -> None:
        """Store an administrator's token of 256 random bits."""
        self.put(ADMIN_TOKEN, f"nk_admin_{secrets.token_urlsafe(32)}")
