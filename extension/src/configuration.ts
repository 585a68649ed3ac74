/** The editor's settings in section `starcoder`: read for the server, changed for the user. */
import * as vscode from "vscode";
import { explicitSettings, SECTION, type Property } from "./server/settings";

interface Manifest {
  readonly contributes: { readonly configuration: { readonly properties: Readonly<Record<string, Property>> } };
}

export class Configuration {
  readonly #properties: Readonly<Record<string, Property>>;

  constructor(extension: vscode.Extension<unknown>) {
    this.#properties = (extension.packageJSON as Manifest).contributes.configuration.properties;
  }

  /** What somebody set, as the server takes it. */
  forServer(): Record<string, unknown> {
    const section = vscode.workspace.getConfiguration(SECTION);
    return explicitSettings(this.#properties, (name) => section.inspect(name));
  }

  isOnFor(language: string): boolean {
    return !this.#disabledLanguages().includes(language);
  }

  /** Returns whether completions are on for the language now. */
  async toggleLanguage(language: string): Promise<boolean> {
    const disabled = this.#disabledLanguages();
    const isOff = disabled.includes(language);
    const changed = isOff ? disabled.filter((each) => each !== language) : [...disabled, language];
    await vscode.workspace
      .getConfiguration(SECTION)
      .update("completion.disabledLanguages", changed, vscode.ConfigurationTarget.Global);
    return isOff;
  }

  async setModel(model: string): Promise<void> {
    await vscode.workspace.getConfiguration(SECTION).update("model", model, vscode.ConfigurationTarget.Global);
  }

  #disabledLanguages(): string[] {
    return vscode.workspace.getConfiguration(SECTION).get<string[]>("completion.disabledLanguages", []);
  }
}
