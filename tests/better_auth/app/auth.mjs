// Who may sign in, and the tokens they get.
import { betterAuth } from "better-auth";
import { jwt } from "better-auth/plugins";
import { Pool } from "pg";

export const auth = betterAuth({
  baseURL: process.env.BETTER_AUTH_URL, // the tokens' issuer and audience are its origin
  database: new Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  plugins: [jwt({ jwt: { definePayload: () => ({}) } })], // no name or address in a token
});
