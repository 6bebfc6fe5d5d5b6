"""Makes the key that signs users' tokens, or replaces it while its tokens stay good.

The new key is published before anything is signed with it, and the old one verifies until its
tokens have run out:  python infra/rotate_jwt_key.py --prefix /carillon/<stage>
"""

import argparse
import json
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

import boto3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

REFRESH_SECONDS = 30 * 86_400
SETTLE_SECONDS = 60
"""Verifiers read the published keys once a minute (carillon/tokens.py), and so does the signer."""

Key = dict[str, Any]


def rotate(ssm: "SSMClient", prefix: str, *, grace: int, settle: int) -> str:
    """Put a new key to use and return its id; the others verify for ``grace`` seconds more."""
    private, public = f"{prefix}/jwt/private", f"{prefix}/jwt/public"
    kid, pair = secrets.token_hex(8), Ed25519PrivateKey.generate()
    others = [key for key in _published(ssm, public) if not _is_past(key)]
    mine = {"kid": kid, "pem": _public_pem(pair), "not_after": None}
    _publish(ssm, public, [*others, mine])
    if others:
        time.sleep(settle)
    signing = json.dumps({"kid": kid, "pem": _private_pem(pair)})
    ssm.put_parameter(Name=private, Value=signing, Type="SecureString", Overwrite=True)
    end = int(time.time()) + grace
    _publish(ssm, public, [*({**k, "not_after": k["not_after"] or end} for k in others), mine])
    return kid


def _is_past(key: Key) -> bool:
    return key["not_after"] is not None and key["not_after"] < time.time()


def _published(ssm: "SSMClient", name: str) -> list[Key]:
    try:
        value = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return []
    return list(json.loads(value)["keys"])


def _publish(ssm: "SSMClient", name: str, keys: list[Key]) -> None:
    ssm.put_parameter(Name=name, Value=json.dumps({"keys": keys}), Type="String", Overwrite=True)


def _public_pem(key: Ed25519PrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _private_pem(key: Ed25519PrivateKey) -> str:
    form, cipher = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, cipher).decode()


def main() -> int:
    """Rotate as the command line says and print the new key's id."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefix", required=True, help="where the secrets are: /carillon/<stage>")
    parser.add_argument(
        "--grace",
        type=int,
        default=REFRESH_SECONDS + SETTLE_SECONDS,
        help="seconds that the old key's tokens stay good; 0 when it was stolen",
    )
    parser.add_argument(
        "--settle",
        type=int,
        default=SETTLE_SECONDS,
        help="seconds between publishing the new key and signing with it",
    )
    options = parser.parse_args()
    ssm = boto3.client("ssm")
    kid = rotate(ssm, options.prefix.rstrip("/"), grace=options.grace, settle=options.settle)
    print(f"tokens are signed with {kid} from now on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
