import { posix } from 'node:path';
import { SlimGoError } from '../errors';
import { inFolder } from '../go/packages';
import { type DockerfileDescription, describeDockerfile } from '../image/dockerfile/describe';
import { parseLayoutContext } from '../image/layout-context';
import { formatPlatform } from '../platform';
import type { BuildPlan } from './build-target';
import { contextInputs, readsFolder } from './image-inputs';
import { globLiteral, type Input } from './inputs';
import type { GoProject } from './projects';
import { isStringRecord, type Options, type TargetSources, type Targets, workspacePath } from './sources';

export function imageTargets(project: GoProject, build: BuildPlan, sources: TargetSources): Targets {
  const { dockerfile, imageOptions } = build;
  const text = sources.readText(dockerfile);
  if (text === undefined) return {};
  const imageName = sources.options.imageTargetName ?? 'image';
  const dockerBuildName = sources.options.dockerBuildTargetName ?? 'docker-build';
  const dockerRunName = sources.options.dockerRunTargetName ?? 'docker-run';
  const dockerPushName = sources.options.dockerPushTargetName ?? 'docker-push';
  const verifyReproName = sources.options.verifyReproTargetName ?? 'verify-repro';
  const updateBaseName = sources.options.updateBaseTargetName ?? 'update-base';
  const context = workspacePath(project, imageOptions.context) ?? project.root;
  const read = readDockerfile(text, dockerfile, imageOptions, sources);
  const output = posix.relative(context, build.outputDir);
  const usesBuild =
    !output.startsWith('..') &&
    read.contextSources.some((source) => {
      const reads = readsFolder(source, output);
      return reads === 'named' || (reads === 'covered' && !read.needsEngine);
    });
  const ignoreFiles = [`${dockerfile}.dockerignore`, inFolder(context, '.dockerignore')];
  const ignore = ignoreFiles.map(sources.readText).find((found) => found !== undefined);
  const recipe = [dockerfile, ...ignoreFiles];
  const linux = build.platforms.filter(({ os }) => os === 'linux');
  const platforms = linux.length > 0 ? linux : build.platforms;
  const systems = [...new Set(platforms.map(({ os }) => os))];
  const copied = read.contextSources.filter((source) => readsFolder(source, output) !== 'named' || !usesBuild);
  const inputs: Input[] = [
    ...recipe.map((file) => `{workspaceRoot}/${globLiteral(file)}`),
    ...contextInputs(
      context,
      copied,
      ignore,
      recipe.map((file) => posix.relative(context, file)),
    ),
    ...baseInputs(project, read.images, imageOptions),
    // What a target writes is never a source.
    ...(copied.some((source) => readsFolder(source, output) === 'covered')
      ? [`!{workspaceRoot}/${globLiteral(build.outputDir)}/**/*`]
      : []),
    ...(usesBuild
      ? [
          {
            dependentTasksOutputFiles:
              systems.length === 1 ? `**/${systems[0]}/**/*` : `**/{${systems.join(',')}}/**/*`,
          },
        ]
      : []),
    { env: 'SOURCE_DATE_EPOCH' },
    // The label `source`.
    { runtime: 'git config --get remote.origin.url || echo none' },
    { externalDependencies: [] },
  ];
  const technologies = ['go', 'docker'];
  const help = (target: string, options: Options) => ({
    command: `npx nx run ${project.name}:${target} --help`,
    example: { options },
  });
  const ofImage = {
    dependsOn: [imageName],
    // Never hashed for a cache: `nx affected` selects by them, so they are the image's.
    inputs: [{ dependentTasksOutputFiles: '**/image/image.json' }, { externalDependencies: [] }],
    options: {},
    configurations: { release: {} },
  };
  return {
    [imageName]: {
      executor: 'slim-go:image',
      cache: true,
      ...(usesBuild ? { dependsOn: [build.name] } : {}),
      options: { platforms: platforms.map(formatPlatform) },
      configurations: { release: { stamp: true } },
      inputs,
      // The files, not their folder: what another run is writing there must not come into the cache, nor be removed by it.
      outputs: ['{projectRoot}/dist/image/image.tar', '{projectRoot}/dist/image/image.json'],
      metadata: {
        technologies,
        description: 'Builds the image that the Dockerfile describes into dist/image/image.tar',
        help: help(imageName, { tags: ['latest'] }),
      },
    },
    [dockerBuildName]: {
      executor: 'slim-go:docker-build',
      cache: false,
      ...ofImage,
      metadata: {
        technologies,
        description: 'Leaves the container engine with exactly this image under its tags',
        help: help(dockerBuildName, { load: true }),
      },
    },
    [dockerRunName]: {
      executor: 'slim-go:docker-run',
      cache: false,
      ...(read.exposes.length > 0 ? { continuous: true } : {}),
      ...ofImage,
      metadata: {
        technologies,
        description: 'Runs the image in the container engine; what follows the target goes to the program',
        help: help(
          dockerRunName,
          read.exposes.length > 0 ? { ports: [`8080:${Number.parseInt(read.exposes[0]!, 10)}`] } : { args: ['--help'] },
        ),
      },
    },
    [dockerPushName]: {
      executor: 'slim-go:docker-push',
      cache: false,
      ...ofImage,
      metadata: {
        technologies,
        description: 'Sends the image to its registry, without a container engine',
        help: help(dockerPushName, { repository: `ghcr.io/acme/${project.name}` }),
      },
    },
    [verifyReproName]: {
      executor: 'slim-go:verify-repro',
      cache: false,
      dependsOn: [imageName],
      options: imageName === 'image' ? {} : { imageTarget: imageName },
      configurations: { release: {} },
      metadata: {
        technologies,
        description: 'Builds the image again elsewhere, with empty caches, and compares every digest',
        help: help(verifyReproName, {}),
      },
    },
    ...(read.images.length > 0 && !read.needsEngine
      ? {
          [updateBaseName]: {
            executor: 'slim-go:update-base',
            cache: false,
            options: imageName === 'image' ? {} : { imageTarget: imageName },
            metadata: {
              technologies,
              description: 'Pins the base images to what their tags stand for now, in image.lock.json',
              help: help(updateBaseName, {}),
            },
          },
        }
      : {}),
  };
}

/** What decides which base images are meant: the pins, and folders in OCI layout. */
function baseInputs(project: GoProject, images: readonly string[], { buildContexts }: Options): Input[] {
  if (images.length === 0) return [];
  const layouts = Object.values(isStringRecord(buildContexts) ? buildContexts : {}).flatMap((context) => {
    try {
      const layout = parseLayoutContext(context);
      return layout ? [`{workspaceRoot}/${globLiteral(layout.folder)}/**/*`] : [];
    } catch {
      // The executor says what is wrong.
      return [];
    }
  });
  return [`{workspaceRoot}/${globLiteral(inFolder(project.root, 'image.lock.json'))}`, ...layouts];
}

/** A Dockerfile that can't be read still has its targets: the executor says what is wrong. It then depends on all. */
function readDockerfile(
  text: string,
  file: string,
  options: Options,
  { warn }: TargetSources,
): Pick<DockerfileDescription, 'exposes' | 'needsEngine' | 'contextSources' | 'images'> {
  try {
    const read = describeDockerfile(text, file, {
      ...(typeof options.target === 'string' ? { target: options.target } : {}),
      ...(isStringRecord(options.buildArgs) ? { buildArgs: options.buildArgs } : {}),
    });
    // A bind mount reads the context without a COPY.
    const mounts = /--mount=(?!\S*type=(?:cache|secret|ssh|tmpfs))/.test(text);
    return mounts ? { ...read, contextSources: ['.'] } : read;
  } catch (error) {
    if (!(error instanceof SlimGoError)) throw error;
    warn(error.message);
    return { exposes: [], needsEngine: false, contextSources: ['.'], images: [] };
  }
}
