import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { SlimGoError } from '../../errors';
import {
  type CompressedLayers,
  type Compression,
  describePushable,
  makePushable,
  type PushableImage,
} from '../../image/pushable';
import type { ImageRecord } from '../../image/record';
import { readRecord } from '../../image/record-file';
import { formatReference, parseReference, type Reference } from '../../image/reference';
import { replaceFile, writeAt } from '../../image/replace-file';
import type { RegistryClient } from '../../registry/client';
import { pushImage, tagImage } from '../../registry/push';
import { ProgressLine } from '../progress-line';
import { currentProject, imageFiles } from '../project';
import { repositoryOf, tagReferences } from '../references';
import { registryClient } from '../registry-client';
import { formatDuration, formatSize } from '../report';
import { batchExecutorOf, eachTask, executorOf, type Task, type Work } from '../task';
import type * as Attest from './attest';
import { BlobHolders } from './holders';
import type { DockerPushOptions } from './schema';
import { fillTags } from './tags';

/** A blob of so many bytes is worth a line of its own. */
const worthALine = 5_000_000;

type Options = Required<Omit<DockerPushOptions, 'repository'>> & Pick<DockerPushOptions, 'repository'>;

/** push.json: where the image is, by digest, and what its layers were compressed to. */
interface PushRecord {
  readonly references: readonly string[];
  readonly compression: Compression;
  readonly layers: CompressedLayers;
  /** Images that have their attachments: `<repository>@<digest>`. */
  readonly attested: readonly string[];
}

/** So many images are compressed and sent at once: compressing takes a core, sending waits. */
const imagesAtOnce = () => 2 * availableParallelism();

/** Sends the images of the `image` targets to their registries: what is lacking there, and the tags last. */
const push: Work<Options> = (tasks, signal, done) => {
  const registries = new Registries(signal);
  return eachTask(tasks, imagesAtOnce(), done, (task) => pushOne(task, registries, signal));
};

/** `slim-go:docker-push` */
export default executorOf(push);

/** `slim-go:docker-push` of many projects in one process. */
export const batch = batchExecutorOf(push);

/** Whoever was let in once is let in for all tasks of a run. */
class Registries {
  private readonly clients = new Map<string, RegistryClient>();

  constructor(private readonly signal: AbortSignal) {}

  client(domain: string, { options: { plainHttp }, env }: Task<Options>): RegistryClient {
    const key = JSON.stringify([domain, plainHttp, env]);
    const client = this.clients.get(key) ?? registryClient(domain, 'push', plainHttp, env, this.signal);
    this.clients.set(key, client);
    return client;
  }
}

async function pushOne(task: Task<Options>, registries: Registries, signal: AbortSignal): Promise<void> {
  const { options, context, env, print } = task;
  const started = performance.now();
  const project = currentProject(context);
  const files = imageFiles(project);
  const record = await readRecord(files.record, files.archive);
  const tags = fillTags(options.tags, { project: project.name, folder: context.root, env });
  const references = referencesOf(record.references, options.repository, tags);
  const report = (digest: string, how: string): void => {
    for (const reference of references) print(`${byDigest(reference, digest)}\n`);
    print(`${how}, ${formatDuration(performance.now() - started)}\n`);
  };
  if (options.dryRun) {
    for (const reference of references) print(`${formatReference(reference)}: would be pushed\n`);
    return;
  }
  const clients = new Map(references.map(({ domain }) => [domain, registries.client(domain, task)]));

  const { archive } = files;
  const { compression } = options;
  const last = readPush(files.pushed, compression);
  const known = describePushable({ record, archive, compression, known: last.layers });
  const isAttested = (digest: string) => references.every((it) => last.attested.includes(withoutTag(it, digest)));
  if (known && (!options.attest || isAttested(known.root.descriptor.digest))) {
    const counts = await Promise.all(
      [...clients].map(([domain, client]) =>
        tagImage(
          client,
          known.root,
          references.filter((reference) => reference.domain === domain),
        ),
      ),
    );
    if (!counts.includes(undefined)) {
      const isRetagged = counts.some((count) => count! > 0);
      return report(known.root.descriptor.digest, isRetagged ? 'already there, re-tagged' : 'already there');
    }
  }

  const folder = mkdtempSync(join(tmpdir(), 'slim-go-push-'));
  try {
    const { image, layers } = await makePushable({ record, archive, compression }, folder, signal);
    const attachments = options.attest ? attachmentsOf(task, record, image, references[0]!) : undefined;
    let sentBytes = 0;
    const progress = new ProgressLine(
      'pushing',
      image.blobs.reduce((sum, { descriptor }) => sum + descriptor.size, 0) * clients.size,
    );
    const holders = new BlobHolders(context.root);
    try {
      for (const [domain, client] of clients) {
        await pushImage({
          client,
          image,
          references: references.filter((reference) => reference.domain === domain),
          holderOf: (digest) => holders.of(domain, digest),
          ...(attachments ? { attachments } : {}),
          onBlob: (repository, digest, sizeBytes) => {
            sentBytes += sizeBytes;
            progress.clear();
            if (sizeBytes >= worthALine) {
              print(`${domain}/${repository}: sent ${formatSize(sizeBytes)} (${digest.slice(0, 19)})\n`);
            }
          },
          onSent: (sizeBytes) => progress.add(sizeBytes),
          signal,
        });
      }
    } finally {
      progress.clear();
    }
    holders.save(references, image.blobs);
    const { digest } = image.root.descriptor;
    const pushed: PushRecord = {
      references: references.map((it) => byDigest(it, digest)),
      compression,
      layers,
      attested: attachments ? [...new Set(references.map((it) => withoutTag(it, digest)))] : [],
    };
    const bytes = Buffer.from(`${JSON.stringify(pushed, null, 2)}\n`);
    await replaceFile(files.pushed, async (handle) => writeAt(handle, bytes, 0), signal);
    report(digest, `pushed ${formatSize(sentBytes)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function attachmentsOf({ context }: Task<Options>, ...image: [ImageRecord, PushableImage, Reference]) {
  // Loaded here: it reads programs, which a push alone does not.
  const { attest } = require('./attest') as typeof Attest;
  return attest(context, ...image);
}

/** @throws REFERENCE_INVALID where no registry is named */
function referencesOf(
  own: readonly string[],
  repository: string | undefined,
  tags: readonly string[],
): readonly Reference[] {
  const base = repository ?? repositoryOf(own[0] ?? '');
  const ownTags = own.map((reference) => parseReference(reference).tag ?? 'latest');
  const texts =
    repository === undefined ? [...own, ...tagReferences(base, tags)] : tagReferences(base, [...ownTags, ...tags]);
  const references = new Map(texts.map((text) => [formatReference(parseReference(text)), parseReference(text)]));
  const homeless = [...references.values()].find(
    ({ domain, path }) => domain === 'docker.io' && path.startsWith('library/'),
  );
  if (homeless) {
    throw new SlimGoError(
      'REFERENCE_INVALID',
      `${formatReference(homeless)} is nobody's to push to: no registry is named.`,
      {
        hint: 'Set "repository" of docker-push, or "reference" of the image target, for example to ghcr.io/acme/hello.',
      },
    );
  }
  return [...references.values()];
}

function readPush(file: string, compression: Compression): Pick<PushRecord, 'layers' | 'attested'> {
  try {
    const last = JSON.parse(readFileSync(file, 'utf8')) as Partial<PushRecord>;
    return { layers: last.compression === compression ? (last.layers ?? {}) : {}, attested: last.attested ?? [] };
  } catch {
    // Nothing was pushed yet.
    return { layers: {}, attested: [] };
  }
}

function byDigest({ domain, path, tag }: Reference, digest: string): string {
  return `${formatReference({ domain, path, ...(tag === undefined ? {} : { tag }) })}@${digest}`;
}

function withoutTag({ domain, path }: Reference, digest: string): string {
  return formatReference({ domain, path, digest });
}
