// app/api/tasks-token/route: the user's own token, where `disabledPaths` turns /token off.
import { auth } from "./auth.mjs";

export function GET(request) {
  return auth.api.getToken({ headers: request.headers, asResponse: true }); // 401 if signed out
}
