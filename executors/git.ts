import { spawnSync } from 'node:child_process';

/** Asks git. */
export type AskGit = typeof git;

/** `git` that asks once for all tasks of a run. */
export function gitOnce(): AskGit {
  const answers = new Map<string, string | undefined>();
  return (cwd, args) => {
    const key = [cwd, ...args].join('\0');
    if (!answers.has(key)) answers.set(key, git(cwd, args));
    return answers.get(key);
  };
}

/** What git prints, without the line's end; undefined where it fails, is not there, or says nothing. */
export function git(cwd: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const line = stdout?.trim();
  return status === 0 && line ? line : undefined;
}

/**
 * `git@github.com:acme/mono.git` and `https://token@github.com/acme/mono` -> `https://github.com/acme/mono`, so that how
 * somebody cloned the repository changes no image and no credential gets into one. Undefined for a local path.
 */
export function webAddress(remote: string): string | undefined {
  const scp = /^(?:[^@/\s]+@)?([\w.-]+\.[\w.-]+):(?!\/\/)\/?(.+)$/.exec(remote);
  const url = /^(?:https?|ssh|git):\/\/(?:[^@/]*@)?([^/:]+)(?::(\d+))?\/(.+)$/.exec(remote);
  const [, host, port, path] = scp ? [scp[0], scp[1], undefined, scp[2]] : (url ?? []);
  if (host === undefined || path === undefined) return undefined;
  const keptPort = port !== undefined && /^https?:/.test(remote) ? `:${port}` : '';
  return `https://${host}${keptPort}/${path.replace(/\/+$/, '').replace(/\.git$/, '')}`;
}
