import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** An empty workspace with a folder of its own on disk, which goes when the specs of the file have ended. */
export function workspace(): Tree {
  const tree = createTreeWithEmptyWorkspace();
  tree.root = mkdtempSync(join(tmpdir(), 'slim-go-generator-'));
  folders.push(tree.root);
  return tree;
}
