import { describe, expect, it, vi } from "vitest";
import type { ListedModel } from "../src/server/wire";

vi.mock("vscode", () => ({}));
const { describeModel, factsOf, inOrder } = await import("../src/models");

const QWEN: ListedModel = {
  name: "qwen2.5-coder-0.5b",
  inUse: false,
  isHere: false,
  place: "",
  bytes: 491_400_064,
  what: "",
  license: "apache-2.0",
  infilling: 0.43,
  lack: null,
  latencyMs: null,
};

describe("the list of models", () => {
  it("says what could be fetched, how large it is and under which licence", () => {
    expect(factsOf(QWEN)).toBe("491 MB, apache-2.0");
    expect(describeModel(QWEN, QWEN.name)).toEqual({
      label: "qwen2.5-coder-0.5b",
      description: "proposed",
      detail: "to be fetched · 491 MB, apache-2.0 · completes 43 % of lines",
    });
  });

  it("says where a model lies that is here", () => {
    const found = { ...QWEN, inUse: true, isHere: true, place: "Ollama", what: "qwen2 Q4_K_M", license: null, infilling: null };
    expect(describeModel(found, "starter")).toMatchObject({
      description: "in use",
      detail: "here (Ollama) · not measured yet · 491 MB · qwen2 Q4_K_M",
    });
    const measured = describeModel({ ...found, latencyMs: 41.7 }, "starter");
    expect(measured.detail).toBe("here (Ollama) · 42 ms from a key to its text · 491 MB · qwen2 Q4_K_M");
  });

  it("offers last what does not suit this machine, and says why", () => {
    const large = { ...QWEN, name: "large", lack: "is too slow on fewer than 6 cores to follow your typing" };
    const starter = { ...QWEN, name: "starter", isHere: true };
    const names = inOrder([large, { ...QWEN, name: "other" }, QWEN, starter], QWEN.name).map((model) => model.name);
    expect(names).toEqual(["starter", QWEN.name, "other", "large"]);
    expect(describeModel(large, QWEN.name).detail).toMatch(/ % of lines · is too slow on fewer than 6 cores/);
  });
});
