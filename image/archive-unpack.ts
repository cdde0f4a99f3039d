import { Readable } from 'node:stream';
import { createGunzip, gunzipSync } from 'node:zlib';
import type { Header } from 'tar-stream';
import { SlimGoError } from '../errors';
import { readContent } from './content';
import type { FileContent } from './image';
import { emptyDirectory, type FileTree, joinPath, PathError } from './tree';

const blockBytes = 512;

/**
 * Whether ADD unpacks this file: a tar, or a gzip of one, told by its content and never by its name.
 * @param what for messages: `Dockerfile:3: ADD x.tar.xz`
 * @throws DOCKERFILE_NEEDS_ENGINE compressed by bzip2, xz or zstd, which may hold a tar that Docker would unpack
 * https://docs.docker.com/reference/dockerfile/#adding-local-tar-archives
 */
export function isArchive(content: FileContent, what: string): boolean {
  const head = readContent(content, 64 * 1024);
  const startsWith = (...bytes: readonly number[]) => bytes.every((byte, index) => head[index] === byte);
  if (
    startsWith(0x42, 0x5a, 0x68) ||
    startsWith(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0) ||
    startsWith(0x28, 0xb5, 0x2f, 0xfd)
  ) {
    throw new SlimGoError(
      'DOCKERFILE_NEEDS_ENGINE',
      `${what}: unpacking bzip2, xz and zstd needs a container engine.`,
      { hint: 'Compress the archive with gzip, or not at all; COPY copies it without unpacking.' },
    );
  }
  if (!startsWith(0x1f, 0x8b, 0x08)) return isTarHeader(head);
  try {
    // The first blocks are enough; the flush lets a cut stream give what it holds.
    return isTarHeader(gunzipSync(head, { finishFlush: 2 }));
  } catch {
    return false;
  }
}

/** Whether the first block is a tar header: its checksum is right, signed or unsigned. */
function isTarHeader(bytes: Uint8Array): boolean {
  if (bytes.length < blockBytes) return false;
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, blockBytes);
  if (header.every((byte) => byte === 0)) return false;
  const stored = Number.parseInt(header.toString('latin1', 148, 156).replace(/[\0 ]/g, ''), 8);
  let unsigned = 0;
  let signed = 0;
  for (const [index, byte] of header.entries()) {
    const value = index >= 148 && index < 156 ? 0x20 : byte;
    unsigned += value;
    signed += value > 127 ? value - 256 : value;
  }
  return stored === unsigned || stored === signed;
}

/**
 * Unpacks a tar or tar.gz into a directory of the tree: modes and owners are the archive's.
 * The files' bytes are held in memory.
 * @throws COPY_FAILED a broken archive; DOCKERFILE_NEEDS_ENGINE what a layer entry can't hold (devices, extended attributes)
 */
export async function unpackArchive(tree: FileTree, target: string, content: FileContent, what: string): Promise<void> {
  // Loaded here: few Dockerfiles add an archive.
  const { extract } = require('tar-stream') as typeof import('tar-stream');
  const bytes = readContent(content);
  const entries = extract();
  const input = Readable.from([bytes]);
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const unzipped = isGzip ? input.pipe(createGunzip()) : input;
  unzipped.on('error', (error) => entries.destroy(error));
  unzipped.pipe(entries);
  try {
    for await (const entry of entries) {
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      putEntry(tree, target, entry.header, Buffer.concat(chunks), what);
    }
  } catch (cause) {
    if (cause instanceof SlimGoError) throw cause;
    const reason = cause instanceof PathError ? cause.message : `the archive is broken (${(cause as Error).message})`;
    throw new SlimGoError('COPY_FAILED', `${what}: ${reason}.`, { cause });
  }
}

function putEntry(tree: FileTree, target: string, header: Header, bytes: Buffer, what: string): void {
  const unsupported = (thing: string): never => {
    throw new SlimGoError(
      'DOCKERFILE_NEEDS_ENGINE',
      `${what}: ${thing} in the archive (${header.name}) needs a container engine.`,
    );
  };
  if (Object.keys(header.pax ?? {}).some((key) => key.startsWith('SCHILY.xattr.')))
    unsupported('an extended attribute');
  const name = joinPath(header.name);
  if (name === '') return;
  const slash = name.lastIndexOf('/');
  // Links in the archive's own paths are followed inside the directory that it is unpacked to.
  const parent = tree.resolve(name.slice(0, Math.max(0, slash)), target);
  if (!tree.get(parent)) tree.makeDirectories(parent, { mode: 0o755, uid: 0, gid: 0 });
  const path = joinPath(parent, name.slice(slash + 1));
  const metadata = { mode: (header.mode ?? 0) & 0o7777, uid: header.uid ?? 0, gid: header.gid ?? 0 };
  switch (header.type) {
    case 'directory':
      tree.set(path, { ...emptyDirectory(metadata) });
      return;
    case 'file':
    case 'contiguous-file':
      tree.set(path, { ...metadata, type: 'file', content: bytes });
      return;
    case 'symlink':
      tree.set(path, { ...metadata, mode: 0o777, type: 'symlink', target: header.linkname ?? '' });
      return;
    case 'link': {
      const linked = tree.get(tree.resolve(joinPath(header.linkname ?? ''), target));
      if (linked?.type !== 'file') throw new PathError(`the hard link ${header.name} leads nowhere`);
      // Two names of one file: the copy has the same content, owner and mode.
      tree.set(path, linked);
      return;
    }
    default:
      unsupported(`a ${header.type ?? 'special file'}`);
  }
}
