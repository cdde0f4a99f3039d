import { type Descriptor, describeDocument, mediaTypes } from '../image/manifest';
import type { PushableBlob } from '../image/pushable';
import { manifestTypes, type RegistryClient } from './client';

/** A document that says something of an image. */
export interface Attachment {
  /** `application/spdx+json`, ... */
  readonly artifactType: string;
  readonly content: Buffer;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** How the documents lie in a registry: their blobs, and a manifest for each that names its subject. */
export function describeAttachment(
  subject: Descriptor,
  { artifactType, content, annotations }: Attachment,
): { readonly blobs: readonly PushableBlob[]; readonly manifest: PushableBlob } {
  const empty = Buffer.from('{}');
  const config = { descriptor: describeDocument(mediaTypes.empty, empty), content: empty };
  const layer = { descriptor: describeDocument(artifactType, content), content };
  const { mediaType, digest, size } = subject;
  // https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidelines-for-artifact-usage
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType,
      config: config.descriptor,
      layers: [layer.descriptor],
      subject: { mediaType, digest, size },
      ...(annotations ? { annotations } : {}),
    }),
  );
  return {
    blobs: [config, layer],
    manifest: { descriptor: describeDocument(mediaTypes.manifest, manifest), content: manifest },
  };
}

interface Referrer extends Descriptor {
  readonly artifactType: string;
}

/**
 * Lists attachments under the tag that stands for the referrers of a subject, where a registry has no list of its own.
 * An index that is there keeps what else it names.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
 * @throws REGISTRY_FAILED, ABORTED
 */
export async function tagReferrers(
  client: RegistryClient,
  repository: string,
  subject: string,
  referrers: readonly Referrer[],
): Promise<void> {
  const request = {
    path: `/v2/${repository}/manifests/${subject.replace(':', '-')}`,
    what: `${client.domain}/${repository}: referrers of ${subject}`,
    scopes: [`repository:${repository}:pull,push`],
  };
  const found = await client.request({
    ...request,
    method: 'GET',
    headers: { accept: manifestTypes },
    expected: [200, 404],
  });
  const listed = found.status === 200 ? (JSON.parse(found.body.toString('utf8')) as { manifests?: Referrer[] }) : {};
  const manifests = new Map([...(listed.manifests ?? []), ...referrers].map((one) => [one.digest, one]));
  if (manifests.size === listed.manifests?.length) return;
  await client.request({
    ...request,
    method: 'PUT',
    headers: { 'content-type': mediaTypes.index },
    body: Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [...manifests.values()] }),
    ),
    expected: [201],
  });
}
