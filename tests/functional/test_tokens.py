"""JWTs: what is taken for one, the keys that sign them, and what an API token is exchanged for."""

import base64
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carillon import signed, tokens
from carillon.identity import APPLICATION, Caller, Scope
from carillon.models import now
from carillon.settings import settings
from carillon.tokens import Audience
from carillon_client.stage import signing as keys
from functions.api.auth import handler
from functions.api.clients import handler as clients
from functions.api.notifications import handler as notifications
from functions.authorizer import handler as authorizer

Json = dict[str, Any]
WHO = Caller("user:grace", "default", frozenset({Scope.SELF}), "grace")
PREFIX = "/carillon/test"


@pytest.fixture
def signing(cloud) -> Json:
    """The private key of the test's stack."""
    value = cloud.ssm.get_parameter(Name=f"{PREFIX}/jwt/private", WithDecryption=True)
    return dict(json.loads(value["Parameter"]["Value"]))


@pytest.fixture
def forge(signing) -> Callable[..., str]:
    """Return a maker of tokens that are right but for what it is told."""

    def forge(
        key: Any = None, alg: str = "EdDSA", headers: Json | None = None, **changes: Any
    ) -> str:
        at = int(time.time())
        claims = WHO.as_context() | {
            "sub": "grace",
            "iss": "carillon/test",
            "aud": Audience.ACCESS.value,
            "iat": at,
            "exp": at + 900,
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        told = {"kid": signing["kid"]} | (headers or {})
        return jwt.encode(claims, key or signing["pem"], algorithm=alg, headers=told)

    return forge


@pytest.fixture
def stage(cloud, monkeypatch) -> str:
    """A stage of its own, without any key."""
    prefix = "/carillon/rotating"
    monkeypatch.setenv("SECRETS_PREFIX", prefix)
    settings.cache_clear()
    names = [f"{prefix}/jwt/{name}" for name in ("private", "public")]
    cloud.ssm.delete_parameters(Names=names)
    return prefix


@pytest.fixture
def api_token(cloud, call, sample) -> str:
    return str(call(clients, sample("clients-register")).data["api_token"])


@pytest.fixture
def exchange(cloud, call, sample) -> Callable[..., Any]:
    """Return an exchanger of API tokens, for tokens of some scopes."""

    def exchange(token: str, *scopes: str, **how: Any) -> Any:
        told = how or {"body": {"scopes": list(scopes)} if scopes else {}}
        return call(
            handler, sample("auth-token"), headers={"Authorization": f"Bearer {token}"}, **told
        )

    return exchange


def authorized(token: str, sample: Callable[[str], Json]) -> Json:
    event = sample("authorizer-token") | {"authorizationToken": f"Bearer {token}"}
    return dict(authorizer.lambda_handler(event, None)["context"])


def forget_keys() -> None:
    """Let the minute pass for which a process keeps what it has read."""
    for cached in (tokens._published, tokens._published_meanwhile, tokens._private):
        cached.cache_clear()


def test_b4_a_token_that_is_right_tells_who_is_calling(forge, sample) -> None:
    assert authorized(forge(), sample) == WHO.as_context()


def test_a_token_that_is_not_signed_is_refused_a_s01(forge, cloud) -> None:
    claims = jwt.decode(forge(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": "x"})
    assert tokens.authenticate(unsigned) is None
    _, body, signature = forge().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    assert tokens.authenticate(f"{none}.{body}.") is None
    assert tokens.authenticate(f"{none}.{body}.{signature}") is None


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub"])
def test_a_token_without_a_claim_it_must_have_is_refused_a_s02(forge, claim) -> None:
    assert tokens.authenticate(forge()) == WHO
    assert tokens.authenticate(forge(**{claim: None})) is None


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another"},
        {"aud": Audience.REFRESH.value},
        {"iss": "carillon/prod"},
        {"scope": "everything"},
        {"tenant": None},
    ],
)
def test_a_token_meant_for_something_else_is_refused_a_s03(forge, change) -> None:
    assert tokens.authenticate(forge(**change)) is None


@pytest.mark.parametrize(
    "seconds", [{"exp": -60}, {"iat": 600, "exp": 900}, {"nbf": 600}, {"iat": -1800, "exp": -900}]
)
def test_a_token_of_another_time_is_refused_a_s02(forge, seconds) -> None:
    at = int(time.time())
    assert tokens.authenticate(forge(**{claim: at + of for claim, of in seconds.items()})) is None


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("HS256", "k" * 64),
        ("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", Ed25519PrivateKey.generate()),
    ],
)
def test_a_token_of_another_s_making_is_refused(forge, alg, key) -> None:
    assert tokens.authenticate(forge(key=key, alg=alg)) is None


def test_the_public_key_is_no_shared_secret(forge, cloud) -> None:
    """The confusion of algorithms (RFC 8725, section 2.1)."""
    (kept,) = json.loads(
        cloud.ssm.get_parameter(Name=f"{PREFIX}/jwt/public")["Parameter"]["Value"]
    )["keys"]
    with pytest.raises(jwt.exceptions.InvalidKeyError):
        forge(key=kept["pem"], alg="HS256")  # the library will not even make one
    header, body, _ = forge().split(".")
    assert tokens.authenticate(f"{header}.{body}.{'A' * 86}") is None


def test_a_changed_token_is_refused(forge) -> None:
    header, body, signature = forge().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    other = base64.urlsafe_b64encode(json.dumps(claims | {"scope": "admin"}).encode())
    assert tokens.authenticate(f"{header}.{other.decode().rstrip('=')}.{signature}") is None


@pytest.mark.parametrize(
    "token", ["eyJ", "eyJ.e.s", "eyJé.e.s", "eyJ" + "a" * 5_000, "eyJ..", "eyJhbGciOiJub25lIn0.e.s"]
)
def test_what_is_no_jwt_is_refused_a_s09(cloud, sample, token) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorized(token, sample)


@pytest.mark.parametrize("kid", ["../../dev/null", "/carillon/test/jwt/private", "", "x" * 500])
def test_a_key_id_is_looked_up_and_never_fetched_a_s10(forge, cloud, kid, monkeypatch) -> None:
    asked = _asked(cloud, monkeypatch)
    assert tokens.authenticate(forge(headers={"kid": kid})) is None
    assert set(asked) <= {f"{PREFIX}/jwt/public"}


@pytest.mark.parametrize(
    "headers", [{"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/cert"}]
)
def test_an_address_of_keys_is_not_followed_a_s10(forge, headers, cloud, monkeypatch) -> None:
    asked = _asked(cloud, monkeypatch)
    mine = Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(mine.public_key()))
    forged = forge(key=mine, headers=headers | {"jwk": jwk})
    assert tokens.authenticate(forged) is None
    assert set(asked) == {f"{PREFIX}/jwt/public"}


def test_invented_key_ids_have_the_keys_read_again_once_a_minute(forge, cloud, monkeypatch) -> None:
    asked, at = _asked(cloud, monkeypatch), now().replace(second=0)
    monkeypatch.setattr(tokens, "now", lambda: at)
    for n in range(20):
        assert tokens.authenticate(forge(headers={"kid": f"kid-{n}"})) is None
    assert len(asked) == 2
    monkeypatch.setattr(tokens, "now", lambda: at + timedelta(seconds=60))
    assert tokens.authenticate(forge()) == WHO
    assert len(asked) == 3


def test_the_keys_are_kept_for_a_minute(forge, cloud, monkeypatch) -> None:
    asked, at = _asked(cloud, monkeypatch), now().replace(second=0)
    for seconds in (0, 30, 59):
        monkeypatch.setattr(tokens, "now", lambda s=seconds: at + timedelta(seconds=s))
        assert tokens.authenticate(forge()) == WHO
    assert asked == [f"{PREFIX}/jwt/public"]


def _asked(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the parameters that will be read."""
    asked: list[str] = []
    read = signed.Client.call

    def spy(client: signed.Client, operation: str, told: dict[str, Any]) -> Any:
        if operation == "GetParameter":
            asked.append(told["Name"])
        return read(client, operation, told)

    monkeypatch.setattr(signed.Client, "call", spy)
    return asked


def test_where_no_key_was_made_every_token_is_refused(forge, stage) -> None:
    assert tokens.authenticate(forge()) is None


def test_j2_a_rotation_leaves_what_was_signed_before_good(stage, cloud) -> None:
    first = keys.rotate(cloud.ssm, stage, grace=600, settle=0)
    old, _ = tokens.access(WHO)
    forget_keys()
    second = keys.rotate(cloud.ssm, stage, grace=600, settle=0)
    new, _ = tokens.access(WHO)
    kids = [jwt.get_unverified_header(token)["kid"] for token in (old, new)]
    assert kids == [first, second]
    assert tokens.authenticate(old) == tokens.authenticate(new) == WHO


def test_a_key_beyond_its_grace_is_refused_a_s10(stage, cloud, monkeypatch) -> None:
    keys.rotate(cloud.ssm, stage, grace=0, settle=0)
    old, _ = tokens.access(WHO)
    forget_keys()
    keys.rotate(cloud.ssm, stage, grace=60, settle=0)
    forget_keys()
    assert tokens.authenticate(old) == WHO
    later = now() + timedelta(seconds=61)
    monkeypatch.setattr(tokens, "now", lambda: later)
    assert tokens.authenticate(old) is None


def test_a_key_that_was_stolen_is_good_for_nothing_at_once(stage, cloud) -> None:
    keys.rotate(cloud.ssm, stage, grace=0, settle=0)
    old, _ = tokens.access(WHO)
    forget_keys()
    keys.rotate(cloud.ssm, stage, grace=0, settle=0)
    forget_keys()
    assert tokens.authenticate(old) is None


def test_a_new_key_is_known_to_who_has_read_the_keys_just_before(stage, cloud) -> None:
    keys.rotate(cloud.ssm, stage, grace=60, settle=0)
    old, _ = tokens.access(WHO)
    assert tokens.authenticate(old) == WHO
    keys.rotate(cloud.ssm, stage, grace=60, settle=0)
    tokens._private.cache_clear()  # the signer's minute is over, the verifier's is not
    new, _ = tokens.access(WHO)
    assert tokens.authenticate(new) == WHO


def test_j2_a_key_is_published_before_it_signs_and_forgotten_when_it_is_long_dead(
    stage, cloud, monkeypatch
) -> None:
    keys.rotate(cloud.ssm, stage, grace=0, settle=0)
    slept: list[int] = []

    def settle(seconds: int) -> None:
        slept.append(seconds)
        kids = [key["kid"] for key in _published(cloud, stage)]
        assert len(kids) == 2
        assert _signing(cloud, stage) == kids[0]

    monkeypatch.setattr(keys.time, "sleep", settle)
    new = keys.rotate(cloud.ssm, stage, grace=-1, settle=60)
    assert slept == [60]
    assert _signing(cloud, stage) == new
    newest = keys.rotate(cloud.ssm, stage, grace=5, settle=60)
    assert [key["kid"] for key in _published(cloud, stage)] == [new, newest]


def test_j2_only_the_private_half_is_kept_secret(stage, cloud) -> None:
    keys.rotate(cloud.ssm, stage, grace=0, settle=0)
    kinds = {
        name: cloud.ssm.get_parameter(Name=f"{stage}/jwt/{name}")["Parameter"]["Type"]
        for name in ("private", "public")
    }
    assert kinds == {"private": "SecureString", "public": "String"}
    assert "PRIVATE" not in str(_published(cloud, stage))


def _published(cloud: Any, prefix: str) -> list[Json]:
    value = cloud.ssm.get_parameter(Name=f"{prefix}/jwt/public")["Parameter"]["Value"]
    return list(json.loads(value)["keys"])


def _signing(cloud: Any, prefix: str) -> str:
    name = f"{prefix}/jwt/private"
    value = cloud.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    return str(json.loads(value)["kid"])


def test_b4_an_exchanged_token_is_the_same_client_with_the_same_scopes(
    api_token, exchange, sample
) -> None:
    reply = exchange(api_token)
    assert reply.status == 200
    assert {name: reply.data[name] for name in ("token_type", "expires_in")} == {
        "token_type": "Bearer",
        "expires_in": 900,
    }
    assert reply.headers["Cache-Control"] == "no-store"
    assert authorized(reply.data["access"], sample) == authorized(api_token, sample)


def test_b4_an_exchanged_token_sends(prepared, api_token, exchange, call, sample) -> None:
    who = authorized(exchange(api_token, "send").data["access"], sample)
    assert call(notifications, sample("notifications-send"), caller=who).status == 202


def test_b4_an_exchange_needs_no_body(api_token, exchange, sample) -> None:
    reply = exchange(api_token, raw="")
    assert reply.status == 200, reply.body
    scope = authorized(reply.data["access"], sample)["scope"]
    assert scope == " ".join(sorted(APPLICATION))


def test_b8_fewer_scopes_may_be_asked_for_and_never_more(api_token, exchange, sample) -> None:
    fewer = exchange(api_token, "read", "send").data["access"]
    assert authorized(fewer, sample)["scope"] == "read send"
    for more in (["read", "ops"], ["admin"], ["self"]):
        reply = exchange(api_token, *more)
        assert (reply.status, reply.body["errors"][0]["pointer"]) == (403, "#/scopes")
    assert exchange(api_token, "everything").status == 422
    assert exchange(api_token, body={"scopes": []}).status == 422


def test_b8_the_administrator_s_token_is_not_exchanged(cloud, exchange) -> None:
    assert exchange(cloud.admin_token).status == 403
    assert exchange(cloud.admin_token, "users").status == 403


def test_b4_only_an_api_token_is_exchanged(api_token, exchange, forge) -> None:
    access = exchange(api_token).data["access"]
    assert exchange(access).status == exchange(forge()).status == exchange("").status == 401
