import { posix } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { closureOf } from '../go/closure';
import { type GoTree, inFolder, isWithin } from '../go/packages';
import { formatPlatform, hostContainerPlatform, hostPlatform, type Platform, parsePlatform } from '../platform';
import { compileInputs, globLiteral, moduleInputs } from './inputs';
import { knownDeps, staysOutside } from './known-deps';
import type { GoProject } from './projects';
import { type Options, statedOptions, strings, type TargetSources, type Targets, workspacePath } from './sources';

export interface BuildPlan {
  readonly targets: Targets;
  readonly name: string;
  readonly platforms: readonly Platform[];
  /** From the workspace root. */
  readonly outputDir: string;
  readonly dockerfile: string;
  readonly imageOptions: Options;
}

export function buildTarget(project: GoProject, sources: TargetSources): BuildPlan | undefined {
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
    configurations: { release: { vcs: true, stamp: true } },
    inputs: [
      ...compileInputs(closure, {
        modules: moduleInputs(closure, knownDeps(project.module, sources)),
        platforms,
        tests: false,
        cgo: cgo || stated.env !== undefined,
        dottedNames: hasDottedNames(sources.tree, closure.dirs),
      }),
      // The compiler is guided by it without being asked. https://go.dev/doc/pgo
      `{workspaceRoot}/${globLiteral(inFolder(main, 'default.pgo'))}`,
    ],
    outputs: platforms.map((platform) => `${outputRoot(project, outputDir)}/${formatPlatform(platform)}`),
    metadata: {
      technologies: ['go'],
      description: 'Compiles the program for each platform into dist/<os>/<arch>',
      help: {
        command: `npx nx run ${project.name}:${name} --help`,
        example: { options: { platforms: ['linux/amd64'] } },
      },
    },
  };
  return { targets: { [name]: target }, name, platforms, outputDir, dockerfile, imageOptions };
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
