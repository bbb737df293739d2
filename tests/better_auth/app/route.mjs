// app/api/auth/[...all]/route: Better Auth's own addresses, /api/auth/jwks among them.
import { toNextJsHandler } from "better-auth/next-js";
import { auth } from "./auth.mjs";

export const { GET, POST } = toNextJsHandler(auth);
