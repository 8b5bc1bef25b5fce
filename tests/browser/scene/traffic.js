// A morning of three clinics.

import { AUDIENCES, TENANTS } from "./clinic.js";
import { CRISIS, HARD, HARMLESS, VIOLATING } from "./prompts.js";

/** Requests with these texts, by turns of all clinics, of users, whole and streamed. */
export function requests(rows, start = 0) {
  return rows.map(([audience, text], place) => {
    const number = start + place;
    const tenant = number % 8 === 7 ? undefined : TENANTS[number % TENANTS.length];
    return { text, audience, tenant, user: `user-${number % 23}`, stream: number % 5 === 0 };
  });
}

/** All kinds of texts, mixed as they come: most of them are harmless. `times` is how often each is asked. */
export function morning(times = 1) {
  const kinds = [HARMLESS, HARMLESS, HARD, HARMLESS, VIOLATING, HARD, CRISIS];
  const all = [];
  const places = kinds.map(() => 0);
  const count = times * (HARMLESS.length + HARD.length + VIOLATING.length + CRISIS.length);
  while (all.length < count) {
    kinds.forEach((kind, place) => {
      const number = places[place]++;
      const row = kind[(number * 3 + place) % kind.length];
      if (kind !== CRISIS || number % 5 === 0) all.push(row);
    });
  }
  return requests(all.slice(0, count));
}

export { AUDIENCES, TENANTS };
