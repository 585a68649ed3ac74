/** Document schemes in which code is written; not settings, output or comparisons. */
export const SCHEMES = ["file", "untitled", "vscode-remote", "vscode-vfs", "vscode-notebook-cell"];
