import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { SlimGoError } from '../errors';
import type { FileContent } from './image';
import type { ImageRecord, PlatformRecord } from './record';
import { replaceFile, writeAt } from './replace-file';
import { contentBytes, endOfArchive, paddedBytes, readMembers } from './tar';

const hint = 'Run the image target again (with --skip-nx-cache if it is restored from the cache like this).';

/**
 * Writes image.json, as a whole or not at all; call it only when `writeArchive` has returned. Should the process die
 * in between, the former image.json speaks of another archive, which `readRecord` notices.
 * @throws WRITE_FAILED, ABORTED
 */
export async function writeRecord(file: string, record: ImageRecord, signal?: AbortSignal): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(orderRecord(record), null, 2)}\n`);
  await replaceFile(file, async (handle) => writeAt(handle, bytes, 0), signal);
}

/**
 * Reads image.json and makes sure that image.tar is the archive it speaks of: that it names the same image, and is whole.
 * Takes a fraction of a millisecond; the layers are not read.
 * @throws ARCHIVE_INVALID when either is missing, damaged, or belongs to another run
 */
export async function readRecord(file: string, archiveFile: string): Promise<ImageRecord> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new SlimGoError('ARCHIVE_INVALID', `Can't read ${file} (${(error as NodeJS.ErrnoException).code}).`, {
      hint,
      cause: error,
    });
  }
  const record = parseRecord(file, text);
  checkArchive(record, archiveFile);
  return record;
}

function orderRecord({ references, indexDigest, platforms }: ImageRecord): ImageRecord {
  return {
    references,
    ...(indexDigest === undefined ? {} : { indexDigest }),
    platforms: platforms.map(({ platform, imageId, manifestDigest, sizeBytes, layers }) => ({
      platform,
      imageId,
      manifestDigest,
      sizeBytes,
      layers: layers.map(({ diffId, digest, sizeBytes }) => ({ diffId, digest, sizeBytes })),
    })),
  };
}

function parseRecord(file: string, text: string): ImageRecord {
  const invalid = (what: string): SlimGoError =>
    new SlimGoError('ARCHIVE_INVALID', `${file} is no image record: ${what}.`, { hint });
  const check = (isRight: boolean, where: string): void => {
    if (!isRight) throw invalid(`"${where}" is missing or wrong`);
  };
  let record: ImageRecord;
  try {
    record = JSON.parse(text) as ImageRecord;
  } catch (error) {
    throw invalid((error as Error).message);
  }
  if (typeof record !== 'object' || record === null) throw invalid('it holds no object');
  check(Array.isArray(record.references) && record.references.every((name) => typeof name === 'string'), 'references');
  check(record.indexDigest === undefined || isDigest(record.indexDigest), 'indexDigest');
  check(Array.isArray(record.platforms) && record.platforms.length > 0, 'platforms');
  for (const [index, platform] of record.platforms.entries()) checkPlatform(platform, `platforms[${index}]`, check);
  check(record.platforms.length === 1 || record.indexDigest !== undefined, 'indexDigest');
  return orderRecord(record);
}

function checkPlatform(
  platform: PlatformRecord | null,
  where: string,
  check: (isRight: boolean, where: string) => void,
): void {
  check(typeof platform?.platform === 'string', `${where}.platform`);
  check(isDigest(platform?.imageId), `${where}.imageId`);
  check(isDigest(platform?.manifestDigest), `${where}.manifestDigest`);
  check(isSize(platform?.sizeBytes), `${where}.sizeBytes`);
  check(Array.isArray(platform?.layers), `${where}.layers`);
  for (const [index, layer] of platform!.layers.entries()) {
    const isLayer = isDigest(layer?.diffId) && isDigest(layer?.digest) && isSize(layer?.sizeBytes);
    check(isLayer, `${where}.layers[${index}]`);
  }
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value);
}

function isSize(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** @throws ARCHIVE_INVALID */
function checkArchive(record: ImageRecord, file: string): void {
  const invalid = (what: string, cause?: unknown): SlimGoError =>
    new SlimGoError('ARCHIVE_INVALID', `${file} ${what}.`, { hint, cause });
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    throw invalid(`can't be read (${(error as NodeJS.ErrnoException).code})`, error);
  }
  try {
    const { size } = fstatSync(fd);
    const contents = new Map(
      readMembers(file, fd, 0, size).map((member) => [member.name.toString(), member.content ?? Buffer.alloc(0)]),
    );
    const named = readRootDigests(fd, contents.get('index.json'));
    const root = record.indexDigest ?? record.platforms[0]!.manifestDigest;
    if (named.length === 0 || named.some((digest) => digest !== root)) {
      throw invalid(`doesn't hold the image that image.json speaks of, ${root}`);
    }
    for (const { imageId, manifestDigest, layers } of record.platforms) {
      for (const { digest, sizeBytes } of [{ digest: imageId }, { digest: manifestDigest }, ...layers].map(withSize)) {
        const content = contents.get(`blobs/${digest.replace(':', '/')}`);
        if (content === undefined || (sizeBytes !== undefined && contentBytes(content) !== sizeBytes)) {
          throw invalid(`lacks the blob ${digest}`);
        }
      }
    }
    const last = [...contents.values()].reduce((end, content) => Math.max(end, endOf(content)), 0);
    if (size !== paddedBytes(last) + endOfArchive.byteLength) throw invalid('has not the length that it should have');
  } finally {
    closeSync(fd);
  }
}

function withSize(blob: { digest: string; sizeBytes?: number }) {
  return { digest: blob.digest, sizeBytes: blob.sizeBytes };
}

function endOf(content: FileContent): number {
  return content instanceof Uint8Array ? 0 : content.offsetBytes + content.sizeBytes;
}

/** What index.json points at; nothing where it can't be read. */
function readRootDigests(fd: number, content: FileContent | undefined): readonly string[] {
  if (content === undefined || content instanceof Uint8Array) return [];
  const bytes = Buffer.alloc(Math.min(content.sizeBytes, 1024 * 1024));
  readSync(fd, bytes, 0, bytes.length, content.offsetBytes);
  try {
    const { manifests } = JSON.parse(bytes.toString('utf8')) as { manifests: { digest: string }[] };
    return manifests.map(({ digest }) => digest);
  } catch {
    return [];
  }
}
