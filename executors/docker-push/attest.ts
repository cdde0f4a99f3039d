import { spawnSync } from 'node:child_process';
import type { ExecutorContext } from '@nx/devkit';
import { componentsOf, findPrograms } from '../../attest/components';
import { provenance } from '../../attest/provenance';
import { cycloneDx, type SbomSubject, spdx } from '../../attest/sbom';
import { readContent } from '../../image/content';
import { layersOf, type PushableImage } from '../../image/pushable';
import type { ImageRecord } from '../../image/record';
import type { Reference } from '../../image/reference';
import type { Attachment } from '../../registry/referrers';
import { git, webAddress } from '../git';
import { pinned, readPins } from '../image/lock';
import { currentProject, imageFiles } from '../project';

/**
 * What is attached to an image: of each platform two bills of materials, of the whole one statement of provenance.
 * @returns by digest of the manifest or index that it speaks of
 */
export function attest(
  context: ExecutorContext,
  record: ImageRecord,
  image: PushableImage,
  { domain, path: name }: Reference,
): ReadonlyMap<string, readonly Attachment[]> {
  const project = currentProject(context);
  const { archive, lock } = imageFiles(project);
  const moduleCache = goModuleCache(context.root);
  const manifests = image.manifests.length > 0 ? image.manifests : [image.root];
  const attachments = new Map<string, Attachment[]>();
  for (const [index, platform] of record.platforms.entries()) {
    const { digest } = manifests[index]!.descriptor;
    const programs = findPrograms(layersOf(platform, archive));
    const components = componentsOf(programs, moduleCache);
    const createdSeconds = createdOf(image, platform.imageId);
    const subject: SbomSubject = {
      name,
      digest,
      platform: platform.platform,
      programs,
      components,
      createdSeconds,
    };
    attachments.set(digest, [
      { artifactType: 'application/vnd.cyclonedx+json', content: cycloneDx(subject) },
      { artifactType: 'application/spdx+json', content: spdx(subject) },
    ]);
  }
  const { digest } = image.root.descriptor;
  const remote = git(context.root, ['config', '--get', 'remote.origin.url']);
  const content = provenance({
    name: `${domain}/${name}`,
    digest,
    project: project.name,
    target: 'image',
    platforms: record.platforms.map(({ platform }) => platform),
    source: remote === undefined ? undefined : webAddress(remote),
    commit: git(context.root, ['rev-parse', 'HEAD']),
    isModified: git(context.root, ['status', '--porcelain']) !== undefined,
    bases: Object.fromEntries(Object.entries(readPins(lock)).map(([reference, pin]) => [reference, pinned(pin)])),
    env: process.env,
  });
  const statement: Attachment = {
    artifactType: 'application/vnd.in-toto+json',
    content,
    annotations: { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v1' },
  };
  attachments.set(digest, [...(attachments.get(digest) ?? []), statement]);
  return attachments;
}

/** Seconds since 1970 that the image itself says. */
function createdOf(image: PushableImage, imageId: string): number {
  const config = image.blobs.find(({ descriptor }) => descriptor.digest === imageId)!;
  const { created } = JSON.parse(Buffer.from(readContent(config.content)).toString('utf8')) as { created: string };
  return Date.parse(created) / 1000;
}

/** Undefined where there is no Go: then nobody tells about licences. */
function goModuleCache(cwd: string): string | undefined {
  const { stdout } = spawnSync('go', ['env', 'GOMODCACHE'], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return stdout?.trim() || undefined;
}
