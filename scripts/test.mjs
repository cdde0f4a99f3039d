// `npm test [-- jest arguments]`: everything, with real Go, a real container engine and real Nx.
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { install, mustRun, root, run, tool } from './commands.mjs';
import { findOrStartEngine } from './engine.mjs';

install();
mustRun(process.execPath, [join(root, 'scripts', 'build.mjs')]);

const engine = await findOrStartEngine();
if (!engine) {
  const message = 'No container engine answers: the tests that need one are skipped.';
  if (process.env.CI) {
    console.error(`${message.replace('are skipped', 'cannot run')} In CI that is a failure.`);
    process.exit(1);
  }
  console.warn(message);
}

const summary = join(tmpdir(), `slim-go-tests-${process.pid}.json`);
const env = engine ? { SLIM_GO_TEST_ENGINE: engine.host, DOCKER_HOST: engine.host } : {};
let status = 1;
try {
  // A failed test may leave a connection or a process behind, which is no reason to wait for ever.
  const args = ['--forceExit', '--json', `--outputFile=${summary}`, ...process.argv.slice(2)];
  status = run(process.execPath, [tool('jest', 'bin/jest.js'), ...args], { env, stdout: 'ignore' }).status;
  const result = JSON.parse(readFileSync(summary, 'utf8'));
  // A suite that does not even load runs no test: it counts as one failure.
  const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
  if (status === 0 && failed > 0) status = 1;
  console.log(`${result.numPassedTests} passed, ${failed} failed, ${result.numPendingTests} skipped`);
} finally {
  await engine?.stop();
  rmSync(summary, { force: true });
}
process.exit(status);
