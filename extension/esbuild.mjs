// Bundles the extension (CommonJS, for the extension host) and the script of its web view.
import { context } from "esbuild";

const production = process.argv.includes("--production");
const watch = process.argv.includes("--watch");

const shared = {
  bundle: true,
  minify: production,
  sourcemap: production ? false : "linked",
  legalComments: "eof",
  logLevel: "warning",
};

const bundles = [
  {
    ...shared,
    entryPoints: ["src/extension.ts"],
    outfile: "out/extension.js",
    platform: "node",
    target: "node20",
    format: "cjs",
    external: ["vscode"],
  },
  {
    ...shared,
    entryPoints: ["src/webview/conversation.ts"],
    outfile: "out/conversation.js",
    platform: "browser",
    target: "es2022",
    format: "iife",
  },
];

for (const options of bundles) {
  const building = await context(options);
  if (watch) {
    await building.watch();
  } else {
    await building.rebuild();
    await building.dispose();
  }
}
