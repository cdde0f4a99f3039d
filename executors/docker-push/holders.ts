import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { PushableBlob } from '../../image/pushable';
import type { Reference } from '../../image/reference';

/** More are not remembered. */
const maxBlobs = 2000;

/**
 * Which repository a blob was pushed to from this workspace, so that another app's push of an equal layer mounts it there.
 * Beside Nx's own data; a wrong or lost entry costs an upload and no more.
 */
export class BlobHolders {
  private readonly file: string;
  /** Repository with registry, by `registry digest`. */
  private readonly repositories: Map<string, string>;

  constructor(workspaceRoot: string) {
    const folder = process.env.NX_WORKSPACE_DATA_DIRECTORY ?? '.nx/workspace-data';
    this.file = resolve(workspaceRoot, folder, 'slim-go', 'pushed.json');
    this.repositories = new Map(Object.entries(this.read()));
  }

  /** A repository of the registry `domain`, without it. */
  of(domain: string, digest: string): string | undefined {
    return this.repositories.get(`${domain} ${digest}`);
  }

  save(references: readonly Reference[], blobs: readonly PushableBlob[]): void {
    // What other apps have pushed meanwhile.
    const all = new Map(Object.entries(this.read()));
    for (const { domain, path } of references) {
      for (const { descriptor } of blobs) all.set(`${domain} ${descriptor.digest}`, path);
    }
    try {
      mkdirSync(dirname(this.file), { recursive: true });
      writeFileSync(this.file, JSON.stringify(Object.fromEntries([...all].slice(-maxBlobs))));
    } catch {
      // Nothing depends on it.
    }
  }

  private read(): Record<string, string> {
    try {
      return JSON.parse(readFileSync(this.file, 'utf8'));
    } catch {
      return {};
    }
  }
}
