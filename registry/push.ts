import { SlimGoError } from '../errors';
import type { Descriptor } from '../image/manifest';
import type { PushableBlob, PushableImage } from '../image/pushable';
import type { Reference } from '../image/reference';
import { inParallel } from '../parallel';
import { blobsAtOnce, manifestTypes, type RegistryClient, type RegistryRequest } from './client';
import { pause } from './http';
import { type Attachment, describeAttachment, tagReferrers } from './referrers';

export interface PushOptions {
  readonly client: RegistryClient;
  readonly image: PushableImage;
  /** With tag, all of the client's registry. */
  readonly references: readonly Reference[];
  /** Another repository of this registry that may have a blob: it is mounted from there instead of sent. */
  readonly holderOf?: (digest: string) => string | undefined;
  /** Is told of each blob that was sent. */
  readonly onBlob: (repository: string, digest: string, sizeBytes: number) => void;
  /** Is told of each part of a blob that leaves; what is sent again counts again. */
  readonly onSent?: (sizeBytes: number) => void;
  /** Documents about the image's manifests, by their digest. They are there before a tag is. */
  readonly attachments?: ReadonlyMap<string, readonly Attachment[]>;
  readonly signal: AbortSignal;
}

/** A larger blob goes in pieces, so that a broken connection costs one piece. */
const pieceBytes = 16 * 1024 * 1024;
const attempts = 5;

/** Whether a tag or digest names this manifest in a repository already: one request. @throws REGISTRY_FAILED */
async function names(client: RegistryClient, path: string, reference: string, digest: string): Promise<boolean> {
  const { status, headers } = await client.request({
    method: 'HEAD',
    path: `/v2/${path}/manifests/${reference}`,
    headers: { accept: manifestTypes },
    what: `${nameOf(client, path)}${reference.includes(':') ? '@' : ':'}${reference}`,
    scopes: [scopeOf(path)],
    expected: [200, 404],
  });
  return status === 200 && headers['docker-content-digest'] === digest;
}

/**
 * Makes the tags name an image that the registry has already, with one request for each that does so and three otherwise.
 * @returns how many tags were set; undefined where a repository lacks the image: then `pushImage` is what is needed
 * @throws REGISTRY_FAILED, ABORTED
 */
export async function tagImage(
  client: RegistryClient,
  root: PushableBlob,
  references: readonly Reference[],
): Promise<number | undefined> {
  const { digest } = root.descriptor;
  const missing: Reference[] = [];
  await inParallel(references, blobsAtOnce, async (reference) => {
    if (!(await names(client, reference.path, reference.tag!, digest))) missing.push(reference);
  });
  const repositories = [...new Set(missing.map(({ path }) => path))];
  let lacking = 0;
  await inParallel(repositories, blobsAtOnce, async (path) => {
    if (!(await names(client, path, digest, digest))) lacking++;
  });
  if (lacking > 0) return undefined;
  await inParallel(missing, blobsAtOnce, ({ path, tag }) => putManifest(client, path, root, tag!));
  return missing.length;
}

/**
 * Sends what the registry lacks, and sets the tags when all of it is there: no tag ever names half an image. A blob that
 * one of the repositories has is mounted in the others.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
 * @throws REGISTRY_FAILED, ABORTED
 */
export async function pushImage(options: PushOptions): Promise<void> {
  const { client, image, references } = options;
  const repositories = [...new Set(references.map(({ path }) => path))];
  for (const [index, repository] of repositories.entries()) {
    await inParallel(image.blobs, blobsAtOnce, (blob) => {
      const holder = index === 0 ? options.holderOf?.(blob.descriptor.digest) : repositories[0];
      return pushBlob(options, repository, blob, holder === repository ? undefined : holder);
    });
    await inParallel(image.manifests, blobsAtOnce, (manifest) =>
      putManifest(client, repository, manifest, manifest.descriptor.digest),
    );
    if (options.attachments) await pushAttachments(options, repository, options.attachments);
  }
  await inParallel(references, blobsAtOnce, ({ path, tag }) => putManifest(client, path, image.root, tag!));
}

async function pushAttachments(
  options: PushOptions,
  repository: string,
  attachments: ReadonlyMap<string, readonly Attachment[]>,
): Promise<void> {
  const { client, image } = options;
  // What they speak of may come after them, but not in every registry.
  await putManifest(client, repository, image.root, image.root.descriptor.digest);
  for (const { descriptor } of [image.root, ...image.manifests]) {
    const lacking: (Descriptor & { readonly artifactType: string })[] = [];
    for (const attachment of attachments.get(descriptor.digest) ?? []) {
      const { artifactType, annotations } = attachment;
      const { blobs, manifest } = describeAttachment(descriptor, attachment);
      await inParallel(blobs, blobsAtOnce, (blob) => pushBlob(options, repository, blob, undefined));
      const isListed = await putManifest(client, repository, manifest, manifest.descriptor.digest);
      if (!isListed) lacking.push({ ...manifest.descriptor, artifactType, ...(annotations ? { annotations } : {}) });
    }
    if (lacking.length > 0) await tagReferrers(client, repository, descriptor.digest, lacking);
  }
}

async function pushBlob(
  { client, onBlob, onSent, signal }: PushOptions,
  repository: string,
  { descriptor: { digest, size }, content }: PushableBlob,
  holder: string | undefined,
): Promise<void> {
  const what = `${nameOf(client, repository)}: blob ${digest}`;
  const scopes = [scopeOf(repository), ...(holder === undefined ? [] : [`repository:${holder}:pull`])];
  const common = { what, scopes, ...(onSent ? { onSent } : {}) };
  const there = await client.request({
    ...common,
    method: 'HEAD',
    path: `/v2/${repository}/blobs/${digest}`,
    expected: [200, 404],
  });
  if (there.status === 200) return;
  for (let attempt = 1; ; attempt++) {
    const mount = holder === undefined ? '' : `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(holder)}`;
    const begun = await client.request({
      ...common,
      method: 'POST',
      path: `/v2/${repository}/blobs/uploads/${mount}`,
      expected: [201, 202],
    });
    if (begun.status === 201) return;
    const location = locationOf(client, begun.headers.location, what);
    const end = await sendPieces(client, location, content, size, common, signal);
    if (end !== undefined) {
      end.searchParams.set('digest', digest);
      const last = size > pieceBytes ? new Uint8Array() : content;
      const done = await client.request({
        ...common,
        method: 'PUT',
        path: end.href,
        headers: { 'content-type': 'application/octet-stream' },
        body: last,
        // The registry may have forgotten the upload, or half of it: then all of it again.
        expected: [201, 404, 416],
      });
      if (done.status === 201) {
        onBlob(repository, digest, size);
        return;
      }
    }
    if (attempt === attempts) {
      throw new SlimGoError('REGISTRY_FAILED', `${what}: ${client.domain} forgot the upload ${attempts} times.`, {
        hint: 'Where several registries share one address, they must share their uploads as well.',
      });
    }
    await pause(attempt, undefined, signal);
  }
}

/**
 * The pieces of a large blob, each from where the registry says that it is; nothing for a small one.
 * @returns where to end the upload; undefined where it has to begin anew
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
 */
async function sendPieces(
  client: RegistryClient,
  start: URL,
  content: PushableBlob['content'],
  size: number,
  common: Pick<RegistryRequest, 'what' | 'scopes' | 'onSent'>,
  signal: AbortSignal,
): Promise<URL | undefined> {
  let location = start;
  let offset = 0;
  let failures = 0;
  while (size > pieceBytes && offset < size) {
    const end = Math.min(offset + pieceBytes, size);
    try {
      const sent = await client.request({
        ...common,
        method: 'PATCH',
        path: location.href,
        headers: { 'content-type': 'application/octet-stream', 'content-range': `${offset}-${end - 1}` },
        body: slice(content, offset, end),
        expected: [202, 404, 416],
        isRetried: false,
      });
      if (sent.status === 202) {
        location = locationOf(client, sent.headers.location, common.what);
        offset = end;
        failures = 0;
        continue;
      }
      if (sent.status === 404 || ++failures === attempts) return undefined;
    } catch (error) {
      if (!(error instanceof SlimGoError) || error.code !== 'REGISTRY_FAILED' || ++failures === attempts) throw error;
      await pause(failures, undefined, signal);
    }
    const state = await client.request({ ...common, method: 'GET', path: location.href, expected: [204, 404] });
    if (state.status === 404) return undefined;
    const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(String(state.headers.range ?? '')) ?? [];
    location = locationOf(client, state.headers.location ?? location.href, common.what);
    offset = last === undefined || last === '0' ? 0 : Number(last) + 1;
  }
  return location;
}

function slice(content: PushableBlob['content'], start: number, end: number): PushableBlob['content'] {
  return content instanceof Uint8Array
    ? content.subarray(start, end)
    : { path: content.path, offsetBytes: content.offsetBytes + start, sizeBytes: end - start };
}

/** @returns whether the registry lists it among its subject's referrers, where it has one */
async function putManifest(
  client: RegistryClient,
  repository: string,
  { descriptor, content }: PushableBlob,
  reference: string,
): Promise<boolean> {
  const response = await client.request({
    method: 'PUT',
    path: `/v2/${repository}/manifests/${reference}`,
    headers: { 'content-type': descriptor.mediaType },
    body: content,
    what: `${nameOf(client, repository)}${reference.includes(':') ? '@' : ':'}${reference}`,
    scopes: [scopeOf(repository)],
    expected: [201],
  });
  const stored = response.headers['docker-content-digest'];
  // https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests-with-subject
  if (stored === undefined || stored === descriptor.digest) return response.headers['oci-subject'] !== undefined;
  throw new SlimGoError(
    'REGISTRY_FAILED',
    `${nameOf(client, repository)}: ${client.domain} stored ${stored} where ${descriptor.digest} was sent.`,
    { hint: 'Something on the way changes manifests.' },
  );
}

function locationOf(client: RegistryClient, location: string | undefined, what: string): URL {
  if (location !== undefined) return client.resolve(location);
  throw new SlimGoError('REGISTRY_FAILED', `${what}: ${client.domain} does not say where to send it (no Location).`);
}

function scopeOf(repository: string): string {
  return `repository:${repository}:pull,push`;
}

function nameOf({ domain }: RegistryClient, repository: string): string {
  return `${domain}/${repository}`;
}
