// What the tests change about the documented configuration, one thing at a time.
import { createAuthMiddleware } from "better-auth/api";
import { admin, jwt } from "better-auth/plugins";
import { deletion, guests } from "../app/deletion.mjs";

const LONG = 3600; // seconds

let handedOut = 0;
let latest; // token

export const variants = {
  defaults: { plugins: [jwt()] },
  es256: { plugins: [jwt({ jwks: { keyPairConfig: { alg: "ES256" } } })] },
  rs256: { plugins: [jwt({ jwks: { keyPairConfig: { alg: "RS256" } } })] },
  explicit: {
    plugins: [
      jwt({
        jwt: { issuer: "https://id.example.com/", audience: ["tasks-api", "billing-api"] },
        jwks: { jwksPath: "/.well-known/jwks.json" },
      }),
    ],
  },
  email: { plugins: [jwt({ jwt: { getSubject: ({ user }) => user.email } })] },

  // A key signs for 3 s and is published for 8 s more; only Keeper's tokens outlive their key.
  rotating: {
    plugins: [
      jwt({
        jwks: { rotationInterval: 3, gracePeriod: 8 },
        jwt: {
          expirationTime: "6s",
          definePayload: ({ user }) => (user.name === "Keeper" ? { exp: now() + LONG } : {}),
        },
      }),
    ],
  },

  // A session cookie that is itself a JWT, signed by the keys that sign the tokens.
  cookieCache: {
    session: { cookieCache: { enabled: true, strategy: "jwt" } },
    plugins: [jwt({ sessionCookieCache: true })],
  },

  // The first token is one that a sleeping laptop wakes up with.
  expired: {
    plugins: [
      jwt({ jwt: { definePayload: () => (handedOut++ === 0 ? { exp: now() - 60 } : {}) } }),
    ],
  },
  deletable: { user: deletion.user },
  purging: deletion,

  // A guest's tab creates one more task while Better Auth deletes the guest.
  guests: {
    ...deletion,
    plugins: [jwt(), guests],
    hooks: {
      after: createAuthMiddleware(async ({ path, context }) => {
        if (path === "/token") latest = context.returned.token;
      }),
    },
    databaseHooks: { user: { delete: { ...deletion.databaseHooks.user.delete, before: createTask } } },
  },
  impersonation: {
    plugins: [
      admin(),
      jwt({
        jwt: { definePayload: ({ session }) => (session.impersonatedBy ? { aud: "nobody" } : {}) },
      }),
    ],
  },
};

async function createTask() {
  await fetch(`${process.env.TASKS_API_URL}/api/v1/tasks`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${latest}` },
    body: JSON.stringify({ title: "Late" }),
  });
}

function now() {
  return Math.floor(Date.now() / 1000);
}
