// Waiting for what is to become true, by looking.

import { setTimeout as pause } from "node:timers/promises";

/** Looks until `look` gives something, and gives that; fails, by the name of what is awaited, after so many seconds. */
export async function until(what, look, seconds = 180) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain until ${what}`);
    await pause(25);
  }
}
