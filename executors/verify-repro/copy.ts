import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, lstatSync, mkdirSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { git } from '../git';

/**
 * Copies a workspace: what git knows and what it doesn't ignore, with the same commit, tags and remote; without git all but
 * node_modules, .nx and dist. `node_modules` is the same folder.
 * @param to an absolute path where nothing is
 */
export function copyWorkspace(from: string, to: string): void {
  const top = git(from, ['rev-parse', '--show-toplevel']);
  if (
    top !== undefined &&
    git(from, ['rev-parse', '--verify', 'HEAD']) !== undefined &&
    existsSync(join(from, '.git'))
  ) {
    const run = (cwd: string, ...args: string[]) =>
      execFileSync('git', args, { cwd, stdio: 'pipe', maxBuffer: 2 ** 30 });
    run(from, 'clone', '--quiet', '--shared', '--no-checkout', from, to);
    run(to, 'reset', '--quiet');
    const remote = git(from, ['config', '--get', 'remote.origin.url']);
    if (remote === undefined) run(to, 'remote', 'remove', 'origin');
    else run(to, 'config', 'remote.origin.url', remote);
    const names = run(from, 'ls-files', '-z', '--cached', '--others', '--exclude-standard')
      .toString('utf8')
      .split('\0');
    for (const name of new Set(names)) {
      // A file that was deleted and is not yet committed so is still listed.
      const found = name === '' ? undefined : lstatSync(join(from, name), { throwIfNoEntry: false });
      if (!found) continue;
      mkdirSync(dirname(join(to, name)), { recursive: true });
      cpSync(join(from, name), join(to, name), { recursive: true, verbatimSymlinks: true });
    }
  } else {
    const left = new Set(['node_modules', '.nx', 'dist', '.git']);
    cpSync(from, to, { recursive: true, verbatimSymlinks: true, filter: (path) => !left.has(basename(path)) });
  }
  if (!existsSync(join(to, 'node_modules')))
    symlinkSync(join(from, 'node_modules'), join(to, 'node_modules'), 'junction');
}
