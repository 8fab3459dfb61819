// The page of the demo serves the client as JavaScript that is checked in, so that the server is built without Node.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const here = fileURLToPath(new URL("..", import.meta.url));

test("the demo's JavaScript is what the source compiles to (npm run build:demo)", () => {
  const fresh = mkdtempSync(join(tmpdir(), "tidelog-demo-"));
  try {
    const compiler = join(here, "node_modules", "typescript", "bin", "tsc");
    execFileSync(process.execPath, [compiler, "-p", "tsconfig.demo.json", "--outDir", fresh], { cwd: here });
    const files = (folder: string) =>
      Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
    const compiled = files(fresh);
    expect(Object.keys(compiled).length).toBeGreaterThan(0);
    expect(files(join(here, "..", "..", "server", "demo", "client"))).toEqual(compiled);
  } finally {
    rmSync(fresh, { recursive: true });
  }
}, 60_000);
