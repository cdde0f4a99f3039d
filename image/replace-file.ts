import { randomBytes } from 'node:crypto';
import { mkdirSync, writeSync } from 'node:fs';
import { type FileHandle, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SlimGoError } from '../errors';

/**
 * Writes a file as a whole or not at all: into `<file>.<random>.tmp` beside it, which then takes its name. Whatever goes
 * wrong, the temporary file is removed and a former `file` stays as it was. Missing folders are made.
 * @param write fills the new file; its own `SlimGoError`s pass unchanged
 * @throws WRITE_FAILED for what the file system refuses, ABORTED when `signal` fires
 */
export async function replaceFile<Result>(
  file: string,
  write: (handle: FileHandle) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  let handle: FileHandle | undefined;
  try {
    throwIfAborted(file, signal);
    mkdirSync(dirname(file), { recursive: true });
    handle = await open(temporary, 'wx+');
    const result = await write(handle);
    // A full or remote disk may refuse only here.
    await handle.close();
    handle = undefined;
    throwIfAborted(file, signal);
    await rename(temporary, file);
    return result;
  } catch (error) {
    const explained = await explain(error, file);
    // close() waits for writes that are under way; Windows removes no open file.
    await handle?.close().catch(() => undefined);
    await rm(temporary, { force: true }).catch(() => undefined);
    throw explained;
  }
}

/**
 * Writes a few blocks at once: for some kilobytes, the way to another thread and back costs more than the write.
 * A single write may stop short, hence the loop.
 */
export function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): void {
  for (let offset = 0; offset < bytes.byteLength; ) {
    offset += writeSync(handle.fd, bytes, offset, bytes.byteLength - offset, position + offset);
  }
}

/** @throws ABORTED when `signal` has fired; `file` is what was being written */
export function throwIfAborted(file: string, signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new SlimGoError('ABORTED', `Stopped while writing ${file}; nothing was changed.`, { cause: signal.reason });
}

async function explain(error: unknown, file: string): Promise<unknown> {
  const { code, syscall } = error as NodeJS.ErrnoException;
  // Without a system call it is no refusal of the file system but a bug, which keeps its stack.
  if (error instanceof SlimGoError || code === undefined || syscall === undefined) return error;
  const failed = (what: string, hint: string): SlimGoError =>
    new SlimGoError('WRITE_FAILED', `Can't write ${file}: ${what} (${code}). What was there before is unchanged.`, {
      hint,
      cause: error,
    });
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT': {
      const disk = await statfs(dirname(file)).catch(() => undefined);
      const free = disk === undefined ? '' : `: ${Math.floor((disk.bavail * disk.bsize) / 1024)} KiB are free`;
      return failed(
        code === 'ENOSPC' ? 'the disk is full' : 'the disk quota is used up',
        `Free space in ${dirname(file)}${free} beside what the new file took before it was removed.`,
      );
    }
    case 'EACCES':
    case 'EPERM':
      return failed(
        'permission denied',
        `Check who owns ${dirname(file)}, and that no other program holds the file open.`,
      );
    case 'EROFS':
      return failed('the file system is read-only', 'Choose another output folder, or remount it writable.');
    case 'EBUSY':
      return failed('another program holds it open', 'Close that program and run the target again.');
    case 'EISDIR':
    case 'ENOTDIR':
    case 'EEXIST':
      return failed('a file and a folder of the same name are in the way', `Look at ${file} and remove what is wrong.`);
    default:
      return failed(`${syscall} failed`, `Look at the folder ${dirname(file)} and its disk.`);
  }
}
