import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { SlimGoError } from '../errors';
import type { FileContent } from './image';

/** Bytes. Measured with bench/assembly.mjs: from 64 KiB up to this it gets faster. */
const bufferBytes = 1024 * 1024;

/** What a finished blob is. */
export interface WrittenBlob {
  /** `sha256:<hex>` */
  readonly digest: string;
  readonly sizeBytes: number;
}

/**
 * Streams blobs into an open file and hashes them on the way: each byte is read once, hashed once, written once, and
 * memory does not grow with their size. While one buffer is on its way to the disk, the other is filled and hashed.
 */
export class BlobWriter {
  readonly #handle: FileHandle;
  readonly #checkAborted: () => void;
  #filling = Buffer.allocUnsafeSlow(bufferBytes);
  #writing = Buffer.allocUnsafeSlow(bufferBytes);
  #filledBytes = 0;
  #position = 0;
  #sizeBytes = 0;
  #hash: Hash = createHash('sha256');
  #pending: Promise<void> = Promise.resolve();
  #source: Source | undefined;

  /** @param checkAborted called before every write to the disk; throws to stop */
  constructor(handle: FileHandle, checkAborted: () => void) {
    this.#handle = handle;
    this.#checkAborted = checkAborted;
  }

  /** Starts a blob at a position of the file, in bytes. */
  begin(position: number): void {
    this.#position = position;
    this.#sizeBytes = 0;
    this.#hash = createHash('sha256');
  }

  /** Adds bytes; they may be changed as soon as the promise has settled. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.byteLength; ) {
      const count = Math.min(bytes.byteLength - offset, bufferBytes - this.#filledBytes);
      this.#filling.set(bytes.subarray(offset, offset + count), this.#filledBytes);
      offset += count;
      this.#filledBytes += count;
      if (this.#filledBytes === bufferBytes) await this.#flush();
    }
  }

  /**
   * Adds a file's content. A range that starts at 0 stands for the whole file.
   * @throws COPY_FAILED when the file can't be read, or isn't what it was when it was listed
   */
  async writeContent(content: FileContent): Promise<void> {
    if (content instanceof Uint8Array) return this.write(content);
    if (this.#source?.path !== content.path) {
      this.#closeSource();
      this.#source = openSource(content.path);
    }
    const source = this.#source;
    const end = content.offsetBytes + content.sizeBytes;
    if (content.offsetBytes === 0 ? source.stats.size !== end : source.stats.size < end) {
      throw changed(content.path, end, source.stats.size);
    }
    for (let position = content.offsetBytes; position < end; ) {
      const wanted = Math.min(end - position, bufferBytes - this.#filledBytes);
      const count = readSource(source, this.#filling, this.#filledBytes, wanted, position);
      if (count === 0) throw changed(content.path, end, position);
      position += count;
      this.#filledBytes += count;
      if (this.#filledBytes === bufferBytes) await this.#flush();
    }
  }

  /** Ends the blob; all of it has been handed to the operating system when the promise resolves. */
  async end(): Promise<WrittenBlob> {
    this.#closeSource();
    await this.#flush();
    await this.#pending;
    return { digest: `sha256:${this.#hash.digest('hex')}`, sizeBytes: this.#sizeBytes };
  }

  /** Lets go of the file that is being read; needed only after a failure. */
  dispose(): void {
    if (this.#source !== undefined) closeSync(this.#source.fd);
    this.#source = undefined;
  }

  async #flush(): Promise<void> {
    const bytes = this.#filling.subarray(0, this.#filledBytes);
    this.#hash.update(bytes);
    await this.#pending;
    this.#checkAborted();
    this.#pending = writeFully(this.#handle, bytes, this.#position);
    // It is awaited later; until then Node must not take a failure for an unhandled one.
    this.#pending.catch(() => undefined);
    this.#position += bytes.length;
    this.#sizeBytes += bytes.length;
    this.#filledBytes = 0;
    [this.#filling, this.#writing] = [this.#writing, this.#filling];
  }

  #closeSource(): void {
    if (this.#source === undefined) return;
    const { path, fd, stats } = this.#source;
    const now = fstatSync(fd);
    this.dispose();
    if (now.size !== stats.size || now.mtimeMs !== stats.mtimeMs) throw changed(path, stats.size, now.size);
  }
}

/** A single write may stop short. */
async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, offset, bytes.byteLength - offset, position + offset);
    offset += bytesWritten;
  }
}

interface Source {
  readonly path: string;
  readonly fd: number;
  readonly stats: Stats;
}

function openSource(path: string): Source {
  try {
    const fd = openSync(path, 'r');
    return { path, fd, stats: fstatSync(fd) };
  } catch (error) {
    throw unreadable(path, error);
  }
}

// Reading synchronously is not slower here: the other buffer's write goes on meanwhile in libuv's threads.
function readSource(source: Source, into: Buffer, offset: number, length: number, position: number): number {
  try {
    return readSync(source.fd, into, offset, length, position);
  } catch (error) {
    throw unreadable(source.path, error);
  }
}

function unreadable(path: string, error: unknown): SlimGoError {
  const { code } = error as NodeJS.ErrnoException;
  return new SlimGoError('COPY_FAILED', `Can't read ${path}${code === undefined ? '' : ` (${code})`}.`, {
    hint: code === 'ENOENT' ? 'It was there a moment ago: run the target again.' : 'Check who may read that file.',
    cause: error,
  });
}

function changed(path: string, wasBytes: number, isBytes: number): SlimGoError {
  const how = wasBytes === isBytes ? 'its content was rewritten' : `${wasBytes} bytes became ${isBytes}`;
  return new SlimGoError('COPY_FAILED', `${path} changed while the image was written: ${how}.`, {
    hint: 'Run the target again when nothing else writes that file.',
  });
}
