import { join, posix } from 'node:path';
import { formatFiles, type GeneratorCallback, generateFiles, logger, type Tree } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { binaryName } from '../../go/build';
import { scanGoFile } from '../../go/scan';
import { initWorkspace } from '../init/generator';
import { baseImage, checkNothingIsOverwritten, fromWorkspaceRoot, moduleFor } from '../place';
import { runGenerator } from '../report';
import { needsOf } from './needs';
import type { DockerOptions } from './schema';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = DockerOptions & Required<Pick<DockerOptions, 'base' | 'skipFormat'>>;

/**
 * `slim-go:docker`: Dockerfile and .dockerignore for a main package that exists, and advice from reading its code.
 * @throws OPTION_INVALID where there is no main package, FILE_EXISTS instead of overwriting
 */
export default function docker(tree: Tree, options: Options): Promise<GeneratorCallback> {
  return runGenerator(() => createDockerfile(tree, options));
}

async function createDockerfile(tree: Tree, options: Options): Promise<GeneratorCallback> {
  const directory = fromWorkspaceRoot(tree, options.directory);
  const sources = mainSources(tree, directory);
  checkNothingIsOverwritten(
    tree,
    directory,
    ['Dockerfile', '.dockerignore'],
    'Move it away to have one written. A Dockerfile that exists needs no generator: it gets its targets as it is.',
    [],
  );
  const install = await initWorkspace(tree, { layout: 'module', skipFormat: true });
  const module = await moduleFor(tree, directory, undefined);
  const { port, advice } = needsOf(sources);
  generateFiles(tree, join(__dirname, '..', 'app', 'files', 'prebuilt'), directory, {
    dot: '.',
    binary: binaryName(posix.join(module.path, posix.relative(module.dir, directory))),
    base: baseImage(options.base),
    port: options.port ?? port,
    healthcheck: false,
  });
  if (options.base === 'scratch') for (const line of advice) logger.warn(line);
  if (!options.skipFormat) await formatFiles(tree);
  return install;
}

/** @throws OPTION_INVALID */
function mainSources(tree: Tree, directory: string): readonly string[] {
  const files = tree.children(directory).filter((name) => name.endsWith('.go') && !name.endsWith('_test.go'));
  const sources = files.map((name) => tree.read(posix.join(directory, name), 'utf8') ?? '');
  const isMain = sources.some((text, index) => {
    try {
      return scanGoFile(Buffer.from(text), files[index]!).packageName === 'main';
    } catch {
      // What is no Go makes no program.
      return false;
    }
  });
  if (isMain) return sources;
  throw new SlimGoError('OPTION_INVALID', `There is no main package in ${directory}.`, {
    hint: 'Name the folder whose files say "package main".',
  });
}
