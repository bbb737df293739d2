// app/tasks/add.tsx: the form; it works without JavaScript too.
"use client";
import { useActionState } from "react";
import { add } from "./actions";
import { Failure, FieldError } from "./failure";

export function Add({ user }: { user: string }) {
  const [{ title, description, failure }, action, pending] = useActionState(add, { title: "", description: "" });
  return (
    <form action={action}>
      <input type="hidden" name="user" value={user} />
      <label>
        Title <input name="title" defaultValue={title} required aria-describedby="title-error" />
      </label>
      <FieldError failure={failure} field="title" />
      <label>
        Description <textarea name="description" defaultValue={description} aria-describedby="description-error" />
      </label>
      <FieldError failure={failure} field="description" />
      <button disabled={pending}>Add</button>
      <Failure failure={failure} />
    </form>
  );
}
