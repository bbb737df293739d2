import Link from "next/link";
import type { ReactNode } from "react";

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <nav>
          <Link href="/sign-in">Account</Link> <Link href="/tasks">Tasks</Link>
        </nav>
        {children}
      </body>
    </html>
  );
}
