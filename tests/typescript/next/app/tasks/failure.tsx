// app/tasks/failure.tsx: what went wrong, for a person.
"use client";
import { useState } from "react";
import { SessionEnded } from "@/lib/tasks";
import type { Problem } from "@/lib/tasks-client";

type Shown = { failure?: Pick<Problem, "detail" | "errors"> | undefined };

export function Failure({ failure }: Shown) {
  return failure && <p role="alert">{failure.detail}</p>;
}

export function FieldError({ failure, field }: Shown & { field: string }) {
  const error = failure?.errors.find((each) => each.field === field);
  return error && <p id={`${field}-error`}>{error.message}</p>;
}

// Makes calls of a client component, one at a time; returns what `act` returns, or null after a failure.
export function useAttempt() {
  const [failure, setFailure] = useState<Shown["failure"]>();
  const [pending, setPending] = useState(false);

  async function attempt<T>(act: () => Promise<{ data?: T; error?: Problem }>): Promise<T | true | null> {
    setFailure(undefined);
    setPending(true);
    try {
      const { data, error } = await act();
      setFailure(error);
      return error ? null : (data ?? true);
    } catch (error) {
      const detail =
        error instanceof SessionEnded
          ? `${error.message} Reload the page.`
          : "The tasks cannot be reached. Try again later.";
      setFailure({ detail, errors: [] });
      return null;
    } finally {
      setPending(false);
    }
  }
  return { attempt, failure, pending };
}
