import { readdirSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import {
  formatFiles,
  type GeneratorCallback,
  generateFiles,
  getProjects,
  logger,
  runTasksInSerial,
  type TargetConfiguration,
  type Tree,
  visitNotIgnoredFiles,
  writeJson,
} from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { binaryName } from '../../go/build';
import { parseModFile, parseWorkFile } from '../../go/modfile';
import { scanGoFile } from '../../go/scan';
import { runGo } from '../../go/toolchain';
import { withUse } from '../go-work';
import { defaultModule, initWorkspace, languageVersion } from '../init/generator';
import { checkModulePath, pathElementProblem } from '../module-path';
import { runGenerator } from '../report';
import type { AppOptions } from './schema';

const alpineVersion = '3.22';
const certificates = 'golang.org/x/crypto/x509roots/fallback';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = AppOptions & Required<Omit<AppOptions, 'name' | 'module' | 'tags'>>;

/**
 * `slim-go:app`: a Go program with test, Dockerfile and .dockerignore; a project.json only where the inferred project
 * does not say everything. Runs `init` first.
 * @throws NAME_INVALID for what Go, Docker, git or Windows can't take, FILE_EXISTS instead of overwriting
 */
export default function app(tree: Tree, options: Options): Promise<GeneratorCallback> {
  return runGenerator(() => createApp(tree, options));
}

async function createApp(tree: Tree, options: Options): Promise<GeneratorCallback> {
  const directory = fromWorkspaceRoot(tree, options.directory);
  checkDirectory(directory);
  if (options.module !== undefined) checkModulePath(options.module);
  const callbacks = [await initWorkspace(tree, { ...initOptions(tree, options), skipFormat: true })];

  const module = await moduleFor(tree, directory, options.module);
  const binary = binaryName(posix.join(module.path, posix.relative(module.dir, directory)));
  const name = options.name ?? (directory === '.' ? binary : posix.basename(directory));
  checkName(name);
  checkFree(tree, name, directory);

  const isHttp = options.template === 'http';
  const isMultistage = options.dockerfile === 'multistage';
  // A module of a go.work may import any other one of it.
  const inWorkspace = module.isNew && tree.exists('go.work');
  const context = inWorkspace ? '.' : module.dir;
  const hasCertificates = options.certs && options.base === 'scratch';
  if (options.certs && !hasCertificates) logger.info('The alpine base has root certificates: none go into the binary.');

  const folders = [options.template, options.dockerfile].map((folder) => join(__dirname, 'files', folder));
  const projectJson = describeProject({ ...options, name, directory, context, isMultistage, isHttp });
  const generated = folders.flatMap((folder) => readdirSync(folder).map(targetName));
  if (projectJson) generated.push('project.json');
  checkNothingIsOverwritten(tree, directory, generated);

  for (const folder of folders) {
    generateFiles(tree, folder, directory, {
      dot: '.',
      binary,
      base: options.base === 'alpine' ? `alpine:${alpineVersion}` : 'scratch',
      port: isHttp ? options.port : undefined,
      tzdata: options.tzdata,
      certs: hasCertificates,
      goImage: `${module.go.split('.').slice(0, 2).join('.')}-alpine`,
      inWorkspace,
      dockerfile: posix.join(directory, 'Dockerfile'),
      context,
      packagePath: packagePath(context, directory),
    });
  }
  if (module.isNew) {
    tree.write(posix.join(directory, 'go.mod'), `module ${module.path}\n\ngo ${module.go}\n`);
    if (tree.exists('go.work')) tree.write('go.work', withUse(tree.read('go.work', 'utf8') ?? '', directory));
  }
  if (projectJson) writeJson(tree, posix.join(directory, 'project.json'), projectJson);
  if (hasCertificates) callbacks.push(() => runGenerator(() => requireCertificates(join(tree.root, module.dir))));
  if (!options.skipFormat) await formatFiles(tree);
  return runTasksInSerial(...callbacks);
}

/** A go.work that exists keeps its layout; `module` names the root module only where this run makes one. */
function initOptions(tree: Tree, { module }: Options): { layout: 'module'; module?: string } {
  return module !== undefined && !tree.exists('go.mod') ? { layout: 'module', module } : { layout: 'module' };
}

/** The folder relative to the workspace root, `/`-separated; a relative one starts where the user stands, as everywhere in Nx. */
function fromWorkspaceRoot(tree: Tree, directory: string): string {
  const here = relative(tree.root, process.env.INIT_CWD ?? process.cwd())
    .split(sep)
    .join('/');
  const path = posix.normalize(directory.replaceAll('\\', '/')).replace(/(?<=.)\/+$/, '');
  const isInside = here !== '' && !here.startsWith('..') && !/^([A-Za-z]:|\/)/.test(here);
  if (!isInside || path === here || path.startsWith(`${here}/`)) return path;
  return posix.join(here, path);
}

/** @throws NAME_INVALID */
function checkDirectory(directory: string): void {
  const problem = directoryProblem(directory);
  if (problem === undefined) return;
  throw new SlimGoError('NAME_INVALID', `"${directory}" can't be the folder of a Go program: ${problem}.`, {
    hint: 'Choose a folder of the workspace such as apps/hello.',
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

/**
 * The name becomes the repository of the image, the binary and the project.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
 * @throws NAME_INVALID
 */
function checkName(name: string): void {
  const problem = /[A-Z]/.test(name)
    ? 'Docker allows no upper case in the name of an image'
    : !/^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/.test(name)
      ? 'Docker takes lower-case letters and digits, with single . or _, __ or hyphens between them'
      : pathElementProblem(name);
  if (problem === undefined) return;
  const proposal = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  throw new SlimGoError('NAME_INVALID', `"${name}" can't be the name of a program with an image: ${problem}.`, {
    hint: pathElementProblem(proposal) ? 'Choose another name.' : `"${proposal}" would do.`,
  });
}

/** @throws NAME_INVALID when another project has the name, also one that is inferred from its folder */
function checkFree(tree: Tree, name: string, directory: string): void {
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

interface AppModule {
  /** Folder of its go.mod from the workspace root, `.` for the root itself. */
  readonly dir: string;
  readonly path: string;
  /** Its `go` line, `1.26.0`. */
  readonly go: string;
  /** True when the program gets a module for itself. */
  readonly isNew: boolean;
}

/** The module around the folder, or one of its own: in a go.work, outside of every module, or when `path` asks for it. */
async function moduleFor(tree: Tree, directory: string, path: string | undefined): Promise<AppModule> {
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

function packagePath(from: string, directory: string): string {
  const path = posix.relative(from, directory);
  return path === '' ? '.' : `./${path}`;
}

function targetName(template: string): string {
  return template.replace('__dot__', '.').replace(/\.template$/, '');
}

/** @throws FILE_EXISTS naming each file that is in the way */
function checkNothingIsOverwritten(tree: Tree, directory: string, generated: readonly string[]): void {
  const goFiles = tree.exists(directory) ? tree.children(directory).filter((file) => file.endsWith('.go')) : [];
  const inTheWay = [...new Set([...generated.filter((file) => tree.exists(posix.join(directory, file))), ...goFiles])];
  if (inTheWay.length === 0) return;
  throw new SlimGoError('FILE_EXISTS', `${directory} has ${inTheWay.join(', ')} already; nothing was changed.`, {
    hint: 'Choose another folder. Go programs that exist need no generator: they get their targets as they are.',
  });
}

/** What must be said in project.json because nothing else says it; undefined where the inferred project is complete. */
function describeProject(app: {
  readonly name: string;
  readonly directory: string;
  readonly context: string;
  readonly isMultistage: boolean;
  readonly isHttp: boolean;
  readonly port: number;
  readonly tags?: string;
}): object | undefined {
  const targets: Record<string, TargetConfiguration> = {};
  if (app.isMultistage && app.context !== app.directory) targets.image = { options: { context: app.context } };
  if (app.isHttp) {
    targets['docker-run'] = {
      options: { ports: [`${app.port}:${app.port}`] },
      // Not the port alone: the engine's proxy listens before the program does.
      readyWhen: { url: `http://127.0.0.1:${app.port}/healthz` },
    };
  }
  const tags = (app.tags ?? '')
    .split(',')
    .map((tag) => tag.trim())
    .filter(Boolean);
  const hasTargets = Object.keys(targets).length > 0;
  if (!hasTargets && tags.length === 0 && app.name === posix.basename(app.directory)) return undefined;
  return {
    name: app.name,
    $schema: posix.join(posix.relative(app.directory, '.') || '.', 'node_modules/nx/schemas/project-schema.json'),
    projectType: 'application',
    ...(tags.length > 0 && { tags }),
    ...(hasTargets && { targets }),
  };
}

async function requireCertificates(moduleDir: string): Promise<void> {
  const { exitCode, stderr } = await runGo(['get', `${certificates}@latest`], { cwd: moduleDir });
  if (exitCode === 0) return;
  throw new SlimGoError('GO_BUILD_FAILED', `go get ${certificates} failed in ${moduleDir}:\n${stderr.trim()}`, {
    hint: 'The program is complete but for this module; run `go mod tidy` there when the module proxy can be reached.',
  });
}
