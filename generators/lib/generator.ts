import { join, posix } from 'node:path';
import { formatFiles, type GeneratorCallback, generateFiles, runTasksInSerial, type Tree, writeJson } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { initWorkspace } from '../init/generator';
import { checkModulePath, pathElementProblem } from '../module-path';
import {
  checkDirectory,
  checkFree,
  checkNothingIsOverwritten,
  fromWorkspaceRoot,
  moduleFor,
  projectHead,
  writeModule,
} from '../place';
import { runGenerator } from '../report';
import type { LibOptions } from './schema';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = LibOptions & Required<Pick<LibOptions, 'internal' | 'skipFormat'>>;

/**
 * `slim-go:lib`: a Go package with doc comment and test. It gets a project.json where it has no module of its own, for Nx
 * to know it by name. Runs `init` first.
 * @throws NAME_INVALID for what Go can't take, FILE_EXISTS instead of overwriting
 */
export default function lib(tree: Tree, options: Options): Promise<GeneratorCallback> {
  return runGenerator(() => createLib(tree, options));
}

async function createLib(tree: Tree, options: Options): Promise<GeneratorCallback> {
  const asked = fromWorkspaceRoot(tree, options.directory);
  const isInternal = options.internal && !asked.split('/').includes('internal');
  const directory = isInternal ? posix.join(posix.dirname(asked), 'internal', posix.basename(asked)) : asked;
  checkDirectory(directory, 'package');
  const packageName = packageNameOf(directory);
  if (options.module !== undefined) checkModulePath(options.module);
  const name = options.name ?? posix.basename(directory);
  const problem = pathElementProblem(name);
  if (problem) throw new SlimGoError('NAME_INVALID', `"${name}" can't be the name of a package: ${problem}.`);
  const root = options.module !== undefined && !tree.exists('go.mod') ? { module: options.module } : {};
  const install = await initWorkspace(tree, { layout: 'module', ...root, skipFormat: true });
  const module = await moduleFor(tree, directory, options.module);
  checkFree(tree, name, directory);
  const files = [`${packageName}.go`, `${packageName}_test.go`, 'project.json'];
  checkNothingIsOverwritten(tree, directory, files, 'Choose another folder.');

  generateFiles(tree, join(__dirname, 'files'), directory, { package: packageName });
  writeModule(tree, directory, module);
  const head = projectHead(name, directory, 'library', options.tags);
  if (!module.isNew || head.tags || name !== posix.basename(directory)) {
    writeJson(tree, posix.join(directory, 'project.json'), head);
  }
  if (!options.skipFormat) await formatFiles(tree);
  return runTasksInSerial(install);
}

const keywords = new Set(
  'break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var'.split(
    ' ',
  ),
);

/**
 * The folder's name as Go writes package names: small letters and digits, nothing between them.
 * https://go.dev/blog/package-names
 * @throws NAME_INVALID
 */
function packageNameOf(directory: string): string {
  const folder = posix.basename(directory);
  const name = folder.toLowerCase().replace(/[^a-z0-9]/g, '');
  if (/^[a-z]/.test(name) && !keywords.has(name) && name !== 'main' && name !== 'test') return name;
  throw new SlimGoError('NAME_INVALID', `No package can be named after the folder "${folder}".`, {
    hint: 'Choose one that begins with a letter and is no word of the language, such as greet.',
  });
}
