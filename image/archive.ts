import { fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { SlimGoError } from '../errors';
import { formatPlatform, type Platform } from '../platform';
import { BlobWriter } from './blob-writer';
import { encodeConfig } from './config';
import type { Image } from './image';
import { type PlannedLayer, planLayers, writeLayer } from './layer';
import {
  type Descriptor,
  describeDocument,
  describePlatform,
  encodeIndex,
  encodeManifest,
  mediaTypes,
} from './manifest';
import type { ImageRecord, PlatformRecord } from './record';
import { familiarReference, formatReference, parseReference, type Reference } from './reference';
import { replaceFile, throwIfAborted, writeAt } from './replace-file';
import { encodeHeader, endOfArchive, maxTarSeconds, paddedBytes, type TarMember } from './tar';

/** What `writeArchive` writes, and where. */
export interface ArchiveOptions {
  /** One or more, each of another platform; the order is kept. */
  readonly images: readonly Image[];
  /** With or without tag (`latest`), not by digest. */
  readonly references: readonly string[];
  /** Absolute path of image.tar. */
  readonly file: string;
  /** Its image is the one that manifest.json lists; the first image where none is of that platform. */
  readonly hostPlatform: Platform;
  /** Seconds since 1970 for every time in the archive: SOURCE_DATE_EPOCH, or 0. */
  readonly createdSeconds: number;
  readonly signal?: AbortSignal;
}

/**
 * Writes image.tar: an OCI image layout with a docker-save view of the host's image, which Docker >= 20.10, containerd,
 * podman and skopeo read. The same images give the same bytes.
 *
 * In one pass: the sizes of all layers and JSON documents are known beforehand (a digest's length is fixed), so layers are
 * streamed to where they end up while they are hashed, and the documents, which hold the hashes, are put in front of
 * them afterwards.
 *
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 * https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format
 * @throws REFERENCE_INVALID, OPTION_INVALID; COPY_FAILED when a source can't be read or changes; ARCHIVE_INVALID for a damaged layer;
 *   WRITE_FAILED, ABORTED: then no part is left behind, and a former file stays
 */
export async function writeArchive(options: ArchiveOptions): Promise<ImageRecord> {
  const { images, file, createdSeconds, signal } = options;
  check(options);
  const references = taggable(options.references);
  const host = hostImage(images, options.hostPlatform);
  const plans = images.map((image) => planLayers(image.layers, createdSeconds));
  const document = (layers: readonly (readonly Descriptor[])[]): Documents =>
    encodeDocuments({ images, layers, references, host, createdSeconds });

  const frontBytes = encodeFront(document(plans.map((layers) => layers.map(placeholder))).members).length;

  return replaceFile(
    file,
    async (handle) => {
      const writer = new BlobWriter(handle, () => throwIfAborted(file, signal));
      try {
        const { layers, endPosition } = await writeLayers(plans, handle, writer, frontBytes, createdSeconds);
        const { members, record } = document(layers);
        const front = encodeFront(members);
        if (front.length !== frontBytes) throw new Error('The documents have another size than planned.');
        writeAt(handle, front, 0);
        writeAt(handle, endOfArchive, endPosition);
        const sizeBytes = endPosition + endOfArchive.byteLength;
        // A repeated layer, written last and then found to be there already, lies beyond the end.
        if (fstatSync(handle.fd).size > sizeBytes) await handle.truncate(sizeBytes);
        return record;
      } finally {
        writer.dispose();
      }
    },
    signal,
  );
}

function check({ images, createdSeconds }: ArchiveOptions): void {
  if (!Number.isSafeInteger(createdSeconds) || createdSeconds < 0 || createdSeconds > maxTarSeconds) {
    throw new SlimGoError(
      'OPTION_INVALID',
      `SOURCE_DATE_EPOCH ${createdSeconds} is not a time that an image can hold.`,
      {
        hint: `It is a whole number of seconds since 1970, from 0 to ${maxTarSeconds}.`,
      },
    );
  }
  const platforms = images.map(({ platform }) => formatPlatform(platform));
  const repeated = platforms.find((platform, index) => platforms.indexOf(platform) !== index);
  if (repeated !== undefined) {
    throw new SlimGoError('OPTION_INVALID', `The platform ${repeated} is listed twice.`, {
      hint: 'Remove one from the option "platforms".',
    });
  }
  if (images.length === 0) throw new Error('An archive needs an image.');
}

/** Parsed, each once. */
function taggable(texts: readonly string[]): Reference[] {
  const byName = new Map<string, Reference>();
  for (const text of texts) {
    const reference = parseReference(text);
    if (reference.digest !== undefined) {
      throw new SlimGoError(
        'REFERENCE_INVALID',
        `"${text}" holds a digest, which an image that is being made can't have yet.`,
        {
          hint: `Write ${familiarReference({ domain: reference.domain, path: reference.path, tag: reference.tag ?? 'latest' })}.`,
        },
      );
    }
    byName.set(formatReference(reference), reference);
  }
  return [...byName.values()];
}

function hostImage(images: readonly Image[], host: Platform): Image {
  const same = images.filter(({ platform }) => platform.os === host.os && platform.architecture === host.architecture);
  return same.find(({ platform }) => platform.variant === host.variant) ?? same[0] ?? images[0]!;
}

async function writeLayers(
  plans: readonly (readonly PlannedLayer[])[],
  handle: FileHandle,
  writer: BlobWriter,
  startPosition: number,
  createdSeconds: number,
): Promise<{ layers: Descriptor[][]; endPosition: number }> {
  const stored = new Set<string>();
  const layers: Descriptor[][] = [];
  let position = startPosition;
  for (const plan of plans) {
    const written: Descriptor[] = [];
    for (const layer of plan) {
      const headerBytes = blobHeader(placeholder(layer)).length;
      writer.begin(position + headerBytes);
      await writeLayer(layer, writer, createdSeconds);
      const padding = paddedBytes(layer.sizeBytes) - layer.sizeBytes;
      const blob = await writer.end();
      if (blob.sizeBytes !== layer.sizeBytes) throw new Error('A layer has another size than planned.');
      const descriptor = { mediaType: mediaTypes.layer, digest: blob.digest, size: blob.sizeBytes };
      written.push(descriptor);
      // An equal layer is there already: what comes next is written over this one.
      if (stored.has(blob.digest)) continue;
      stored.add(blob.digest);
      writeAt(handle, blobHeader(descriptor), position);
      writeAt(handle, endOfArchive.subarray(0, padding), position + headerBytes + blob.sizeBytes);
      position += headerBytes + blob.sizeBytes + padding;
    }
    layers.push(written);
  }
  return { layers, endPosition: position };
}

/** As long as the real one, for sizes. */
function placeholder(layer: PlannedLayer): Descriptor {
  return { mediaType: mediaTypes.layer, digest: `sha256:${'0'.repeat(64)}`, size: layer.sizeBytes };
}

interface Documents {
  /** In the archive's order, all that stands before the layers. */
  readonly members: readonly TarMember[];
  readonly record: ImageRecord;
}

function encodeDocuments(input: {
  readonly images: readonly Image[];
  /** Of each image. */
  readonly layers: readonly (readonly Descriptor[])[];
  readonly references: readonly Reference[];
  readonly host: Image;
  readonly createdSeconds: number;
}): Documents {
  const { images, layers, references, host, createdSeconds } = input;
  const blobs: TarMember[] = [];
  const manifests: Descriptor[] = [];
  const platforms: PlatformRecord[] = [];
  let dockerView: unknown;

  for (const [index, image] of images.entries()) {
    const imageLayers = layers[index]!;
    const configBytes = encodeConfig(
      image,
      imageLayers.map(({ digest }) => digest),
      createdSeconds,
    );
    const config = describeDocument(mediaTypes.config, configBytes);
    const manifestBytes = encodeManifest(config, imageLayers);
    const manifest = describeDocument(mediaTypes.manifest, manifestBytes);
    blobs.push(document(blobPath(manifest.digest), manifestBytes), document(blobPath(config.digest), configBytes));
    manifests.push(manifest);
    platforms.push({
      platform: formatPlatform(image.platform),
      imageId: config.digest,
      manifestDigest: manifest.digest,
      sizeBytes: imageLayers.reduce((sum, { size }) => sum + size, config.size + manifest.size),
      layers: imageLayers.map(({ digest, size }) => ({ diffId: digest, digest, sizeBytes: size })),
    });
    if (image === host) {
      const layerPaths = imageLayers.map(({ digest }) => blobPath(digest));
      // The whole name: podman takes a short one for `localhost/hello`, Docker reads both alike.
      const names = references.map(formatReference);
      dockerView = [{ Config: blobPath(config.digest), RepoTags: names, Layers: layerPaths }];
    }
  }

  let root = manifests[0]!;
  if (images.length > 1) {
    const indexBytes = encodeIndex(
      manifests.map((manifest, index) => ({ ...manifest, platform: describePlatform(images[index]!.platform) })),
    );
    root = describeDocument(mediaTypes.index, indexBytes);
    blobs.unshift(document(blobPath(root.digest), indexBytes));
  }
  const members = [
    document('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')),
    document('index.json', encodeIndex(named(root, references))),
    document('manifest.json', Buffer.from(JSON.stringify(dockerView))),
    directory('blobs'),
    directory('blobs/sha256'),
    ...blobs,
  ];
  const indexDigest = images.length > 1 ? { indexDigest: root.digest } : {};
  return { members, record: { references: references.map(familiarReference), ...indexDigest, platforms } };
}

/** One descriptor for each reference: containerd reads the whole name, the OCI layout knows the tag. */
function named(root: Descriptor, references: readonly Reference[]): readonly Descriptor[] {
  if (references.length === 0) return [root];
  return references.map((reference) => ({
    ...root,
    annotations: {
      'io.containerd.image.name': formatReference(reference),
      'org.opencontainers.image.ref.name': reference.tag!,
    },
  }));
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function document(path: string, content: Buffer): TarMember {
  return { type: 'file', name: Buffer.from(path), mode: 0o644, uid: 0, gid: 0, content };
}

function directory(path: string): TarMember {
  return { type: 'directory', name: Buffer.from(path), mode: 0o755, uid: 0, gid: 0 };
}

// The archive's own members always have time 0: they are no part of the image.
function blobHeader({ digest, size }: Descriptor): Buffer {
  const content = { path: '', offsetBytes: 0, sizeBytes: size };
  return encodeHeader({ type: 'file', name: Buffer.from(blobPath(digest)), mode: 0o644, uid: 0, gid: 0, content }, 0);
}

function encodeFront(members: readonly TarMember[]): Buffer {
  return Buffer.concat(
    members.flatMap((member) => {
      const content = member.content as Buffer | undefined;
      const body = content ?? Buffer.alloc(0);
      return [encodeHeader(member, 0), body, Buffer.alloc(paddedBytes(body.length) - body.length)];
    }),
  );
}
