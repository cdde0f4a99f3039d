import { closeSync, createReadStream, fstatSync, openSync } from 'node:fs';
import { Readable } from 'node:stream';
import { readContent } from './content';
import type { FileContent } from './image';
import { contentBytes, encodeHeader, endOfArchive, paddedBytes, readMembers, type TarMember } from './tar';

/** As much of a file as is read at once. */
const chunkBytes = 1024 * 1024;

/**
 * Several archives of `writeArchive` as one, for an engine to load in one go: it unpacks an archive in a process of its own,
 * which costs more than a small image. What is in several of them is in it once.
 * @throws ARCHIVE_INVALID for what is no tar; the stream fails where a file can't be read
 */
export function mergeArchives(files: readonly string[]): Readable {
  const archives = files.map(membersOf);
  const contentOf = (archive: ReadonlyMap<string, TarMember>, name: string): unknown =>
    JSON.parse(Buffer.from(readContent(archive.get(name)?.content ?? Buffer.from('{}'))).toString('utf8'));
  const indexes = archives.map((archive) => contentOf(archive, 'index.json') as { manifests?: unknown[] });
  const dockerViews = archives.map((archive) => contentOf(archive, 'manifest.json') as unknown[]);
  const document = (name: string, value: unknown): TarMember => ({
    type: 'file',
    name: Buffer.from(name),
    mode: 0o644,
    uid: 0,
    gid: 0,
    content: Buffer.from(JSON.stringify(value)),
  });
  const members = new Map<string, TarMember>(archives.flatMap((archive) => [...archive]));
  const index = { ...indexes[0], manifests: indexes.flatMap(({ manifests = [] }) => manifests) };
  members.set('index.json', document('index.json', index));
  members.set('manifest.json', document('manifest.json', dockerViews.flat()));
  return Readable.from(bytesOf([...members.values()]), { objectMode: false, highWaterMark: chunkBytes });
}

function membersOf(file: string): ReadonlyMap<string, TarMember> {
  const fd = openSync(file, 'r');
  try {
    return new Map(
      readMembers(file, fd, 0, fstatSync(fd).size).map((member) => [member.name.toString(), member] as const),
    );
  } finally {
    closeSync(fd);
  }
}

async function* bytesOf(members: readonly TarMember[]): AsyncGenerator<Uint8Array> {
  for (const member of members) {
    yield encodeHeader(member, 0);
    if (member.content === undefined) continue;
    yield* contentChunks(member.content);
    const sizeBytes = contentBytes(member.content);
    yield new Uint8Array(paddedBytes(sizeBytes) - sizeBytes);
  }
  yield endOfArchive;
}

async function* contentChunks(content: FileContent): AsyncGenerator<Uint8Array> {
  if (content instanceof Uint8Array) yield content;
  else if (content.sizeBytes > 0) {
    const { path, offsetBytes, sizeBytes } = content;
    yield* createReadStream(path, {
      start: offsetBytes,
      end: offsetBytes + sizeBytes - 1,
      highWaterMark: chunkBytes,
    }) as AsyncIterable<Buffer>;
  }
}
