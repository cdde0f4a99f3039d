import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { SlimGoError } from '../../errors';
import {
  type BuildOutcome,
  binaryName,
  enclosingModule,
  goBuild,
  importPath,
  mainPackages,
  type ResolvedBuild,
} from '../../go/build';
import { scanGoFile } from '../../go/scan';
import { describeDockerfile } from '../../image/dockerfile/describe';
import { formatPlatform, hostContainerPlatform, hostPlatform, parsePlatform } from '../../platform';
import { type AskGit, git, gitOnce } from '../git';
import { WaitingLine } from '../progress-line';
import { type ReleaseSource, releaseOf } from '../release';
import { formatDuration, formatSize } from '../report';
import { batchExecutorOf, executorOf, type Task, type Work } from '../task';
import type { BuildOptions } from './schema';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = BuildOptions & Required<Omit<BuildOptions, 'main' | 'platforms'>>;

/** One binary for each task and platform, or the reason why there is none. */
const compile: Work<Options> = async (tasks, signal, done) => {
  const owners = new Map<ResolvedBuild, Task<Options>>();
  const ask = gitOnce();
  for (const task of tasks) {
    try {
      for (const build of await resolveBuilds(task, signal, ask)) owners.set(build, task);
    } catch (error) {
      done(task, error);
    }
  }
  const line = new WaitingLine(() => 'go build');
  const outcomes = await goBuild([...owners.keys()], {
    signal,
    onOutput: (build, chunk, stream) => {
      line.clear();
      owners.get(build)?.print(chunk, stream);
    },
  }).finally(() => line.end());
  for (const task of new Set(owners.values())) {
    const own = outcomes.filter(({ build }) => owners.get(build) === task);
    for (const outcome of own) if (!outcome.error) task.print(`${describe(outcome, task.context.root)}\n`);
    done(task, own.find(({ error }) => error)?.error);
  }
};

/** `slim-go:build` */
export default executorOf(compile);

/** `slim-go:build` of many projects in one process. */
export const batch = batchExecutorOf(compile);

function describe({ build, sizeBytes, durationMs }: BuildOutcome, root: string): string {
  const file = relative(root, build.outputFile);
  return `${file}  ${formatPlatform(build.platform)}  ${formatSize(sizeBytes)}  ${formatDuration(durationMs)}`;
}

/**
 * One resolved build for each platform that the options ask for.
 * @throws OPTION_INVALID, PLATFORM_INVALID, GO_FILE_INVALID
 */
export async function resolveBuilds(
  { options, context, env }: Pick<Task<Options>, 'options' | 'context' | 'env'>,
  signal?: AbortSignal,
  ask: AskGit = git,
): Promise<ResolvedBuild[]> {
  const project = context.projectsConfigurations.projects[context.projectName ?? ''];
  if (project === undefined) throw new SlimGoError('OPTION_INVALID', `There is no project "${context.projectName}".`);
  const projectDir = join(context.root, project.root);
  // Nx replaces the token in a target's options, but not in a schema's default.
  const absolute = (path: string): string => resolve(context.root, path.replaceAll('{projectRoot}', project.root));

  const images = Object.values(project.targets ?? {}).filter(({ executor }) => executor === 'slim-go:image');
  const dockerfiles = [...images.map(({ options: image }) => image?.dockerfile), join(project.root, 'Dockerfile')]
    .filter((path): path is string => typeof path === 'string')
    .map(absolute);
  const dockerfile = dockerfiles.find((path) => existsSync(path));

  const main = options.main === undefined ? await onlyMain(projectDir, signal) : givenMain(options.main, absolute);
  const module = enclosingModule(main);
  const name = binaryName(importPath(module, main));
  const fromScratch = dockerfile !== undefined && endsFromScratch(dockerfile);
  const platforms =
    options.platforms === undefined || options.platforms.length === 0
      ? [dockerfile === undefined ? hostPlatform() : hostContainerPlatform()]
      : options.platforms.map(parsePlatform);
  const unique = [...new Map(platforms.map((platform) => [formatPlatform(platform), platform])).values()];

  const stamps = stampFlags(options.stamp, { project: context.projectName!, folder: context.root, env }, ask);
  // The user's come last, and win.
  const ldflags = [...stamps, options.ldflags].flat().join(' ');

  return unique.map((platform) => ({
    main,
    moduleDir: module.dir,
    outputFile: join(
      absolute(options.outputPath),
      ...formatPlatform(platform).split('/'),
      `${name}${platform.os === 'windows' ? '.exe' : platform.architecture === 'wasm' ? '.wasm' : ''}`,
    ),
    platform,
    ldflags,
    tags: options.buildTags,
    trimpath: options.trimpath,
    strip: options.strip,
    race: options.race,
    cgo: options.cgo,
    vcs: options.vcs,
    processEnv: env,
    env: options.env,
    args: options.args,
    // The race detector is for this machine; what it builds is no image to ship.
    mustBeStatic: platform.os === 'linux' && fromScratch && !options.race,
  }));
}

/** The linker passes by a variable that is not there. https://pkg.go.dev/cmd/link */
function stampFlags(stamp: Options['stamp'], source: ReleaseSource, ask: AskGit): string[] {
  if (stamp === false) return [];
  const release = releaseOf(source, ask);
  if (release === undefined) return [];
  const names = stamp === true ? { version: 'main.version', commit: 'main.commit', date: 'main.date' } : stamp;
  return Object.entries(names).map(([what, name]) => `-X ${name}=${release[what as keyof typeof release]}`);
}

function givenMain(main: string, absolute: (path: string) => string): string {
  const path = absolute(main);
  const inProject = absolute(`{projectRoot}/${main}`);
  if (existsSync(path)) return statSync(path).isDirectory() ? path : dirname(path);
  throw new SlimGoError('OPTION_INVALID', `main: there is no ${path}.`, {
    hint: existsSync(inProject)
      ? `Paths start at the workspace root: write "{projectRoot}/${main}".`
      : 'Name the folder of a main package, relative to the workspace root.',
  });
}

/** The project's own folder where it holds a main package, otherwise the one main package below it. */
async function onlyMain(projectDir: string, signal: AbortSignal | undefined): Promise<string> {
  if (readdirSync(projectDir).some((name) => isMainFile(join(projectDir, name)))) return projectDir;
  const mains = await mainPackages(projectDir, signal);
  const [first, ...others] = mains;
  if (first !== undefined && others.length === 0) return join(projectDir, relative(projectDir, first));
  throw new SlimGoError(
    'OPTION_INVALID',
    first === undefined
      ? `${projectDir} and the folders below hold no main package.`
      : `${projectDir} holds ${mains.length} main packages: ${mains.map((folder) => relative(projectDir, folder)).join(', ')}.`,
    { hint: `Say which one with the option main, for example "{projectRoot}/cmd/${basename(projectDir)}".` },
  );
}

/** True for a Go file of package main. One that can't be read is left to the compiler, which tells it better. */
function isMainFile(file: string): boolean {
  if (!file.endsWith('.go') || file.endsWith('_test.go')) return false;
  try {
    return scanGoFile(readFileSync(file), file).packageName === 'main';
  } catch {
    return true;
  }
}

/** Whether the image starts from nothing. A Dockerfile that can't be read is left to the image target, which says why. */
function endsFromScratch(dockerfile: string): boolean {
  try {
    return describeDockerfile(readFileSync(dockerfile, 'utf8'), dockerfile).fromScratch;
  } catch {
    return false;
  }
}
