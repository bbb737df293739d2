"""Check what a token was issued for: a user of this service or a client of Better Auth."""

from collections.abc import Iterable

from tasks_backend.auth.tokens import ACCESS_TOKEN_CLAIMS, ID_TOKEN_CLAIMS
from tasks_backend.doctor.findings import Finding, ok, printable, problem

_ACCESS = "an access token: it lets a client act for a user or for itself"
_IDENTITY = "an ID token: it tells a client who has signed in"
_KIND_BY_TYPE = {
    "at+jwt": _ACCESS,
    "logout+jwt": "a logout notice for a client",
    "dpop+jwt": "a proof that a client has a key",
    "secevent+jwt": "a security event token",
    "better-auth.session-cache+jwt": "Better Auth's session cookie",
}
_ISSUER = "Better Auth's OAuth provider, OIDC or MCP plugin issues such tokens"
_REMEDY = (
    "get a user's own token from Better Auth's /token, or from auth.api.getToken on the server where"
    " disabledPaths turns /token off"
)


def of_type(typ: object) -> Finding:
    """Check the header's typ; pass `JWT` for a token without one."""
    check = "token.type"
    if isinstance(typ, str) and typ.lower() == "jwt":
        return ok(check, "It is an ordinary JWT.")
    kind = _KIND_BY_TYPE.get(str(typ).lower().removeprefix("application/"))
    meaning = f", {kind}" if kind else ": this token is for another purpose"
    return problem(
        check, f"Its typ is {printable(typ)}{meaning}. Only JWT or no typ is accepted: {_REMEDY}."
    )


def of_claims(names: Iterable[str]) -> Finding:
    """Check the names of the claims; their values do not matter."""
    check = "token.purpose"
    claims = set(names)
    access, identity = sorted(claims & ACCESS_TOKEN_CLAIMS), sorted(claims & ID_TOKEN_CLAIMS)
    if not access and not identity:
        return ok(check, "It was not issued to a client.")
    kind = _ACCESS if access else _IDENTITY
    return problem(
        check,
        f"It has {', '.join([*access, *identity])}, so it is {kind}. {_ISSUER}; this service"
        f" accepts none of them: {_REMEDY}. If Better Auth's definePayload adds that name, choose"
        " another.",
    )
