import { closeSync, createReadStream, createWriteStream, openSync, readSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { SlimGoError } from '../errors';
import type { Image, Layer } from '../image/image';
import { digestOf } from '../image/manifest';
import { platformOf, type SavedConfig, toImage } from '../image/saved-config';
import { inParallel } from '../parallel';
import { formatPlatform, type Platform, parsePlatform } from '../platform';
import { type BlobCache, digestOfFile } from './blob-cache';
import { blobsAtOnce } from './client';
import type { ImageSource } from './source';

export interface PullOptions {
  readonly source: ImageSource;
  /** Of a manifest or an index. */
  readonly digest: string;
  readonly platform: Platform;
  readonly cache: BlobCache;
  /** Is told of each layer that was fetched. */
  readonly onLayer: (sizeBytes: number) => void;
  readonly signal: AbortSignal;
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
}

/** An image manifest or an index. https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md */
interface Manifest {
  readonly manifests?: readonly Descriptor[];
  readonly config?: Descriptor;
  readonly layers?: readonly Descriptor[];
}

/**
 * An image of one platform with its layers in the cache: from there where they are in it, otherwise from the source.
 * Every byte is checked against the digest.
 * @throws REGISTRY_FAILED, ARCHIVE_INVALID, ABORTED, WRITE_FAILED; PLATFORM_INVALID where the image is not for the platform
 */
export async function pullImage(options: PullOptions): Promise<Image> {
  const { source, platform, cache, signal } = options;
  const { config: descriptor, layers: blobs } = await findManifest(options, options.digest, 0);
  if (descriptor === undefined || blobs === undefined) {
    throw invalid(source, `${options.digest} is no image manifest that is known here`);
  }
  const config = (await readDocument(options, 'blobs', descriptor.digest)) as SavedConfig;
  checkPlatform(source, platform, platformOf(config));
  const diffIds = config.rootfs?.diff_ids ?? [];
  if (diffIds.length !== blobs.length)
    throw invalid(source, 'its manifest and its configuration name different layers');
  const layers = new Map<string, Layer>();
  await inParallel([...diffIds.entries()], blobsAtOnce, async ([index, diffId]) => {
    requireDigest(source, diffId);
    const found = (await cache.layer(diffId)) ?? (await fetchLayer(options, blobs[index]!, diffId));
    if (signal.aborted) throw new SlimGoError('ABORTED', `${source.name}: stopped.`);
    layers.set(diffId, { tar: { ...found, offsetBytes: 0 } });
  });
  return toImage(
    config,
    diffIds.map((diffId) => layers.get(diffId)!),
    platform,
  );
}

async function findManifest(options: PullOptions, digest: string, depth: number): Promise<Manifest> {
  const { source, platform } = options;
  const manifest = (await readDocument(options, 'manifests', digest)) as Manifest;
  if (manifest.manifests === undefined || depth === 3) return manifest;
  const offered = manifest.manifests.flatMap((descriptor) => {
    const { os, architecture, variant } = descriptor.platform ?? {};
    // Attestations are manifests for no platform.
    if (!os || !architecture || os === 'unknown') return [];
    return [
      { digest: descriptor.digest, platform: parsePlatform([os, architecture, variant].filter(Boolean).join('/')) },
    ];
  });
  const best = bestMatch(platform, offered);
  if (!best)
    throw wrongPlatform(
      source,
      platform,
      offered.map((offer) => formatPlatform(offer.platform)),
    );
  return findManifest(options, best.digest, depth + 1);
}

/**
 * The image that runs on a platform: of arm and amd64 the highest variant that is not above it.
 * https://github.com/containerd/platforms/blob/v1.0.0/compare.go
 */
export function bestMatch<Offer extends { readonly platform: Platform }>(
  wanted: Platform,
  offers: readonly Offer[],
): Offer | undefined {
  const level = ({ architecture, variant }: Platform) =>
    Number(variant?.replace(/^v/, '') ?? (architecture === 'arm64' ? 8 : 1));
  return offers
    .filter(({ platform }) => platform.os === wanted.os && platform.architecture === wanted.architecture)
    .filter(({ platform }) => level(platform) <= level(wanted))
    .sort((a, b) => level(b.platform) - level(a.platform))[0];
}

/** An image without an index says in its configuration what it is for. */
function checkPlatform(source: ImageSource, wanted: Platform, found: string): void {
  let offered: Platform[] = [];
  try {
    offered = [parsePlatform(found)];
  } catch {
    // Nothing that could be asked for.
  }
  if (
    !bestMatch(
      wanted,
      offered.map((platform) => ({ platform })),
    )
  )
    throw wrongPlatform(source, wanted, [found]);
}

function wrongPlatform(source: ImageSource, wanted: Platform, offered: readonly string[]): SlimGoError {
  return new SlimGoError('PLATFORM_INVALID', `${source.name} is not made for ${formatPlatform(wanted)}.`, {
    hint: `It is made for ${[...new Set(offered)].join(', ') || 'no platform'}: choose from these in "platforms", or another base image.`,
  });
}

async function readDocument({ source, cache }: PullOptions, kind: 'manifests' | 'blobs', digest: string) {
  requireDigest(source, digest);
  let bytes = await cache.document(digest);
  if (!bytes) {
    bytes = await source.document(kind, digest);
    if (digestOf(bytes) !== digest) throw damaged(source, digest, digestOf(bytes));
    await cache.keepDocument(digest, bytes);
  }
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    throw invalid(source, `${digest} is no JSON`);
  }
}

async function fetchLayer(options: PullOptions, blob: Descriptor, diffId: string) {
  const { source, cache, onLayer, signal } = options;
  requireDigest(source, blob.digest);
  const compressed = cache.temporaryFile();
  const plain = cache.temporaryFile();
  try {
    await source.download(blob.digest, compressed);
    const digest = await digestOfFile(compressed);
    if (digest !== blob.digest) throw damaged(source, blob.digest, digest);
    const unpack = decompressor(source, compressed);
    const streams = unpack ? [createReadStream(compressed), unpack] : [createReadStream(compressed)];
    await pipeline([...streams, createWriteStream(plain)], { signal });
    const found = await digestOfFile(plain);
    if (found !== diffId) throw damaged(source, diffId, found);
    const kept = await cache.keepLayer(diffId, plain);
    onLayer(blob.size);
    return kept;
  } catch (error) {
    if (signal.aborted) throw new SlimGoError('ABORTED', `${source.name}: stopped.`, { cause: error });
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z'))
      throw invalid(source, `${blob.digest} can't be unpacked`);
    throw error;
  } finally {
    await Promise.all([compressed, plain].map((file) => rm(file, { force: true })));
  }
}

/** By what the blob begins with: media types lie. */
function decompressor(source: ImageSource, file: string): Transform | undefined {
  const head = Buffer.alloc(4);
  const fd = openSync(file, 'r');
  readSync(fd, head, 0, 4, 0);
  closeSync(fd);
  if (head[0] === 0x1f && head[1] === 0x8b) return zlib.createGunzip();
  if (head.readUInt32LE() !== 0xfd2fb528) return undefined;
  // Node 22.15 and 23.8 brought it.
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  if (createZstdDecompress) return createZstdDecompress();
  throw new SlimGoError('ARCHIVE_INVALID', `${source.name}: its layers are compressed with zstd.`, {
    hint: `Node ${process.versions.node} can't read that: use 22.15 or later.`,
  });
}

function requireDigest(source: ImageSource, digest: string): void {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw invalid(source, `"${digest}" is no sha256 digest`);
}

function invalid(source: ImageSource, what: string): SlimGoError {
  return new SlimGoError('ARCHIVE_INVALID', `${source.name}: ${what}.`, {
    hint: 'The image is damaged, or of a kind that the embedded engine does not know: try engine: "docker".',
  });
}

function damaged(source: ImageSource, wanted: string, found: string): SlimGoError {
  return new SlimGoError('ARCHIVE_INVALID', `${source.name}: what came for ${wanted} is ${found}.`, {
    hint: 'It was damaged or changed on the way. Nothing of it was kept; run this again.',
  });
}
