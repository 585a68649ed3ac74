import { describe, expect, it, vi } from "vitest";
import type { ListedModel } from "../src/server/wire";

vi.mock("vscode", () => ({}));
const { describeModel, factsOf } = await import("../src/models");

const QWEN: ListedModel = {
  name: "qwen2.5-coder-0.5b",
  inUse: false,
  isHere: false,
  place: "",
  bytes: 491_400_064,
  what: "",
  license: "apache-2.0",
  infilling: 0.43,
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
      detail: "here (Ollama) · 491 MB · qwen2 Q4_K_M",
    });
  });
});
