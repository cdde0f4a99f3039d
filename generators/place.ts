import { posix, relative, sep } from 'node:path';
import { getProjects, logger, type Tree, visitNotIgnoredFiles } from '@nx/devkit';
import { SlimGoError } from '../errors';
import { parseModFile, parseWorkFile } from '../go/modfile';
import { scanGoFile } from '../go/scan';
import { withUse } from './go-work';
import { defaultModule, languageVersion } from './init/generator';
import { pathElementProblem } from './module-path';

/** The folder relative to the workspace root, `/`-separated; a relative one starts where the user stands, as everywhere in Nx. */
export function fromWorkspaceRoot(tree: Tree, directory: string): string {
  const here = relative(tree.root, process.env.INIT_CWD ?? process.cwd())
    .split(sep)
    .join('/');
  const path = posix.normalize(directory.replaceAll('\\', '/')).replace(/(?<=.)\/+$/, '');
  const isInside = here !== '' && !here.startsWith('..') && !/^([A-Za-z]:|\/)/.test(here);
  if (!isInside || path === here || path.startsWith(`${here}/`)) return path;
  return posix.join(here, path);
}

/**
 * @param what is going to lie there, for messages
 * @throws NAME_INVALID
 */
export function checkDirectory(directory: string, what: 'program' | 'package'): void {
  const problem = directoryProblem(directory);
  if (problem === undefined) return;
  throw new SlimGoError('NAME_INVALID', `"${directory}" can't be the folder of a Go ${what}: ${problem}.`, {
    hint: `Choose a folder of the workspace such as ${what === 'program' ? 'apps/hello' : 'libs/greet'}.`,
  });
}

function directoryProblem(directory: string): string | undefined {
  if (directory === '.') return undefined;
  if (directory.startsWith('/') || /^[A-Za-z]:/.test(directory)) return 'it is absolute';
  const elements = directory.split('/');
  if (elements[0] === '..') return 'it lies outside the workspace';
  for (const element of elements) {
    if (/^[._]/.test(element) || element === 'testdata') return `Go passes by folders like "${element}"`;
    if (element === 'vendor') return 'Go keeps copies of other modules in "vendor"';
    if (element === 'dist' || element === 'node_modules') return `git ignores "${element}"`;
    const problem = pathElementProblem(element);
    if (problem) return problem;
  }
  if (elements.at(-1) === 'internal') return 'in Go "internal" is a folder of packages that are private to its parent';
  return undefined;
}

/** @throws NAME_INVALID when another project has the name, also one that is inferred from its folder */
export function checkFree(tree: Tree, name: string, directory: string): void {
  const other = getProjects(tree).get(name)?.root ?? mainFolderOf(tree, name, directory);
  if (other === undefined || other === directory) return;
  throw new SlimGoError('NAME_INVALID', `There is a project "${name}" already, in ${other}.`, {
    hint: 'Give this one another name with --name.',
  });
}

/** Another folder of this name with a main package: its project needs no project.json that would tell. */
function mainFolderOf(tree: Tree, name: string, directory: string): string | undefined {
  let found: string | undefined;
  visitNotIgnoredFiles(tree, '.', (path) => {
    const file = path.split(sep).join('/');
    const folder = posix.dirname(file);
    if (found !== undefined || folder === directory || posix.basename(folder) !== name) return;
    if (!file.endsWith('.go') || file.endsWith('_test.go') || tree.exists(posix.join(folder, 'project.json'))) return;
    if (/(?:^|\/)(?:vendor|testdata|node_modules|[._][^/]*)\//.test(file)) return;
    try {
      if (scanGoFile(tree.read(path) ?? Buffer.alloc(0), file).packageName === 'main') found = folder;
    } catch {
      // What is no Go makes no project.
    }
  });
  return found;
}

/** The module that a new folder of Go code belongs to. */
export interface ModuleAround {
  /** Folder of its go.mod from the workspace root, `.` for the root itself. */
  readonly dir: string;
  readonly path: string;
  /** Its `go` line, `1.26.0`. */
  readonly go: string;
  /** True when the folder gets a module for itself. */
  readonly isNew: boolean;
}

/** The module around the folder, or one of its own: in a go.work, outside of every module, or when `path` asks for it. */
export async function moduleFor(tree: Tree, directory: string, path: string | undefined): Promise<ModuleAround> {
  const dir = enclosingFolders(directory).find((folder) => tree.exists(posix.join(folder, 'go.mod')));
  if (dir !== undefined) {
    const file = posix.join(dir, 'go.mod');
    const { module, go } = parseModFile(tree.read(file, 'utf8') ?? '', file);
    if (path === undefined || path === module) {
      return { dir, path: module, go: go?.version ?? (await languageVersion(tree)), isNew: false };
    }
  }
  const work = tree.exists('go.work') ? parseWorkFile(tree.read('go.work', 'utf8') ?? '', 'go.work') : undefined;
  return {
    dir: directory,
    path: path ?? posix.join(await defaultModule(tree), directory),
    go: work?.go?.version ?? (await languageVersion(tree)),
    isNew: true,
  };
}

/** The folder and those above it, up to the workspace root. */
function enclosingFolders(directory: string): string[] {
  return directory === '.' ? ['.'] : [directory, ...enclosingFolders(posix.dirname(directory))];
}

/** The name of the file that a template makes. */
export function targetName(template: string): string {
  return template.replace('__dot__', '.').replace(/\.template$/, '');
}

/**
 * @param generated names of the files that will be written
 * @param goFiles that are in the way as well; by default all of the folder
 * @throws FILE_EXISTS naming each file that is in the way
 */
export function checkNothingIsOverwritten(
  tree: Tree,
  directory: string,
  generated: readonly string[],
  hint: string,
  goFiles = goFilesOf(tree, directory),
): void {
  const inTheWay = [...new Set([...generated.filter((file) => tree.exists(posix.join(directory, file))), ...goFiles])];
  if (inTheWay.length === 0) return;
  throw new SlimGoError('FILE_EXISTS', `${directory} has ${inTheWay.join(', ')} already; nothing was changed.`, {
    hint,
  });
}

function goFilesOf(tree: Tree, directory: string): readonly string[] {
  return tree.exists(directory) ? tree.children(directory).filter((file) => file.endsWith('.go')) : [];
}

/** What FROM names. */
export function baseImage(base: 'scratch' | 'alpine'): string {
  return base === 'alpine' ? 'alpine:3.22' : 'scratch';
}

/** Writes go.mod for a module that is new, and names it in go.work where there is one. */
export function writeModule(tree: Tree, directory: string, module: ModuleAround): void {
  if (!module.isNew) return;
  const file = posix.join(directory, 'go.mod');
  tree.write(file, `module ${module.path}\n\ngo ${module.go}\n`);
  logger.info(`${file}: module ${module.path}`);
  if (tree.exists('go.work')) tree.write('go.work', withUse(tree.read('go.work', 'utf8') ?? '', directory));
}

/** What every project.json begins with. @param tags separated by commas */
export function projectHead(
  name: string,
  directory: string,
  projectType: 'application' | 'library',
  tags: string | undefined,
): {
  readonly name: string;
  readonly $schema: string;
  readonly projectType: string;
  readonly tags?: readonly string[];
} {
  const list = (tags ?? '')
    .split(',')
    .map((tag) => tag.trim())
    .filter(Boolean);
  return {
    name,
    $schema: posix.join(posix.relative(directory, '.') || '.', 'node_modules/nx/schemas/project-schema.json'),
    projectType,
    ...(list.length > 0 && { tags: list }),
  };
}
