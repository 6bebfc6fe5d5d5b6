"""Makes the key that signs users' tokens, or replaces it while its tokens stay good.

The new key is published before anything is signed with it, and the old one verifies until its
tokens have run out.
"""

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


Key = dict[str, Any]


def rotate(ssm: "SSMClient", prefix: str, *, grace: int, settle: int) -> str:
    """Put a new key to use and return its id; the others verify for ``grace`` seconds more.

    ``settle``: seconds between publishing it and signing with it; verifiers and the signer read the
    keys once a minute (carillon/tokens.py).
    """
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
