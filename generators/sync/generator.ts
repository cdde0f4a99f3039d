import { join, posix } from 'node:path';
import { type Tree, visitNotIgnoredFiles } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { collectDeps, type Deps, depsPath } from '../../go/deps';
import { parseWorkFile } from '../../go/modfile';
import { GoTree, type ModuleContext } from '../../go/packages';
import { goEnv, runGo } from '../../go/toolchain';
import { foldersWith, withoutUse, withUse } from '../go-work';

/** What Nx shows where `nx sync:check` finds something to do. https://nx.dev/docs/concepts/sync-generators */
export interface SyncResult {
  readonly outOfSyncMessage?: string;
  readonly outOfSyncDetails?: string[];
}

/**
 * `slim-go:sync`, for `nx sync`: every go.work uses the Go modules below it, and none that is not there any more; every
 * go.deps.json that exists says what the third-party packages are made of. A use that leads out of the workspace stays. A
 * module below two go.work belongs to the nearer one, as the go command has it.
 * @throws GO_FILE_INVALID, GO_NOT_FOUND or GO_BUILD_FAILED where a go.deps.json needs sources that can't be fetched
 */
export default async function sync(tree: Tree): Promise<SyncResult> {
  const details = [...syncUses(tree), ...(await syncDeps(tree))];
  if (details.length === 0) return {};
  return {
    outOfSyncMessage: 'go.work or go.deps.json differs from the Go of the workspace.',
    outOfSyncDetails: details,
  };
}

function syncUses(tree: Tree): string[] {
  const works = foldersWith(tree, 'go.work');
  const modules = foldersWith(tree, 'go.mod');
  const details: string[] = [];
  for (const work of works) {
    const file = posix.join(work, 'go.work');
    const before = tree.read(file, 'utf8') ?? '';
    const own = modules
      .filter((module) => nearest(module, works) === work)
      .map((module) => posix.relative(work, module));
    let text = before;
    for (const use of parseWorkFile(before, file).uses) {
      const folder = posix.join(work, use);
      if (posix.isAbsolute(use) || folder.startsWith('..') || tree.exists(posix.join(folder, 'go.mod'))) continue;
      text = withoutUse(text, use);
      details.push(`${file}: ${use} is no module any more`);
    }
    for (const module of own) {
      const after = withUse(text, module || '.');
      if (after === text) continue;
      text = after;
      details.push(`${file}: ${module === '' ? '.' : `./${module}`} is a module and not used`);
    }
    if (text !== before) tree.write(file, text);
  }
  return details;
}

async function syncDeps(tree: Tree): Promise<string[]> {
  if (foldersWith(tree, 'go.deps.json').length === 0) return [];
  const go = goTree(tree);
  const contexts = new Set(
    foldersWith(tree, 'go.mod').map((dir) => go.context(go.modules.get(dir === '.' ? '' : dir)!)),
  );
  const details: string[] = [];
  for (const context of contexts) {
    const file = depsPath(context);
    if (!tree.exists(file)) continue;
    const deps = await completeDeps(tree, go, context);
    const text = `${JSON.stringify({ '//': 'Written by `nx sync`: see go.deps.json in the README of slim-go.', ...deps }, null, 2)}\n`;
    if (tree.read(file, 'utf8') === text) continue;
    tree.write(file, text);
    details.push(`${file}: the third-party packages have changed`);
  }
  return details;
}

/** Fetches what is missing: a file that depended on what this machine has at hand would never come to rest. */
async function completeDeps(tree: Tree, go: GoTree, context: ModuleContext): Promise<Deps> {
  const cwd = join(tree.root, context.mains[0]!.dir);
  const { GOMODCACHE } = await goEnv(['GOMODCACHE'], { cwd });
  const collect = () => collectDeps(go, context, (file) => tree.read(file, 'utf8') ?? undefined, GOMODCACHE);
  const first = collect();
  if (first.missing.length === 0) return first.deps;
  const { stderr } = await runGo(['mod', 'download'], { cwd });
  const { deps, missing } = collect();
  if (missing.length === 0) return deps;
  throw new SlimGoError(
    'GO_BUILD_FAILED',
    `${depsPath(context)} needs the sources of ${missing.slice(0, 3).join(', ')}, and \`go mod download\` did not bring them.\n${stderr.trim()}`,
    { hint: 'Run `go mod tidy`, see that the module proxy can be reached, then run `nx sync` again.' },
  );
}

function goTree(tree: Tree): GoTree {
  const files: string[] = [];
  visitNotIgnoredFiles(tree, '.', (file) => {
    if (/\.go$|(^|[\\/])(go\.(mod|work)|vendor[\\/]modules\.txt)$/.test(file)) files.push(file.replaceAll('\\', '/'));
  });
  return new GoTree({ files, read: (file) => tree.read(file) ?? undefined });
}

/** The innermost of the folders that holds `folder`. */
function nearest(folder: string, folders: readonly string[]): string | undefined {
  return folders
    .filter((other) => other === '.' || folder === other || folder.startsWith(`${other}/`))
    .sort((a, b) => (b === '.' ? 0 : b.length) - (a === '.' ? 0 : a.length))[0];
}
