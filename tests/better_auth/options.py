"""Plugins and options of Better Auth: one configuration for each row of a table in docs/auth.md."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import httpx2

from better_auth.people import PASSWORD, People, Person
from better_auth.programs import AuthServer
from tasks_backend.testing.waiting import until

MAX_AGE = 20  # seconds, of a cached session
CODE = (
    "async ({ email, user, otp, token }) => console.log('code', email ?? user.email, otp ?? token)"
)


@dataclass(frozen=True)
class SignedIn:
    """A user with a browser, and what gets the user's tokens: by default, a copy of the browser."""

    owner: Person
    holder: httpx2.Client
    credential: str
    """What Better Auth accepts from the holder."""


Enter = Callable[[People, AuthServer], SignedIn]


def in_browser(people: People, auth: AuthServer) -> SignedIn:
    return _copied(people, auth, people.sign_up(auth))


def as_guest(people: People, auth: AuthServer) -> SignedIn:
    return _copied(people, auth, people.anonymous(auth))


def with_session_token(people: People, auth: AuthServer) -> SignedIn:
    person = people.sign_up(auth)
    return _holding(people, auth, person, "Authorization", f"Bearer {person.session_token}")


def with_device(people: People, auth: AuthServer) -> SignedIn:
    person, device = people.sign_up(auth), people.browser(auth)
    client = {"client_id": "television"}
    codes = _post(device, "/device/code", **client)
    person.browser.get("/device", params={"user_code": codes["user_code"]})
    _post(person.browser, "/device/approve", userCode=codes["user_code"])
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    code = codes["device_code"]
    token = _post(device, "/device/token", grant_type=grant, device_code=code, **client)
    return _holding(people, auth, person, "Authorization", f"Bearer {token['access_token']}")


def with_api_key(people: People, auth: AuthServer) -> SignedIn:
    person = people.sign_up(auth)
    return _holding(
        people, auth, person, "x-api-key", _post(person.browser, "/api-key/create")["key"]
    )


def with_username(people: People, auth: AuthServer) -> SignedIn:
    person, browser = people.sign_up(auth), people.browser(auth)
    username = person.email.partition("@")[0]
    _post(person.browser, "/update-user", username=username)
    _post(browser, "/sign-in/username", username=username, password=PASSWORD)
    return _copied(people, auth, replace(person, browser=browser))


def with_email_code(people: People, auth: AuthServer) -> SignedIn:
    person, browser = people.sign_up(auth), people.browser(auth)
    _post(browser, "/email-otp/send-verification-otp", email=person.email, type="sign-in")
    _post(browser, "/sign-in/email-otp", email=person.email, otp=_code(auth, person))
    return _copied(people, auth, replace(person, browser=browser))


def with_magic_link(people: People, auth: AuthServer) -> SignedIn:
    person, browser = people.sign_up(auth), people.browser(auth)
    _post(browser, "/sign-in/magic-link", email=person.email)
    browser.get("/magic-link/verify", params={"token": _code(auth, person)})
    return _copied(people, auth, replace(person, browser=browser))


def with_one_time_token(people: People, auth: AuthServer) -> SignedIn:
    person, browser = people.sign_up(auth), people.browser(auth)
    token = person.browser.get("/one-time-token/generate").json()["token"]
    _post(browser, "/one-time-token/verify", token=token)
    copied = _copied(people, auth, replace(person, browser=browser))
    return replace(copied, credential=token)


def with_first_factor(people: People, auth: AuthServer) -> SignedIn:
    person, browser = people.sign_up(auth), people.browser(auth)
    _post(person.browser, "/two-factor/enable", password=PASSWORD)
    _post(browser, "/sign-in/email", email=person.email, password=PASSWORD)
    return _copied(people, auth, replace(person, browser=browser))


def with_both_factors(people: People, auth: AuthServer) -> SignedIn:
    person = with_first_factor(people, auth).owner
    _post(person.browser, "/two-factor/send-otp")
    _post(person.browser, "/two-factor/verify-otp", code=_code(auth, person))
    return _copied(people, auth, person)


def after_another(people: People, auth: AuthServer) -> SignedIn:
    first = people.sign_up(auth)
    return _copied(people, auth, people.sign_up(auth, "Bob", first.browser))


def in_organization(people: People, auth: AuthServer) -> SignedIn:
    person = people.sign_up(auth)
    slug = person.email.partition("@")[0]
    _post(person.browser, "/organization/create", name="Company", slug=slug)
    return _copied(people, auth, person)


@dataclass(frozen=True)
class Option:
    """One configuration: arguments of jwt(), other plugins and other options, all in JavaScript."""

    name: str
    jwt: str = "jwt: { definePayload: () => ({}) }"
    plugins: str = ""
    options: str = ""
    enter: Enter = in_browser
    settings: Mapping[str, str] = field(default_factory=dict)
    """The service's, beside BETTER_AUTH_URL; `{auth}` is the prefix of Better Auth's addresses."""
    session: bool = True
    """Whether it can change how a session ends; otherwise this is not measured."""

    @property
    def source(self) -> str:
        """The options for Better Auth; admin() is there for the ban."""
        return (
            "{ user: { deleteUser: { enabled: true } },"
            f" plugins: [admin(), jwt({{ {self.jwt} }}), {self.plugins}], {self.options} }}"
        )


def _algorithm(keys: str) -> Option:
    jwt = f"jwks: {{ keyPairConfig: {{ {keys} }} }}"
    return Option(f"`keyPairConfig: {{ {keys} }}`", jwt=jwt, session=False)


def _token(options: str, **settings: str) -> Option:
    jwt = f"jwt: {{ {options} }}"
    return Option(f"`{jwt}`", jwt=jwt, settings=settings, session=False)


def _ids(form: str) -> Option:
    options = f"advanced: {{ database: {{ generateId: {form} }} }}"
    return Option(f"`generateId: {form}`", options=options, session=False)


def _cache(strategy: str) -> Option:
    cache = f'enabled: true, strategy: "{strategy}"'
    return Option(
        f"`cookieCache: {{ {cache} }}`",
        options=f"session: {{ cookieCache: {{ {cache}, maxAge: {MAX_AGE} }} }}",
    )


DOCUMENTED = Option("as documented above")
CACHED = _cache("compact")
OPTIONS = (
    DOCUMENTED,
    Option("`jwt()`", jwt="", session=False),
    _algorithm('alg: "ES256"'),
    _algorithm('alg: "ES512"'),
    _algorithm('alg: "RS256"'),
    _algorithm('alg: "RS256", modulusLength: 4096'),
    _algorithm('alg: "PS256"'),
    _algorithm('alg: "EdDSA", crv: "Ed448"'),
    _algorithm('alg: "RS256", modulusLength: 1024'),
    _algorithm('alg: "ECDH-ES"'),
    _token('expirationTime: "1d"'),
    _token('expirationTime: "7d"'),
    _token('expirationTime: "8d"'),
    _token("expirationTime: 900"),
    _token('issuer: "https://id.example.com/"', JWT_ISSUER="https://id.example.com/"),
    _token('audience: ["tasks", "bills"]', JWT_AUDIENCE="tasks"),
    _token('definePayload: () => ({ sub: "x" })'),
    _token('definePayload: () => ({ aud: "nobody" })'),
    _token("getSubject: ({ user }) => user.email"),
    _token("getSubject: () => 7"),
    Option(
        '`jwks: { jwksPath: "/keys" }`',
        jwt='jwks: { jwksPath: "/keys" }',
        settings={"JWKS_URL": "{auth}/keys"},
        session=False,
    ),
    _ids('"uuid"'),
    _ids('"serial"'),
    _ids('() => "u_" + crypto.randomUUID()'),
    CACHED,
    _cache("jwt"),
    _cache("jwe"),
    Option("`bearer()`, session token", plugins="bearer()", enter=with_session_token),
    Option(
        "`deviceAuthorization()`, `bearer()`",
        plugins='deviceAuthorization({ verificationUri: "/device" }), bearer()',
        enter=with_device,
    ),
    Option(
        "`apiKey({ enableSessionForAPIKeys: true })`, `x-api-key`",
        plugins="apiKey({ enableSessionForAPIKeys: true })",
        enter=with_api_key,
    ),
    Option("`anonymous()`, a guest", plugins="anonymous()", enter=as_guest),
    Option("`username()`", plugins="username()", enter=with_username),
    Option(
        "`emailOTP()`",
        plugins=f"emailOTP({{ sendVerificationOTP: {CODE} }})",
        enter=with_email_code,
    ),
    Option(
        "`magicLink()`", plugins=f"magicLink({{ sendMagicLink: {CODE} }})", enter=with_magic_link
    ),
    Option("`oneTimeToken()`", plugins="oneTimeToken()", enter=with_one_time_token),
    Option(
        "`twoFactor()`, before the second step",
        plugins="twoFactor({ skipVerificationOnEnable: true })",
        enter=with_first_factor,
    ),
    Option(
        "`twoFactor()`, after it",
        plugins=f"twoFactor({{ skipVerificationOnEnable: true, otpOptions: {{ sendOTP: {CODE} }} }})",
        enter=with_both_factors,
    ),
    Option("`multiSession()`, the active session", plugins="multiSession()", enter=after_another),
    Option("`organization()`, in an organization", plugins="organization()", enter=in_organization),
    Option(
        "`customSession()`",
        plugins="customSession(async ({ user, session }) => ({ user, session, theme: 'dark' }))",
    ),
)


def copy_of(people: People, auth: AuthServer, browser: httpx2.Client) -> httpx2.Client:
    """Return a client that sends the browser's cookies of now, whatever happens to these."""
    copy = people.browser(auth)
    copy.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return copy


def _copied(people: People, auth: AuthServer, owner: Person) -> SignedIn:
    return SignedIn(owner, copy_of(people, auth, owner.browser), owner.session_token)


def _holding(people: People, auth: AuthServer, owner: Person, header: str, value: str) -> SignedIn:
    holder = people.browser(auth)
    holder.headers[header] = value
    return SignedIn(owner, holder, value.removeprefix("Bearer "))


def _post(client: httpx2.Client, path: str, **body: str) -> dict[str, str]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, str] = response.json()
    return answer


def _code(auth: AuthServer, person: Person) -> str:
    """Return what Better Auth sent to the person, from its log."""

    def sent() -> list[str]:
        return re.findall(rf"^code {person.email} (\S+)$", auth.log.read_text(), re.MULTILINE)

    until(lambda: bool(sent()), "the code to be sent")
    return sent()[-1]
