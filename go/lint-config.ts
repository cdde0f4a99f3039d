import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Names of each linter's configuration, the first that is there counts. https://golangci-lint.run/docs/configuration/file/ */
export const lintConfigs = {
  'golangci-lint': ['.golangci.yml', '.golangci.yaml', '.golangci.toml', '.golangci.json'],
  staticcheck: ['staticcheck.conf'],
} as const;

/**
 * The configuration of a linter in a folder or above it, up to `root`; a broken link is one too.
 * @returns its absolute path
 */
export function lintConfig(linter: keyof typeof lintConfigs, folder: string, root: string): string | undefined {
  for (let dir = folder; ; dir = dirname(dir)) {
    const found = lintConfigs[linter].map((name) => join(dir, name)).find(isThere);
    if (found !== undefined || dir === root || dirname(dir) === dir) return found;
  }
}

function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}
