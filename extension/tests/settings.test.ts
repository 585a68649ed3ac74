import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CLIENT_ONLY, explicitSettings, type Inspected, type Property } from "../src/server/settings";

interface Manifest {
  contributes: {
    commands: { command: string }[];
    configuration: { properties: Record<string, Property> };
  };
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
}

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as Manifest;
const properties = manifest.contributes.configuration.properties;

function sent(values: Record<string, Inspected>): Record<string, unknown> {
  return explicitSettings(properties, (name) => values[name]);
}

describe("what is sent to the server", () => {
  it("is nothing while nobody has set anything", () => {
    expect(sent({})).toEqual({});
    expect(sent({ model: { globalValue: undefined } })).toEqual({});
  });

  it("is nested as the server has it", () => {
    const values = { model: { globalValue: "starter" }, "completion.maxNewTokens": { globalValue: 32 } };
    expect(sent(values)).toEqual({ model: "starter", completion: { maxNewTokens: 32 } });
  });

  it("prefers the folder's value to the workspace's and that to the user's", () => {
    const all = { globalValue: 1, workspaceValue: 2, workspaceFolderValue: 3 };
    expect(sent({ "completion.alternatives": all })).toEqual({ completion: { alternatives: 3 } });
    expect(sent({ "completion.enabled": { globalValue: true, workspaceValue: false } })).toEqual({
      completion: { enabled: false },
    });
  });

  it("takes from the user alone what decides where code goes", () => {
    const evil = { workspaceValue: "https://evil.example" };
    expect(sent({ "engine.url": evil, model: evil, "attribution.index": evil })).toEqual({});
    expect(sent({ "engine.url": { ...evil, globalValue: "http://localhost:1" } })).toEqual({
      engine: { url: "http://localhost:1" },
    });
  });

  it("lets a workspace add exclusions and take none away", () => {
    const defaults = properties["starcoder.exclude.globs"]?.default as string[];
    const added = sent({ "exclude.globs": { workspaceValue: ["*.sql", "!*.pem"] } });
    expect(added).toEqual({ exclude: { globs: [...defaults, "*.sql"] } });
    const both = sent({ "exclude.globs": { globalValue: ["*.key"], workspaceValue: ["*.sql", "*.key"] } });
    expect(both).toEqual({ exclude: { globs: ["*.key", "*.sql"] } });
    expect(sent({ "exclude.globs": { globalValue: [] } })).toEqual({ exclude: { globs: [] } });
  });

  it("lets a workspace make a protection stricter, not laxer", () => {
    const onMatch = (globalValue: unknown, workspaceValue: unknown) =>
      sent({ "attribution.onMatch": { globalValue, workspaceValue } });
    expect(onMatch(undefined, "block")).toEqual({ attribution: { onMatch: "block" } });
    expect(onMatch("block", "show")).toEqual({ attribution: { onMatch: "block" } });
    expect(onMatch(undefined, "show")).toEqual({});
    expect(onMatch("show", "label")).toEqual({ attribution: { onMatch: "label" } });
  });

  it("has nothing of the extension's own", () => {
    expect(sent({ "server.path": { globalValue: "/venv/bin/python" } })).toEqual({});
  });
});

describe("package.json", () => {
  it("restricts in untrusted folders all that a folder must not decide", () => {
    const machineScoped = Object.keys(properties).filter((name) => properties[name]?.scope === "machine");
    const restricted = manifest.capabilities.untrustedWorkspaces.restrictedConfigurations;
    expect(restricted).toEqual(expect.arrayContaining(machineScoped));
    expect([...CLIENT_ONLY].map((name) => `starcoder.${name}`)).toEqual(["starcoder.server.path"]);
  });

  it("names only commands that the source knows", () => {
    const source = readFileSync(new URL("../src/commands.ts", import.meta.url), "utf8");
    const unknown = manifest.contributes.commands
      .map(({ command }) => command.replace("starcoder.", ""))
      .filter((name) => !new RegExp(`^    ${name}: `, "m").test(source));
    expect(unknown).toEqual([]);
  });
});
