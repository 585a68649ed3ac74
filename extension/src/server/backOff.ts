/** When a server that ended is started again: later and later, until it has proven itself. Pure. */

export const FIRST_DELAY_MS = 250;
export const MAX_DELAY_MS = 30_000;
/** A server that ran this long is healthy: its end counts as a first one. */
export const HEALTHY_AFTER_MS = 60_000;
export const MAX_ATTEMPTS = 6;

export class RestartPolicy {
  #failures = 0;

  /** The pause before the next start in milliseconds, or null: give up and ask the user. */
  ended(ranMs: number): number | null {
    if (ranMs >= HEALTHY_AFTER_MS) {
      this.#failures = 0;
    }
    this.#failures += 1;
    if (this.#failures > MAX_ATTEMPTS) {
      return null;
    }
    return Math.min(FIRST_DELAY_MS * 2 ** (this.#failures - 1), MAX_DELAY_MS);
  }

  /** The user asked for a start. */
  reset(): void {
    this.#failures = 0;
  }
}
