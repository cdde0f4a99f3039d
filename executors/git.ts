import { spawnSync } from 'node:child_process';

/** What git prints, without the line's end; undefined where it fails, is not there, or says nothing. */
export function git(cwd: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const line = stdout?.trim();
  return status === 0 && line ? line : undefined;
}
