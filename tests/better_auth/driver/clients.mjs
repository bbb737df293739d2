// Better Auth as an OAuth provider, on the database of the documented app; prints what it signs.
import { createHash } from "node:crypto";
import { oauthProvider } from "@better-auth/oauth-provider";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { jwt } from "better-auth/plugins";
import { auth as documented } from "../app/auth.mjs";
import * as route from "../app/tasks-token.mjs";

const { BETTER_AUTH_URL: origin } = process.env;
const callback = "https://client.example.com/callback";
const verifier = "a-code-verifier-of-more-than-forty-three-characters";

const options = {
  ...documented.options,
  disabledPaths: ["/token"],
  plugins: [
    jwt({ disableSettingJwtHeader: true, jwt: { issuer: origin, definePayload: () => ({}) } }),
    oauthProvider({
      loginPage: "/sign-in",
      consentPage: "/consent",
      scopes: ["openid", "tasks"],
      resources: [origin], // so that a client may ask for our audience
      validAudiences: [origin], // the same in 1.6
      clientPrivileges: () => true,
      resourcePrivileges: () => true,
    }),
  ],
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);

const call = (path, init) => auth.handler(new Request(`${origin}/api/auth${path}`, init));
const signUp = await call("/sign-up/email", {
  method: "POST",
  headers: { "Content-Type": "application/json", Origin: origin },
  body: JSON.stringify({ name: "Ann", email: "ann@example.com", password: "correct horse" }),
});
const cookies = signUp.headers.getSetCookie().map((cookie) => cookie.split(";")[0]);
const headers = new Headers({ Cookie: cookies.join("; "), Origin: origin });

const client = await auth.api.adminCreateOAuthClient({
  headers,
  body: {
    redirect_uris: [callback],
    grant_types: ["authorization_code", "client_credentials"],
    scope: "openid tasks",
    client_credentials_scopes: ["tasks"],
    skip_consent: true,
  },
});
await auth.api.adminLinkClientResource?.({
  headers,
  params: { identifier: encodeURIComponent(origin), client_id: client.client_id },
});

async function exchange(parameters) {
  const secret = btoa(`${client.client_id}:${client.client_secret}`);
  const response = await call("/oauth2/token", {
    method: "POST",
    headers: { Authorization: `Basic ${secret}` },
    body: new URLSearchParams({ ...parameters, resource: origin }),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

const question = new URLSearchParams({
  response_type: "code",
  client_id: client.client_id,
  redirect_uri: callback,
  scope: "openid",
  state: "state",
  resource: origin,
  code_challenge: createHash("sha256").update(verifier).digest("base64url"),
  code_challenge_method: "S256",
});
const answer = await call(`/oauth2/authorize?${question}`, { headers });
const code = new URL(answer.headers.get("Location")).searchParams.get("code");
const signedIn = await exchange({
  grant_type: "authorization_code",
  code,
  code_verifier: verifier,
  redirect_uri: callback,
});
const machine = await exchange({ grant_type: "client_credentials", scope: "tasks" });

const tokenPath = await call("/token", { headers });
const session = await call("/get-session", { headers });
const own = await auth.api.getToken({ headers, asResponse: true });
const shown = await route.GET(new Request(`${origin}/api/tasks-token`, { headers }));
const signedOut = await route.GET(new Request(`${origin}/api/tasks-token`));
console.log(
  JSON.stringify({
    access: signedIn.access_token,
    identity: signedIn.id_token,
    machine: machine.access_token,
    own: (await own.json()).token,
    shown: (await shown.json()).token,
    tokenPath: tokenPath.status,
    setAuthJwt: session.headers.has("set-auth-jwt"),
    signedOut: signedOut.status,
  }),
);
await documented.options.database.end();
