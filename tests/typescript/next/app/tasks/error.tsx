// app/tasks/error.tsx: shown when a page throws, because the task API cannot be reached, say.
"use client";

export default function Unreachable() {
  return (
    <p role="alert">
      The tasks cannot be reached. <button onClick={() => location.reload()}>Try again</button>
    </p>
  );
}
