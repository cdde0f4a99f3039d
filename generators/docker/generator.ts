import { join, posix } from 'node:path';
import { formatFiles, type GeneratorCallback, generateFiles, logger, type Tree } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { binaryName } from '../../go/build';
import { scanGoFile } from '../../go/scan';
import { initWorkspace } from '../init/generator';
import { baseImage, checkNothingIsOverwritten, fromWorkspaceRoot, moduleFor } from '../place';
import { runGenerator } from '../report';
import { predict } from './needs';
import type { DockerOptions } from './schema';
import { readSources } from './source';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = DockerOptions & Required<Pick<DockerOptions, 'base' | 'skipFormat'>>;

/**
 * `slim-go:docker`: Dockerfile and .dockerignore for a main package that exists, and advice from its code and its binary.
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
  const { port, file } = readSources(sources);
  generateFiles(tree, join(__dirname, '..', 'app', 'files', 'prebuilt'), directory, {
    dot: '.',
    binary: binaryName(posix.join(module.path, posix.relative(module.dir, directory))),
    base: baseImage(options.base),
    port: options.port ?? port,
    healthcheck: false,
  });
  if (file !== undefined) {
    logger.warn(`It reads "${file}", which the image won't have: COPY it, embed it with //go:embed, or mount it.`);
  }
  await warn(join(tree.root, directory), directory, options.base);
  if (!options.skipFormat) await formatFiles(tree);
  return install;
}

/** Says what the program will miss in the image, where it can be compiled. */
async function warn(folder: string, directory: string, base: Options['base']): Promise<void> {
  logger.info(`Compiling ${directory}, to see what it would miss in the image`);
  try {
    for (const { message, cure } of await predict(folder, base)) logger.warn(`${message}.\n  ${cure}`);
  } catch (error) {
    if (!(error instanceof SlimGoError)) throw error;
    logger.warn(`It can't be compiled here, so that nothing is known of what it would miss: ${error.message}`);
  }
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
