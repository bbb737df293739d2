// Runs what tsc made of life.ts, with the cookie jar that a browser has.
import { sent } from "../better_auth/driver/browser.mjs";

const { life } = await import("../built/driver/life.js");
console.log(JSON.stringify({ ...(await life()), sent }));
