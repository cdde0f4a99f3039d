import { posix } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from '@nx/devkit';
import { SlimGoError } from '../errors';
import { closureOf } from '../go/closure';
import { depsPath, moduleState, packageKey, parseDeps } from '../go/deps';
import { type GoTree, inFolder, isWithin, type Module, type ModuleContext, versionFiles } from '../go/packages';
import { type DockerfileDescription, describeDockerfile } from '../image/dockerfile/describe';
import { parseLayoutContext } from '../image/layout-context';
import { formatPlatform, hostContainerPlatform, hostPlatform, type Platform, parsePlatform } from '../platform';
import { contextInputs, readsFolder } from './image-inputs';
import { compileInputs, globLiteral, type Input, moduleInputs, testFileInputs } from './inputs';
import type { GoProject } from './projects';

/** Options of the plugin in nx.json: what its targets are called. */
export interface PluginOptions {
  readonly buildTargetName?: string;
  readonly testTargetName?: string;
  readonly lintTargetName?: string;
  readonly formatTargetName?: string;
  readonly tidyTargetName?: string;
  readonly imageTargetName?: string;
  readonly dockerBuildTargetName?: string;
  readonly dockerRunTargetName?: string;
  readonly dockerPushTargetName?: string;
  readonly updateBaseTargetName?: string;
  readonly verifyReproTargetName?: string;
}

/** What targets are made from, beside the project itself. */
export interface TargetSources {
  readonly tree: GoTree;
  readonly options: PluginOptions;
  readonly nxJson: NxJsonConfiguration;
  /** A file's text, by its path from the workspace root; undefined where there is none. */
  readonly readText: (file: string) => string | undefined;
  readonly warn: (message: string) => void;
  /** Whether this Nx takes fields of a JSON file for inputs, and `nx affected` with them: from 24 on. */
  readonly jsonInputs: boolean;
}

type Targets = Record<string, TargetConfiguration>;
type Options = Readonly<Record<string, unknown>>;

/** The targets of a project: see "Targets that a Go project gets" in ARCHITECTURE.md. */
export function targetsOf(project: GoProject, sources: TargetSources): Targets {
  const build = buildTarget(project, sources);
  return {
    ...build?.targets,
    ...commandTargets(project, sources),
    ...(build ? imageTargets(project, build, sources) : {}),
  };
}

interface BuildPlan {
  readonly targets: Targets;
  readonly name: string;
  readonly platforms: readonly Platform[];
  /** From the workspace root. */
  readonly outputDir: string;
  readonly dockerfile: string;
  readonly imageOptions: Options;
}

function buildTarget(project: GoProject, sources: TargetSources): BuildPlan | undefined {
  const name = sources.options.buildTargetName ?? 'build';
  const imageOptions = statedOptions(project, sources, sources.options.imageTargetName ?? 'image', 'slim-go:image');
  const stated = statedOptions(project, sources, name, 'slim-go:build');
  const main = mainDir(project, stated, sources.tree);
  if (main === undefined) return undefined;
  const dockerfile = workspacePath(project, imageOptions.dockerfile) ?? inFolder(project.root, 'Dockerfile');
  const isImage = sources.readText(dockerfile) !== undefined;
  const defaults = [isImage ? hostContainerPlatform() : hostPlatform()];
  const platforms =
    strings(stated.platforms).length > 0 ? readPlatforms(strings(stated.platforms), defaults) : defaults;
  const cgo = stated.cgo === true || stated.race === true;
  const outputDir = workspacePath(project, stated.outputPath) ?? inFolder(project.root, 'dist');
  const closure = closureOf(sources.tree, {
    dirs: [main],
    module: project.module,
    platforms,
    // `env` may turn it on as well.
    cgo: cgo ? true : stated.env === undefined ? false : undefined,
    tags: strings(stated.buildTags),
    tests: false,
    staysOutside: staysOutside(project.module, sources),
  });
  const target: TargetConfiguration = {
    executor: 'slim-go:build',
    cache: true,
    options: {
      platforms: platforms.map(formatPlatform),
      ...(main === project.root ? {} : { main: `{projectRoot}/${posix.relative(project.root, main)}` }),
    },
    configurations: { release: { vcs: true } },
    inputs: compileInputs(closure, {
      modules: moduleInputs(closure, knownDeps(project.module, sources)),
      platforms,
      tests: false,
      cgo: cgo || stated.env !== undefined,
      dottedNames: hasDottedNames(sources.tree, closure.dirs),
    }),
    outputs: platforms.map((platform) => `${outputRoot(project, outputDir)}/${formatPlatform(platform)}`),
    metadata: {
      technologies: ['go'],
      description: 'Compiles the program for each platform into dist/<os>/<arch>',
      help: { command: `npx nx help ${project.name}:${name}`, example: { options: { platforms: ['linux/amd64'] } } },
    },
  };
  return { targets: { [name]: target }, name, platforms, outputDir, dockerfile, imageOptions };
}

function imageTargets(project: GoProject, build: BuildPlan, sources: TargetSources): Targets {
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
    command: `npx nx help ${project.name}:${target}`,
    example: { options },
  });
  return {
    [imageName]: {
      executor: 'slim-go:image',
      cache: true,
      ...(usesBuild ? { dependsOn: [build.name] } : {}),
      options: { platforms: platforms.map(formatPlatform) },
      configurations: { release: { revision: true } },
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
      dependsOn: [imageName],
      // Never hashed for a cache: `nx affected` selects by them, so they are the image's.
      inputs: [{ dependentTasksOutputFiles: '**/image/image.json' }, { externalDependencies: [] }],
      options: {},
      configurations: { release: {} },
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
      dependsOn: [imageName],
      inputs: [{ dependentTasksOutputFiles: '**/image/image.json' }, { externalDependencies: [] }],
      options: {},
      configurations: { release: {} },
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
      dependsOn: [imageName],
      inputs: [{ dependentTasksOutputFiles: '**/image/image.json' }, { externalDependencies: [] }],
      options: {},
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

/** Targets that run the go command as it is. */
function commandTargets(project: GoProject, sources: TargetSources): Targets {
  const { tree, options } = sources;
  const patterns = packagePatterns(project).join(' ');
  const platforms = [hostPlatform()];
  const closure = closureOf(tree, {
    dirs: project.packages,
    module: project.module,
    platforms,
    cgo: undefined,
    tags: [],
    tests: true,
    staysOutside: staysOutside(project.module, sources),
  });
  const inputs = [
    ...testFileInputs(project.packages),
    ...compileInputs(closure, {
      modules: moduleInputs(closure, knownDeps(project.module, sources)),
      platforms,
      tests: true,
      cgo: true,
      dottedNames: false,
    }),
    { env: 'GOOS' },
    // A test runs here, and vet looks at the files of this platform.
    { runtime: 'go env GOHOSTOS GOHOSTARCH || echo no go' },
  ];
  const command = (name: string, line: string, description: string, rest: Partial<TargetConfiguration>) => ({
    [name]: {
      command: line,
      options: { cwd: '{projectRoot}' },
      ...rest,
      metadata: {
        technologies: ['go'],
        description,
        help: { command: line.split(' ').slice(0, 2).join(' ').replace('go ', 'go help '), example: {} },
      },
    },
  });
  const hasTests = project.packages.some((dir) => tree.package(dir)?.files.some(({ isTest }) => isTest));
  return {
    ...(hasTests
      ? command(options.testTargetName ?? 'test', `go test ${patterns}`, 'Runs the tests', { cache: true, inputs })
      : {}),
    ...command(options.lintTargetName ?? 'lint', `go vet ${patterns}`, 'Looks for mistakes with go vet', {
      cache: true,
      inputs,
    }),
    ...command(options.formatTargetName ?? 'format', `go fmt ${patterns}`, 'Formats the sources', { cache: false }),
    ...(project.root === project.module.dir
      ? command(options.tidyTargetName ?? 'tidy', 'go mod tidy', 'Brings go.mod and go.sum up to date', {
          cache: false,
        })
      : {}),
  };
}

/** What was found for each build's modules. */
const depsByContext = new WeakMap<ModuleContext, ReturnType<typeof readDeps>>();

function knownDeps(module: Module, sources: TargetSources): ReturnType<typeof readDeps> {
  const context = sources.tree.context(module);
  if (!depsByContext.has(context)) depsByContext.set(context, readDeps(context, sources));
  return depsByContext.get(context);
}

/** The go.deps.json of a build, if it is true to the module files. Vendored code is an input itself and needs none. */
function readDeps(context: ModuleContext, { jsonInputs, readText }: TargetSources) {
  const path = depsPath(context);
  const deps = jsonInputs && context.vendorDir === undefined ? parseDeps(readText(path)) : undefined;
  if (!deps) return undefined;
  const state = moduleState(context, readText);
  return deps.moduleFiles === state.moduleFiles && deps.go === state.go
    ? { path, deps, files: new Set(versionFiles(context)) }
    : undefined;
}

/** What a go.deps.json knows has versions only: init leaves out what leads to sources without one. */
function staysOutside(module: Module, sources: TargetSources): (importPath: string) => boolean {
  const packages = knownDeps(module, sources)?.deps.packages ?? {};
  return (importPath) => Object.hasOwn(packages, packageKey(importPath));
}

/** The project's packages for the go command, from its root: `./...` where nobody else's lie below. */
function packagePatterns(project: GoProject): string[] {
  const free = (dir: string) => !project.foreign.some((other) => isWithin(other, dir));
  const patterns = project.packages.map((dir) => {
    const parts = posix
      .relative(project.root, dir)
      .split('/')
      .filter((part) => part !== '');
    for (let length = 0; length <= parts.length; length++) {
      const ancestor = parts.slice(0, length).join('/');
      if (free(inFolder(project.root, ancestor))) return ancestor === '' ? './...' : `./${ancestor}/...`;
    }
    return parts.length === 0 ? '.' : `./${parts.join('/')}`;
  });
  return [...new Set(patterns)];
}

function hasDottedNames(tree: GoTree, dirs: readonly string[]): boolean {
  return dirs.some((dir) => tree.package(dir)?.files.some(({ name }) => /^[^.]*\..*_.*\.go$/.test(name)));
}

function mainDir(project: GoProject, stated: Options, tree: GoTree): string | undefined {
  const named = workspacePath(project, stated.main);
  if (named === undefined) return project.main;
  const dir = named.endsWith('.go') ? posix.dirname(named).replace(/^\.$/, '') : named;
  return tree.package(dir) ? dir : project.main;
}

/** Options as Nx will merge them: nx.json's defaults, then the project's own file. */
function statedOptions(project: GoProject, { nxJson }: TargetSources, target: string, executor: string): Options {
  const defaults = (nxJson.targetDefaults ?? {}) as Readonly<Record<string, unknown>>;
  const found = defaults[executor] ?? defaults[target];
  const ofDefaults = Array.isArray(found) ? {} : ((found as { options?: Options } | undefined)?.options ?? {});
  return { ...ofDefaults, ...project.stated?.targets?.[target]?.options };
}

/** An option that is a path, from the workspace root, '' being that; undefined where it isn't set. */
function workspacePath(project: GoProject, value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  const path = value
    .replaceAll('\\', '/')
    .replace('{projectRoot}', project.root || '.')
    .replace('{workspaceRoot}', '.')
    .replace('{projectName}', project.name);
  const normal = posix.normalize(path).replace(/\/$/, '');
  return normal === '.' ? '' : normal;
}

function outputRoot(project: GoProject, outputDir: string): string {
  if (!isWithin(outputDir, project.root)) return `{workspaceRoot}/${outputDir}`;
  const relative = posix.relative(project.root, outputDir);
  return relative === '' ? '{projectRoot}' : `{projectRoot}/${relative}`;
}

function readPlatforms(texts: readonly string[], fallback: readonly Platform[]): readonly Platform[] {
  try {
    return texts.map(parsePlatform);
  } catch {
    // The executor says which one is wrong.
    return fallback;
  }
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === 'string') : [];
}

function isStringRecord(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' && value !== null && Object.values(value).every((entry) => typeof entry === 'string')
  );
}
