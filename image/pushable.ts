import { createHash } from 'node:crypto';
import { closeSync, createWriteStream, fstatSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { SlimGoError } from '../errors';
import { parsePlatform } from '../platform';
import { readContent } from './content';
import type { FileContent, Layer } from './image';
import {
  type Descriptor,
  describeDocument,
  describePlatform,
  encodeIndex,
  encodeManifest,
  mediaTypes,
} from './manifest';
import type { ImageRecord, PlatformRecord } from './record';
import { readMembers } from './tar';

/** A blob or document with its bytes. */
export interface PushableBlob {
  readonly descriptor: Descriptor;
  readonly content: FileContent;
}

/** An image as a registry takes it: layers compressed, everything by digest. */
export interface PushableImage {
  /** What a tag will name: the manifest, or the index of several platforms. */
  readonly root: PushableBlob;
  /** The manifests that an index names; none for one platform. */
  readonly manifests: readonly PushableBlob[];
  /** Configs and layers, each once. */
  readonly blobs: readonly PushableBlob[];
}

export type Compression = 'gzip' | 'zstd';

/** Compressed layers by the diffId of what is in them. */
export type CompressedLayers = Readonly<Record<string, { readonly digest: string; readonly sizeBytes: number }>>;

export interface PushableOptions {
  readonly record: ImageRecord;
  /** image.tar, checked by `readRecord`. */
  readonly archive: string;
  readonly compression: Compression;
  /** Of an earlier push; which of them are true shows when the registry has them. */
  readonly known: CompressedLayers;
}

/**
 * What the registry would hold, as far as it can be told without compressing; undefined where a layer is not known.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
 */
export function describePushable(options: PushableOptions): Omit<PushableImage, 'blobs'> | undefined {
  const layers = options.record.platforms.flatMap((platform) => platform.layers);
  if (layers.some(({ diffId }) => !Object.hasOwn(options.known, diffId))) return undefined;
  return encodeDocuments(options.record, configs(options), options.known, options.compression);
}

/**
 * Compresses the layers of image.tar. With gzip the same on every machine: node:zlib's bytes differ between versions and
 * processors. Zstandard is node:zlib's.
 * @param folder an existing one of the caller's, which stays until the image has been pushed
 * @throws ARCHIVE_INVALID, WRITE_FAILED, ABORTED; OPTION_INVALID for zstd where this Node has none
 */
export async function makePushable(
  { record, archive, compression }: Omit<PushableOptions, 'known'>,
  folder: string,
  signal: AbortSignal,
): Promise<{ readonly image: PushableImage; readonly layers: CompressedLayers }> {
  const members = blobsOf(archive);
  const layers: Record<string, { digest: string; sizeBytes: number }> = {};
  const blobs = new Map<string, PushableBlob>();
  for (const layer of record.platforms.flatMap((platform) => platform.layers)) {
    if (Object.hasOwn(layers, layer.diffId)) continue;
    const file = join(folder, layer.diffId.replace(':', '-'));
    const content = find(members, layer.digest, archive);
    const { digest, sizeBytes } = await compress(content, file, layer.digest, compression, signal);
    layers[layer.diffId] = { digest, sizeBytes };
    blobs.set(digest, {
      descriptor: { mediaType: mediaTypes[compression], digest, size: sizeBytes },
      content: { path: file, offsetBytes: 0, sizeBytes },
    });
  }
  const found = configs({ record, archive });
  for (const blob of found) blobs.set(blob.descriptor.digest, blob);
  return { image: { ...encodeDocuments(record, found, layers, compression), blobs: [...blobs.values()] }, layers };
}

/** The layers of one platform as they lie in image.tar. @throws ARCHIVE_INVALID */
export function layersOf(platform: PlatformRecord, archive: string): readonly Layer[] {
  const members = blobsOf(archive);
  return platform.layers.map(({ digest }) => {
    const content = find(members, digest, archive);
    if (content instanceof Uint8Array) throw new Error('A layer lies in a file.');
    return { tar: content };
  });
}

/** Of each platform, in the record's order. */
function configs({ record, archive }: Pick<PushableOptions, 'record' | 'archive'>): readonly PushableBlob[] {
  const members = blobsOf(archive);
  return record.platforms.map(({ imageId }) => {
    const content = readContent(find(members, imageId, archive));
    return { descriptor: describeDocument(mediaTypes.config, content), content };
  });
}

function encodeDocuments(
  record: ImageRecord,
  configs: readonly PushableBlob[],
  layers: CompressedLayers,
  compression: Compression,
): Omit<PushableImage, 'blobs'> {
  const manifests = record.platforms.map((platform, index) => {
    const content = encodeManifest(
      configs[index]!.descriptor,
      platform.layers.map(({ diffId }) => {
        const { digest, sizeBytes: size } = layers[diffId]!;
        return { mediaType: mediaTypes[compression], digest, size };
      }),
    );
    return { descriptor: describeDocument(mediaTypes.manifest, content), content };
  });
  if (record.indexDigest === undefined) return { root: manifests[0]!, manifests: [] };
  const content = encodeIndex(
    manifests.map(({ descriptor }, index) => ({
      ...descriptor,
      platform: describePlatform(parsePlatform(record.platforms[index]!.platform)),
    })),
  );
  return { root: { descriptor: describeDocument(mediaTypes.index, content), content }, manifests };
}

function blobsOf(archive: string): ReadonlyMap<string, FileContent> {
  const fd = openSync(archive, 'r');
  try {
    const members = readMembers(archive, fd, 0, fstatSync(fd).size);
    return new Map(members.flatMap(({ name, content }) => (content ? [[name.toString(), content] as const] : [])));
  } finally {
    closeSync(fd);
  }
}

function find(members: ReadonlyMap<string, FileContent>, digest: string, archive: string): FileContent {
  const content = members.get(`blobs/${digest.replace(':', '/')}`);
  if (content) return content;
  throw new SlimGoError('ARCHIVE_INVALID', `${archive} lacks the blob ${digest}.`, {
    hint: 'Run the image target again.',
  });
}

async function compress(
  content: FileContent,
  file: string,
  digest: string,
  compression: Compression,
  signal: AbortSignal,
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const plain = createHash('sha256');
  const compressed = createHash('sha256');
  let sizeBytes = 0;
  const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      compressed.update(chunk);
      sizeBytes += chunk.byteLength;
      yield chunk;
    }
  };
  const checked = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      plain.update(chunk);
      yield chunk;
    }
  };
  const compressor = compression === 'gzip' ? gzip : zstd();
  try {
    await pipeline(read(content), checked, compressor, counted, createWriteStream(file), { signal });
  } catch (error) {
    if (signal.aborted) throw new SlimGoError('ABORTED', 'Stopped while compressing layers.', { cause: error });
    throw error;
  }
  if (`sha256:${plain.digest('hex')}` !== digest) {
    throw new SlimGoError('ARCHIVE_INVALID', `The blob ${digest} of image.tar is damaged.`, {
      hint: 'Run the image target again, with --skip-nx-cache.',
    });
  }
  return { digest: `sha256:${compressed.digest('hex')}`, sizeBytes };
}

async function* gzip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  // Loaded here: only a push that has something to send compresses.
  const { Gzip } = require('fflate') as typeof import('fflate');
  const pending: Uint8Array[] = [];
  // A time of 0 means that there is none. https://www.rfc-editor.org/rfc/rfc1952#page-7
  const encoder = new Gzip({ level: 6, mtime: 0 }, (chunk) => {
    pending.push(chunk);
  });
  for await (const chunk of chunks) {
    encoder.push(chunk);
    yield* pending.splice(0);
  }
  encoder.push(new Uint8Array(), true);
  yield* pending;
}

/** More than the default of 3: it is done once and read often. */
const zstdLevel = 12;

function zstd(): Transform {
  const { createZstdCompress, constants } = zlib as unknown as {
    createZstdCompress?: (options: { params: Record<number, number> }) => Transform;
    constants: { ZSTD_c_compressionLevel: number };
  };
  if (createZstdCompress) return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: zstdLevel } });
  throw new SlimGoError('OPTION_INVALID', `Node ${process.versions.node} can't compress with zstd.`, {
    hint: 'Use Node 22.15 or later, or compression: "gzip".',
  });
}

/** In pieces of exactly `pieceBytes`, but for the last: where a piece ends decides about the compressed bytes. */
async function* read(content: FileContent): AsyncGenerator<Uint8Array> {
  if (content instanceof Uint8Array) throw new Error('A layer lies in a file.');
  const handle = await open(content.path);
  try {
    for (let offset = 0; offset < content.sizeBytes; offset += pieceBytes) {
      const piece = new Uint8Array(Math.min(pieceBytes, content.sizeBytes - offset));
      for (let filled = 0; filled < piece.length; ) {
        const { bytesRead } = await handle.read(
          piece,
          filled,
          piece.length - filled,
          content.offsetBytes + offset + filled,
        );
        if (bytesRead === 0) return;
        filled += bytesRead;
      }
      yield piece;
    }
  } finally {
    await handle.close();
  }
}

const pieceBytes = 1024 * 1024;
