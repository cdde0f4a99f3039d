import { closeSync, createReadStream, createWriteStream, fstatSync, openSync, readSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { SlimGoError } from '../errors';
import { formatPlatform, type Platform } from '../platform';
import type { FileContent, Image } from './image';
import { platformOf, type SavedConfig, toImage } from './saved-config';
import { readMembers, type TarMember } from './tar';

/** What `normaliseSavedImage` reads, and where it may spool. */
export interface SavedImage {
  /** What `docker save` or `podman save` gives for one image: a docker-archive or an OCI layout, in a tar. */
  readonly saved: Readable;
  /** Picks the image where the archive holds several, and is checked otherwise. */
  readonly platform: Platform;
  /** An existing folder of the caller's, which stays until the image has been written: the layers are read from it. */
  readonly folder: string;
  readonly signal?: AbortSignal;
}

/**
 * Makes of an engine's image one that depends on what is in it alone: layers are written with sorted entries, fixed times
 * and no user names, everything else of an entry is kept (whiteouts, hardlinks, devices, extended attributes); of the
 * configuration remains what a container is run with. Building the same Dockerfile again gives the same bytes.
 * @throws ARCHIVE_INVALID for a damaged or unknown archive, ENGINE_BUILD_FAILED for an image of another platform,
 *   ABORTED
 * https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md
 */
export async function normaliseSavedImage({ saved, platform, folder, signal }: SavedImage): Promise<Image> {
  const spool = join(folder, 'saved.tar');
  try {
    await pipeline(saved, createWriteStream(spool), signal ? { signal } : {});
    const archive = openArchive(spool);
    try {
      const { config, layers } = findImage(archive, platform);
      const plain: FileRange[] = [];
      for (const layer of layers) {
        plain.push(await plainLayer(archive, layer, join(folder, `layer-${plain.length}.tar`), signal));
      }
      return toImage(
        config,
        plain.map((tar) => ({ tar: { ...tar, rewrite: true } })),
        platform,
      );
    } finally {
      closeSync(archive.fd);
    }
  } catch (error) {
    if (signal?.aborted) throw new SlimGoError('ABORTED', 'Stopped while reading the image.', { cause: error });
    throw error;
  }
}

type FileRange = Exclude<FileContent, Uint8Array>;

interface OpenArchive {
  readonly path: string;
  readonly fd: number;
  readonly members: ReadonlyMap<string, TarMember>;
}

interface SavedDescriptor {
  readonly mediaType?: string;
  readonly digest: string;
}

interface FoundImage {
  readonly config: SavedConfig;
  readonly layers: readonly FileRange[];
}

function openArchive(path: string): OpenArchive {
  const fd = openSync(path, 'r');
  try {
    const members = readMembers(path, fd, 0, fstatSync(fd).size);
    return { path, fd, members: new Map(members.map((member) => [member.name.toString(), member])) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function invalid(what: string): SlimGoError {
  return new SlimGoError('ARCHIVE_INVALID', `The engine saved an image that can't be read: ${what}.`, {
    hint: 'Build it again; if that gives the same, save it with `docker save` and report what its manifest.json holds.',
  });
}

/** A file of the archive; where a layer is there twice, engines write the second as a link to the first. */
function findFile(archive: OpenArchive, path: string): FileRange {
  let current = posix.normalize(path);
  for (let step = 0; step < 8; step++) {
    const member = archive.members.get(current);
    if (member === undefined) break;
    if (member.type === 'file') {
      const { content } = member;
      return content === undefined || content instanceof Uint8Array
        ? { path: archive.path, offsetBytes: 0, sizeBytes: 0 }
        : content;
    }
    if (member.linkName === undefined) break;
    const target = member.linkName.toString();
    current = posix.normalize(member.type === 'symlink' ? posix.join(posix.dirname(current), target) : target);
  }
  throw invalid(`it lacks ${path}`);
}

/** A document larger than this is none. */
const maxDocumentBytes = 16 * 1024 * 1024;

function readDocument<Document>(archive: OpenArchive, path: string): Document {
  const { offsetBytes, sizeBytes } = findFile(archive, path);
  if (sizeBytes > maxDocumentBytes) throw invalid(`${path} has ${sizeBytes} bytes`);
  const bytes = Buffer.alloc(sizeBytes);
  readSync(archive.fd, bytes, 0, sizeBytes, offsetBytes);
  try {
    return JSON.parse(bytes.toString('utf8')) as Document;
  } catch (error) {
    throw invalid(`${path} is no JSON (${(error as Error).message})`);
  }
}

function findImage(archive: OpenArchive, platform: Platform): FoundImage {
  const images = archive.members.has('manifest.json') ? findDockerImages(archive) : findOciImages(archive);
  const wanted = formatPlatform(platform);
  const found = images.find(({ config }) => platformOf(config) === wanted);
  if (found !== undefined) return found;
  const others = images.map(({ config }) => platformOf(config)).join(', ');
  throw new SlimGoError(
    'ENGINE_BUILD_FAILED',
    `The engine made an image for ${others || 'no platform'}, not ${wanted}.`,
    {
      hint: 'Its builder may not know other platforms: check the --platform of each FROM, or build with the embedded engine.',
    },
  );
}

/** The docker-save view, which stands in an OCI layout of Docker >= 25 as well. */
function findDockerImages(archive: OpenArchive): FoundImage[] {
  const images = readDocument<{ Config: string; Layers: string[] | null }[]>(archive, 'manifest.json');
  return images.map(({ Config, Layers }) => ({
    config: readDocument<SavedConfig>(archive, Config),
    layers: (Layers ?? []).map((path) => findFile(archive, path)),
  }));
}

/** https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md */
function findOciImages(archive: OpenArchive): FoundImage[] {
  const blob = ({ digest }: SavedDescriptor): string => `blobs/${digest.replace(':', '/')}`;
  const imagesOf = (path: string, depth: number): FoundImage[] => {
    const document = readDocument<{
      manifests?: SavedDescriptor[];
      config?: SavedDescriptor;
      layers?: SavedDescriptor[];
    }>(archive, path);
    if (document.manifests !== undefined && depth > 0) {
      // An index may name what isn't in the archive: other platforms, whose blobs were never pulled.
      const present = document.manifests.filter((manifest) => archive.members.has(blob(manifest)));
      return present.flatMap((manifest) => imagesOf(blob(manifest), depth - 1));
    }
    if (document.config === undefined) return [];
    const config = readDocument<SavedConfig>(archive, blob(document.config));
    // Attestations are manifests without a platform of their own.
    if (typeof config.os !== 'string' || config.os === 'unknown') return [];
    return [{ config, layers: (document.layers ?? []).map((layer) => findFile(archive, blob(layer))) }];
  };
  return imagesOf('index.json', 3);
}

const gzipMagic = Buffer.from([0x1f, 0x8b]);
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** The layer as it is, or decompressed into `file`. */
async function plainLayer(
  archive: OpenArchive,
  layer: FileRange,
  file: string,
  signal: AbortSignal | undefined,
): Promise<FileRange> {
  const magic = Buffer.alloc(Math.min(4, layer.sizeBytes));
  readSync(archive.fd, magic, 0, magic.length, layer.offsetBytes);
  if (magic.equals(zstdMagic)) throw invalid('a layer is compressed with zstd, which engines save only when asked to');
  if (!magic.subarray(0, 2).equals(gzipMagic)) return layer;
  const end = layer.offsetBytes + layer.sizeBytes - 1;
  const compressed = createReadStream(layer.path, { start: layer.offsetBytes, end });
  try {
    await pipeline(compressed, createGunzip(), createWriteStream(file), signal ? { signal } : {});
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_')) throw invalid('a compressed layer is damaged');
    throw error;
  }
  return { path: file, offsetBytes: 0, sizeBytes: (await stat(file)).size };
}
