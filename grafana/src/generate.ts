/** Writes every file that Grafana loads and that is made from code: `npm run generate`, or `-- FOLDER` to write elsewhere. */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { alerts } from "./alerts/index.js";
import { dashboards } from "./dashboards/index.js";

const boards = dashboards();

/** By path in the repository. */
const files: Record<string, string> = {
  ...Object.fromEntries(boards.map(([path, dashboard]) => [path, JSON.stringify(dashboard, null, 2) + "\n"])),
  ...Object.fromEntries(alerts(boards.map(([, dashboard]) => dashboard))),
};

const root = resolve(process.argv[2] ?? join(import.meta.dirname, "../.."));
for (const [path, text] of Object.entries(files)) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}
