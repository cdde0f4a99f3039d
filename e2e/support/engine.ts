/**
 * Tests that need a container engine. `npm test` finds or starts one and says so in SLIM_GO_TEST_ENGINE (its DOCKER_HOST);
 * a bare `jest` asks the default socket. Without an engine they are skipped visibly on a laptop and fail in CI.
 */
import { spawnSync } from 'node:child_process';

function findEngine(): string | undefined {
  const host = process.env.SLIM_GO_TEST_ENGINE ?? process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock';
  const probe = `require('net').connect(${JSON.stringify(host.replace(/^unix:\/\//, ''))}).on('connect',()=>process.exit(0)).on('error',()=>process.exit(1))`;
  return spawnSync(process.execPath, ['-e', probe], { timeout: 5000 }).status === 0 ? host : undefined;
}

/** DOCKER_HOST of the engine under test, `unix:///...`; undefined where none answers. */
export const engineHost = findEngine();

/** `describe` that needs an engine. */
export const describeWithEngine: typeof describe | typeof describe.skip = engineHost
  ? describe
  : process.env.CI
    ? (((title: string) => {
        describe(title, () => {
          it('needs a container engine, and in CI a missing one is a failure', () => {
            throw new Error('No container engine answers. `npm test` starts one on Debian and Ubuntu.');
          });
        });
      }) as unknown as typeof describe)
    : describe.skip;
