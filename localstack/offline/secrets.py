"""The secrets the product reads, made anew for every run and put where AWS would hold them."""

import json
import secrets
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from carillon_client.stage import signing
from offline import cloud

PREFIX = "/carillon/local"
PROJECT = "carillon-local"
_KEY_BITS = 2048


def admin_token() -> str:
    """Return a new token of the administrator."""
    return f"nk_admin_{secrets.token_urlsafe(32)}"


def put(endpoint: str, sandbox: str, smtp_port: int, admin_token: str) -> None:
    """Store every secret as a SecureString."""
    values = {
        "admin-token": admin_token,
        "twilio": json.dumps(twilio_account()),
        "fcm": json.dumps(firebase_account(sandbox)),
        "sendgrid": json.dumps({"api_key": f"SG.{secrets.token_urlsafe(32)}"}),
        "smtp": json.dumps(mail_account(sandbox, smtp_port)),
    }
    with cloud.client("ssm", endpoint) as ssm:
        for name, value in values.items():
            ssm.put_parameter(
                Name=f"{PREFIX}/{name}", Value=value, Type="SecureString", Overwrite=True
            )
        signing.rotate(ssm, PREFIX, grace=0, settle=0)


def twilio_account() -> dict[str, str]:
    """Return credentials of the shape Twilio gives."""
    return {
        "account_sid": f"AC{secrets.token_hex(16)}",
        "auth_token": secrets.token_hex(16),
        "messaging_service_sid": f"MG{secrets.token_hex(16)}",
    }


def mail_account(sandbox: str, port: int) -> dict[str, str | int]:
    """Return the sandbox's mail server, which is on this machine and speaks no TLS."""
    host = urlsplit(sandbox).hostname or "127.0.0.1"
    return {
        "host": host,
        "port": port,
        "username": "carillon",
        "password": secrets.token_hex(16),
        "security": "none",
    }


def firebase_account(sandbox: str) -> dict[str, str]:
    """Return a service account whose tokens the sandbox issues."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode(),
        "client_email": f"sender@{PROJECT}.iam.gserviceaccount.com",
        "client_id": str(secrets.randbelow(10**21)),
        "token_uri": f"{sandbox}/token",
    }
