/**
 * The settings that are sent to the server: those that somebody set, and no defaults, so that the server's own files
 * still count. Pure.
 *
 * What a project must not decide (scope `machine`) is taken from the user's settings alone; lists are only ever
 * added to by a workspace, and a protection only made stricter. The same rules hold for the server's `.starcoder.toml` (docs/configuration.md).
 */

export const SECTION = "starcoder";
/** Settings of the extension itself, which the server does not know. */
export const CLIENT_ONLY: ReadonlySet<string> = new Set(["server.path"]);

/** A workspace may choose a later value of these than the user has, not an earlier one. */
export const ONLY_STRICTER: ReadonlySet<string> = new Set(["attribution.onMatch"]);

export interface Property {
  readonly type: string | readonly string[];
  readonly scope?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
}

export interface Inspected {
  readonly globalValue?: unknown;
  readonly workspaceValue?: unknown;
  readonly workspaceFolderValue?: unknown;
}

/** `properties`: package.json's, by full name. The result is nested: `{completion: {maxNewTokens: 32}}`. */
export function explicitSettings(
  properties: Readonly<Record<string, Property>>,
  inspect: (name: string) => Inspected | undefined,
): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [fullName, property] of Object.entries(properties)) {
    const name = fullName.slice(SECTION.length + 1);
    if (CLIENT_ONLY.has(name)) {
      continue;
    }
    const inspected = inspect(name) ?? {};
    const value = ONLY_STRICTER.has(name) ? strictest(property, inspected) : explicitValue(property, inspected);
    if (value !== undefined) {
      put(settings, name.split("."), value);
    }
  }
  return settings;
}

function explicitValue(property: Property, inspected: Inspected): unknown {
  if (property.scope === "machine") {
    return inspected.globalValue;
  }
  if (property.type === "array") {
    return extendedList(property, inspected);
  }
  return inspected.workspaceFolderValue ?? inspected.workspaceValue ?? inspected.globalValue;
}

function strictest({ enum: values = [], default: unset }: Property, inspected: Inspected): unknown {
  const rank = (value: unknown): number => values.indexOf(value);
  const own = inspected.globalValue ?? unset;
  const stricter = [inspected.workspaceValue, inspected.workspaceFolderValue].filter(
    (value) => rank(value) > rank(own),
  );
  return stricter.sort((one, other) => rank(other) - rank(one))[0] ?? inspected.globalValue;
}

function extendedList(property: Property, inspected: Inspected): unknown {
  const added = [inspected.workspaceValue, inspected.workspaceFolderValue].flatMap(texts);
  if (added.length === 0) {
    return inspected.globalValue;
  }
  const own = texts(inspected.globalValue ?? property.default);
  // A pattern with "!" would lift an exclusion.
  return [...new Set([...own, ...added.filter((text) => !text.startsWith("!"))])];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

function put(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first, ...rest] = path;
  if (first === undefined) {
    return;
  }
  if (rest.length === 0) {
    target[first] = value;
    return;
  }
  const section = (target[first] ??= {}) as Record<string, unknown>;
  put(section, rest, value);
}
