import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * The folder that a tool written in Go is in, from PATH; otherwise it is compiled into `bin`, which is left out on a laptop
 * where it takes minutes. Undefined where it can't be had, which is a failure in CI.
 */
export function goTool(name: string, install: string, bin: string, takesMinutes = false): string | undefined {
  const file = process.platform === 'win32' ? `${name}.exe` : name;
  const onPath = (process.env.PATH ?? '').split(delimiter).find((folder) => existsSync(join(folder, file)));
  if (onPath !== undefined) return onPath;
  const isInCi = Boolean(process.env.CI);
  if (!takesMinutes || isInCi) {
    const env = { ...process.env, GOBIN: bin, GOFLAGS: '' };
    const { status, stderr } = spawnSync('go', ['install', install], { env, encoding: 'utf8' });
    if (status === 0) return bin;
    if (isInCi) throw new Error(`${install} can't be installed:\n${stderr}`);
  }
  console.warn(`${name} is not there: the tests that need it are skipped.`);
  return undefined;
}
