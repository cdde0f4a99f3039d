import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { type CompressedLayers, describePushable, makePushable } from '../../image/pushable';
import { readRecord } from '../../image/record-file';
import { formatReference, parseReference, type Reference } from '../../image/reference';
import { replaceFile, writeAt } from '../../image/replace-file';
import { RegistryClient } from '../../registry/client';
import { findCredentials } from '../../registry/credentials';
import { isTagged, pushImage } from '../../registry/push';
import { currentProject, imageFiles } from '../project';
import { repositoryOf, tagReferences } from '../references';
import { formatDuration, formatSize, runExecutor } from '../report';
import type { DockerPushOptions } from './schema';
import { fillTags } from './tags';

/** push.json: where the image is, by digest, and what its layers were compressed to. */
interface PushRecord {
  readonly references: readonly string[];
  readonly layers: CompressedLayers;
}

/** Sends the image of the `image` target to a registry: what is lacking there, and the tags last. */
export default function dockerPush(
  options: DockerPushOptions,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  return runExecutor(async (signal) => {
    const started = performance.now();
    const files = imageFiles(currentProject(context));
    const record = await readRecord(files.record, files.archive);
    const tags = fillTags(options.tags ?? [], process.env, context.root);
    const references = referencesOf(record.references, options.repository, tags);
    if (options.dryRun) {
      for (const reference of references) console.log(`${formatReference(reference)}: would be pushed`);
      return { success: true };
    }
    const clients = new Map<string, RegistryClient>();
    for (const { domain } of references) {
      const credentials = () => findCredentials(domain, { env: process.env, home: homedir() });
      clients.set(domain, new RegistryClient({ domain, credentials, plainHttp: options.plainHttp ?? false, signal }));
    }

    const { archive } = files;
    const known = readLayers(files.pushed);
    const expected = describePushable({ record, archive, known })?.root.descriptor.digest;
    const unchanged =
      expected !== undefined &&
      (await Promise.all(references.map((it) => isTagged(clients.get(it.domain)!, it, expected)))).every(Boolean);
    if (unchanged) return report(references, expected, `already there, ${formatDuration(performance.now() - started)}`);

    const folder = mkdtempSync(join(tmpdir(), 'slim-go-push-'));
    try {
      const { image, layers } = await makePushable({ record, archive }, folder, signal);
      let sentBytes = 0;
      for (const [domain, client] of clients) {
        await pushImage({
          client,
          image,
          references: references.filter((reference) => reference.domain === domain),
          onBlob: (_repository, _digest, sizeBytes) => {
            sentBytes += sizeBytes;
          },
          signal,
        });
      }
      const { digest } = image.root.descriptor;
      const pushed: PushRecord = { references: references.map((it) => byDigest(it, digest)), layers };
      const bytes = Buffer.from(`${JSON.stringify(pushed, null, 2)}\n`);
      await replaceFile(files.pushed, async (handle) => writeAt(handle, bytes, 0), signal);
      return report(
        references,
        digest,
        `pushed ${formatSize(sentBytes)}, ${formatDuration(performance.now() - started)}`,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
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

function readLayers(file: string): CompressedLayers {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as PushRecord).layers ?? {};
  } catch {
    // Nothing was pushed yet.
    return {};
  }
}

function byDigest({ domain, path, tag }: Reference, digest: string): string {
  return `${formatReference({ domain, path, ...(tag === undefined ? {} : { tag }) })}@${digest}`;
}

function report(references: readonly Reference[], digest: string, how: string): { success: true } {
  for (const reference of references) console.log(byDigest(reference, digest));
  console.log(how);
  return { success: true };
}
