import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, rmSync, type Stats, statSync, utimesSync } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { SlimGoError } from '../errors';
import { digestOf } from '../image/manifest';
import { replaceFile, writeAt } from '../image/replace-file';

/** An uncompressed layer on disk. */
interface KeptLayer {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Nothing that was used so lately is removed: another build may be reading it. */
const safeMs = 60 * 60 * 1000;

/**
 * Manifests, configurations and uncompressed layers of base images, by digest, for all workspaces of this user. What is
 * read has been hashed; what is damaged counts as missing and is removed. Several processes may use it at once.
 */
export class BlobCache {
  /** @param limitBytes what has not been used for the longest goes when there is more */
  constructor(
    private readonly folder: string,
    private readonly limitBytes: number,
  ) {}

  /** A JSON document; undefined where it isn't there. */
  async document(digest: string): Promise<Buffer | undefined> {
    const bytes = await readFile(this.fileOf(digest)).catch(() => undefined);
    if (bytes === undefined) return undefined;
    if (digestOf(bytes) === digest) {
      markUsed(this.fileOf(digest));
      return bytes;
    }
    await rm(this.fileOf(digest), { force: true });
    return undefined;
  }

  /** @throws WRITE_FAILED */
  async keepDocument(digest: string, bytes: Uint8Array): Promise<void> {
    await replaceFile(this.fileOf(digest), async (handle) => writeAt(handle, bytes, 0));
  }

  /** An uncompressed layer; undefined where it isn't there. */
  async layer(diffId: string): Promise<KeptLayer | undefined> {
    const path = this.fileOf(diffId);
    const sizeBytes = (await stat(path).catch(() => undefined))?.size;
    if (sizeBytes === undefined) return undefined;
    if ((await digestOfFile(path)) === diffId) {
      markUsed(path);
      return { path, sizeBytes };
    }
    await rm(path, { force: true });
    return undefined;
  }

  /** A file of the cache's own disk to write a blob into, which `keepLayer` takes or the caller removes. @throws WRITE_FAILED */
  temporaryFile(): string {
    try {
      mkdirSync(join(this.folder, 'sha256'), { recursive: true });
    } catch (error) {
      throw new SlimGoError('WRITE_FAILED', `Can't make the folder for base images: ${(error as Error).message}.`, {
        hint: 'Name a folder that can be written in SLIM_GO_CACHE_DIR.',
        cause: error,
      });
    }
    return join(this.folder, `${randomBytes(9).toString('hex')}.tmp`);
  }

  /** Takes over a file whose digest the caller has made sure of. */
  async keepLayer(diffId: string, file: string): Promise<KeptLayer> {
    const path = this.fileOf(diffId);
    await rename(file, path);
    return { path, sizeBytes: (await stat(path)).size };
  }

  /** Removes what was left by a process that was killed, and what is over the limit. */
  trim(): void {
    const now = Date.now();
    const files = [this.folder, join(this.folder, 'sha256')].flatMap((folder) =>
      names(folder).map((name) => ({ path: join(folder, name), stats: statOf(join(folder, name)) })),
    );
    const known = files.filter((file): file is { path: string; stats: Stats } => file.stats?.isFile() === true);
    const old = known
      .filter(({ stats }) => now - stats.mtimeMs > safeMs)
      .sort((a, b) => a.stats.mtimeMs - b.stats.mtimeMs);
    let total = known.reduce((sum, { stats }) => sum + stats.size, 0);
    for (const { path, stats } of old) {
      if (total <= this.limitBytes && !path.endsWith('.tmp')) continue;
      rmSync(path, { force: true });
      total -= stats.size;
    }
  }

  private fileOf(digest: string): string {
    return join(this.folder, ...digest.split(':'));
  }
}

/** `sha256:<hex>` of a file's bytes. */
export async function digestOfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash);
  return `sha256:${hash.digest('hex')}`;
}

function markUsed(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // A cache that is only read keeps no order of use.
  }
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}
