/** Prints YAML files as one JSON array, for tests in a language whose library this package need not choose: `tsx src/yaml.ts FILE...`. */

import { readFileSync } from "node:fs";
import { parse } from "yaml";

const files = process.argv.slice(2);
process.stdout.write(JSON.stringify(files.map((file) => parse(readFileSync(file, "utf8")))));
