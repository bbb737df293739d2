"use client";
import { useState } from "react";
import { authClient } from "@/lib/tasks";

export default function SignInPage() {
  const [status, setStatus] = useState("");
  async function signIn(form: FormData) {
    const email = String(form.get("email"));
    const { error } = await authClient.signIn.email({ email, password: String(form.get("password")) });
    setStatus(error ? `${error.message}` : `Signed in: ${email}`);
  }
  async function signOut() {
    await authClient.signOut();
    setStatus("Signed out");
  }
  return (
    <form action={signIn}>
      <input name="email" aria-label="E-mail" />
      <input name="password" type="password" aria-label="Password" />
      <button>Sign in</button>
      <button type="button" onClick={signOut}>Sign out</button>
      <p role="status">{status}</p>
    </form>
  );
}
