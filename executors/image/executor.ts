import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { SlimGoError } from '../../errors';
import { readNeeds } from '../../go/needs';
import { writeArchive } from '../../image/archive';
import { type BuildContext, openContext } from '../../image/context';
import { type BaseImages, type DockerfilePlan, planDockerfile } from '../../image/dockerfile/plan';
import { buildEmbedded, type EmbeddedImage } from '../../image/embedded';
import type { Image } from '../../image/image';
import { findEntrypoint, type ImageFiles, lacksOf } from '../../image/lacks';
import { treeOfLayers } from '../../image/layer-tree';
import type { ImageRecord } from '../../image/record';
import { writeRecord } from '../../image/record-file';
import { parseReference, repositoryFromName } from '../../image/reference';
import { formatPlatform, hostContainerPlatform, type Platform, parsePlatform } from '../../platform';
import { type AskGit, git, gitOnce } from '../git';
import { currentProject, imageFiles } from '../project';
import { repositoryOf, tagReferences } from '../references';
import { sourceDateEpoch } from '../release';
import { formatDuration, formatSize, formatWarning } from '../report';
import { batchExecutorOf, eachTask, executorOf, type Task, type Work } from '../task';
import type * as BasesModule from './bases';
import type * as Docker from './docker';
import { imageLabels } from './labels';
import type { ImageOptions } from './schema';

/** With the schema's defaults. */
export type ImageTargetOptions = ImageOptions &
  Required<
    Pick<
      ImageOptions,
      'engine' | 'buildArgs' | 'buildContexts' | 'ignoreWarnings' | 'plainHttp' | 'labels' | 'stamp' | 'progress'
    >
  >;

/** What the image is made of, with every path absolute. */
export interface ResolvedImage {
  readonly dockerfile: string;
  /** How messages name the Dockerfile: relative to the workspace. */
  readonly dockerfileName: string;
  readonly text: string;
  readonly context: BuildContext;
  readonly engine: 'auto' | 'embedded' | 'docker';
  readonly platforms: readonly Platform[];
  readonly references: readonly string[];
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: string | undefined;
  readonly quiet: boolean;
  readonly createdSeconds: number;
  readonly archive: string;
  readonly record: string;
  /** image.lock.json. */
  readonly lock: string;
  readonly workspace: string;
  readonly buildContexts: Readonly<Record<string, string>>;
  readonly plainHttp: boolean;
}

/** Each image into image.tar and image.json; as many at once as there are cores. */
const buildImages: Work<ImageTargetOptions> = (tasks, signal, done) => {
  const shared: Shared = { git: gitOnce(), bases: new Map() };
  return eachTask(tasks, availableParallelism(), done, (task) => buildImage(task, shared, signal));
};

/** `slim-go:image`: builds the image that the Dockerfile describes into image.tar and image.json. */
export default executorOf(buildImages);

/** `slim-go:image` of many projects in one process. */
export const batch = batchExecutorOf(buildImages);

/** What the tasks of a run have in common. */
interface Shared {
  readonly git: AskGit;
  /** Base images that were loaded, by the cache's folder. */
  readonly bases: Map<string, BasesModule.BaseStore>;
}

async function buildImage(task: Task<ImageTargetOptions>, shared: Shared, signal: AbortSignal): Promise<void> {
  const clock = new Clock();
  const resolved = resolveImage(task, shared.git);
  const plans = planPlatforms(resolved);
  clock.lap('read');
  mkdirSync(join(resolved.archive, '..'), { recursive: true });
  // Beside the outputs, so that what an engine built is on the disk where it is going to be; never left there.
  const scratch = mkdtempSync(join(resolved.archive, '..', '.build-'));
  try {
    const baseImages = await loadBases(task, resolved, plans, shared, scratch, signal);
    // What an instruction means depends on the base's configuration.
    const whole = baseImages ? planPlatforms(resolved, baseImages) : plans;
    const needsEngine = resolved.engine === 'auto' && whole.some(({ unsupported }) => unsupported.length > 0);
    const engine = needsEngine ? 'docker' : resolved.engine;
    const images: readonly (Image | EmbeddedImage)[] =
      engine === 'docker'
        ? await buildWithEngine(task, resolved, whole, scratch, signal)
        : await Promise.all(whole.map((plan) => buildEmbedded(plan, resolved.context, baseImages)));
    clock.lap(engine === 'docker' ? 'docker build' : 'assemble');
    const record = await writeArchive({
      images,
      references: resolved.references,
      file: resolved.archive,
      hostPlatform: hostContainerPlatform(),
      createdSeconds: resolved.createdSeconds,
      signal,
    });
    await writeRecord(resolved.record, record, signal);
    clock.lap('write');
    const built = images.map((image) => ({ image, tree: 'tree' in image ? image.tree : treeOfLayers(image.layers) }));
    for (const line of report(record, built, relative(task.context.root, resolved.archive), clock)) {
      task.print(`${line}\n`);
    }
    for (const warning of await warnings(built, task)) task.print(warning, 'stderr');
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @throws DOCKERFILE_MISSING, CONTEXT_INVALID, PLATFORM_INVALID, REFERENCE_INVALID, OPTION_INVALID */
export function resolveImage(
  { options, context, env }: Pick<Task<ImageTargetOptions>, 'options' | 'context' | 'env'>,
  ask: AskGit = git,
): ResolvedImage {
  const project = currentProject(context);
  const dockerfile = resolve(context.root, options.dockerfile ?? join(project.root, 'Dockerfile'));
  const dockerfileName = relative(context.root, dockerfile);
  const text = readDockerfile(dockerfile, dockerfileName);
  const folder = resolve(context.root, options.context ?? project.root);
  if (!isInside(context.root, folder)) {
    throw new SlimGoError('CONTEXT_INVALID', `The build context "${options.context}" lies outside of the workspace.`, {
      hint: 'Its files would be no part of the cache key. Name a folder in the workspace; "." is its root.',
    });
  }
  const reference = options.reference ?? repositoryFromName(project.name);
  const hasTag = parseReference(reference).tag !== 'latest' || reference.endsWith(':latest');
  const repository = repositoryOf(reference);
  const tags = options.tags ?? (hasTag ? [] : ['latest']);
  const platforms = options.platforms?.length ? options.platforms.map(parsePlatform) : [hostContainerPlatform()];
  return {
    dockerfile,
    dockerfileName,
    text,
    context: openContext(folder, dockerfile),
    engine: options.engine,
    platforms: [...new Map(platforms.map((platform) => [formatPlatform(platform), platform])).values()],
    references: [...new Set([...(hasTag ? tagReferences('', [reference]) : []), ...tagReferences(repository, tags)])],
    buildArgs: options.buildArgs,
    labels: {
      ...imageLabels({ project: project.name, folder: context.root, env }, options.stamp, ask),
      ...options.labels,
    },
    target: options.target,
    quiet: options.progress === 'quiet',
    createdSeconds: sourceDateEpoch(env.SOURCE_DATE_EPOCH) ?? 0,
    ...imageFiles(project),
    workspace: context.root,
    buildContexts: options.buildContexts,
    plainHttp: options.plainHttp,
  };
}

/** Whether a folder is the workspace or in it, by its name and, where it exists, through the links on its way. */
function isInside(workspace: string, folder: string): boolean {
  const leadsOut = (way: string): boolean => way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way);
  if (leadsOut(relative(workspace, folder))) return false;
  return !existsSync(folder) || !leadsOut(relative(realpathSync(workspace), realpathSync(folder)));
}

function readDockerfile(dockerfile: string, name: string): string {
  try {
    return readFileSync(dockerfile, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SlimGoError(
      'DOCKERFILE_MISSING',
      `${name}: ${code === 'ENOENT' ? 'there is no such Dockerfile' : code}.`,
      {
        hint: 'Write one, or name yours in the option "dockerfile" of the image target. A Go binary needs four lines:\n\n  FROM scratch\n  ARG TARGETPLATFORM\n  COPY dist/${TARGETPLATFORM}/hello /hello\n  ENTRYPOINT ["/hello"]',
        cause: error,
      },
    );
  }
}

/**
 * What each platform's image takes.
 * @throws DOCKERFILE_INVALID
 */
export function planPlatforms(
  resolved: Pick<ResolvedImage, 'text' | 'dockerfileName' | 'buildArgs' | 'labels' | 'target' | 'platforms'>,
  baseImages?: BaseImages,
): readonly DockerfilePlan[] {
  const { text, dockerfileName: file, buildArgs, labels, target } = resolved;
  return resolved.platforms.map((platform) =>
    planDockerfile({
      text,
      file,
      platform,
      buildArgs,
      labels,
      ...(target === undefined ? {} : { target }),
      ...(baseImages === undefined ? {} : { baseImages }),
    }),
  );
}

/** Undefined where there are none, or where a container engine will do all of it. */
async function loadBases(
  { env, print }: Task<ImageTargetOptions>,
  resolved: ResolvedImage,
  plans: readonly DockerfilePlan[],
  { bases }: Shared,
  scratch: string,
  signal: AbortSignal,
): Promise<BaseImages | undefined> {
  const isEngines = resolved.engine === 'docker' || plans.some(({ unsupported }) => unsupported.length > 0);
  if (isEngines || plans.every((plan) => plan.bases.length === 0)) return undefined;
  // Loaded here: an image from scratch needs no registry.
  const { Bases, BaseStore } = require('./bases') as typeof BasesModule;
  const store = BaseStore.of(env, bases);
  return new Bases({ ...resolved, env, print, store, signal }).load(plans, scratch);
}

async function buildWithEngine(
  task: Task<ImageTargetOptions>,
  resolved: ResolvedImage,
  plans: readonly DockerfilePlan[],
  scratch: string,
  signal: AbortSignal,
): Promise<readonly Image[]> {
  // Loaded here: without an engine, what talks to one would be half of what has to be read before the first file is packed.
  const { buildInDocker } = require('./docker') as typeof Docker;
  const [context] = Object.keys(resolved.buildContexts);
  if (context !== undefined) {
    throw new SlimGoError('OPTION_INVALID', `The build context "${context}" is for the embedded engine only.`, {
      hint: 'Take it out of "buildContexts", and give the container engine an image of that name.',
    });
  }
  const images: Image[] = [];
  for (const plan of plans) {
    const folder = join(scratch, String(images.length));
    mkdirSync(folder);
    images.push(await buildInDocker(resolved, plan, { ...task, folder, signal }));
  }
  return images;
}

function report(record: ImageRecord, images: readonly ImageFiles[], archive: string, clock: Clock): string[] {
  const lines = record.platforms.map(({ platform, sizeBytes, imageId }, index) => {
    const binaryBytes = findEntrypoint(images[index]!)?.sizeBytes;
    const binary = binaryBytes === undefined ? '' : ` (binary ${formatSize(binaryBytes)})`;
    return `${record.references.join(', ')}  ${platform}  ${formatSize(sizeBytes)}${binary}  ${imageId}`;
  });
  return [...lines, `${archive}  ${clock}`];
}

/** Says what will fail when the image runs; the same of several platforms once. */
async function warnings(
  images: readonly ImageFiles[],
  { options, context }: Task<ImageTargetOptions>,
): Promise<ReadonlySet<string>> {
  const said = new Set<string>();
  for (const files of images) {
    const program = findEntrypoint(files);
    if (program === undefined) continue;
    for (const { kind, message, cure } of lacksOf(files, await readNeeds(program))) {
      if (options.ignoreWarnings.includes(kind)) continue;
      said.add(formatWarning(`${currentProject(context).name} (${kind}): ${message}.`, cure));
    }
  }
  return said;
}

/** How long each step took. */
class Clock {
  private last = performance.now();
  private readonly laps: string[] = [];

  lap(step: string): void {
    const now = performance.now();
    this.laps.push(`${step} ${formatDuration(now - this.last)}`);
    this.last = now;
  }

  toString(): string {
    return this.laps.join(', ');
  }
}
