import { closeSync, openSync } from 'node:fs';
import { posix } from 'node:path';
import { SlimGoError } from '../errors';
import type { BlobWriter } from './blob-writer';
import type { Layer, LayerEntry } from './image';
import {
  blockBytes,
  contentBytes,
  encodeHeader,
  endOfArchive,
  paddedBytes,
  readMembers,
  sortMembers,
  type TarMember,
} from './tar';

interface TarRange {
  readonly path: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * A layer whose tar is known up to its contents: `sizeBytes` is exact before anything is read.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md
 */
export type PlannedLayer = { readonly sizeBytes: number } & (
  | { readonly members: readonly TarMember[] }
  | { readonly tar: TarRange }
);

/**
 * Plans the layers of one image. In a layer of entries, folders that no entry of it and no earlier layer declares are
 * declared as `0755 0:0`; a folder of an earlier layer is never declared again, for that would reset its mode and owner.
 * @throws ARCHIVE_INVALID, COPY_FAILED when an existing layer tar is damaged or can't be read
 */
export function planLayers(layers: readonly Layer[], mtimeSeconds: number): PlannedLayer[] {
  const folders = new Set<string>(['.']);
  return layers.map((layer, index) => {
    if ('tar' in layer && !layer.tar.rewrite) {
      const isBelowEntries = layers.slice(index + 1).some((later) => 'entries' in later);
      if (isBelowEntries) trackFolders(folders, layerMembers(layer.tar));
      return { tar: layer.tar, sizeBytes: layer.tar.sizeBytes };
    }
    const members = sortMembers(
      'tar' in layer ? layerMembers(layer.tar) : withParents(layer.entries.map(toMember), folders),
    );
    trackFolders(folders, members);
    return { members, sizeBytes: tarBytes(members, mtimeSeconds) };
  });
}

/** Writes a planned layer's tar. @throws COPY_FAILED (see `BlobWriter.writeContent`) */
export async function writeLayer(layer: PlannedLayer, writer: BlobWriter, mtimeSeconds: number): Promise<void> {
  if ('tar' in layer) return writer.writeContent(layer.tar);
  for (const member of layer.members) {
    await writer.write(encodeHeader(member, mtimeSeconds));
    if (member.content === undefined) continue;
    await writer.writeContent(member.content);
    const sizeBytes = contentBytes(member.content);
    await writer.write(endOfArchive.subarray(0, paddedBytes(sizeBytes) - sizeBytes));
  }
  await writer.write(endOfArchive);
}

function tarBytes(members: readonly TarMember[], mtimeSeconds: number): number {
  let sizeBytes = endOfArchive.byteLength;
  for (const member of members) {
    sizeBytes += isPlain(member) ? blockBytes : encodeHeader(member, mtimeSeconds).length;
    sizeBytes += paddedBytes(contentBytes(member.content));
  }
  return sizeBytes;
}

/** Surely one block of header: saves encoding twice for nearly all members. */
function isPlain(member: TarMember): boolean {
  return (
    member.name.length < 100 &&
    member.linkName === undefined &&
    member.records === undefined &&
    member.uid < 0o7777777 &&
    member.gid < 0o7777777 &&
    contentBytes(member.content) < 2 ** 33 &&
    member.name.every((byte) => byte < 0x80)
  );
}

function toMember(entry: LayerEntry): TarMember {
  const shared = { name: Buffer.from(entry.path), mode: entry.mode, uid: entry.uid, gid: entry.gid };
  switch (entry.type) {
    case 'directory':
      return { ...shared, type: 'directory' };
    case 'file':
      return { ...shared, type: 'file', content: entry.content };
    case 'symlink':
      return { ...shared, type: 'symlink', linkName: Buffer.from(entry.target) };
    case 'hardlink':
      return { ...shared, type: 'hardlink', linkName: Buffer.from(entry.target) };
  }
}

function withParents(members: readonly TarMember[], folders: ReadonlySet<string>): TarMember[] {
  const declared = new Set(members.map(({ name }) => name.toString('latin1')));
  const parents: TarMember[] = [];
  for (const { name } of members) {
    const path = name.toString('latin1');
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      if (declared.has(parent) || folders.has(parent)) continue;
      declared.add(parent);
      parents.push({ type: 'directory', name: Buffer.from(parent, 'latin1'), mode: 0o755, uid: 0, gid: 0 });
    }
  }
  return [...parents, ...members];
}

/** Keeps `folders` true to what an image holds after a layer: folders appear, are whited out, or become something else. */
function trackFolders(folders: Set<string>, members: readonly TarMember[]): void {
  const removeBelow = (path: string): void => {
    for (const folder of folders) {
      if (folder !== '.' && (path === '.' || folder.startsWith(`${path}/`))) folders.delete(folder);
    }
  };
  // First all that goes: a whiteout speaks of earlier layers only, wherever it stands in its own.
  // https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
  for (const { name, type } of members) {
    const path = name.toString('latin1');
    const parent = posix.dirname(path);
    const base = posix.basename(path);
    if (base === '.wh..wh..opq') removeBelow(parent);
    else if (type !== 'directory') {
      const gone = base.startsWith('.wh.') ? posix.join(parent, base.slice('.wh.'.length)) : path;
      if (folders.delete(gone)) removeBelow(gone);
    }
  }
  for (const { name, type } of members) if (type === 'directory') folders.add(name.toString('latin1'));
}

/** What a layer tar on disk holds. @throws ARCHIVE_INVALID, COPY_FAILED when it is damaged or can't be read */
export function layerMembers(tar: TarRange): TarMember[] {
  let fd: number;
  try {
    fd = openSync(tar.path, 'r');
  } catch (error) {
    throw new SlimGoError('COPY_FAILED', `Can't read the layer ${tar.path}.`, { cause: error });
  }
  try {
    return readMembers(tar.path, fd, tar.offsetBytes, tar.sizeBytes);
  } finally {
    closeSync(fd);
  }
}
