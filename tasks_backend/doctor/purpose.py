"""What a token was issued for: a user of this service, or a client of Better Auth's."""

from collections.abc import Iterable

from tasks_backend.auth.tokens import ACCESS_TOKEN_CLAIMS, ID_TOKEN_CLAIMS
from tasks_backend.doctor.findings import Finding, ok, problem, shown

_ACCESS = "an access token: it lets a client act for a user or for itself"
_IDENTITY = "an ID token: it tells a client who has signed in"
_KINDS_BY_TYPE = {
    "at+jwt": _ACCESS,
    "logout+jwt": "a logout notice for a client",
    "dpop+jwt": "a proof that a client has a key",
    "secevent+jwt": "a notice of an event",
    "better-auth.session-cache+jwt": "Better Auth's session cookie",
}
_ISSUER = "Better Auth's OAuth provider, OIDC or MCP plugin issues such tokens"
_REMEDY = (
    "get a user's own token from Better Auth's /token, or from auth.api.getToken on the server where"
    " disabledPaths turns /token off"
)


def of_type(typ: object) -> Finding:
    """Return what the header's typ says; a token without one is given as `JWT`."""
    check = "token.type"
    if isinstance(typ, str) and typ.lower() == "jwt":
        return ok(check, "It is no special kind of token.")
    kind = _KINDS_BY_TYPE.get(str(typ).lower().removeprefix("application/"))
    means = f", {kind}" if kind else ": this token is for another purpose"
    return problem(
        check, f"Its typ is {shown(typ)}{means}. Only JWT or no typ is taken: {_REMEDY}."
    )


def of_claims(names: Iterable[str]) -> Finding:
    """Return what the names of the claims say; their values do not matter."""
    check = "token.purpose"
    found = set(names)
    access, identity = sorted(found & ACCESS_TOKEN_CLAIMS), sorted(found & ID_TOKEN_CLAIMS)
    if not access and not identity:
        return ok(check, "It was not issued to a client.")
    kind = _ACCESS if access else _IDENTITY
    return problem(
        check,
        f"It has {', '.join([*access, *identity])}, so it is {kind}. {_ISSUER}, and this service"
        f" takes none of them: {_REMEDY}. If Better Auth's definePayload adds that name, choose"
        " another.",
    )
