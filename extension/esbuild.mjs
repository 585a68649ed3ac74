// Bundles the extension (CommonJS, for the extension host) and the script of its web view, and writes down whose
// code is in them, with their licences.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const production = process.argv.includes("--production");

const shared = {
  bundle: true,
  metafile: true,
  minify: production,
  sourcemap: production ? false : "linked",
  legalComments: "none",
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

/** The folder of the package that a bundled file belongs to, or null for our own. */
function packageOf(file) {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? null;
}

function notice(folder) {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  if (file === undefined) {
    throw new Error(`${folder} has no licence file; it cannot be shipped`);
  }
  return `${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n`;
}

const built = await Promise.all(bundles.map((options) => build(options)));
const files = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
const folders = [...new Set(files.map(packageOf))].filter((folder) => folder !== null).sort();
writeFileSync("out/THIRD_PARTY_NOTICES.txt", folders.map(notice).join(`\n${"-".repeat(80)}\n\n`));
