import { describe, expect, it } from "vitest";
import { OPEN, PAUSED, snoozed } from "../src/completion/gate";
import type { Status } from "../src/server/wire";
import { modelName, stateOf, statusText, type StatusFacts } from "../src/status/statusText";

const READY: Status = { state: "ready", model: "starter", message: "", latencyMs: 33.6 };

function facts(changes: Partial<StatusFacts> = {}): StatusFacts {
  return { server: "running", serverMessage: "", engine: READY, gate: OPEN, nowMs: 0, label: null, ...changes };
}

describe("the status bar", () => {
  it("says state, model and last latency", () => {
    expect(statusText(facts()).text).toBe("$(sparkle) StarCoder: ready · starter · 34 ms");
    const first = statusText(facts({ engine: { ...READY, latencyMs: null } }));
    expect(first.text).toBe("$(sparkle) StarCoder: ready · starter");
  });

  it("says where the suggestion on screen was found", () => {
    expect(statusText(facts({ label: "MIT · owner/repo" })).text).toBe("$(sparkle) StarCoder: ready · § MIT · owner/repo");
  });

  it("says why nothing is suggested", () => {
    const excluded: Status = { ...READY, state: "excluded", message: "secrets.yml is a secret file" };
    expect(statusText(facts({ engine: excluded }))).toMatchObject({
      text: "$(eye-closed) StarCoder: excluded file",
      tooltip: expect.arrayContaining(["secrets.yml is a secret file"]) as unknown,
      severity: "none",
    });
    const off = { ...excluded, message: "completions are off for markdown (completion.disabledLanguages)" };
    expect(statusText(facts({ engine: off })).text).toBe("$(eye-closed) StarCoder: off");
    const blocked = { ...excluded, message: "blocked by attribution: MIT · owner/repo" };
    expect(statusText(facts({ engine: blocked })).text).toBe("$(eye-closed) StarCoder: blocked by attribution");
    const offline: Status = { ...READY, state: "offline", message: "no engine" };
    expect(statusText(facts({ engine: offline }))).toMatchObject({ severity: "warning", state: "offline" });
  });

  it("puts the server's own trouble before the engine's word", () => {
    expect(stateOf(facts({ server: "failed" }))).toBe("failed");
    expect(stateOf(facts({ server: "missing", engine: null }))).toBe("missing");
    expect(statusText(facts({ server: "failed", serverMessage: "boom" })).severity).toBe("error");
  });

  it("is starting until the engine has said something", () => {
    expect(stateOf(facts({ engine: null }))).toBe("starting");
  });

  it("says that the user has paused it, or for how long", () => {
    expect(stateOf(facts({ gate: PAUSED }))).toBe("paused");
    expect(statusText(facts({ gate: snoozed(15, 0) })).text).toContain("snoozed, 15 min");
    expect(stateOf(facts({ gate: snoozed(15, 0), nowMs: 15 * 60_000 }))).toBe("ready");
  });

  it("shortens names of models", () => {
    expect(modelName("bigcode/starcoderbase-1b")).toBe("starcoderbase-1b");
    expect(modelName("/models/mine/")).toBe("mine");
    expect(modelName("starter")).toBe("starter");
  });
});
