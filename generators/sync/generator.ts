import { posix } from 'node:path';
import type { Tree } from '@nx/devkit';
import { parseWorkFile } from '../../go/modfile';
import { foldersWith, withoutUse, withUse } from '../go-work';

/** What Nx shows where `nx sync:check` finds something to do. https://nx.dev/docs/concepts/sync-generators */
export interface SyncResult {
  readonly outOfSyncMessage?: string;
  readonly outOfSyncDetails?: string[];
}

/**
 * `slim-go:sync`, for `nx sync`: every go.work uses the Go modules below it, and none that is not there any more. A use
 * that leads out of the workspace stays. A module below two of them belongs to the nearer one, as the go command has it.
 * @throws GO_FILE_INVALID
 */
export default function sync(tree: Tree): SyncResult {
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
  if (details.length === 0) return {};
  return {
    outOfSyncMessage: 'The Go modules of the workspace are not those that go.work uses.',
    outOfSyncDetails: details,
  };
}

/** The innermost of the folders that holds `folder`. */
function nearest(folder: string, folders: readonly string[]): string | undefined {
  return folders
    .filter((other) => other === '.' || folder === other || folder.startsWith(`${other}/`))
    .sort((a, b) => (b === '.' ? 0 : b.length) - (a === '.' ? 0 : a.length))[0];
}
