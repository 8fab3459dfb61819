import type { Reporter, TestModule } from "vitest/node";

/** Ends the output with the line that `scripts/test` adds up: cargo's. */
export default class Summary implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, errors: ReadonlyArray<unknown>): void {
    const counts = { passed: 0, failed: errors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      // A file that could not be loaded is a failure, too.
      counts.failed += module.errors().length;
      for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
      for (const test of module.children.allTests()) counts[test.result().state]++;
    }
    const word = counts.failed > 0 ? "FAILED" : "ok";
    console.log(`test result: ${word}. ${counts.passed} passed; ${counts.failed} failed; ${counts.skipped} ignored`);
  }
}
