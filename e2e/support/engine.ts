/**
 * Tests that need a container engine. `npm test` finds or starts one and says so in SLIM_GO_TEST_ENGINE (its DOCKER_HOST);
 * a bare `jest` asks the default socket. Without an engine they are skipped visibly on a laptop and fail in CI.
 */
import { execFileSync, spawnSync } from 'node:child_process';

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

/** Runs the `docker` command against the engine under test; trimmed standard output. */
export function docker(...args: string[]): string {
  return execFileSync('docker', args, {
    encoding: 'utf8',
    env: { ...process.env, DOCKER_HOST: engineHost, DOCKER_BUILDKIT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 256 * 1024 * 1024,
  }).trim();
}

/** Image ID (`sha256:...`) that a reference names in the engine under test; undefined where there is none. */
export function imageIdOf(reference: string): string | undefined {
  const line = docker('images', '--no-trunc', '--quiet', reference);
  return line === '' ? undefined : line;
}
