import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SlimGoError } from '../errors';
import { digestOf } from '../image/manifest';
import { formatReference, type Reference } from '../image/reference';
import { manifestTypes, type RegistryClient } from './client';

/** Where an image is pulled from. What it gives is checked by whoever asks. */
export interface ImageSource {
  /** For messages: `docker.io/library/alpine:3.22`, `oci-layout://bases/alpine`. */
  readonly name: string;
  /** Digest of the manifest or index that its tag names now. @throws REGISTRY_FAILED, ARCHIVE_INVALID, ABORTED */
  resolve(): Promise<string>;
  /** @throws REGISTRY_FAILED, ARCHIVE_INVALID, ABORTED */
  document(kind: 'manifests' | 'blobs', digest: string): Promise<Buffer>;
  /** Writes a blob into a file. @throws REGISTRY_FAILED, ARCHIVE_INVALID, ABORTED */
  download(digest: string, file: string): Promise<void>;
}

/** A repository of a registry. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pull */
export class RegistrySource implements ImageSource {
  readonly name: string;
  private readonly path: string;

  constructor(
    private readonly client: RegistryClient,
    private readonly reference: Reference,
  ) {
    this.name = formatReference(reference);
    this.path = `/v2/${reference.path}`;
  }

  async resolve(): Promise<string> {
    const { tag, digest } = this.reference;
    if (digest !== undefined) return digest;
    const answer = await this.get(`/manifests/${tag}`);
    return digestOf(answer.body);
  }

  async document(kind: 'manifests' | 'blobs', digest: string): Promise<Buffer> {
    return (await this.get(`/${kind}/${digest}`)).body;
  }

  async download(digest: string, file: string): Promise<void> {
    await this.get(`/blobs/${digest}`, file);
  }

  private get(path: string, into?: string) {
    return this.client.request({
      method: 'GET',
      path: this.path + path,
      headers: path.startsWith('/manifests/') ? { accept: manifestTypes } : {},
      what: this.name,
      scopes: [`repository:${this.reference.path}:pull`],
      expected: [200, 206],
      ...(into === undefined ? {} : { into }),
    });
  }
}

/** A folder in OCI layout. https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md */
export class LayoutSource implements ImageSource {
  /**
   * @param folder absolute
   * @param tag which of its images, where it holds several
   */
  constructor(
    readonly name: string,
    private readonly folder: string,
    private readonly tag: string | undefined,
  ) {}

  async resolve(): Promise<string> {
    type Entry = { digest: string; annotations?: Record<string, string> };
    const { manifests = [] } = JSON.parse(this.read('index.json').toString('utf8')) as { manifests?: readonly Entry[] };
    const names = manifests.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name']);
    const found = manifests.filter((_, index) => this.tag === undefined || names[index] === this.tag);
    const digests = new Set(found.map(({ digest }) => digest));
    if (digests.size === 1) return found[0]!.digest;
    throw new SlimGoError(
      'ARCHIVE_INVALID',
      `${this.name}: its index.json names ${digests.size === 0 ? 'no such image' : `${digests.size} images`}.`,
      { hint: `Put one of its tags behind the path: ${names.filter(Boolean).join(', ') || 'it has none'}.` },
    );
  }

  async document(_kind: 'manifests' | 'blobs', digest: string): Promise<Buffer> {
    return this.read(join('blobs', ...digest.split(':')));
  }

  async download(digest: string, file: string): Promise<void> {
    this.orExplain(() => copyFileSync(join(this.folder, 'blobs', ...digest.split(':')), file));
  }

  private read(path: string): Buffer {
    return this.orExplain(() => readFileSync(join(this.folder, path)));
  }

  private orExplain<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw new SlimGoError('ARCHIVE_INVALID', `${this.name}: ${(error as Error).message}.`, {
        hint: 'It must be a folder with index.json and blobs, as `skopeo copy ... oci:folder` makes one.',
        cause: error,
      });
    }
  }
}
