/** Waiting for real signals: a condition is asked again and again, never after a fixed time. */

/** Bounds a failure, not a success: two cores that others use too may take a minute to start an editor. */
export const LIMIT_MS = Number(process.env["STARCODER_E2E_LIMIT_MS"] ?? 90_000);
const POLL_MS = 25;

/** A condition that did not come true; says what was seen instead. */
export class TimeoutError extends Error {}

/**
 * The first value of `ask` that is neither undefined, null nor false.
 *
 * @param what completes the sentence "waited 90 s for …"
 * @param seen describes what is there instead, for the message of a failure
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  { limitMs = LIMIT_MS, seen }: { limitMs?: number; seen?: () => unknown } = {},
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const value = await ask();
    if (value !== undefined && value !== null && value !== false) {
      return value;
    }
    if (performance.now() > deadline) {
      const instead = seen ? `; instead: ${JSON.stringify(await seen())}` : "";
      throw new TimeoutError(`waited ${limitMs / 1000} s for ${what}${instead}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
