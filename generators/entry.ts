import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Tree } from '@nx/devkit';
import { SlimGoError } from '../errors';
import { runGenerator } from './report';

/** What generators.json names. Nothing here loads a generator before it is run, for each loads `@nx/devkit`. */
export const init = generator('init');
export const app = generator('app');
export const lib = generator('lib');
export const docker = generator('docker');
export const ci = generator('ci');
export const sync = generator('sync');
export const preset = generator('preset');

function generator(name: string): (tree: Tree, options: object) => Promise<unknown> {
  return async (tree, options) => {
    if (!hasDevkit()) await runGenerator(async () => addDevkit(tree.root));
    return require(`./${name}/generator`).default(tree, options);
  };
}

/** Not by resolving it: node would remember that it was not there. */
function hasDevkit(): boolean {
  const folders = require.resolve.paths('@nx/devkit') ?? [];
  return folders.some((folder) => existsSync(join(folder, '@nx', 'devkit', 'package.json')));
}

/**
 * `nx add slim-go` brings slim-go alone, and no range in its package.json can ask for the devkit of the workspace's own Nx:
 * npm takes the newest, and then finds that it doesn't fit.
 * @throws DEVKIT_MISSING
 */
function addDevkit(root: string): void {
  const file = require.resolve('nx/package.json', { paths: [root] });
  const { version, bin } = require(file) as { version: string; bin: { nx: string } };
  const missing = (why: string): SlimGoError =>
    new SlimGoError('DEVKIT_MISSING', `slim-go needs @nx/devkit, and it is not installed${why}.`, {
      hint: `Run \`npx nx add @nx/devkit@${version}\`, then this again.`,
    });
  if (process.env.NX_DRY_RUN === 'true') throw missing('; a dry run installs nothing');
  console.log(`Installing @nx/devkit, which slim-go needs.`);
  // A registry may have the devkit of another patch release only.
  for (const wanted of [version, version.replace(/\..*/, '')]) {
    const args = [join(dirname(file), bin.nx), 'add', `@nx/devkit@${wanted}`];
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'ignore', windowsHide: true });
    if (status === 0 && hasDevkit()) return;
  }
  throw missing(', nor could it be');
}
